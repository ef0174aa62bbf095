//! Umami's API for sending: <https://umami.is/docs/api/sending-stats>.
//!
//! The website id chooses the site; there is no key. An event with a name is a custom event, one without is a page
//! view. Events have no id: the same request within one second counts once.

use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::field::{LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::Object;
use super::body::{items, object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;

/// One event in one request: `POST /api/send`.
pub struct Umami;

/// Several: `POST /api/batch`.
pub struct UmamiBatch;

const NAME: &str = "umami";

impl Protocol for Umami {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_body(&self, message: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        sender_of(&object::raw(&message.body)?)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let item = object::raw(&message.body)?;
        Ok(parse_items(&[&*item], context, website_of(&item).unwrap_or_default()))
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        if receipt.is_bot {
            return Answer::Json(StatusCode::OK, json!({ "beep": "boop" }));
        }
        // Umami's clients only send these back. They are the same for the same visitor.
        let of = |what: &str| {
            let visitor = receipt.visitor_id.unwrap_or_default().to_le_bytes();
            Uuid::from_bytes(EventId::derived(&[what.as_bytes(), &visitor]).0).to_string()
        };
        Answer::Json(StatusCode::OK, json!({ "cache": "", "sessionId": of("session"), "visitId": of("visit") }))
    }

    fn refused(&self, status: StatusCode, error: &IngestError) -> Value {
        refusal(status, error)
    }
}

impl Protocol for UmamiBatch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError> {
        let body = object::raw(&message.body)?;
        let items = items::read_array(&body, events_max)?;
        sender_of(items.first().ok_or_else(|| IngestError::invalid("the array is empty"))?)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let body = object::raw(&message.body)?;
        let items = items::read_array(&body, events_max)?;
        let website = items.first().and_then(|item| website_of(item)).unwrap_or_default();
        Ok(parse_items(&items, context, website))
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        let details: Vec<Value> = receipt
            .rejected
            .iter()
            .map(|rejected| json!({ "index": rejected.index, "response": { "error": rejected.reason } }))
            .collect();
        let (good, bad) = (receipt.accepted, receipt.rejected.len());
        Answer::Json(
            StatusCode::OK,
            json!({ "size": good + bad, "processed": good, "errors": bad, "details": details }),
        )
    }

    fn refused(&self, status: StatusCode, error: &IngestError) -> Value {
        refusal(status, error)
    }
}

fn refusal(status: StatusCode, error: &IngestError) -> Value {
    let code = status.canonical_reason().unwrap_or_default().to_lowercase().replace(' ', "-");
    json!({ "error": { "message": error.to_string(), "code": code, "status": status.as_u16() } })
}

fn sender_of(item: &RawValue) -> Result<Option<Sender>, IngestError> {
    let website = website_of(item)
        .ok_or_else(|| IngestError::invalid("`payload.website` is missing: the site, by one of its domains"))?;
    Ok(Some(Sender::Domain(website)))
}

fn website_of(item: &RawValue) -> Option<String> {
    object::field(object::inner(item, "payload")?, "website")
}

fn parse_items(items: &[&RawValue], context: &Context, website: String) -> Parsed {
    let mut parsed = Parsed::default();
    for (index, item) in items.iter().enumerate() {
        let read = object::read(item.get()).and_then(|item| read(item, &website)).and_then(|mut draft| {
            draft.id = Some(context.arrival_id(NAME, item.get().as_bytes(), index));
            draft.complete(context, NAME, || context.missing_id(item.get(), index))
        });
        parsed.push(index, item.get(), read);
    }
    parsed
}

/// The draft of an event of a website.
pub(crate) fn read(mut item: Object, website: &str) -> Result<Draft, String> {
    let kind = object::take_text(&mut item, "type", TEXT_CHARS_MAX)?;
    let mut payload = object::take_object(&mut item, "payload").ok_or("`payload` is missing")?;
    if object::take_text(&mut payload, "website", LONG_CHARS_MAX)?.is_some_and(|named| named != website) {
        return Err("all events of a batch must name the same `website`".into());
    }
    let mut draft = Draft::default();
    let event = &mut draft.event;
    let name = object::take_text(&mut payload, "name", NAME_CHARS_MAX)?;
    event.name = match kind.as_deref() {
        Some("event") => name.unwrap_or("page_view".into()),
        Some("identify") => "identify".into(),
        _ => return Err("`type` must be event or identify".into()),
    };
    let hostname = object::take_text(&mut payload, "hostname", TEXT_CHARS_MAX)?;
    let url = object::take_text(&mut payload, "url", LONG_CHARS_MAX)?;
    event.url = match (hostname, url) {
        // Umami's script sends the path alone, and the host beside it.
        (Some(hostname), Some(path)) if path.starts_with('/') => Some(format!("https://{hostname}{path}")),
        (_, url) => url,
    };
    event.url = event.url.take().map(|url| encoded_once(&url));
    let referrer = object::take_text(&mut payload, "referrer", LONG_CHARS_MAX)?;
    event.referrer = referrer.map(|referrer| encoded_once(&referrer));
    event.title = object::take_text(&mut payload, "title", LONG_CHARS_MAX)?.map(decoded);
    event.language = object::take_text(&mut payload, "language", TEXT_CHARS_MAX)?;
    event.screen = object::take_text(&mut payload, "screen", TEXT_CHARS_MAX)?;
    event.user_id = object::take_text(&mut payload, "id", TEXT_CHARS_MAX)?;
    draft.created_us = object::take_time_us(&mut payload, "timestamp", Unit::Seconds)?;
    draft.ip = object::take_address(&mut payload, "ip");
    draft.user_agent = object::take_text(&mut payload, "userAgent", LONG_CHARS_MAX)?;
    let mut properties = object::take_object(&mut payload, "data").unwrap_or_default();
    if let Some(tag) = object::take_text(&mut payload, "tag", TEXT_CHARS_MAX)? {
        properties.entry("tag").or_insert(tag.into());
    }
    event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
    if event.revenue_e4.is_some() {
        event.currency = object::take_text(&mut properties, "currency", TEXT_CHARS_MAX)?;
    }
    event.properties = object::properties(properties)?;
    Ok(draft)
}

/// An address whose escapes were escaped once more, as the script of Umami 2 does.
fn encoded_once(url: &str) -> String {
    let mut parts = url.split("%25");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |url, part| {
        let is_escape = part.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        url + if is_escape { "%" } else { "%25" } + part
    })
}

