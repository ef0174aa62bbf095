//! An event as JSON: the row, and the call of Segment that says the same. Pure.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::json::{WriterBuilder, writer::LineDelimited};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

/// A row of `events` by column. Nulls are absent, `properties` is an object, and `event_id` a UUID.
pub type Event = Map<String, Json>;

/// The rows of a batch as events.
pub(crate) fn events_of(rows: &RecordBatch) -> anyhow::Result<Vec<Event>> {
    let mut writer = WriterBuilder::new().with_explicit_nulls(false).build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    let lines = String::from_utf8(writer.into_inner())?;
    lines.lines().map(|line| Ok(plain(serde_json::from_str(line)?))).collect()
}

fn plain(mut event: Event) -> Event {
    if let Some(Json::String(hex)) = event.get("event_id")
        && let Ok(id) = Uuid::try_parse(hex)
    {
        event.insert("event_id".into(), id.hyphenated().to_string().into());
    }
    if let Some(Json::String(text)) = event.get("properties")
        && let Ok(properties) = serde_json::from_str::<Json>(text)
    {
        event.insert("properties".into(), properties);
    }
    if let Some(Json::String(text)) = event.get("revenue")
        && let Ok(revenue) = text.parse::<f64>()
    {
        event.insert("revenue".into(), revenue.into());
    }
    event
}

/// Adds fields to a message: the place in it, and the column or property that it is.
pub(crate) fn add_fields(message: &mut Json, event: &Event, fields: &BTreeMap<String, String>) {
    for (place, source) in fields {
        if let Some(value) = value_of(event, source) {
            insert_at(message, place, value);
        }
    }
}

fn value_of(event: &Event, source: &str) -> Option<Json> {
    let mut parts = source.split('.');
    let first = event.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part)).cloned()
}

fn insert_at(message: &mut Json, place: &str, value: Json) {
    let Json::Object(fields) = message else { return };
    match place.split_once('.') {
        Some((first, rest)) => insert_at(fields.entry(first).or_insert_with(|| json!({})), rest, value),
        None => drop(fields.insert(place.to_owned(), value)),
    }
}

