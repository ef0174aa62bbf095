//! PostHog's capture API: <https://posthog.com/docs/api/capture>.
//!
//! `$pageview` becomes `page_view`, `$screen` `screen_view`, `$identify` `identify`, `$create_alias` `alias`, `$groupidentify`
//! `group`, and `$pageleave`, which says how long a page was looked at, `page_ping`. Other names stay as they are, with
//! their dollar signs. Deduplicated by `uuid`.

use std::borrow::Cow;

use base64::Engine;
use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::amplitude::{self, Amplitude};
use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::items;
use super::body::object::{self, BASE64, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;
use crate::event_time::Window;

/// See the module.
pub struct PostHog;

impl Protocol for PostHog {
    fn name(&self) -> &'static str {
        "posthog"
    }

    fn spoken_in(&self, message: &Message) -> Option<&'static dyn Protocol> {
        let is_amplitudes = message.endpoint() == "batch" && amplitude::is_spoken_in(&message.body);
        is_amplitudes.then_some(&Amplitude)
    }

    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError> {
        let body = body_of(message)?;
        let raw = object::raw(&body)?;
        let key = match raw.get().starts_with('[') {
            true => items::read_array(&raw, events_max)?.first().and_then(|item| key_of(item)),
            false => key_of(&raw).or_else(|| {
                let (batch, _) = object::envelope(&raw, "batch", &[], events_max).ok()?;
                key_of(batch?.first()?)
            }),
        };
        Ok(key.map(Sender::Key))
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let body = body_of(message)?;
        let raw = object::raw(&body)?;
        let (items, mut envelope) = match raw.get().starts_with('[') {
            true => (items::read_array(&raw, events_max)?, Object::new()),
            false => match object::envelope(&raw, "batch", &["sent_at", "historical_migration"], events_max)? {
                (Some(batch), envelope) => (batch, envelope),
                (None, envelope) => (vec![&*raw], envelope),
            },
        };
        let sent_us = object::take_time_us(&mut envelope, "sent_at", Unit::Milliseconds);
        let sent_us = sent_us.map_err(IngestError::invalid)?.or_else(|| sent_us_of_address(message));
        let window = match envelope.remove("historical_migration") {
            Some(Value::Bool(true)) => Window::History,
            _ => context.window,
        };
        let context = &Context { window, ..context.clone() };
        let mut parsed = Parsed::default();
        let key = items.first().and_then(|first| key_of(first));
        for (index, item) in items.into_iter().enumerate() {
            let read = match key_of(item) {
                named if named.is_some() && named != key => Err("it names a different key than the first event".into()),
                _ => object::read(item.get()).and_then(|item| read_item(item, sent_us)),
            };
            let read =
                read.and_then(|draft| draft.complete(context, self.name(), || context.missing_id(item.get(), index)));
            parsed.push(index, item.get(), read);
        }
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Json(StatusCode::OK, json!({ "status": 1 }))
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        let (kind, code) = match error {
            IngestError::Unauthorized { .. } => ("authentication_error", "invalid_api_key"),
            IngestError::TooOften { .. } => ("throttled", "rate_limit_exceeded"),
            IngestError::Full { .. }
            | IngestError::NotDurable
            | IngestError::KeysUnavailable
            | IngestError::Closing => ("server_error", "not_durable"),
            IngestError::Invalid { .. }
            | IngestError::Forbidden { .. }
            | IngestError::Slow { .. }
            | IngestError::TooLarge { .. } => ("validation_error", "invalid_payload"),
        };
        json!({ "type": kind, "code": code, "detail": error.to_string(), "attr": null })
    }
}

/// The answer to a client that asks for feature flags and settings: there are none.
pub fn no_flags() -> Value {
    json!({
        "flags": {}, "featureFlags": {}, "featureFlagPayloads": {}, "errorsWhileComputingFlags": false,
        "config": { "enable_collect_everything": true }, "supportedCompression": ["gzip", "gzip-js"],
        "sessionRecording": false, "toolbarParams": {}, "isAuthenticated": false, "siteApps": [],
    })
}

