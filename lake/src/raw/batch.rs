//! Events on their way to raw files, column by column: the batch that a collector fills, and the parts of a file that several
//! threads fill together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBuilder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use crate::event::{Event, EventId};
use crate::schema::encoding::raw_properties;
use crate::schema::events::{MONEY, Source, raw_columns, raw_schema};

/// Columns of events that grow, every event a row.
pub struct EventColumns {
    builders: Vec<Builder>,
    /// The sites of the rows, each with how many rows of it follow each other.
    sites: Vec<(Arc<str>, usize)>,
    rows: usize,
    estimated_bytes: usize,
}

enum Builder {
    Id(Vec<[u8; 16]>),
    Text(StringBuilder),
    TimeUs(TimestampMicrosecondBuilder),
    Integer(Int64Builder),
    MoneyE4(Decimal128Builder),
    Flag(BooleanBuilder),
}

impl Default for EventColumns {
    fn default() -> Self {
        let builders = raw_columns()
            .map(|column| match column.source {
                Source::Id => Builder::Id(Vec::new()),
                Source::Text(..) => Builder::Text(StringBuilder::new()),
                Source::TimeUs(..) => Builder::TimeUs(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
                Source::Integer(..) => Builder::Integer(Int64Builder::new()),
                Source::MoneyE4(..) => Builder::MoneyE4(Decimal128Builder::new().with_data_type(MONEY)),
                Source::Flag(..) => Builder::Flag(BooleanBuilder::new()),
            })
            .collect();
        Self { builders, sites: Vec::new(), rows: 0, estimated_bytes: 0 }
    }
}

impl EventColumns {
    /// Adds an event.
    pub fn push(&mut self, event: &Event) {
        match self.sites.last_mut() {
            Some((site, rows)) if **site == *event.site_id => *rows += 1,
            _ => self.sites.push((event.site_id.clone(), 1)),
        }
        self.rows += 1;
        for (column, builder) in raw_columns().zip(&mut self.builders) {
            self.estimated_bytes += match (&column.source, builder) {
                (Source::Id, Builder::Id(ids)) => {
                    ids.push(event.event_id.0);
                    16
                }
                (Source::Text(text, _), Builder::Text(texts)) => {
                    let text = text(event);
                    texts.append_option(text);
                    text.map_or(1, str::len)
                }
                (Source::TimeUs(time, _), Builder::TimeUs(times)) => {
                    times.append_value(time(event));
                    8
                }
                (Source::Integer(integer, _), Builder::Integer(integers)) => {
                    integers.append_option(integer(event));
                    8
                }
                (Source::MoneyE4(money, _), Builder::MoneyE4(moneys)) => {
                    moneys.append_option(money(event));
                    16
                }
                (Source::Flag(flag, _), Builder::Flag(flags)) => {
                    flags.append_value(flag(event));
                    1
                }
                _ => unreachable!("builders are made from the same columns"),
            };
        }
    }

    /// Events in the columns.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Gives the event in a row, counted from 0, another id.
    pub fn set_id(&mut self, row: usize, id: EventId) {
        self.ids_mut()[row] = id.0;
    }

    fn ids_mut(&mut self) -> &mut [[u8; 16]] {
        let ids = self.builders.iter_mut().find_map(|builder| match builder {
            Builder::Id(ids) => Some(ids),
            _ => None,
        });
        ids.expect("an event has an id")
    }

