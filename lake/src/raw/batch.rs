//! The batch of events that a collector fills, column by column, and encodes as one raw file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use crate::event::{Event, EventId};
use crate::schema::encoding::raw_properties;
use crate::schema::events::{MONEY, Source, raw_columns, raw_schema};

/// Events on their way to one raw file: columns that grow, each event once.
pub struct RawBatch {
    builders: Vec<Builder>,
    /// By site.
    seen: HashMap<Arc<str>, HashSet<EventId>>,
    rows: usize,
    estimated_bytes: usize,
}

enum Builder {
    Id(BinaryBuilder),
    Text(StringBuilder),
    TimeUs(TimestampMicrosecondBuilder),
    Integer(Int64Builder),
    MoneyE4(Decimal128Builder),
    Flag(BooleanBuilder),
}

impl Default for RawBatch {
    fn default() -> Self {
        let builders = raw_columns()
            .map(|column| match column.source {
                Source::Id => Builder::Id(BinaryBuilder::new()),
                Source::Text(..) => Builder::Text(StringBuilder::new()),
                Source::TimeUs(..) => Builder::TimeUs(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
                Source::Integer(..) => Builder::Integer(Int64Builder::new()),
                Source::MoneyE4(..) => Builder::MoneyE4(Decimal128Builder::new().with_data_type(MONEY)),
                Source::Flag(..) => Builder::Flag(BooleanBuilder::new()),
            })
            .collect();
        Self { builders, seen: HashMap::new(), rows: 0, estimated_bytes: 0 }
    }
}

impl RawBatch {
    /// Adds an event, unless the batch has one of the same site and id already: then the first stays.
    ///
    /// Returns whether it was added. Ids unique within a file make the order of files a total order over the copies of
    /// an event.
    pub fn push(&mut self, event: &Event) -> bool {
        let seen = match self.seen.get_mut(&event.site_id) {
            Some(seen) => seen,
            None => self.seen.entry(event.site_id.clone()).or_default(),
        };
        if !seen.insert(event.event_id) {
            return false;
        }
        self.rows += 1;
        for (column, builder) in raw_columns().zip(&mut self.builders) {
            self.estimated_bytes += match (&column.source, builder) {
                (Source::Id, Builder::Id(ids)) => {
                    ids.append_value(event.event_id.0);
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
        true
    }

    /// Events in the batch.
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

    /// The events as an Arrow batch: the columns of [`event_schema`], then `corrected_by`.
    pub fn into_batch(mut self) -> RecordBatch {
        let columns = self
            .builders
            .iter_mut()
            .map(|builder| match builder {
                Builder::Id(ids) => Arc::new(ids.finish()) as ArrayRef,
                Builder::Text(texts) => Arc::new(texts.finish()),
                Builder::TimeUs(times) => Arc::new(times.finish()),
                Builder::Integer(integers) => Arc::new(integers.finish()),
                Builder::MoneyE4(moneys) => Arc::new(moneys.finish()),
                Builder::Flag(flags) => Arc::new(flags.finish()),
            })
            .collect();
        RecordBatch::try_new(raw_schema(), columns).expect("columns are built from the schema's own list")
    }

    /// Encodes the events as one Parquet file. Takes CPU time: call it off the request path.
    pub fn encode(self) -> Bytes {
        let batch = self.into_batch();
        let mut file = Vec::new();
        let properties = raw_properties(&batch.schema(), std::slice::from_ref(&batch));
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties))
            .expect("every column type of an event has a Parquet form");
        writer.write(&batch).expect("writing to memory does not fail");
        writer.close().expect("writing to memory does not fail");
        file.into()
    }
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
    fn every_column_of_an_event_reaches_the_file() {
        let mut batch = RawBatch::default();
        batch.push(&full_event());
        let file = batch.encode();
        let read: Vec<RecordBatch> = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
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
