//! The native protocol, of Dewpond's own tracker and of any other client.
//!
//! A body is one event, an array, an envelope `{"events":[…],"sent_at":…,"key":…}`, or one event per line. It is
//! parsed as JSON whatever its content type. Unknown fields go to `properties`. `user_agent` and `ip` serve
//! enrichment and are not stored. `key` is the write key; without one, `site` is one of the site's domains. Neither is
//! stored.
//!
//! An event without an `event_id` gets a new one, so sending it again stores it again: clients that retry must send
//! an id. (A trusted proxy that gives requests an id may repeat them.) `sent_at` should be the time of *this* sending,
//! set again at each retry: otherwise the correction takes the delay for an error of the clock, and dates the event too
//! late.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::StatusCode;
use lake::{Event, EventId};
use serde_json::json;
use serde_json::value::RawValue;

use super::body::field::{
    self, EVENT_ID_CHARS_MAX, Given, LONG_CHARS_MAX, NAME_CHARS_MAX, Object, PROPERTIES_BYTES_MAX, TEXT_CHARS_MAX,
};
use super::body::{items, object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;
use crate::json;

/// The value of the column `protocol`.
pub(super) const PROTOCOL: &str = "native";

/// The largest event as it is sent. An event within all other limits is smaller, even if every character of it is
/// escaped.
const EVENT_BYTES_MAX: usize = 512 * 1024;

/// `POST /v1/events`.
pub struct Native;

impl Protocol for Native {
    fn name(&self) -> &'static str {
        PROTOCOL
    }

    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError> {
        find_sender(&message.body, events_max)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        parse(&message.body, context, events_max)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        let Receipt { accepted, duplicates, rejected, .. } = receipt;
        let body = json!({ "accepted": accepted, "duplicates": duplicates, "rejected": rejected });
        Answer::Json(StatusCode::ACCEPTED, body)
    }
}

/// Parses a body. Each event stands alone: an invalid one is rejected by its index and the others are kept.
///
/// Fails if the body has no events at all, or more than `events_max`.
pub fn parse(body: &[u8], context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
    items::with(body, events_max, |items| parse_items(items, context))
}

fn parse_items(items: items::Items<'_>, context: &Context) -> Parsed {
    let mut parsed = Parsed::default();
    for (index, item) in items.values.into_iter().enumerate() {
        let (json, read) = match item {
            Ok(json) => {
                let missing_id = || context.missing_id(json, index);
                let read = items::check_sender(json, &items.sender, context.client.domain.as_deref())
                    .and_then(|()| read_event(json, items.sent_at_us, context, PROTOCOL, missing_id));
                (json, read)
            }
            Err((line, reason)) => (line, Err(reason)),
        };
        parsed.push(index, json, read);
    }
    parsed
}

/// The sender that the envelope or the first event names: `key` is a write key, `site` is one of a site's domains.
pub fn find_sender(body: &[u8], events_max: usize) -> Result<Option<Sender>, IngestError> {
    items::with(body, events_max, |items| items.sender)
}

/// Checks that the body of a request for a session names whose it will be.
pub fn check_session(body: &[u8]) -> Result<(), IngestError> {
    let body = object::raw(body)?;
    let Object(fields) = object::fields(&body)?;
    let is_id = |(name, value): &(Cow<str>, &RawValue)| {
        matches!(&**name, "user_id" | "anonymous_id")
            && field::id(name, *value, TEXT_CHARS_MAX).is_ok_and(|id| id.is_some())
    };
    match fields.iter().any(is_id) {
        true => Ok(()),
        false => Err(IngestError::invalid("send `user_id` or `anonymous_id`, a string that is not empty")),
    }
}

/// Parses one event in the native form that came by another protocol.
pub(super) fn read(
    json: &str,
    context: &Context,
    protocol: &'static str,
    missing_id: impl FnOnce() -> EventId,
) -> Result<Event, String> {
    read_event(json, None, context, protocol, missing_id)
}

fn read_event(
    json: &str,
    sent_at_us: Option<i64>,
    context: &Context,
    protocol: &'static str,
    missing_id: impl FnOnce() -> EventId,
) -> Result<Event, String> {
    read_fields(split(json, &mut String::new())?, sent_at_us, context, protocol, &mut |_| false, missing_id)
}