    /// The events as an Arrow batch: the columns of [`event_schema`](crate::event_schema), then `corrected_by`.
    fn into_batch(self) -> RecordBatch {
        let columns = self
            .builders
            .into_iter()
            .map(|builder| match builder {
                Builder::Id(ids) => {
                    let offsets = OffsetBuffer::from_repeated_length(16, ids.len());
                    Arc::new(BinaryArray::new(offsets, ids.into_flattened().into(), None)) as ArrayRef
                }
                Builder::Text(mut texts) => Arc::new(texts.finish()),
                Builder::TimeUs(mut times) => Arc::new(times.finish()),
                Builder::Integer(mut integers) => Arc::new(integers.finish()),
                Builder::MoneyE4(mut moneys) => Arc::new(moneys.finish()),
                Builder::Flag(mut flags) => Arc::new(flags.finish()),
            })
            .collect();
        RecordBatch::try_new(raw_schema(), columns).expect("columns are built from the schema's own list")
    }
}

/// Ids, by site. Ids unique within a file make the order of files a total order over the copies of an event.
#[derive(Default)]
struct Seen(HashMap<Arc<str>, HashSet<EventId, RandomState>, RandomState>);

impl Seen {
    fn of(&mut self, site: &Arc<str>) -> &mut HashSet<EventId, RandomState> {
        if !self.0.contains_key(site) {
            self.0.insert(site.clone(), HashSet::default());
        }
        self.0.get_mut(site).expect("it was put there")
    }
}

/// Events on their way to one raw file, each once.
#[derive(Default)]
pub struct RawBatch {
    columns: EventColumns,
    seen: Seen,
}

impl RawBatch {
    /// Adds an event, unless the batch has one of the same site and id already: then the first stays.
    ///
    /// Returns whether it was added.
    pub fn push(&mut self, event: &Event) -> bool {
        let is_new = self.seen.of(&event.site_id).insert(event.event_id);
        if is_new {
            self.columns.push(event);
        }
        is_new
    }

    /// Events in the batch.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// About how much memory the events take, which is several times the size of the file.
    pub fn estimated_bytes(&self) -> usize {
        self.columns.estimated_bytes
    }

    /// The events as an Arrow batch: the columns of [`event_schema`](crate::event_schema), then `corrected_by`.
    pub fn into_batch(self) -> RecordBatch {
        self.columns.into_batch()
    }

    /// Encodes the events as one Parquet file. Takes CPU time: call it off the request path.
    pub fn encode(self) -> Bytes {
        encode(&[self.into_batch()])
    }
}

/// Events on their way to one raw file, each once, whose columns are filled elsewhere.
#[derive(Default)]
pub struct RawParts {
    batches: Vec<RecordBatch>,
    seen: Seen,
    rows: usize,
    estimated_bytes: usize,
}

impl RawParts {
    /// Adds events, but for those whose site and id the file has already: the first stays.
    pub fn add(&mut self, mut columns: EventColumns) {
        let (sites, estimated_bytes) = (std::mem::take(&mut columns.sites), columns.estimated_bytes);
        let mut is_new = Vec::with_capacity(columns.rows);
        let mut ids = columns.ids_mut().iter();
        for (site, rows) in sites {
            let seen = self.seen.of(&site);
            is_new.extend(ids.by_ref().take(rows).map(|id| seen.insert(EventId(*id))));
        }
        let (new, mut batch) = (is_new.iter().filter(|is_new| **is_new).count(), columns.into_batch());
        if new < batch.num_rows() {
            batch = filter_record_batch(&batch, &BooleanArray::from(is_new)).expect("there is a flag for each row");
        }
        if new > 0 {
            self.batches.push(batch);
            self.rows += new;
            self.estimated_bytes += estimated_bytes;
        }
    }

    /// Events in the file.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// About how much memory the events take, which is several times the size of the file.
    pub fn estimated_bytes(&self) -> usize {
        self.estimated_bytes
    }

