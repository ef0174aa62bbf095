//! Google Analytics 4's Measurement Protocol:
//! <https://developers.google.com/analytics/devguides/collection/protocol/ga4>.
//!
//! The API secret is the write key; the measurement id is ignored. Google answers 204 to anything, Dewpond only when
//! the events are durable. Events have no id: one is derived from the client, the content and the time. Without a time
//! in the request, the second of arrival counts.

use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::{Value, json};

use super::body::field::{LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender, Warning};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;

/// Google's own limits.
const EVENTS_MAX: usize = 25;
const BODY_BYTES_MAX: usize = 130 * 1024;

/// The fields of a request that apply to all its events.
const CLIENT: [&str; 7] =
    ["client_id", "app_instance_id", "user_id", "timestamp_micros", "user_properties", "user_agent", "ip_override"];

/// `POST /mp/collect`.
pub struct Ga4;

impl Protocol for Ga4 {
    fn name(&self) -> &'static str {
        "ga4"
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        Ok(message.param("api_secret").filter(|key| !key.is_empty()).map(Sender::Key))
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        if message.body.len() > BODY_BYTES_MAX {
            return Err(IngestError::too_large(format!("the body is larger than {BODY_BYTES_MAX} bytes")));
        }
        let body = object::raw(&message.body)?;
        let (events, mut client) = object::envelope(&body, "events", &CLIENT, EVENTS_MAX)?;
        let events = events.ok_or_else(|| IngestError::invalid("`events` is missing: an array"))?;
        let time_us =
            object::take_time_us(&mut client, "timestamp_micros", Unit::Microseconds).map_err(IngestError::invalid)?;
        let mut parsed = Parsed::default();
        for (index, item) in events.into_iter().enumerate() {
            let read = object::read(item.get()).and_then(|item| read_event(item, client.clone(), time_us));
            let read = read.and_then(|(mut draft, unread)| {
                if draft.event.anonymous_id.is_none() && draft.event.user_id.is_none() {
                    return Err("`client_id` is missing: which browser or device it was".into());
                }
                let who = draft.event.anonymous_id.clone().or(draft.event.user_id.clone()).unwrap_or_default();
                draft.id = Some(match draft.created_us {
                    Some(created_us) => EventId::derived(&[
                        b"ga4 event",
                        who.as_bytes(),
                        item.get().as_bytes(),
                        &created_us.to_le_bytes(),
                        &index.to_le_bytes(),
                    ]),
                    None => context.arrival_id(self.name(), format!("{who} {}", item.get()).as_bytes(), index),
                });
                let event = draft.complete(context, self.name(), || context.missing_id(item.get(), index))?;
                parsed.warnings.extend(unread.map(|reason| Warning { index, reason }));
                Ok(event)
            });
            parsed.push(index, item.get(), read);
        }
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Nothing(StatusCode::NO_CONTENT)
    }
}

/// The answer of `POST /debug/mp/collect`: what is wrong with a request. Nothing is stored.
pub fn validate(message: &Message, context: &Context) -> Value {
    let complaint = |path: String, description: &str| json!({ "fieldPath": path, "description": description, "validationCode": "VALUE_INVALID" });
    let messages: Vec<Value> = match Ga4.parse(message, context, EVENTS_MAX) {
        Ok(parsed) => {
            let rejected = parsed.rejected.into_iter().map(|rejected| (rejected.index, rejected.reason));
            let warnings = parsed.warnings.into_iter().map(|warning| (warning.index, warning.reason));
            rejected.chain(warnings).map(|(index, reason)| complaint(format!("events[{index}]"), &reason)).collect()
        }
        Err(error) => vec![complaint("events".into(), &error.to_string())],
    };
    json!({ "validationMessages": messages })
}