/// The fields of an event.
///
/// - `mended`: where the event is kept if it had to be mended to be JSON.
pub(super) fn split<'a>(json: &'a str, mended: &'a mut String) -> Result<Vec<(Cow<'a, str>, Given<'a>)>, String> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(format!("the event is larger than {EVENT_BYTES_MAX} bytes"));
    }
    if !json.trim_ascii_start().starts_with('{') {
        return Err("the event is not an object".into());
    }
    let Object(fields) = match Object::read(json) {
        Ok(fields) => fields,
        Err(error) => {
            *mended = json::mended(json).ok_or_else(|| format!("the event cannot be read: {error}"))?;
            Object::read(mended).map_err(|error| format!("the event cannot be read: {error}"))?
        }
    };
    Ok(fields.into_iter().map(|(name, value)| (name, Given::Json(value))).collect())
}

/// - `is_taken`: whether the caller reads a field that senders do not set. All others go to `properties`.
pub(super) fn read_fields(
    fields: Vec<(Cow<'_, str>, Given<'_>)>,
    sent_at_us: Option<i64>,
    context: &Context,
    protocol: &'static str,
    is_taken: &mut dyn FnMut(&str) -> bool,
    missing_id: impl FnOnce() -> EventId,
) -> Result<Event, String> {
    let mut draft = Draft { sent_us: sent_at_us, ..Draft::default() };
    let event = &mut draft.event;
    let (mut properties, mut others) = (None, Vec::new());
    for (name, value) in fields {
        let name = &*name;
        let text = |chars_max| Ok::<_, String>(field::text(name, value, chars_max)?.map(Cow::into_owned));
        let person = || Ok::<_, String>(field::id(name, value, TEXT_CHARS_MAX)?.map(Cow::into_owned));
        match name {
            "event_id" => draft.id = field::id(name, value, EVENT_ID_CHARS_MAX)?.map(|id| EventId::from_client(&id)),
            "name" => event.name = text(NAME_CHARS_MAX)?.unwrap_or_default(),
            "timestamp" => draft.created_us = field::time_us(name, value, context.window)?,
            "sent_at" => draft.sent_us = field::time_us(name, value, context.window)?.or(sent_at_us),
            "user_id" => event.user_id = person()?,
            "anonymous_id" => event.anonymous_id = person()?,
            "session_id" => event.session_id = person()?,
            "url" => event.url = text(LONG_CHARS_MAX)?,
            "referrer" => event.referrer = text(LONG_CHARS_MAX)?,
            "title" => event.title = text(LONG_CHARS_MAX)?,
            "utm_source" => event.utm_source = text(TEXT_CHARS_MAX)?,
            "utm_medium" => event.utm_medium = text(TEXT_CHARS_MAX)?,
            "utm_campaign" => event.utm_campaign = text(TEXT_CHARS_MAX)?,
            "utm_term" => event.utm_term = text(TEXT_CHARS_MAX)?,
            "utm_content" => event.utm_content = text(TEXT_CHARS_MAX)?,
            "object" => event.object = text(TEXT_CHARS_MAX)?,
            "revenue" => event.revenue_e4 = field::money_e4(name, value)?,
            "currency" => event.currency = text(TEXT_CHARS_MAX)?,
            "language" => event.language = text(TEXT_CHARS_MAX)?,
            "screen" => event.screen = text(TEXT_CHARS_MAX)?,
            "viewport" => event.viewport = text(TEXT_CHARS_MAX)?,
            "country" => event.country = text(TEXT_CHARS_MAX)?,
            "region" => event.region = text(TEXT_CHARS_MAX)?,
            "city" => event.city = text(TEXT_CHARS_MAX)?,
            "sdk" => event.sdk = text(TEXT_CHARS_MAX)?,
            "properties" => properties = field::object(name, value)?,
            "user_agent" => draft.user_agent = text(LONG_CHARS_MAX)?,
            "ip" => draft.ip = field::address(name, value)?,
            "key" => {}
            // A field of the sender's own, unless it chose the site.
            "site" if context.client.domain.is_some() => {}
            other if is_taken(other) => {}
            other => others.push((Cow::Owned(other.to_owned()), value)),
        }
    }

    draft.event.properties = write_properties(others, properties)?;
    draft.complete(context, protocol, missing_id)
}