/// An event as a call of Segment's tracking API, which many systems read.
pub fn segment_call(event: &Event) -> Json {
    let text = |name: &str| event.get(name).and_then(Json::as_str);
    let name = text("name").unwrap_or_default();
    let mut properties = event.get("properties").and_then(Json::as_object).cloned().unwrap_or_default();
    let mut call = Map::new();
    let kind = match name {
        "page_view" => "page",
        "screen_view" => "screen",
        "identify" | "group" | "alias" => name,
        _ => "track",
    };
    call.insert("type".into(), kind.into());
    call.insert("messageId".into(), event.get("event_id").cloned().unwrap_or_default());
    call.insert("timestamp".into(), event.get("occurred_at").cloned().unwrap_or_default());
    let (user, anonymous) = (text("user_id"), text("anonymous_id"));
    call.extend(user.map(|id| ("userId".to_owned(), id.into())));
    let visitor = event.get("visitor_id").map(|id| format!("visitor {id}"));
    // A call names somebody. Nobody else has the id of an event.
    let anonymous = anonymous.map(str::to_owned).or_else(|| visitor.filter(|_| user.is_none()));
    let nobody = || text("event_id").filter(|_| user.is_none()).map(str::to_owned);
    if let Some(id) = anonymous.or_else(nobody) {
        call.insert(if kind == "alias" { "previousId" } else { "anonymousId" }.into(), id.into());
    }
    let page = [("url", "url"), ("referrer", "referrer"), ("title", "title"), ("path", "path")];
    let named = |names: &[(&str, &str)]| -> Map<String, Json> {
        let found = names.iter().filter_map(|(to, from)| Some(((*to).to_owned(), event.get(*from)?.clone())));
        found.collect()
    };
    match kind {
        "track" => {
            call.insert("event".into(), name.into());
            for (to, value) in named(&[("revenue", "revenue"), ("currency", "currency"), ("object", "object")]) {
                properties.entry(to).or_insert(value);
            }
        }
        "page" => {
            for (to, value) in named(&page) {
                properties.entry(to).or_insert(value);
            }
        }
        "screen" => call.extend(named(&[("name", "title")])),
        "group" => call.extend(properties.remove("group_id").map(|id| ("groupId".to_owned(), id))),
        _ => {}
    }
    let what = if matches!(kind, "identify" | "group") { "traits" } else { "properties" };
    call.insert(what.into(), properties.into());
    let mut context = Map::new();
    let campaign = [
        ("source", "utm_source"),
        ("medium", "utm_medium"),
        ("name", "utm_campaign"),
        ("term", "utm_term"),
        ("content", "utm_content"),
    ];
    let location = [("country", "country"), ("region", "region"), ("city", "city")];
    let parts: [(&str, &[(&str, &str)]); 6] = [
        ("page", &page),
        ("campaign", &campaign),
        ("location", &location),
        ("os", &[("name", "os"), ("version", "os_version")]),
        ("browser", &[("name", "browser"), ("version", "browser_version")]),
        ("device", &[("type", "device")]),
    ];
    for (part, names) in parts {
        let found = named(names);
        if !found.is_empty() {
            context.insert(part.into(), found.into());
        }
    }
    context.extend(named(&[("locale", "language"), ("sessionId", "session_id"), ("channel", "channel")]));
    call.insert("context".into(), context.into());
    Json::Object(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_event_is_the_call_that_means_it() {
        check(
            r#"{"event_id":"e","name":"page_view","occurred_at":"2026-03-01T12:00:00Z","anonymous_id":"a","url":"https://shop.example/","title":"Shop","country":"DE","session_id":"s"}"#,
            r#"{"anonymousId":"a","context":{"location":{"country":"DE"},"page":{"title":"Shop","url":"https://shop.example/"},"sessionId":"s"},"messageId":"e","properties":{"title":"Shop","url":"https://shop.example/"},"timestamp":"2026-03-01T12:00:00Z","type":"page"}"#,
        );
        check(
            r#"{"event_id":"e","name":"bought","occurred_at":"t","user_id":"u","revenue":19.9,"currency":"EUR","properties":{"n":1}}"#,
            r#"{"context":{},"event":"bought","messageId":"e","properties":{"currency":"EUR","n":1,"revenue":19.9},"timestamp":"t","type":"track","userId":"u"}"#,
        );
        check(
            r#"{"event_id":"e","name":"identify","occurred_at":"t","user_id":"u","anonymous_id":"a","properties":{"plan":"pro"}}"#,
            r#"{"anonymousId":"a","context":{},"messageId":"e","timestamp":"t","traits":{"plan":"pro"},"type":"identify","userId":"u"}"#,
        );
        check(
            r#"{"event_id":"e","name":"alias","occurred_at":"t","user_id":"u","anonymous_id":"a"}"#,
            r#"{"context":{},"messageId":"e","previousId":"a","properties":{},"timestamp":"t","type":"alias","userId":"u"}"#,
        );
        check(
            r#"{"event_id":"e","name":"group","occurred_at":"t","user_id":"u","properties":{"group_id":"g","seats":3}}"#,
            r#"{"context":{},"groupId":"g","messageId":"e","timestamp":"t","traits":{"seats":3},"type":"group","userId":"u"}"#,
        );
    }

    #[test]
    fn a_call_always_names_somebody() {
        let anonymous = |event: &str| segment_call(&serde_json::from_str(event).unwrap())["anonymousId"].clone();
        assert_eq!(anonymous(r#"{"event_id":"e","name":"a","visitor_id":-7}"#), "visitor -7");
        assert_eq!(anonymous(r#"{"event_id":"e","name":"a"}"#), "e");
        assert_eq!(anonymous(r#"{"event_id":"e","name":"a","user_id":"u"}"#), Json::Null);
    }

    #[test]
    fn fields_are_added_where_the_event_has_them() {
        let event =
            serde_json::from_str(r#"{"name":"a","country":"DE","properties":{"plan":{"name":"pro"}}}"#).unwrap();
        let mut message = json!({"properties": {}});
        let fields = [("properties.plan", "properties.plan.name"), ("region", "country"), ("none", "city")];
        add_fields(&mut message, &event, &fields.map(|(to, from)| (to.to_owned(), from.to_owned())).into());
        assert_eq!(message, json!({"properties": {"plan": "pro"}, "region": "DE"}));
    }

    #[track_caller]
    fn check(event: &str, expected: &str) {
        let mut call = segment_call(&serde_json::from_str(event).unwrap());
        call.sort_all_objects();
        assert_eq!(call.to_string(), expected);
    }
}
