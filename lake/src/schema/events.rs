//! The columns of an event, in one list. The schema of the table `events`, that of raw files and an event's size in
//! memory all follow from it.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::event::Event;

/// One column of `events`.
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether every event has a value.
    pub required: bool,
    /// Where an event has the value.
    pub source: Source,
}

/// Where an event has the value of a column: how to read it, and how to set it to what was read from a table.
pub enum Source {
    /// The event's id.
    Id,
    /// A text.
    Text(for<'a> fn(&'a Event) -> Option<&'a str>, fn(&mut Event, Option<String>)),
    /// Microseconds since the Unix epoch.
    TimeUs(fn(&Event) -> i64, fn(&mut Event, i64)),
    /// A number.
    Integer(fn(&Event) -> Option<i64>, fn(&mut Event, Option<i64>)),
    /// Money, in ten-thousandths.
    MoneyE4(fn(&Event) -> Option<i128>, fn(&mut Event, Option<i128>)),
    /// True or false.
    Flag(fn(&Event) -> bool, fn(&mut Event, bool)),
}

/// A text of an event that may be missing.
macro_rules! text {
    ($field:ident) => {
        Source::Text(|event| event.$field.as_deref(), |event, text| event.$field = text)
    };
}

/// Any other field of an event.
macro_rules! field {
    ($kind:ident, $field:ident) => {
        Source::$kind(|event| event.$field, |event, value| event.$field = value)
    };
}

/// The columns of `events` in order. Only ever append, and only columns that may be null: files of
/// earlier releases must keep reading.
pub(crate) const COLUMNS: &[Column] = &[
    always("event_id", Source::Id),
    always(
        "site_id",
        Source::Text(|event| Some(&event.site_id), |event, text| event.site_id = text.unwrap_or_default().into()),
    ),
    always("name", Source::Text(|event| Some(&event.name), |event, text| event.name = text.unwrap_or_default())),
    always("occurred_at", field!(TimeUs, occurred_at_us)),
    always("received_at", field!(TimeUs, received_at_us)),
    maybe("visitor_id", field!(Integer, visitor_id)),
    maybe("user_id", text!(user_id)),
    maybe("anonymous_id", text!(anonymous_id)),
    maybe("session_id", text!(session_id)),
    maybe("url", text!(url)),
    maybe("hostname", text!(hostname)),
    maybe("path", text!(path)),
    maybe("query", text!(query)),
    maybe("title", text!(title)),
    maybe("referrer", text!(referrer)),
    maybe("referrer_host", text!(referrer_host)),
    maybe("channel", text!(channel)),
    maybe("utm_source", text!(utm_source)),
    maybe("utm_medium", text!(utm_medium)),
    maybe("utm_campaign", text!(utm_campaign)),
    maybe("utm_term", text!(utm_term)),
    maybe("utm_content", text!(utm_content)),
    maybe("browser", text!(browser)),
    maybe("browser_version", text!(browser_version)),
    maybe("os", text!(os)),
    maybe("os_version", text!(os_version)),
    maybe("device", text!(device)),
    maybe("country", text!(country)),
    maybe("region", text!(region)),
    maybe("city", text!(city)),
    maybe("language", text!(language)),
    maybe("screen", text!(screen)),
    maybe("viewport", text!(viewport)),
    maybe("object", text!(object)),
    maybe("revenue", field!(MoneyE4, revenue_e4)),
    maybe("currency", text!(currency)),
    maybe("properties", text!(properties)),
    always("is_bot", field!(Flag, is_bot)),
    always(
        "protocol",
        Source::Text(|event| Some(event.protocol), |event, text| event.protocol = known_protocol(text.as_deref())),
    ),
    maybe("sdk", text!(sdk)),
    maybe("bot_kind", text!(bot_kind)),
    maybe("browser_app", text!(browser_app)),
];

/// Columns that only raw files have, behind those of `events`. Only publishing needs them.
const RAW_ONLY_COLUMNS: &[Column] =
    &[maybe("corrected_by", field!(Integer, corrected_by_us)), maybe("id_assigned", field!(Flag, id_assigned))];

pub(crate) fn raw_columns() -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().chain(RAW_ONLY_COLUMNS)
}

/// The column of raw files with this name, also if `events` does not have it.
pub fn event_column(name: &str) -> Option<&'static Column> {
    raw_columns().find(|column| column.name == name)
}

/// The columns of `events`, in order.
pub fn event_columns() -> &'static [Column] {
    COLUMNS
}

/// The protocols by which events come.
pub const PROTOCOLS: [&str; 13] = [
    "native",
    "pixel",
    "visits",
    "segment",
    "posthog",
    "plausible",
    "umami",
    "ga4",
    "snowplow",
    "amplitude",
    "mixpanel",
    "jitsu",
    "otlp",
];

/// A protocol's name, whose text all its events share.
fn known_protocol(name: Option<&str>) -> &'static str {
    PROTOCOLS.into_iter().find(|known| Some(*known) == name).unwrap_or_default()
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
                Source::Text(..) => DataType::Utf8,
                Source::TimeUs(..) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                Source::Integer(..) => DataType::Int64,
                Source::MoneyE4(..) => MONEY,
                Source::Flag(..) => DataType::Boolean,
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
                Source::Text(text, _) => text(self).map_or(0, str::len),
                _ => 0,
            })
            .sum();
        // All events of a site or a protocol share these two texts.
        size_of::<Self>() + texts - self.site_id.len() - self.protocol.len()
    }
}