/// The draft of an event, and what of it could not be read.
///
/// - `client`: the fields that all events of a request share.
pub(crate) fn read_event(
    mut item: Object,
    mut client: Object,
    time_us: Option<i64>,
) -> Result<(Draft, Option<String>), String> {
    let mut draft = Draft::default();
    let event = &mut draft.event;
    event.name = object::take_text(&mut item, "name", NAME_CHARS_MAX)?.ok_or("`name` is missing: what happened")?;
    draft.created_us = object::take_time_us(&mut item, "timestamp_micros", Unit::Microseconds)?.or(time_us);
    event.anonymous_id = object::take_text(&mut client, "client_id", TEXT_CHARS_MAX)?;
    if event.anonymous_id.is_none() {
        event.anonymous_id = object::take_text(&mut client, "app_instance_id", TEXT_CHARS_MAX)?;
    }
    event.user_id = object::take_text(&mut client, "user_id", TEXT_CHARS_MAX)?;
    draft.user_agent = object::take_text(&mut client, "user_agent", LONG_CHARS_MAX)?;
    draft.ip = object::take_address(&mut client, "ip_override");

    let mut params = object::take_object(&mut item, "params").unwrap_or_default();
    let mut take = |name, chars_max| object::take_text(&mut params, name, chars_max);
    event.session_id = take("session_id", TEXT_CHARS_MAX)?;
    event.url = take("page_location", LONG_CHARS_MAX)?;
    event.referrer = take("page_referrer", LONG_CHARS_MAX)?;
    event.title = take("page_title", LONG_CHARS_MAX)?;
    event.language = take("language", TEXT_CHARS_MAX)?;
    event.screen = take("screen_resolution", TEXT_CHARS_MAX)?;
    event.utm_campaign = take("campaign", TEXT_CHARS_MAX)?;
    event.utm_source = take("source", TEXT_CHARS_MAX)?;
    event.utm_medium = take("medium", TEXT_CHARS_MAX)?;
    event.utm_term = take("term", TEXT_CHARS_MAX)?;
    event.utm_content = take("content", TEXT_CHARS_MAX)?;
    event.currency = take("currency", TEXT_CHARS_MAX)?;
    // Carts and views have a value, too, but it was not paid.
    event.revenue_e4 = match &*event.name {
        "purchase" | "in_app_purchase" => object::take_money_e4(&mut params, "value"),
        "refund" => object::take_money_e4(&mut params, "value").map(|amount| -amount),
        _ => None,
    };
    let is_paid = matches!(&*event.name, "purchase" | "in_app_purchase" | "refund");
    let unread = is_paid.then(|| object::unread_money(&params, "value")).flatten();
    if let Some(user_properties) = object::take(&mut client, "user_properties") {
        params.entry("user_properties").or_insert(user_properties);
    }
    draft.event.properties = object::properties(params)?;
    Ok((draft, unread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, context, digest, event, message, parse, refuse};

    const PATH: &str = "/mp/collect?measurement_id=G-1&api_secret=k";

    #[test]
    fn parameters_fill_columns() {
        let body = r#"{"client_id":"c1","user_id":"u1","user_properties":{"tier":{"value":"gold"}},"events":[{"name":"purchase",
            "params":{"session_id":7,"page_location":"https://shop.example/","value":19.9,"currency":"EUR","engagement_time_msec":100}}]}"#;
        let found = event(&Ga4, PATH, body);
        assert_eq!(
            digest(&found),
            r#"purchase | u1 | c1 | 7 | https://shop.example/ | {"engagement_time_msec":100,"user_properties":{"tier":{"value":"gold"}}}"#
        );
        assert_eq!((found.revenue_e4, found.currency.as_deref()), (Some(199_000), Some("EUR")));
    }

    #[test]
    fn only_what_was_paid_is_revenue() {
        let revenue = |name: &str| {
            let body = format!(r#"{{"client_id":"c","events":[{{"name":"{name}","params":{{"value":19.9}}}}]}}"#);
            let found = event(&Ga4, PATH, &body);
            (found.revenue_e4, found.properties)
        };
        assert_eq!(revenue("purchase"), (Some(199_000), None));
        assert_eq!(revenue("refund"), (Some(-199_000), None));
        assert_eq!(revenue("add_to_cart"), (None, Some(r#"{"value":19.9}"#.into())));
    }

    #[test]
    fn the_secret_is_the_write_key() {
        assert_eq!(Ga4.sender_of_address(&message(PATH, "")).unwrap(), Some(Sender::Key("k".into())));
        assert_eq!(Ga4.sender_of_address(&message("/mp/collect", "")).unwrap(), None);
    }

    #[test]
    fn a_request_sent_again_is_the_same_and_equal_events_in_one_are_not() {
        let one = r#"{"name":"a"}"#;
        let body = format!(r#"{{"client_id":"c","timestamp_micros":{},"events":[{one},{one}]}}"#, NOON_US - 5);
        let ids = |later_us: i64| {
            let context = Context { received_at_us: NOON_US + later_us, ..context() };
            let parsed = Ga4.parse(&message(PATH, &body), &context, 1).unwrap();
            assert_eq!(parsed.events[0].occurred_at_us, NOON_US - 5);
            [parsed.events[0].event_id, parsed.events[1].event_id]
        };
        assert_eq!(ids(0), ids(60_000_000));
        assert_ne!(ids(0)[0], ids(0)[1]);
    }

    #[test]
    fn limits_and_what_is_missing_are_named() {
        let many = format!(r#"{{"client_id":"c","events":[{}{{"name":"a"}}]}}"#, r#"{"name":"a"},"#.repeat(25));
        assert!(refuse(&Ga4, PATH, &many).starts_with("more than 25 events"));
        assert!(refuse(&Ga4, PATH, &" ".repeat(140_000)).starts_with("the body is larger than"));
        assert!(refuse(&Ga4, PATH, "{}").starts_with("`events` is missing"));
        let reason = |body| parse(&Ga4, PATH, body).rejected[0].reason.clone();
        assert!(reason(r#"{"events":[{"name":"a"}]}"#).starts_with("`client_id` is missing"));
        assert!(reason(r#"{"client_id":"c","events":[{}]}"#).starts_with("`name` is missing"));
    }

    #[test]
    fn the_debug_endpoint_says_what_is_wrong() {
        let validate = |body| validate(&message(PATH, body), &context())["validationMessages"].clone();
        assert_eq!(validate(r#"{"client_id":"c","events":[{"name":"a"}]}"#), json!([]));
        assert_eq!(validate(r#"{"client_id":"c","events":[{}]}"#)[0]["fieldPath"], "events[0]");
        assert_eq!(validate("nonsense")[0]["fieldPath"], "events");
    }
}
