//! Events of an import: rows that `dewpond query` or another engine exported from the table `events`, and events of other
//! systems in the fields of the native protocol.
//!
//! | The row | What becomes of its columns |
//! |---|---|
//! | exported: it has `occurred_at` | each column is stored as it is, null too; nothing is derived anew |
//! | any other | as a sender's, and columns that come from the user agent or the referrer are stored if they have a value |
//!
//! An exported row with every column that is never null is a whole row: columns it lacks were null, because JSON leaves
//! them out. Of a part of the columns the others are derived, as for any sender.
//!
//! Only an import reads this. Over HTTP a sender would choose for itself whether it is a robot.

use std::borrow::Cow;

use lake::{Column, Event, EventId, PROTOCOLS, Source, event_column, event_columns};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::body::field::{self, Given, Kind};
use super::native;
use crate::context::Context;
use crate::event_time::{self, Window};

/// Columns that the lake itself sets. In rows that were not exported their names are the sender's own.
const OF_THE_LAKE: [&str; 11] = [
    "site_id",
    "occurred_at",
    "received_at",
    "visitor_id",
    "hostname",
    "path",
    "query",
    "referrer_host",
    "protocol",
    "corrected_by",
    "id_assigned",
];

/// Columns of the table that say nothing new: the partition, and what only raw files have.
const NOT_STORED: [&str; 2] = ["date", "id_assigned"];

/// What a row of an import is.
#[derive(Clone, Debug, PartialEq)]
pub enum Imported {
    /// An event of the site.
    Event(Box<Event>),
    /// An exported event that names another site.
    OfOtherSite,
}

/// Parses one event of an import.
///
/// - `json`: one JSON object. `properties` may be JSON in a string.
/// - `missing_id`: makes the id of an event without one. An importer that derives it from the event's place in its
///   source can be run again without storing anything twice.
///
/// Fails with a reason that names the field.
pub fn parse(json: &str, context: &Context, missing_id: impl FnOnce() -> EventId) -> Result<Imported, String> {
    let mut mended = String::new();
    read(native::split(json, &mut mended)?, context, missing_id)
}

