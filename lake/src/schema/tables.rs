//! The tables of a lake: their names, columns and sort order.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::schema::events::event_schema;

/// What a table of the lake is, before anything is in it.
///
/// Every table is partitioned by `date`, its last column, which lies in the path and not in the files.
pub struct TableSpec {
    /// Name in SQL, and directory under the lake root.
    pub name: &'static str,
    /// The columns in the files, `date` not among them.
    pub file_schema: SchemaRef,
    /// The columns files are sorted by, ascending, nulls first.
    pub sort: &'static [&'static str],
    /// The columns whose minimum and maximum go to the Delta log.
    pub bounded: &'static [&'static str],
    /// The column with a bloom filter, if any.
    pub bloom: Option<&'static str>,
    /// Whether vacuum deletes old entries of its log, so that a table with a commit a minute stays small.
    pub log_is_cleaned: bool,
}

impl TableSpec {
    /// The table's schema as SQL and other engines see it: the file's columns, then `date`.
    pub fn schema(&self) -> SchemaRef {
        let mut fields: Vec<Arc<Field>> = self.file_schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("date", DataType::Date32, true)));
        Arc::new(Schema::new(fields))
    }
}

/// Every event once. One visitor's events lie together, which compresses best and lets sessions stream.
pub static EVENTS: LazyLock<TableSpec> = LazyLock::new(|| TableSpec {
    name: "events",
    file_schema: event_schema(),
    sort: &["site_id", "visitor_id", "occurred_at"],
    bounded: &["site_id", "visitor_id", "occurred_at", "received_at"],
    bloom: Some("event_id"),
    // It has what was acknowledged, and every version of it can be asked for.
    log_is_cleaned: false,
});

/// The history of reports: one row per run, site and metric.
pub static REPORTS: LazyLock<TableSpec> = LazyLock::new(|| {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    TableSpec {
        name: "reports",
        file_schema: Arc::new(Schema::new(vec![
            Field::new("generated_at", time(), false),
            Field::new("complete_until", time(), false),
            Field::new("lake_version", DataType::Int64, false),
            Field::new("site_id", DataType::Utf8, true),
            Field::new("metric", DataType::Utf8, false),
            Field::new("title", DataType::Utf8, true),
            Field::new("columns", DataType::Utf8, true),
            Field::new("rows", DataType::Utf8, true),
            Field::new("value", DataType::Float64, true),
            Field::new("error", DataType::Utf8, true),
            Field::new("duration_ms", DataType::Int64, false),
            Field::new("details", DataType::Utf8, true),
        ])),
        sort: &["site_id", "metric", "generated_at"],
        bounded: &["site_id", "metric", "generated_at"],
        bloom: None,
        log_is_cleaned: true,
    }
});

/// Sessions of days of long ago, for other engines: the rows of the table of that name in SQL, which has all days and is made
/// of the events themselves.
pub static SESSIONS: LazyLock<TableSpec> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    let flag = |name: &str| Field::new(name, DataType::Boolean, false);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false);
    TableSpec {
        name: "sessions",
        file_schema: Arc::new(Schema::new(vec![
            Field::new("site_id", DataType::Utf8, false),
            number("visitor_id"),
            text("session_id"),
            text("user_id"),
            time("started_at"),
            time("ended_at"),
            number("duration_s"),
            number("events"),
            number("page_views"),
            number("engaged_s"),
            flag("is_bounce"),
            text("entry_hostname"),
            text("entry_page"),
            text("exit_hostname"),
            text("exit_page"),
            text("referrer_host"),
            text("channel"),
            text("utm_source"),
            text("utm_medium"),
            text("utm_campaign"),
            text("browser"),
            text("os"),
            text("device"),
            text("country"),
            text("language"),
            Field::new("revenue", DataType::Decimal128(38, 4), true),
            text("currency"),
            flag("is_client_session"),
            flag("is_cut"),
        ])),
        sort: &["site_id", "visitor_id", "started_at"],
        bounded: &["site_id", "visitor_id", "started_at"],
        bloom: None,
        // It has a commit a day.
        log_is_cleaned: false,
    }
});

/// Numbers of days that other products counted, one row for each value of what they were counted by. They are no events,
/// and no event is made of them.
///
/// A file has a month, whose first day is its `date`: ten years would be thousands of files otherwise.
pub static IMPORTED_DAYS: LazyLock<TableSpec> = LazyLock::new(|| {
    let own = [
        Field::new("site_id", DataType::Utf8, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("day", DataType::Date32, false),
    ];
    let dimensions = DAY_DIMENSIONS.map(|name| Field::new(name, DataType::Utf8, true));
    let numbers = DAY_NUMBERS.map(|name| Field::new(name, DataType::Int64, true));
    TableSpec {
        name: "imported_days",
        file_schema: Arc::new(Schema::new(own.into_iter().chain(dimensions).chain(numbers).collect::<Vec<_>>())),
        sort: &["site_id", "kind", "day"],
        bounded: &["site_id", "source", "kind"],
        bloom: None,
        log_is_cleaned: false,
    }
});

/// What rows of `imported_days` are counted by: named as the columns of `events` and `sessions` that say the same.
pub const DAY_DIMENSIONS: [&str; 24] = [
    "hostname",
    "path",
    "entry_page",
    "exit_page",
    "name",
    "link_url",
    "property",
    "value",
    "referrer_source",
    "referrer_host",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "country",
    "region",
    "device",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "language",
];

/// The numbers of `imported_days`. Which of them a row has depends on its source and kind.
pub const DAY_NUMBERS: [&str; 13] = [
    "visitors",
    "visits",
    "page_views",
    "events",
    "bounces",
    "visit_duration_s",
    "exits",
    "time_on_page_s",
    "time_on_page_visits",
    "scroll_depth",
    "scroll_depth_visits",
    "city_geoname_id",
    "screen_width",
];

/// All tables of a lake.
pub static TABLES: LazyLock<[&'static TableSpec; 4]> = LazyLock::new(|| [&EVENTS, &REPORTS, &SESSIONS, &IMPORTED_DAYS]);