/// A title without escapes, which the script of Umami 2 puts in. One that was not escaped stays as it is.
fn decoded(title: String) -> String {
    let bytes = title.as_bytes();
    let is_escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    let mut escapes = title.match_indices('%').peekable();
    if escapes.peek().is_none() || !escapes.all(|(at, _)| is_escape(at)) {
        return title;
    }
    // A plus sign stands for itself here.
    let decoded =
        url::form_urlencoded::parse(title.replace('+', "%2B").replace('&', "%26").replace('=', "%3D").as_bytes())
            .next()
            .map(|(title, _)| title.into_owned());
    decoded.filter(|decoded| !decoded.contains('\u{fffd}')).unwrap_or(title)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, message, parse};

    const PAGE: &str = r#"{"type":"event","payload":{"website":"shop","hostname":"shop.example","url":"/cart?a=1","title":"Cart","screen":"1x2","language":"de"}}"#;

    #[test]
    fn without_a_name_it_is_a_page_view() {
        let found = event(&Umami, "/api/send", PAGE);
        assert_eq!(digest(&found), "page_view | - | - | - | https://shop.example/cart?a=1 | -");
        assert_eq!((found.screen.as_deref(), found.language.as_deref()), (Some("1x2"), Some("de")));
        let sender = Umami.sender_of_body(&message("/api/send", PAGE), 1).unwrap();
        assert_eq!(sender, Some(Sender::Domain("shop".into())));
    }

    #[test]
    fn a_named_event_carries_data_and_revenue() {
        let body = r#"{"type":"event","payload":{"website":"s","name":"buy","id":"u1","timestamp":1772366399,"data":{"revenue":19.9,"currency":"EUR","n":3}}}"#;
        let found = event(&Umami, "/api/send", body);
        assert_eq!(digest(&found), r#"buy | u1 | - | - | - | {"n":3}"#);
        assert_eq!((found.revenue_e4, found.occurred_at_us), (Some(199_000), NOON_US - 1_000_000));
    }

    #[test]
    fn a_person_is_identified() {
        let body = r#"{"type":"identify","payload":{"website":"s","id":"u1","data":{"plan":"pro"}}}"#;
        assert_eq!(digest(&event(&Umami, "/api/send", body)), r#"identify | u1 | - | - | - | {"plan":"pro"}"#);
    }

    #[test]
    fn a_batch_is_of_one_website_and_the_same_event_twice_in_it_is_two() {
        let other = PAGE.replace("\"shop\"", "\"other\"");
        let parsed = parse(&UmamiBatch, "/api/batch", &format!("[{PAGE},{PAGE},{other},7]"));
        assert_eq!(parsed.events.len(), 2);
        assert_ne!(parsed.events[0].event_id, parsed.events[1].event_id);
        let reasons: Vec<_> = parsed.rejected.iter().map(|rejected| &*rejected.reason).collect();
        assert_eq!(reasons, ["all events of a batch must name the same `website`", "the event is not an object"]);
    }

    #[test]
    fn what_the_script_of_umami_2_escapes_is_read_as_it_was() {
        let read = |title: &str, url: &str| {
            let payload =
                json!({ "website": "s", "hostname": "shop.example", "title": title, "url": url, "referrer": url });
            let found = event(&Umami, "/api/send", &json!({ "type": "event", "payload": payload }).to_string());
            (found.title.unwrap(), found.url.unwrap())
        };
        let at = |path: &str| format!("https://shop.example{path}");
        for (title, expected) in [
            ("My%20Shop%20%E2%80%94%20100%25%20%2B%20caf%C3%A9", "My Shop \u{2014} 100% + caf\u{e9}"),
            ("Shop", "Shop"),
            ("100% wool & 5+5=10", "100% wool & 5+5=10"),
            ("50%E9", "50%E9"),
        ] {
            assert_eq!(read(title, "/"), (expected.to_owned(), at("/")));
        }
        for (url, expected) in [
            ("/gr%25C3%25B6%25C3%259Fe?q=a%2520b", "/gr%C3%B6%C3%9Fe?q=a%20b"),
            ("/gr%C3%B6%C3%9Fe?q=100%25", "/gr%C3%B6%C3%9Fe?q=100%25"),
            ("/100%25-wool", "/100%25-wool"),
        ] {
            assert_eq!(read("Shop", url), ("Shop".to_owned(), at(expected)));
        }
    }

    #[test]
    fn robots_are_greeted() {
        let receipt = Receipt { is_bot: true, ..Receipt::default() };
        assert_eq!(Umami.accepted(&receipt), Answer::Json(StatusCode::OK, json!({ "beep": "boop" })));
    }
}