/// The JSON of a body. Older SDKs for browsers send it as a form, as Base64 in the field `data`.
fn body_of(message: &Message) -> Result<Cow<'_, [u8]>, IngestError> {
    if !message.body.starts_with(b"data=") {
        return Ok(Cow::Borrowed(&message.body));
    }
    let (_, data) = url::form_urlencoded::parse(&message.body).next().unwrap_or_default();
    BASE64
        .decode(object::base64_of(&data))
        .map(Cow::Owned)
        .map_err(|error| IngestError::invalid(format!("`data` is not Base64: {error}")))
}

/// When an address says that its request was sent: scripts write it there if they send a form or a single event.
fn sent_us_of_address(message: &Message) -> Option<i64> {
    // A cache is kept off by other values of `_`, too: what is no time is none.
    let sent = message.param("sent_at").or_else(|| message.param("_"))?;
    instant::parse(&sent).ok().map(|at| at.timestamp_micros())
}

/// The key of an envelope or an event. Older SDKs send it among the properties.
fn key_of(item: &RawValue) -> Option<String> {
    let of = |object: &RawValue| object::field(object, "api_key").or_else(|| object::field(object, "token"));
    of(item).or_else(|| of(object::inner(item, "properties")?))
}

/// The draft of an event.
pub(crate) fn read_item(mut item: Object, sent_us: Option<i64>) -> Result<Draft, String> {
    let mut properties = object::take_object(&mut item, "properties").unwrap_or_default();
    let mut draft = Draft { sent_us, ..Draft::default() };
    let event = &mut draft.event;
    let name = object::take_text(&mut item, "event", NAME_CHARS_MAX)?.ok_or("`event` is missing: what happened")?;
    let id = object::take_text(&mut item, "uuid", EVENT_ID_CHARS_MAX)?;
    let id = id.or(object::take_text(&mut properties, "$insert_id", EVENT_ID_CHARS_MAX)?);
    draft.id = id.map(|id| EventId::from_client(&id));
    draft.created_us = object::take_time_us(&mut item, "timestamp", Unit::Milliseconds)?;
    if properties.remove("$ignore_sent_at") == Some(Value::Bool(true)) {
        // Its time does not come from the clock that sends it.
        draft.sent_us = None;
    }
    if let Some(offset_us) = object::take_millis_us(&mut item, "offset")?.filter(|_| draft.created_us.is_none()) {
        // The age of the event at the time of sending, instead of its time. Clients send the same age again, however
        // long they wait, like a client whose clock is wrong: so it is corrected in the same way.
        (draft.created_us, draft.sent_us) = (Some(-offset_us), Some(0));
    }

    let mut take = |name| object::take_text(&mut properties, name, LONG_CHARS_MAX);
    let distinct_id = object::take_text(&mut item, "distinct_id", TEXT_CHARS_MAX)?;
    let distinct_id = distinct_id.or(take("distinct_id")?).ok_or("`distinct_id` is missing: who it was")?;
    let (user_id, device_id) = (take("$user_id")?, take("$device_id")?);
    let (earlier_id, alias) = (take("$anon_distinct_id")?, take("alias")?);
    // SDKs for browsers say whether the id is a device's or a person's. SDKs for servers mean a person, unless they
    // say that there is none.
    let is_false = |name: &str| properties.get(name) == Some(&Value::Bool(false));
    let anonymous =
        device_id.as_deref() == Some(&distinct_id) || is_false("$process_person_profile") || is_false("$is_identified");
    event.name = match &*name {
        "$pageview" => "page_view".into(),
        "$screen" => "screen_view".into(),
        "$identify" => "identify".into(),
        "$create_alias" => "alias".into(),
        "$groupidentify" => "group".into(),
        "$pageleave" => "page_ping".into(),
        _ => name.clone(),
    };
    match (&*name, anonymous) {
        // This id is derived from the group and is not a visitor.
        ("$groupidentify", _) if distinct_id.starts_with('$') => {}
        ("$create_alias", _) => (event.user_id, event.anonymous_id) = (Some(distinct_id), alias),
        ("$identify", _) => (event.user_id, event.anonymous_id) = (Some(distinct_id), earlier_id.or(device_id)),
        (_, true) => (event.user_id, event.anonymous_id) = (user_id, Some(distinct_id)),
        (_, false) => (event.user_id, event.anonymous_id) = (user_id.or(Some(distinct_id)), device_id),
    }

    let mut take = |name, chars_max| object::take_text(&mut properties, name, chars_max);
    event.session_id = take("$session_id", TEXT_CHARS_MAX)?;
    event.url = take("$current_url", LONG_CHARS_MAX)?;
    event.referrer = take("$referrer", LONG_CHARS_MAX)?;
    let title = take("title", LONG_CHARS_MAX)?;
    event.title = title.or(take("$title", LONG_CHARS_MAX)?).or(take("$screen_name", LONG_CHARS_MAX)?);
    event.language = take("$browser_language", TEXT_CHARS_MAX)?;
    for (column, width, height) in [
        (&mut event.screen, "$screen_width", "$screen_height"),
        (&mut event.viewport, "$viewport_width", "$viewport_height"),
    ] {
        let size = take(width, TEXT_CHARS_MAX)?.zip(take(height, TEXT_CHARS_MAX)?);
        *column = size.map(|(width, height)| format!("{width}x{height}"));
    }
    let library = take("$lib", TEXT_CHARS_MAX)?;
    let version = take("$lib_version", TEXT_CHARS_MAX)?;
    event.sdk = library.map(|library| version.map_or(library.clone(), |version| format!("{library}/{version}")));
    object::take_campaign(&mut properties, event)?;
    event.currency = object::take_text(&mut properties, "currency", TEXT_CHARS_MAX)?;
    draft.user_agent = object::take_text(&mut properties, "$raw_user_agent", LONG_CHARS_MAX)?;
    event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
    draft.ip = object::take_address(&mut properties, "$ip");
    draft.skip_geography = properties.get("$geoip_disable") == Some(&Value::Bool(true));
    for repeated in ["token", "$host", "$pathname", "$referring_domain", "$is_server", "$geoip_disable"] {
        properties.remove(repeated);
    }
    for name in ["$set", "$set_once"] {
        if let Some(traits) = object::take(&mut item, name) {
            properties.entry(name).or_insert(traits);
        }
    }
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, message, parse};

    #[test]
    fn a_server_means_a_person_unless_it_says_otherwise() {
        check(
            r#"{"event":"Order Completed","distinct_id":"u1","properties":{"revenue":19.9,"currency":"EUR","$current_url":"https://shop.example/","$session_id":"s1","$lib":"posthog-node","$is_server":true}}"#,
            "Order Completed | u1 | - | s1 | https://shop.example/ | -",
        );
        check(
            r#"{"event":"a","distinct_id":"x","properties":{"$process_person_profile":false}}"#,
            r#"a | - | x | - | - | {"$process_person_profile":false}"#,
        );
    }

    #[test]
    fn a_browser_tells_devices_from_persons() {
        check(
            r#"{"event":"$pageview","distinct_id":"d","properties":{"$device_id":"d"}}"#,
            "page_view | - | d | - | - | -",
        );
        check(
            r#"{"event":"a","distinct_id":"u","properties":{"$device_id":"d","$user_id":"u"}}"#,
            "a | u | d | - | - | -",
        );
        check(
            r#"{"event":"$identify","distinct_id":"u","properties":{"$anon_distinct_id":"d"},"$set":{"plan":"pro"}}"#,
            r#"identify | u | d | - | - | {"$set":{"plan":"pro"}}"#,
        );
        check(
            r#"{"event":"$groupidentify","distinct_id":"$company_acme","properties":{"$group_key":"acme"}}"#,
            r#"group | - | - | - | - | {"$group_key":"acme"}"#,
        );
        check(r#"{"event":"$create_alias","distinct_id":"u","properties":{"alias":"a"}}"#, "alias | u | a | - | - | -");
    }

    #[test]
    fn a_body_is_one_event_an_array_a_batch_or_a_form() {
        let one = r#"{"event":"a","distinct_id":"u","api_key":"k"}"#;
        let form = format!("data={}&ip=1", STANDARD.encode(one));
        for body in [one.to_owned(), format!("[{one}]"), format!(r#"{{"api_key":"k","batch":[{one}]}}"#), form] {
            assert_eq!(parse(&PostHog, "/e/", &body).events.len(), 1, "{body}");
            assert_eq!(
                PostHog.sender_of_body(&message("/e/", &body), 9).unwrap(),
                Some(Sender::Key("k".into())),
                "{body}"
            );
        }
        let inside = r#"[{"event":"a","properties":{"token":"k","distinct_id":"u"}}]"#;
        assert_eq!(PostHog.sender_of_body(&message("/e/", inside), 9).unwrap(), Some(Sender::Key("k".into())));
    }

    #[test]
    fn times_are_corrected_or_counted_back() {
        let corrected = r#"{"sent_at":"2020-01-01T00:01:00Z","batch":[{"event":"a","distinct_id":"u","timestamp":"2020-01-01T00:00:00Z"}]}"#;
        assert_eq!(event(&PostHog, "/batch", corrected).occurred_at_us, NOON_US - 60_000_000);
        let single = r#"{"event":"a","distinct_id":"u","timestamp":"2020-01-01T00:00:00Z"}"#;
        for path in ["/e/?_=1577836860000&ver=1.57", "/e/?ip=1&sent_at=1577836860000"] {
            assert_eq!(event(&PostHog, path, single).occurred_at_us, NOON_US - 60_000_000, "{path}");
        }
        // A number that only keeps a cache off.
        let told = r#"{"event":"a","distinct_id":"u","timestamp":"2026-03-01T11:00:00Z"}"#;
        assert_eq!(event(&PostHog, "/e/?_=42", told).occurred_at_us, NOON_US - 3_600_000_000);
        let sure = r#"{"event":"a","distinct_id":"u","timestamp":"2026-03-01T11:00:00Z","properties":{"$ignore_sent_at":true}}"#;
        let found = event(&PostHog, "/e/?_=1577836860000", sure);
        assert_eq!((found.occurred_at_us, found.properties), (NOON_US - 3_600_000_000, None));
        let back = r#"{"event":"a","distinct_id":"u","offset":2000}"#;
        let found = event(&PostHog, "/e", back);
        assert_eq!(found.occurred_at_us, NOON_US - 2_000_000);
        assert_eq!(found.corrected_by_us, Some(NOON_US), "a copy is looked for however late it comes");
    }

    #[test]
    fn events_of_any_time_come_with_a_migration() {
        let batch = |migration: &str| {
            format!(
                r#"{{{migration}"sent_at":"2026-03-01T12:00:00Z","batch":[{{"event":"a","distinct_id":"u","timestamp":"2020-01-01T00:00:00Z"}}]}}"#
            )
        };
        let found = event(&PostHog, "/batch", &batch(r#""historical_migration":true,"#));
        assert_eq!((found.occurred_at_us, found.corrected_by_us), (1_577_836_800_000_000, None));
        for migration in ["", r#""historical_migration":false,"#, r#""historical_migration":null,"#] {
            let refused = parse(&PostHog, "/batch", &batch(migration));
            assert!(
                refused.events.is_empty() && refused.rejected[0].reason.contains("at most 72 hours"),
                "{migration}"
            );
        }
    }

    #[test]
    fn leaving_a_page_is_a_ping() {
        check(
            r#"{"event":"$pageleave","distinct_id":"d","properties":{"$device_id":"d","$prev_pageview_duration":7.5}}"#,
            r#"page_ping | - | d | - | - | {"$prev_pageview_duration":7.5}"#,
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let reason = |body| parse(&PostHog, "/e", body).rejected[0].reason.clone();
        assert!(reason(r#"{"distinct_id":"u"}"#).starts_with("`event` is missing"));
        assert!(reason(r#"{"event":"a"}"#).starts_with("`distinct_id` is missing"));
    }

    #[track_caller]
    fn check(item: &str, expected: &str) {
        assert_eq!(digest(&event(&PostHog, "/capture", item)), expected);
    }
}
