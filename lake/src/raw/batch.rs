//! Events as columns: the schema of the table `events`, and the batch that a collector fills.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;

use crate::event::{Event, EventId};
use crate::schema::encoding::raw_properties;

/// One column of `events`: its name, whether it is always there, and where an event has it.
struct Column {
    name: &'static str,
    required: bool,
    source: Source,
}

enum Source {
    Id,
    Text(for<'a> fn(&'a Event) -> Option<&'a str>),
    TimeUs(fn(&Event) -> i64),
    Integer(fn(&Event) -> Option<i64>),
    MoneyE4(fn(&Event) -> Option<i128>),
    Flag(fn(&Event) -> bool),
}

/// The columns of `events` in order. Only ever append, and only columns that may be null: files of
/// earlier releases must keep reading.
const COLUMNS: &[Column] = &[
    always("event_id", Source::Id),
    always("site_id", Source::Text(|event| Some(&event.site_id))),
    always("name", Source::Text(|event| Some(&event.name))),
    always("occurred_at", Source::TimeUs(|event| event.occurred_at_us)),
    always("received_at", Source::TimeUs(|event| event.received_at_us)),
    maybe("visitor_id", Source::Integer(|event| event.visitor_id)),
    maybe("user_id", Source::Text(|event| event.user_id.as_deref())),
    maybe("anonymous_id", Source::Text(|event| event.anonymous_id.as_deref())),
    maybe("session_id", Source::Text(|event| event.session_id.as_deref())),
    maybe("url", Source::Text(|event| event.url.as_deref())),
    maybe("hostname", Source::Text(|event| event.hostname.as_deref())),
    maybe("path", Source::Text(|event| event.path.as_deref())),
    maybe("query", Source::Text(|event| event.query.as_deref())),
    maybe("title", Source::Text(|event| event.title.as_deref())),
    maybe("referrer", Source::Text(|event| event.referrer.as_deref())),
    maybe("referrer_host", Source::Text(|event| event.referrer_host.as_deref())),
    maybe("channel", Source::Text(|event| event.channel.as_deref())),
    maybe("utm_source", Source::Text(|event| event.utm_source.as_deref())),
    maybe("utm_medium", Source::Text(|event| event.utm_medium.as_deref())),
    maybe("utm_campaign", Source::Text(|event| event.utm_campaign.as_deref())),
    maybe("utm_term", Source::Text(|event| event.utm_term.as_deref())),
    maybe("utm_content", Source::Text(|event| event.utm_content.as_deref())),
    maybe("browser", Source::Text(|event| event.browser.as_deref())),
    maybe("browser_version", Source::Text(|event| event.browser_version.as_deref())),
    maybe("os", Source::Text(|event| event.os.as_deref())),
    maybe("os_version", Source::Text(|event| event.os_version.as_deref())),
    maybe("device", Source::Text(|event| event.device.as_deref())),
    maybe("country", Source::Text(|event| event.country.as_deref())),
    maybe("region", Source::Text(|event| event.region.as_deref())),
    maybe("city", Source::Text(|event| event.city.as_deref())),
    maybe("language", Source::Text(|event| event.language.as_deref())),
    maybe("screen", Source::Text(|event| event.screen.as_deref())),
    maybe("viewport", Source::Text(|event| event.viewport.as_deref())),
    maybe("object", Source::Text(|event| event.object.as_deref())),
    maybe("revenue", Source::MoneyE4(|event| event.revenue_e4)),
    maybe("currency", Source::Text(|event| event.currency.as_deref())),
    maybe("properties", Source::Text(|event| event.properties.as_deref())),
    always("is_bot", Source::Flag(|event| event.is_bot)),
    always("protocol", Source::Text(|event| Some(event.protocol))),
    maybe("sdk", Source::Text(|event| event.sdk.as_deref())),
];

/// What only raw files have, behind the columns of `events`: publishing needs it and nobody else.
const RAW_ONLY_COLUMNS: &[Column] = &[
    maybe("corrected_by", Source::Integer(|event| event.corrected_by_us)),
    maybe("id_assigned", Source::Flag(|event| event.id_assigned)),
];

fn raw_columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().chain(RAW_ONLY_COLUMNS)
}

const fn always(name: &'static str, source: Source) -> Column {
    Column { name, required: true, source }
}

const fn maybe(name: &'static str, source: Source) -> Column {
    Column { name, required: false, source }
}

/// Revenue is `decimal(18, 4)`.
const MONEY: DataType = DataType::Decimal128(18, 4);

/// The Arrow schema of an event's own columns. The published table adds the partition column `date` behind
/// them; raw files have `corrected_by` there, see [`Event::corrected_by_us`].
pub fn event_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema_of(COLUMNS.iter()));
    SCHEMA.clone()
}

pub(crate) fn raw_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema_of(raw_columns()));
    SCHEMA.clone()
}

fn schema_of(columns: impl Iterator<Item = &'static Column>) -> SchemaRef {
    let fields: Vec<Field> = columns
        .map(|column| {
            let data_type = match column.source {
                Source::Id => DataType::Binary,
                Source::Text(_) => DataType::Utf8,
                Source::TimeUs(_) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                Source::Integer(_) => DataType::Int64,
                Source::MoneyE4(_) => MONEY,
                Source::Flag(_) => DataType::Boolean,
            };
            Field::new(column.name, data_type, !column.required)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

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
                Source::Text(_) => Builder::Text(StringBuilder::new()),
                Source::TimeUs(_) => Builder::TimeUs(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
                Source::Integer(_) => Builder::Integer(Int64Builder::new()),
                Source::MoneyE4(_) => Builder::MoneyE4(Decimal128Builder::new().with_data_type(MONEY)),
                Source::Flag(_) => Builder::Flag(BooleanBuilder::new()),
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
                (Source::Text(text), Builder::Text(texts)) => {
                    let text = text(event);
                    texts.append_option(text);
                    text.map_or(1, str::len)
                }
                (Source::TimeUs(time), Builder::TimeUs(times)) => {
                    times.append_value(time(event));
                    8
                }
                (Source::Integer(integer), Builder::Integer(integers)) => {
                    integers.append_option(integer(event));
                    8
                }
                (Source::MoneyE4(money), Builder::MoneyE4(moneys)) => {
                    moneys.append_option(money(event));
                    16
                }
                (Source::Flag(flag), Builder::Flag(flags)) => {
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
        let text = || Some("x".to_owned());
        let full = Event {
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
            protocol: "native",
            sdk: text(),
        };
        let mut batch = RawBatch::default();
        batch.push(&full);
        let file = batch.encode();
        let read: Vec<RecordBatch> = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10)
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(read[0].schema(), raw_schema());
        assert!(read[0].columns().iter().all(|column| column.null_count() == 0));
    }
}
