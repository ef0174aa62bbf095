//! The columns of an event, in one list. The schema of the table `events`, that of raw files and an event's size in
//! memory all follow from it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::event::Event;

/// One column of `events`: its name, whether it is always there, and where an event has it.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) source: Source,
}

pub(crate) enum Source {
    Id,
    Text(for<'a> fn(&'a Event) -> Option<&'a str>),
    TimeUs(fn(&Event) -> i64),
    Integer(fn(&Event) -> Option<i64>),
    MoneyE4(fn(&Event) -> Option<i128>),
    Flag(fn(&Event) -> bool),
}

/// The columns of `events` in order. Only ever append, and only columns that may be null: files of
/// earlier releases must keep reading.
pub(crate) const COLUMNS: &[Column] = &[
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

/// Columns that only raw files have, behind those of `events`. Only publishing needs them.
const RAW_ONLY_COLUMNS: &[Column] = &[
    maybe("corrected_by", Source::Integer(|event| event.corrected_by_us)),
    maybe("id_assigned", Source::Flag(|event| event.id_assigned)),
];

pub(crate) fn raw_columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().chain(RAW_ONLY_COLUMNS)
}

const fn always(name: &'static str, source: Source) -> Column {
    Column { name, required: true, source }
}

const fn maybe(name: &'static str, source: Source) -> Column {
    Column { name, required: false, source }
}

/// Revenue is `decimal(18, 4)`.
pub(crate) const MONEY: DataType = DataType::Decimal128(18, 4);

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

impl Event {
    /// About how much memory the event takes while it waits to be written, in bytes: its texts plus the size of the struct,
    /// which leaves room for columns that grow by doubling.
    pub fn memory_bytes(&self) -> usize {
        let texts: usize = raw_columns()
            .map(|column| match column.source {
                Source::Text(text) => text(self).map_or(0, str::len),
                _ => 0,
            })
            .sum();
        // All events of a site or a protocol share these two texts.
        size_of::<Self>() + texts - self.site_id.len() - self.protocol.len()
    }
}
