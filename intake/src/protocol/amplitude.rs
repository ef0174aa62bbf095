//! Amplitude's HTTP API v2 and its batches: <https://amplitude.com/docs/apis/analytics/http-v2>.
//!
//! `$identify` becomes `identify`, `$groupidentify` `group`, and the browser library's page view `page_view`; other names
//! stay as they are. Deduplicated by `insert_id`.
//!
//! Amplitude's libraries go by the `code` in a body and not by its status: one without it is sent again for ever.

use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender, Warning};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;
use crate::money;

/// Amplitude's libraries send no more events in a request than this. Those that are listed wait for half a minute after
/// a 429 instead of a second, after a few of which the library would give them up.
const THROTTLED_MAX: usize = 500;

/// How a refusal has to begin for the library to understand that another attempt is in vain.
const INVALID_KEY: &str = "Invalid API key";

/// See the module.
pub struct Amplitude;

impl Protocol for Amplitude {
    fn name(&self) -> &'static str {
        "amplitude"
    }

    fn sender_of_body(&self, message: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(object::field(&object::raw(&message.body)?, "api_key").map(Sender::Key))
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let body = object::raw(&message.body)?;
        let (items, mut envelope) = object::envelope(&body, "events", &["client_upload_time"], events_max)?;
        let items = items.ok_or_else(|| IngestError::invalid("`events` is missing: an array of events"))?;
        let sent_us = object::take_time_us(&mut envelope, "client_upload_time", Unit::Milliseconds);
        let sent_us = sent_us.map_err(IngestError::invalid)?;
        let mut parsed = Parsed::default();
        for (index, item) in items.into_iter().enumerate() {
            let read =
                object::read(item.get()).and_then(|item| read_item(item, sent_us)).and_then(|(draft, unread)| {
                    let event = draft.complete(context, self.name(), || context.missing_id(item.get(), index))?;
                    parsed.warnings.extend(unread.map(|reason| Warning { index, reason }));
                    Ok(event)
                });
            parsed.push(index, item.get(), read);
        }
        Ok(parsed)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        receipt.answer(json!({ "code": 200, "events_ingested": receipt.accepted }))
    }

    fn refused(&self, status: StatusCode, error: &IngestError) -> Value {
        let mut answer = json!({ "code": status.as_u16(), "error": error.to_string() });
        match error {
            // Without the indices the library sends the same events again.
            IngestError::Invalid { rejected, .. } if !rejected.is_empty() => {
                let indices: Vec<usize> = rejected.iter().map(|rejected| rejected.index).collect();
                answer["events_with_invalid_fields"] = json!({ "event": indices });
                answer["rejected"] = json!(rejected);
            }
            IngestError::Invalid { .. } => answer["missing_field"] = json!("events"),
            IngestError::Unauthorized { reason } => answer["error"] = json!(format!("{INVALID_KEY}: {reason}")),
            IngestError::TooOften { .. } => {
                answer["throttled_events"] = (0..THROTTLED_MAX).collect();
            }
            IngestError::Forbidden { .. }
            | IngestError::Slow { .. }
            | IngestError::TooLarge { .. }
            | IngestError::Full { .. }
            | IngestError::NotDurable
            | IngestError::KeysUnavailable
            | IngestError::Closing => {}
        }
        answer
    }
}

/// Whether a body has Amplitude's array `events` before any `batch`, which is PostHog's. Both send to `/batch`.
pub(super) fn is_spoken_in(body: &[u8]) -> bool {
    /// Stops at the first of the two. Its error only says that there is nothing more to read.
    struct First<'a>(&'a mut bool);

    impl<'de> Visitor<'de> for First<'_> {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(name) = map.next_key::<String>()? {
                if name == "events" || name == "batch" {
                    *self.0 = name == "events";
                    return Err(A::Error::custom("found"));
                }
                map.next_value::<IgnoredAny>()?;
            }
            Ok(())
        }
    }

    let mut has_events = false;
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(First(&mut has_events));
    has_events
}