    /// Encodes the events as one Parquet file. Takes CPU time: call it off the request path.
    pub fn encode(self) -> Bytes {
        encode(&self.batches)
    }
}

fn encode(batches: &[RecordBatch]) -> Bytes {
    let (schema, mut file) = (raw_schema(), Vec::new());
    let properties = raw_properties(&schema, batches);
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties))
        .expect("every column type of an event has a Parquet form");
    for batch in batches {
        writer.write(batch).expect("writing to memory does not fail");
    }
    writer.close().expect("writing to memory does not fail");
    file.into()
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn event(site: &str, id: &str) -> Event {
        Event { event_id: EventId::from_client(id), site_id: site.into(), name: "page_view".into(), ..Event::default() }
    }

    #[test]
    fn an_event_enters_a_batch_once_per_site() {
        let mut batch = RawBatch::default();
        assert!(batch.push(&event("one", "a")));
        assert!(!batch.push(&event("one", "a")));
        assert!(batch.push(&event("two", "a")));
        assert_eq!(batch.len(), 2);
        assert_eq!(batch.into_batch().num_rows(), 2);
    }

    #[test]
    fn an_event_enters_a_file_once_per_site_whoever_brings_it() {
        let columns = |ids: &[(&str, &str)]| {
            let mut columns = EventColumns::default();
            ids.iter().for_each(|(site, id)| columns.push(&event(site, id)));
            columns
        };
        let mut file = RawParts::default();
        file.add(columns(&[("one", "a"), ("one", "b"), ("two", "a"), ("one", "a")]));
        let mut more = columns(&[("one", "c"), ("one", "b"), ("two", "a")]);
        more.set_id(2, EventId::from_client("d"));
        file.add(more);
        file.add(columns(&[("one", "c")]));
        assert_eq!(file.len(), 5);
        let read = rows(file.encode());
        let read = arrow::compute::concat_batches(&raw_schema(), &read).unwrap();
        let ids = read.column_by_name("event_id").unwrap().as_binary::<i32>();
        let expected = ["a", "b", "a", "c", "d"].map(|id| EventId::from_client(id).0);
        assert_eq!(ids.iter().flatten().collect::<Vec<_>>(), expected.each_ref().map(|id| &id[..]));
        let sites = read.column_by_name("site_id").unwrap().as_string::<i32>();
        assert_eq!(sites.iter().flatten().collect::<Vec<_>>(), ["one", "one", "two", "one", "two"]);
    }

    #[test]
    fn a_file_is_the_same_whether_one_has_filled_it_or_several_have() {
        let (mut batch, mut file) = (RawBatch::default(), RawParts::default());
        for n in 0..3 {
            let event = Event { occurred_at_us: n, ..full_event() };
            let event = Event { event_id: EventId::from_client(&n.to_string()), ..event };
            batch.push(&event);
            let mut columns = EventColumns::default();
            columns.push(&event);
            file.add(columns);
        }
        let concat = |file| arrow::compute::concat_batches(&raw_schema(), &rows(file)).unwrap();
        assert_eq!(concat(file.encode()), concat(batch.encode()));
    }

    fn rows(file: Bytes) -> Vec<RecordBatch> {
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn every_column_of_an_event_reaches_the_file() {
        let mut batch = RawBatch::default();
        batch.push(&full_event());
        let read = rows(batch.encode());
        assert_eq!(read[0].schema(), raw_schema());
        assert!(read[0].columns().iter().all(|column| column.null_count() == 0));
    }

    #[test]
    fn every_text_of_an_event_counts_as_memory() {
        let event = full_event();
        let mut batch = RawBatch::default();
        batch.push(&event);
        let batch = batch.into_batch();
        let texts = batch.columns().iter().filter_map(|column| column.as_string_opt::<i32>());
        let texts_bytes: usize = texts.map(|text| text.value(0).len()).sum();
        assert!(texts_bytes > 31);
        let shared_bytes = event.site_id.len() + event.protocol.len();
        assert_eq!(event.memory_bytes(), size_of::<Event>() + texts_bytes - shared_bytes);
        let longer = Event { sdk: Some("x".repeat(100)), name: "y".repeat(10), ..event.clone() };
        assert_eq!(longer.memory_bytes(), event.memory_bytes() + 99 + 9);
    }

    /// An event with all its fields.
    fn full_event() -> Event {
        let text = || Some("x".to_owned());
        Event {
            event_id: EventId([7; 16]),
            site_id: "s".into(),
            name: "n".into(),
            occurred_at_us: 1,
            received_at_us: 2,
            corrected_by_us: Some(5),
            id_assigned: true,
            visitor_id: Some(3),
            user_id: text(),
            anonymous_id: text(),
            session_id: text(),
            url: text(),
            hostname: text(),
            path: text(),
            query: text(),
            title: text(),
            referrer: text(),
            referrer_host: text(),
            channel: text(),
            utm_source: text(),
            utm_medium: text(),
            utm_campaign: text(),
            utm_term: text(),
            utm_content: text(),
            browser: text(),
            browser_version: text(),
            browser_app: text(),
            os: text(),
            os_version: text(),
            device: text(),
            country: text(),
            region: text(),
            city: text(),
            language: text(),
            screen: text(),
            viewport: text(),
            object: text(),
            revenue_e4: Some(4),
            currency: text(),
            properties: text(),
            is_bot: true,
            bot_kind: text(),
            protocol: "native",
            sdk: text(),
        }
    }
}