/// All fields without a column, as one JSON object with sorted keys. A field in `properties` replaces one of the same
/// name beside it.
fn write_properties<'a>(
    others: Vec<(Cow<'a, str>, Given<'a>)>,
    properties: Option<Object<'a>>,
) -> Result<Option<String>, String> {
    let inside = properties.map_or_else(Vec::new, |Object(fields)| fields);
    let inside = inside.into_iter().map(|(name, value)| (name, Given::Json(value)));
    let merged: BTreeMap<Cow<str>, Given<'_>> = others.into_iter().chain(inside).collect();
    if merged.is_empty() {
        return Ok(None);
    }
    let mut json = String::from("{");
    for (name, value) in &merged {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(&field::quote(name));
        json.push(':');
        json.push_str(&field::compact(name, *value)?);
    }
    json.push('}');
    if json.len() > PROPERTIES_BYTES_MAX {
        return Err(format!("`properties` are larger than {PROPERTIES_BYTES_MAX} bytes"));
    }
    Ok(Some(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;
    use crate::event_time::Window;
    use crate::ids::Ids;

    const NOON_US: i64 = 1_772_366_400_000_000;
    const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                          Chrome/142.0.0.0 Safari/537.36";

    fn context() -> Context {
        Context {
            site_id: "shop".into(),
            received_at_us: NOON_US,
            window: Window::Live,
            client: Client::default(),
            ids: Ids::seeded(1),
        }
    }

    #[test]
    fn every_field_reaches_its_column() {
        let event = event(
            r#"{"event_id":"4be2b2dd-4a59-4b91-b39d-2db84cdf31c5","name":"purchase","timestamp":"2026-03-01T11:59:00Z",
                "user_id":"ada","anonymous_id":"a1","session_id":"s1","url":"https://shop.example/cart?utm_source=news",
                "referrer":"https://search.example/","title":"Cart","object":"buy","revenue":"19.99","currency":"EUR",
                "language":"de","screen":"1920x1080","viewport":"1200x800","country":"DE","region":"BE","city":"Berlin",
                "sdk":"web/1","utm_medium":"email"}"#,
        );
        let expected = Event {
            event_id: EventId::from_client("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5"),
            site_id: "shop".into(),
            name: "purchase".into(),
            occurred_at_us: NOON_US - 60_000_000,
            received_at_us: NOON_US,
            visitor_id: Some(lake::visitor_id("shop", "ada")),
            user_id: Some("ada".into()),
            anonymous_id: Some("a1".into()),
            session_id: Some("s1".into()),
            url: Some("https://shop.example/cart?utm_source=news".into()),
            hostname: Some("shop.example".into()),
            path: Some("/cart".into()),
            query: Some("utm_source=news".into()),
            title: Some("Cart".into()),
            referrer: Some("https://search.example/".into()),
            referrer_host: Some("search.example".into()),
            utm_source: Some("news".into()),
            utm_medium: Some("email".into()),
            channel: Some("Email".into()),
            country: Some("DE".into()),
            region: Some("BE".into()),
            city: Some("Berlin".into()),
            language: Some("de".into()),
            screen: Some("1920x1080".into()),
            viewport: Some("1200x800".into()),
            object: Some("buy".into()),
            revenue_e4: Some(199_900),
            currency: Some("EUR".into()),
            protocol: "native",
            sdk: Some("web/1".into()),
            ..Event::default()
        };
        assert_eq!(event, expected);
    }

    #[test]
    fn unknown_fields_become_properties_with_sorted_keys() {
        let properties = |json| event(json).properties.unwrap_or_default();
        assert_eq!(properties(r#"{"name":"a"}"#), "");
        assert_eq!(properties(r#"{"name":"a","properties":{}}"#), "");
        assert_eq!(properties(r#"{"name":"a","b":1,"a":"x"}"#), r#"{"a":"x","b":1}"#);
        assert_eq!(
            properties(r#"{"name":"a","plan":"outer","properties":{"plan":"inner"}}"#),
            r#"{"plan":"inner"}"#,
            "the field in properties wins"
        );
        assert_eq!(
            properties(r#"{"name":"a","properties":{"z":{"b":1,"a":[1, 2]},"n":12345678901234567890123}}"#),
            r#"{"n":12345678901234567890123,"z":{"a":[1,2],"b":1}}"#
        );
    }

    #[test]
    fn keys_addresses_and_user_agents_are_not_stored() {
        let event = event(&format!(r#"{{"name":"a","key":"dpw_x","ip":"192.0.2.1","user_agent":"{CHROME}"}}"#));
        assert_eq!(event.properties, None);
        assert_eq!(event.browser.as_deref(), Some("Chrome"));
    }

    #[test]
    fn the_events_own_user_agent_comes_before_the_requests() {
        let client = Client { user_agent: Some("SomeBot/1.0".into()), ..Client::default() };
        let context = Context { client, ..context() };
        let events = format!(r#"[{{"name":"a"}},{{"name":"a","user_agent":"{CHROME}"}}]"#);
        let parsed = parse(events.as_bytes(), &context, 10).unwrap();
        assert_eq!(parsed.events.iter().map(|event| event.is_bot).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn empty_ids_are_no_ids() {
        let nobody = event(r#"{"name":"a","user_id":"","anonymous_id":""}"#);
        assert_eq!((nobody.user_id, nobody.anonymous_id, nobody.visitor_id), (None, None, None));
        let anonymous = event(r#"{"name":"a","user_id":"","anonymous_id":"a1"}"#);
        assert_eq!(anonymous.visitor_id, Some(lake::visitor_id("shop", "a1")));
        assert_ne!(event(r#"{"name":"a","event_id":""}"#).event_id, EventId::from_client(""));
    }

    #[test]
    fn numbers_are_ids_too() {
        let event = event(r#"{"name":"a","event_id":7,"user_id":42}"#);
        assert_eq!(event.event_id, EventId::from_client("7"));
        assert_eq!(event.user_id.as_deref(), Some("42"));
        for (number, id) in [
            ("42.0", "42"),
            ("42.5", "42.5"),
            ("-7.00", "-7"),
            ("1e3", "1000"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            let event = self::event(&format!(r#"{{"name":"a","user_id":{number}}}"#));
            assert_eq!(event.user_id.as_deref(), Some(id));
        }
    }

    #[test]
    fn events_without_an_id_are_all_different() {
        let parsed = parse(br#"[{"name":"a"},{"name":"a"}]"#, &context(), 10).unwrap();
        assert_ne!(parsed.events[0].event_id, parsed.events[1].event_id);
    }

    #[test]
    fn a_request_that_a_proxy_repeats_is_the_same_events() {
        let client = Client { request_id: Some("r1".into()), ..Client::default() };
        let context = Context { client, ..context() };
        let ids = || {
            let parsed = parse(br#"[{"name":"a"},{"name":"a"}]"#, &context, 10).unwrap();
            assert!(parsed.events.iter().all(|event| !event.id_assigned));
            parsed.events.iter().map(|event| event.event_id).collect::<Vec<_>>()
        };
        assert_eq!(ids(), ids());
        assert_ne!(ids()[0], ids()[1]);
    }

    #[test]
    fn the_clock_is_corrected_by_the_time_of_sending() {
        let minute_early = NOON_US - 60_000_000;
        for body in [
            r#"{"events":[{"name":"a","timestamp":"2020-01-01T00:00:00Z"}],"sent_at":"2020-01-01T00:01:00Z"}"#,
            r#"{"name":"a","timestamp":"2020-01-01T00:00:00Z","sent_at":"2020-01-01T00:01:00Z"}"#,
        ] {
            assert_eq!(parse(body.as_bytes(), &context(), 10).unwrap().events[0].occurred_at_us, minute_early);
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_what_was_expected() {
        check(r#"{}"#, "`name` is missing");
        check(r#"{"name":" "}"#, "`name` is missing");
        check(r#"{"name":7}"#, "`name` must be a string, not a number");
        check(r#"{"name":"a","event_id":[]}"#, "`event_id` must be a string or a number, not an array");
        check(r#"{"name":"a","user_id":true}"#, "`user_id` must be a string or a number, not true or false");
        check(r#"{"name":"a","url":{}}"#, "`url` must be a string, not an object");
        check(r#"{"name":"a","timestamp":"noon"}"#, "`timestamp` is not a");
        check(r#"{"name":"a","timestamp":{}}"#, "`timestamp` is not a");
        check(r#"{"name":"a","timestamp":1e300}"#, "`timestamp` is not a");
        check(r#"{"name":"a","revenue":"much"}"#, "`revenue` must be a number with at most 14 digits");
        check(r#"{"name":"a","revenue":100000000000000}"#, "`revenue` must be a number with at most 14 digits");
        check(r#"{"name":"a","properties":"{}"}"#, "`properties` must be an object, not a string");
        check(r#"{"name":"a","title":"\x"}"#, "the event cannot be read");
        check("7", "the event is not an object");
    }

    #[test]
    fn sizes_are_bounded() {
        let long = |chars: usize| "ä".repeat(chars);
        event(&format!(r#"{{"name":"{}","url":"{}"}}"#, long(200), long(4_096)));
        check(&format!(r#"{{"name":"{}"}}"#, long(201)), "`name` is longer than 200 characters");
        check(&format!(r#"{{"name":"a","url":"{}"}}"#, long(4_097)), "`url` is longer than 4096 characters");
        check(&format!(r#"{{"name":"a","city":"{}"}}"#, long(513)), "`city` is longer than 512 characters");
        check(&format!(r#"{{"name":"a","event_id":"{}"}}"#, long(101)), "`event_id` is longer than 100 characters");
        check(&format!(r#"{{"name":"a","event_id":{}}}"#, "7".repeat(101)), "`event_id` is longer than 100 characters");
        check(&format!(r#"{{"name":"a","x":"{}"}}"#, long(17_000)), "`properties` are larger than 32768 bytes");
        check(&format!(r#"{{"name":"a"{}}}"#, r#","x":1"#.repeat(6_000)), "the event cannot be read: the object has");
        check(&format!(r#"{{"name":"a"{}}}"#, " ".repeat(600_000)), "the event is larger than 524288 bytes");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!(r#"{{"name":"a","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        event(&nested(100));
        check(&nested(200), "`x` cannot be read: recursion limit exceeded");
        check(&nested(200_000), "`x` cannot be read: recursion limit exceeded");
    }

    #[test]
    fn events_of_another_site_are_refused_and_fields_of_ones_own_are_not() {
        let body = br#"[{"name":"a","site":"shop.example"},{"name":"b","site":"other.example"},{"name":"c"}]"#;
        let refused = |domain: Option<&str>| {
            let client = Client { domain: domain.map(str::to_owned), ..Client::default() };
            let parsed = parse(body, &Context { client, ..context() }, 10).unwrap();
            (parsed.rejected.iter().map(|one| one.index).collect::<Vec<_>>(), parsed.events[0].properties.clone())
        };
        assert_eq!(refused(Some("Shop.example")), (vec![1], None));
        assert_eq!(refused(None), (vec![], Some(r#"{"site":"shop.example"}"#.into())));
        let keys = parse(br#"[{"name":"a","key":"k"},{"name":"b","key":"other"}]"#, &context(), 10).unwrap();
        assert_eq!(keys.rejected[0].index, 1);
    }

    #[test]
    fn a_bad_event_leaves_the_others_alone() {
        let parsed = parse(br#"[{"name":"a"},{"name":7},null,{"name":"b"}]"#, &context(), 10).unwrap();
        assert_eq!(parsed.events.iter().map(|event| &*event.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(parsed.rejected.iter().map(|rejection| rejection.index).collect::<Vec<_>>(), [1, 2]);
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_body_is_read_or_refused(at in 0..BODY.len(), byte: u8, cut in 0..BODY.len()) {
            let mut body = BODY.to_vec();
            body[at] = byte;
            body.truncate(BODY.len() - cut % 20);
            if let Ok(parsed) = parse(&body, &context(), 10) {
                proptest::prop_assert!(parsed.events.len() + parsed.rejected.len() <= 10);
            }
        }

        #[test]
        fn any_text_is_read_or_refused(body in r#"[\[\]{}:,"\\0-9a-z \n\u{e9}-]{0,60}"#) {
            let _ = parse(body.as_bytes(), &context(), 10);
        }
    }

    const BODY: &[u8] =
        br#"{"events":[{"event_id":"e1","name":"purchase","timestamp":"2026-03-01T11:59:00Z","revenue":1.5e1,
        "url":"https://shop.example/a?utm_source=x","properties":{"a":[1,{"b":"\u00e9"}]}},{"name":"b","sent_at":1}]}"#;

    #[track_caller]
    fn event(json: &str) -> Event {
        read_event(json, None, &context(), PROTOCOL, || EventId([7; 16])).unwrap()
    }

    /// Checks how the reason begins for which an event is refused.
    #[track_caller]
    fn check(json: &str, expected: &str) {
        let reason = read_event(json, None, &context(), PROTOCOL, || EventId([7; 16])).unwrap_err();
        assert!(reason.starts_with(expected), "{reason}");
    }
}