/// The draft of an event, and what of it could not be read.
pub(crate) fn read_item(mut item: Object, sent_us: Option<i64>) -> Result<(Draft, Option<String>), String> {
    let mut draft = Draft { sent_us, ..Draft::default() };
    let name = object::take_text(&mut item, "event_type", NAME_CHARS_MAX)?;
    let name = name.ok_or("`event_type` is missing: what happened")?;
    let id = object::take_text(&mut item, "insert_id", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    draft.created_us = object::take_time_us(&mut item, "time", Unit::Milliseconds)?;
    // Only an event that names an address is to be located, if need be by that of the request: `$remote`.
    draft.skip_geography = item.get("ip").is_none_or(Value::is_null);
    draft.ip = object::take_address(&mut item, "ip");
    draft.user_agent = object::take_text(&mut item, "user_agent", LONG_CHARS_MAX)?;
    let event = &mut draft.event;
    event.user_id = object::take_text(&mut item, "user_id", TEXT_CHARS_MAX)?;
    event.anonymous_id = object::take_text(&mut item, "device_id", TEXT_CHARS_MAX)?;
    if event.user_id.is_none() && event.anonymous_id.is_none() {
        return Err("send `user_id` or `device_id`".into());
    }
    // -1 is an event outside of any session.
    event.session_id = object::take_text(&mut item, "session_id", TEXT_CHARS_MAX)?.filter(|id| id != "-1");
    event.language = object::take_text(&mut item, "language", TEXT_CHARS_MAX)?;
    event.sdk = object::take_text(&mut item, "library", TEXT_CHARS_MAX)?;

    let mut properties = object::take_object(&mut item, "event_properties").unwrap_or_default();
    let mut take = |name| object::take_text(&mut properties, name, LONG_CHARS_MAX);
    let (location, page_url) = (take("[Amplitude] Page Location")?, take("[Amplitude] Page URL")?);
    event.url = location.or(page_url);
    event.title = take("[Amplitude] Page Title")?;
    event.name = match &*name {
        "$identify" => "identify".into(),
        "$groupidentify" => "group".into(),
        "[Amplitude] Page Viewed" => {
            event.referrer = take("referrer")?;
            "page_view".into()
        }
        _ => name.clone(),
    };
    for repeated in ["[Amplitude] Page Domain", "[Amplitude] Page Path", "referring_domain"] {
        if event.url.is_some() {
            properties.remove(repeated);
        }
    }

    let of_item = object::take_money_e4(&mut item, "revenue");
    let of_properties = object::take_money_e4(&mut properties, "$revenue");
    event.revenue_e4 = of_item
        .or_else(|| amount_e4(&item, "price", "quantity"))
        .or(of_properties)
        .or_else(|| amount_e4(&properties, "$price", "$quantity"));
    let unread = object::unread_money(&item, "revenue").or_else(|| object::unread_money(&properties, "$revenue"));
    let currency = object::take_text(&mut item, "currency", TEXT_CHARS_MAX)?;
    event.currency = currency.or(object::take_text(&mut properties, "$currency", TEXT_CHARS_MAX)?);

    let of_user = object::take_object(&mut item, "user_properties");
    let of_group = object::take_object(&mut item, "group_properties");
    match &*event.name {
        "identify" => properties.extend(object::traits(of_user.unwrap_or_default())),
        "group" => properties.extend(object::traits(of_group.unwrap_or_default())),
        _ => {
            for (name, found) in [("user_properties", of_user), ("group_properties", of_group)] {
                if let Some(found) = found.filter(|found| !found.is_empty()) {
                    properties.entry(name).or_insert(found.into());
                }
            }
        }
    }
    for name in ["groups", "revenue", "price", "quantity", "productId", "revenueType"] {
        if let Some(value) = object::take(&mut item, name).filter(|value| value != &json!({})) {
            properties.entry(name).or_insert(value);
        }
    }
    draft.event.properties = object::properties(properties)?;
    Ok((draft, unread))
}

/// A price times a quantity, which is 1 if it is not given, in ten-thousandths.
fn amount_e4(object: &Object, price: &str, quantity: &str) -> Option<i128> {
    let amount_e4 = |name: &str| match object.get(name)? {
        Value::Number(number) => money::parse_e4(&number.to_string()),
        Value::String(text) => money::parse_e4(text),
        _ => None,
    };
    let quantity_e4 = amount_e4(quantity).unwrap_or(10_000);
    money::product_e4(amount_e4(price)?, quantity_e4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Rejection;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, message, parse};

    const PATH: &str = "/2/httpapi";

    #[test]
    fn each_kind_of_event_has_its_name_and_its_fields() {
        check(
            r#"{"event_type":"Signed Up","user_id":"u1","device_id":"d1","session_id":1772366400000,"event_properties":{"plan":"pro"}}"#,
            r#"Signed Up | u1 | d1 | 1772366400000 | - | {"plan":"pro"}"#,
        );
        check(
            r#"{"event_type":"$identify","user_id":"u1","session_id":-1,"user_properties":{"$set":{"plan":"pro"},"$add":{"visits":1}}}"#,
            r#"identify | u1 | - | - | - | {"$add":{"visits":1},"plan":"pro"}"#,
        );
        check(
            r#"{"event_type":"$identify","user_id":"u1","groups":{"company":"acme"},"user_properties":{"$set":{"company":"acme"}}}"#,
            r#"identify | u1 | - | - | - | {"company":"acme","groups":{"company":"acme"}}"#,
        );
        check(
            r#"{"event_type":"$groupidentify","device_id":"d1","groups":{"company":"acme"},"group_properties":{"$set":{"seats":3}}}"#,
            r#"group | - | d1 | - | - | {"groups":{"company":"acme"},"seats":3}"#,
        );
        check(
            r#"{"event_type":"a","user_id":"u1","user_properties":{"plan":"pro"},"groups":{},"platform":"Web","event_id":7}"#,
            r#"a | u1 | - | - | - | {"user_properties":{"plan":"pro"}}"#,
        );
        check(
            r#"{"event_type":"[Amplitude] Page Viewed","device_id":"d1","event_properties":{"[Amplitude] Page Location":"https://shop.example/a?b=c",
                "[Amplitude] Page URL":"https://shop.example/a","[Amplitude] Page Path":"/a","[Amplitude] Page Domain":"shop.example","[Amplitude] Page Counter":2}}"#,
            r#"page_view | - | d1 | - | https://shop.example/a?b=c | {"[Amplitude] Page Counter":2}"#,
        );
    }

    #[test]
    fn revenue_is_an_amount_or_a_price_and_a_quantity() {
        for (fields, revenue_e4, currency) in [
            (r#""revenue":19.9,"currency":"EUR""#, Some(199_000), Some("EUR")),
            (r#""price":2.5,"quantity":3"#, Some(75_000), None),
            (r#""price":2.5"#, Some(25_000), None),
            (r#""event_properties":{"$price":9.99,"$quantity":2,"$currency":"EUR"}"#, Some(199_800), Some("EUR")),
            (r#""event_properties":{"$revenue":-5,"$price":9.99}"#, Some(-50_000), None),
            (r#""event_properties":{"price":2.5}"#, None, None),
            (r#""price":99999999999999,"quantity":99999999999999"#, None, None),
        ] {
            let found = of(&format!(r#"{{"event_type":"revenue_amount","user_id":"u",{fields}}}"#));
            assert_eq!((found.revenue_e4, found.currency.as_deref()), (revenue_e4, currency), "{fields}");
        }
    }

    #[test]
    fn the_insert_id_identifies_and_the_clock_is_corrected() {
        let body = r#"{"api_key":"k","client_upload_time":"2020-01-01T00:01:00.000Z","events":[
            {"event_type":"a","user_id":"u","time":1577836800000,"insert_id":"i-1"}]}"#;
        let found = event(&Amplitude, PATH, body);
        assert_eq!((found.event_id, found.id_assigned), (EventId::from_client("i-1"), false));
        assert_eq!(found.occurred_at_us, NOON_US - 60_000_000);
        assert_eq!(Amplitude.sender_of_body(&message(PATH, body), 9).unwrap(), Some(Sender::Key("k".into())));
    }

    #[test]
    fn what_is_missing_is_named() {
        let reason = |item: &str| {
            let parsed = parse(&Amplitude, PATH, &format!(r#"{{"events":[{item}]}}"#));
            parsed.rejected[0].reason.clone()
        };
        assert!(reason(r#"{"user_id":"u"}"#).starts_with("`event_type` is missing"));
        assert!(reason(r#"{"event_type":"a","user_id":""}"#).starts_with("send `user_id` or `device_id`"));
    }

    #[test]
    fn answers_let_the_library_keep_what_is_not_durable_and_drop_what_is_refused() {
        let refused = |status: u16, error: IngestError| {
            let status = StatusCode::from_u16(status).unwrap();
            Amplitude.refused(status, &error)
        };
        assert_eq!(refused(503, IngestError::NotDurable)["code"], 503);
        let too_often = refused(429, IngestError::TooOften { reason: "a".into(), retry_after_s: 2 });
        assert_eq!((&too_often["code"], &too_often["throttled_events"][499]), (&json!(429), &json!(499)));
        let rejected = vec![Rejection::new(3, "no".into(), "{}")];
        let invalid = refused(400, IngestError::Invalid { reason: "no".into(), rejected });
        assert_eq!(invalid["events_with_invalid_fields"], json!({ "event": [3] }));
        assert_eq!(refused(400, IngestError::invalid("no JSON"))["missing_field"], "events");
        let unknown = refused(401, IngestError::Unauthorized { reason: "the write key is unknown".into() });
        assert_eq!(unknown["error"], "Invalid API key: the write key is unknown");
        let accepted = Amplitude.accepted(&Receipt { accepted: 2, ..Receipt::default() });
        assert_eq!(accepted, Answer::Json(StatusCode::OK, json!({ "code": 200, "events_ingested": 2 })));
    }

    #[test]
    fn a_batch_is_amplitudes_if_its_list_is_called_events() {
        for (body, expected) in [
            (r#"{"api_key":"k","events":[{"batch":1}]}"#, true),
            (r#"{"options":{"batch":[1]},"events":["#, true),
            (r#"{"api_key":"k","batch":[{"events":1}]}"#, false),
            (r#"{"api_key":"k","event":"a"}"#, false),
            (r#"[{"events":[]}]"#, false),
            ("data=e30", false),
            ("", false),
        ] {
            assert_eq!(is_spoken_in(body.as_bytes()), expected, "{body}");
        }
    }

    fn of(item: &str) -> lake::Event {
        event(&Amplitude, PATH, &format!(r#"{{"events":[{item}]}}"#))
    }

    #[track_caller]
    fn check(item: &str, expected: &str) {
        assert_eq!(digest(&of(item)), expected);
    }
}