/// The same of a row whose fields are known.
pub(crate) fn read(
    fields: Vec<(Cow<'_, str>, Given<'_>)>,
    context: &Context,
    missing_id: impl FnOnce() -> EventId,
) -> Result<Imported, String> {
    // Some of it may come to stand in the text of `properties`.
    let mut fields: Vec<(Cow<'_, str>, Given<'_>)> = fields;
    let value = |name: &str| fields.iter().rev().find(|(found, _)| found == name).map(|(_, value)| *value);
    let has = |name: &str| value(name).is_some_and(|value| Kind::of(value) != Kind::Null);
    let text =
        |name| Ok::<_, String>(value(name).map(|value| field::id(name, value, usize::MAX)).transpose()?.flatten());
    let is_exported = has("occurred_at");
    if is_exported && text("site_id")?.is_some_and(|site| *site != *context.site_id) {
        return Ok(Imported::OfOtherSite);
    }
    let is_whole = is_exported && event_columns().iter().all(|column| !column.required || has(column.name));
    let keeps_visitor = has("site_id") || !(has("user_id") || has("anonymous_id"));

    let properties = match value("properties").filter(|value| Kind::of(*value) == Kind::Text) {
        Some(_) => text("properties")?.map(Cow::into_owned),
        None => None,
    };
    // Anything else than JSON in this string is refused as the string that it is.
    let unquoted: Option<&RawValue> = properties.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let columns: Vec<(&Column, Given<'_>)> = fields
        .iter()
        .filter(|(name, _)| is_exported || !OF_THE_LAKE.contains(&&**name))
        .filter_map(|(name, value)| Some((event_column(name)?, *value)))
        .collect();
    if let Some(unquoted) = unquoted {
        fields
            .iter_mut()
            .filter(|(name, _)| name == "properties")
            .for_each(|(_, value)| *value = Given::Json(unquoted));
    }
    let (mut derived, mut has_others) = (Vec::new(), false);
    let is_column = &mut |name: &str| {
        let column = columns.iter().map(|(column, _)| column.name).find(|column| *column == name);
        derived.extend(column);
        let is_known = column.is_some() || (is_exported && NOT_STORED.contains(&name));
        has_others |= !is_known;
        is_known
    };
    let mut event = native::read_fields(fields, None, context, native::PROTOCOL, is_column, missing_id)?;

    if is_whole {
        for column in event_columns().iter().filter(|column| !column.required && column.name != "properties") {
            clear(&mut event, column);
        }
    }
    for (column, value) in columns {
        let is_stored = match column.name {
            "site_id" | "id_assigned" => false,
            // With fields of the sender's own beside it, the two were merged.
            "properties" => is_exported && !has_others && Kind::of(value) == Kind::Text,
            "visitor_id" => keeps_visitor,
            name => is_exported || derived.contains(&name),
        };
        if is_stored && (is_exported || Kind::of(value) != Kind::Null) {
            store(&mut event, column, value)?;
        }
    }
    event.occurred_at_us = in_history(event.occurred_at_us, context)?;
    // An import can be repeated.
    event.id_assigned = false;
    Ok(Imported::Event(Box::new(event)))
}

/// Sets a column to what a row has in it. A column that is never null keeps what it has if the row has null.
fn store(event: &mut Event, column: &Column, value: Given<'_>) -> Result<(), String> {
    let name = column.name;
    let text = || Ok::<_, String>(field::id(name, value, usize::MAX)?.map(Cow::into_owned));
    match column.source {
        Source::Id => {
            if let Some(id) = text()? {
                event.event_id = exported_id(&id);
            }
        }
        Source::Text(_, set) => {
            let text = text()?;
            if name == "protocol" && !text.as_deref().is_none_or(|protocol| PROTOCOLS.contains(&protocol)) {
                return Err(format!("`protocol` must be one of {}; or leave the column out", PROTOCOLS.join(", ")));
            }
            if text.is_some() || !column.required {
                set(event, text);
            }
        }
        Source::TimeUs(_, set) => {
            if let Some(at_us) = field::time_us(name, value, Window::History)? {
                set(event, at_us);
            }
        }
        Source::Integer(_, set) => set(event, text()?.map(|text| integer(name, &text)).transpose()?),
        Source::MoneyE4(_, set) => set(event, field::money_e4(name, value)?),
        Source::Flag(_, set) => {
            if let Some(flag) = flag(name, value)? {
                set(event, flag);
            }
        }
    }
    Ok(())
}

fn clear(event: &mut Event, column: &Column) {
    match column.source {
        Source::Text(_, set) => set(event, None),
        Source::Integer(_, set) => set(event, None),
        Source::MoneyE4(_, set) => set(event, None),
        Source::Id | Source::TimeUs(..) | Source::Flag(..) => {}
    }
}

/// The id that an export writes as a UUID, or earlier releases and other engines as 32 hexadecimal digits.
fn exported_id(text: &str) -> EventId {
    match Uuid::try_parse(text) {
        Ok(id) if text.len() == 32 => EventId(id.into_bytes()),
        _ => EventId::from_client(text),
    }
}

fn in_history(at_us: i64, context: &Context) -> Result<i64, String> {
    event_time::occurred_at_us(Some(at_us), None, context.received_at_us, context.window)
}

fn integer(name: &str, text: &str) -> Result<i64, String> {
    text.trim().parse().map_err(|_| format!("`{name}` must be a whole number of 64 bits"))
}

/// True or false, as JSON, or as CSV files and databases write it.
fn flag(name: &str, value: Given<'_>) -> Result<Option<bool>, String> {
    if let Given::Json(json) = value
        && Kind::of(value) == Kind::Flag
    {
        return Ok(Some(json.get() == "true"));
    }
    let Ok(text) = field::id(name, value, usize::MAX) else { return Err(format!("`{name}` must be true or false")) };
    match text.map(|text| text.to_ascii_lowercase()).as_deref() {
        None => Ok(None),
        Some("true" | "t" | "yes" | "1") => Ok(Some(true)),
        Some("false" | "f" | "no" | "0") => Ok(Some(false)),
        Some(_) => Err(format!("`{name}` must be true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::ids::Ids;

    const NOON_US: i64 = 1_772_366_400_000_000;
    const WHOLE: &str = r#""event_id":"4be2b2dd-4a59-4b91-b39d-2db84cdf31c5","site_id":"shop","name":"a",
        "occurred_at":"2024-01-01T00:00:00Z","received_at":"2024-01-01T00:00:07Z","is_bot":true,"protocol":"segment""#;

    #[test]
    fn old_events_are_read_and_those_without_an_id_are_named() {
        let event = event(r#"{"name":"a","timestamp":"2022-12-22 13:25:47.677000+00:00"}"#);
        assert_eq!((event.occurred_at_us, event.event_id), (1_671_715_547_677_000, EventId([7; 16])));
        check(r#"{"name":"a","timestamp":"2150-01-01T00:00:00Z"}"#, Err("the event's time is not within"));
        check(r#"{"name":"a","occurred_at":"2150-01-01T00:00:00Z"}"#, Err("the event's time is not within"));
    }

    #[test]
    fn the_time_of_sending_does_not_matter() {
        let event = event(r#"{"name":"a","timestamp":"2022-12-22T13:25:47Z","sent_at":"2022-12-22T13:26:00Z"}"#);
        assert_eq!((event.occurred_at_us, event.corrected_by_us), (1_671_715_547_000_000, None));
    }

    #[test]
    fn a_whole_row_is_stored_as_it_is_and_nothing_is_derived() {
        let json = format!(r#"{{{WHOLE},"url":"https://shop.example/a?utm_source=x","visitor_id":-7,"country":null}}"#);
        let expected = Event {
            event_id: EventId::from_client("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5"),
            site_id: "shop".into(),
            name: "a".into(),
            occurred_at_us: 1_704_067_200_000_000,
            received_at_us: 1_704_067_207_000_000,
            url: Some("https://shop.example/a?utm_source=x".into()),
            visitor_id: Some(-7),
            is_bot: true,
            protocol: "segment",
            ..Event::default()
        };
        assert_eq!(event(&json), expected);
    }

    #[test]
    fn what_a_part_of_the_columns_lacks_is_derived() {
        // SELECT name, occurred_at, url, path, is_bot FROM events
        check(
            r#"{"name":"a","occurred_at":"2024-01-01T00:00:00Z","url":"https://shop.example/a","path":"/b","is_bot":true}"#,
            Ok("hostname=shop.example path=/b channel=Direct is_bot=true protocol=native"),
        );
    }

    #[test]
    fn columns_are_believed_in_the_forms_that_exports_have() {
        for (columns, expected) in [
            // CSV of ours: every cell is text.
            (r#""is_bot":"true","visitor_id":"-9035983868392851003""#, "is_bot=true visitor_id=-9035983868392851003"),
            // CSV of PostgreSQL; SQLite and MySQL.
            (r#""is_bot":"t""#, "is_bot=true"),
            (r#""is_bot":1"#, "is_bot=true"),
            (r#""is_bot":"0""#, "is_bot=false"),
            // pandas: to_csv of a boolean column.
            (r#""is_bot":"False""#, "is_bot=false"),
            // BigQuery: to JSON, with 64-bit integers as text.
            (r#""visitor_id":"9007199254740993""#, "visitor_id=9007199254740993"),
            // The table's decimals, as Arrow writes them.
            (r#""revenue":-99999999999999.9999"#, "revenue=-999999999999999999"),
            (r#""revenue":"19.9900""#, "revenue=199900"),
            // A column of another release's raw files.
            (r#""corrected_by":5,"id_assigned":true,"date":"2024-01-01""#, "corrected_by=5"),
        ] {
            let event = event(&format!("{{{WHOLE},{columns}}}"));
            for part in expected.split(' ') {
                let (name, value) = part.split_once('=').unwrap();
                assert_eq!(shown(&event, event_column(name).unwrap()), value, "{columns}");
            }
            assert_eq!((event.properties, event.id_assigned), (None, false), "{columns}");
        }
        check(&format!(r#"{{{WHOLE},"visitor_id":1.5}}"#), Err("`visitor_id` must be a whole number"));
        check(&format!(r#"{{{WHOLE},"is_bot":"maybe"}}"#), Err("`is_bot` must be true or false"));
        check(&format!(r#"{{{WHOLE},"protocol":"smtp"}}"#), Err("`protocol` must be one of native, pixel"));
    }

    #[test]
    fn an_exported_id_stays_the_id_it_was() {
        for id in ["4be2b2dd4a594b91b39d2db84cdf31c5", "4be2b2dd-4a59-4b91-b39d-2db84cdf31c5"] {
            let row = format!(r#"{{"event_id":"{id}","name":"a","occurred_at":"2024-01-01T00:00:00Z"}}"#);
            assert_eq!(event(&row).event_id, EventId::from_client("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5"));
        }
    }

    #[test]
    fn an_exported_event_of_another_site_is_left_out() {
        let row = r#"{"site_id":"blog","name":"a","occurred_at":"2024-01-01T00:00:00Z"}"#;
        assert_eq!(parse(row, &context(), || EventId([7; 16])), Ok(Imported::OfOtherSite));
    }

    #[test]
    fn a_visitor_of_another_site_is_another_visitor_unless_nothing_else_names_it() {
        let visitor = |ids: &str| {
            event(&format!(r#"{{"name":"a","occurred_at":"2024-01-01T00:00:00Z","visitor_id":5{ids}}}"#)).visitor_id
        };
        assert_eq!(visitor(r#","user_id":"ada""#), Some(lake::visitor_id("shop", "ada")));
        assert_eq!(visitor(""), Some(5));
        assert_eq!(visitor(r#","user_id":"ada","site_id":"shop""#), Some(5));
    }

    #[test]
    fn properties_may_be_json_in_a_string_and_an_export_keeps_it_letter_by_letter() {
        let properties = |json: &str| event(json).properties.unwrap_or_default();
        assert_eq!(
            properties(r#"{"name":"a","properties":"{\"b\":1, \"a\":12345678901234567890123}"}"#),
            r#"{"a":12345678901234567890123,"b":1}"#
        );
        assert_eq!(properties(&format!(r#"{{{WHOLE},"properties":"{{\"b\": 1.0}}"}}"#)), r#"{"b": 1.0}"#);
        assert_eq!(properties(&format!(r#"{{{WHOLE},"properties":"{{\"b\":1}}","mine":2}}"#)), r#"{"b":1,"mine":2}"#);
        check(r#"{"name":"a","properties":"no"}"#, Err("`properties` must be an object, not a string"));
    }

    #[test]
    fn events_of_other_systems_may_say_what_is_derived_from_agents_but_not_what_the_lake_sets() {
        check(
            r#"{"name":"a","browser":"Chrome","channel":"Email","is_bot":true,"os":null,"visitor_id":"v","path":"/mine"}"#,
            Ok(
                r#"channel=Email browser=Chrome properties={"path":"/mine","visitor_id":"v"} is_bot=true protocol=native"#,
            ),
        );
        check(
            r#"{"name":"a","corrected_by":"ann","id_assigned":7}"#,
            Ok(r#"properties={"corrected_by":"ann","id_assigned":7} is_bot=false protocol=native"#),
        );
    }

    /// A sender who could set these would choose whether it is counted. A column added later is covered too.
    #[test]
    fn a_sender_over_http_sets_no_column_that_is_derived() {
        const SENT: &str = "event_id name user_id anonymous_id session_id url title referrer utm_source utm_medium \
                            utm_campaign utm_term utm_content country region city language screen viewport object revenue \
                            currency properties sdk";
        let context = Context { window: Window::Live, ..context() };
        let read = |json: &str| native::parse(json.as_bytes(), &context, 10).unwrap().events.remove(0);
        let honest = Event { event_id: EventId::default(), ..read(r#"{"name":"a"}"#) };
        for column in event_columns().iter().filter(|column| !SENT.split(' ').any(|sent| sent == column.name)) {
            let forged = read(&format!(r#"{{"name":"a","{}":1}}"#, column.name));
            let properties = format!(r#"{{"{}":1}}"#, column.name);
            let expected = Event { properties: Some(properties), ..honest.clone() };
            assert_eq!(Event { event_id: EventId::default(), ..forged }, expected);
        }
    }

    #[test]
    fn every_protocol_can_be_imported() {
        use super::super::{
            Protocol, amplitude, ga4, jitsu, mixpanel, otlp, pixel, plausible, posthog, segment, snowplow, umami,
            visits,
        };
        let protocols: [&dyn Protocol; PROTOCOLS.len()] = [
            &native::Native,
            &pixel::Pixel,
            &visits::Visits,
            &segment::Segment,
            &posthog::PostHog,
            &plausible::Plausible,
            &umami::Umami,
            &ga4::Ga4,
            &snowplow::Snowplow,
            &amplitude::Amplitude,
            &mixpanel::MIXPANEL,
            &jitsu::Jitsu,
            &otlp::OTLP_JSON,
        ];
        assert_eq!(protocols.map(Protocol::name), PROTOCOLS);
    }

    fn context() -> Context {
        Context {
            site_id: "shop".into(),
            received_at_us: NOON_US,
            window: Window::History,
            client: Client::default(),
            ids: Ids::seeded(1),
        }
    }

    #[track_caller]
    fn event(json: &str) -> Event {
        match parse(json, &context(), || EventId([7; 16])) {
            Ok(Imported::Event(event)) => *event,
            other => panic!("{json}: {other:?}"),
        }
    }

    /// Compares the columns behind `title` that have a value, as `name=value …`, or the beginning of the refusal.
    #[track_caller]
    fn check(json: &str, expected: Result<&str, &str>) {
        match (parse(json, &context(), || EventId([7; 16])), expected) {
            (Ok(Imported::Event(event)), Ok(expected)) => {
                const FIRST: [&str; 6] = ["event_id", "site_id", "name", "occurred_at", "received_at", "url"];
                let columns = event_columns().iter().filter(|column| !FIRST.contains(&column.name));
                let shown: Vec<String> = columns
                    .map(|column| (column.name, shown(&event, column)))
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                assert_eq!(shown.join(" "), expected);
            }
            (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{reason}"),
            (found, _) => panic!("{json}: {found:?}"),
        }
    }

    fn shown(event: &Event, column: &Column) -> String {
        match column.source {
            Source::Id => format!("{:?}", event.event_id),
            Source::Text(get, _) => get(event).unwrap_or_default().to_owned(),
            Source::TimeUs(get, _) => get(event).to_string(),
            Source::Integer(get, _) => get(event).map_or(String::new(), |value| value.to_string()),
            Source::MoneyE4(get, _) => get(event).map_or(String::new(), |value| value.to_string()),
            Source::Flag(get, _) => get(event).to_string(),
        }
    }
}
