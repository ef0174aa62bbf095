//! Segment's HTTP tracking API, which RudderStack's SDKs speak too:
//! <https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/>.
//!
//! Calls also come in the address of an image: RudderStack's pixel has a parameter for each field, Segment's has the
//! whole call in Base64.
//!
//! `page` and `screen` become `page_view` and `screen_view`; `identify`, `group` and `alias` keep their names, and
//! `track` has the name of its event. Deduplicated by `messageId`.

use base64::Engine;
use http::StatusCode;
use instant::Unit;
use lake::EventId;
use serde_json::{Value, json};

use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, BASE64, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender, Warning};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;
use crate::json;

/// Segment's own limits.
const EVENT_BYTES_MAX: usize = 32 * 1024;
const BATCH_BYTES_MAX: usize = 500 * 1024;
const BATCH_EVENTS_MAX: usize = 2_500;

/// How deep the name of a parameter nests its value. A sender may put in points without end.
const NESTED_MAX: u32 = 4;

/// A batch or a call in a body.
pub struct Segment;

/// A call in the address of an image.
pub struct SegmentPixel;

const NAME: &str = "segment";

impl Protocol for Segment {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        // RudderStack's beacons have no header to send it in.
        Ok(message.param("writeKey").filter(|key| !key.is_empty()).map(Sender::Key))
    }

    fn sender_of_body(&self, message: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        check_size(message)?;
        Ok(object::field(&object::raw(&message.body)?, "writeKey").map(Sender::Key))
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        parse_calls(NAME, message, context, events_max)
    }

    fn accepted(&self, receipt: &Receipt) -> Answer {
        receipt.answer(json!({ "success": true }))
    }

    fn refused(&self, _: StatusCode, error: &IngestError) -> Value {
        json!({ "success": false, "message": error.to_string() })
    }
}

impl Protocol for SegmentPixel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        let mut call = call_of(message).map_err(IngestError::invalid)?;
        Ok(object::take_text(&mut call, "writeKey", TEXT_CHARS_MAX).ok().flatten().map(Sender::Key))
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let mut call = call_of(message).map_err(IngestError::invalid)?;
        call.remove("writeKey");
        let sent = Value::Object(call.clone()).to_string();
        let read = read_item(call, Some(message.endpoint()), None, &Object::new()).and_then(|(mut draft, _)| {
            // Browsers and proxies may fetch an image again at any time.
            draft.id = draft.id.or_else(|| Some(context.arrival_id(NAME, sent.as_bytes(), 0)));
            draft.complete(context, NAME, || context.missing_id(&sent, 0))
        });
        let mut parsed = Parsed::default();
        parsed.push(0, &sent, read);
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Gif
    }

    fn refused(&self, status: StatusCode, error: &IngestError) -> Value {
        Segment.refused(status, error)
    }
}

/// The call in an address: in `data`, as Base64 of its JSON, or a parameter for each field, with points in the names
/// of inner ones (`context.page.url`).
fn call_of(message: &Message) -> Result<Object, String> {
    if let Some(data) = message.param("data") {
        let json = BASE64.decode(object::base64_of(&data)).map_err(|error| format!("`data` is not Base64: {error}"))?;
        let json = json::text_of(&json).map_err(|error| format!("`data` cannot be read: {error}"))?;
        return json::read(&json).map_err(|error| format!("`data` is not a call in JSON: {error}"));
    }
    let mut call = Object::new();
    for (name, value) in message.params() {
        // AMP's pages put the id into quotes.
        let value = if name == "anonymousId" { value.trim_matches('"') } else { &*value };
        insert_at(&mut call, &name, value.into(), NESTED_MAX);
    }
    Ok(call)
}

fn insert_at(object: &mut Object, path: &str, value: Value, nested_max: u32) {
    match path.split_once('.').filter(|_| nested_max > 0) {
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert(Value::Null);
            if !inner.is_object() {
                *inner = Value::Object(Object::new());
            }
            let Value::Object(inner) = inner else { return };
            insert_at(inner, rest, value, nested_max - 1);
        }
        None => _ = object.insert(path.to_owned(), value),
    }
}

/// Parses a batch or a call.
///
/// - `name`: the protocol that sends it; several have Segment's calls.
pub(super) fn parse_calls(
    name: &'static str,
    message: &Message,
    context: &Context,
    events_max: usize,
) -> Result<Parsed, IngestError> {
    check_size(message)?;
    let body = object::raw(&message.body)?;
    let is_batch = matches!(message.endpoint(), "batch" | "import");
    let (items, mut envelope) = match is_batch {
        true => object::envelope(&body, "batch", &["sentAt", "context"], events_max)?,
        // A single event has its fields, its context too, in the item itself.
        false => (Some(vec![&*body]), Object::new()),
    };
    let items = items.ok_or_else(|| IngestError::invalid("`batch` is missing: an array of events"))?;
    if items.len() > BATCH_EVENTS_MAX {
        return Err(IngestError::invalid(format!("more than {BATCH_EVENTS_MAX} events in one request")));
    }
    let sent_us = object::take_time_us(&mut envelope, "sentAt", Unit::Milliseconds).map_err(IngestError::invalid)?;
    let shared = object::take_object(&mut envelope, "context").unwrap_or_default();
    // `event` is Jitsu's address for calls of any type.
    let kind = Some(message.endpoint()).filter(|kind| !is_batch && *kind != "event");
    let mut parsed = Parsed::default();
    for (index, item) in items.into_iter().enumerate() {
        let read = object_of(item.get()).and_then(|item| read_item(item, kind, sent_us, &shared)).and_then(
            |(draft, unread)| {
                let event = draft.complete(context, name, || context.missing_id(item.get(), index))?;
                parsed.warnings.extend(unread.map(|reason| Warning { index, reason }));
                Ok(event)
            },
        );
        parsed.push(index, item.get(), read);
    }
    Ok(parsed)
}

pub(super) fn check_size(message: &Message) -> Result<(), IngestError> {
    match message.body.len() > BATCH_BYTES_MAX {
        true => Err(IngestError::invalid(format!("the body is larger than {BATCH_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

fn object_of(json: &str) -> Result<Object, String> {
    match json.len() > EVENT_BYTES_MAX {
        true => Err(format!("the event is larger than {EVENT_BYTES_MAX} bytes")),
        false => object::read(json),
    }
}

/// The draft of a call, and what of it could not be read.
pub(crate) fn read_item(
    mut item: Object,
    kind: Option<&str>,
    sent_us: Option<i64>,
    shared: &Object,
) -> Result<(Draft, Option<String>), String> {
    let mut draft = Draft::default();
    let event = &mut draft.event;
    let kind = match object::take_text(&mut item, "type", NAME_CHARS_MAX)? {
        Some(kind) => kind,
        None => kind.ok_or("`type` is missing: track, page, screen, identify, group or alias")?.to_owned(),
    };
    // The library for browsers uses paths of one letter.
    let kind = match &*kind {
        "t" => "track",
        "p" => "page",
        "s" => "screen",
        "i" => "identify",
        "g" => "group",
        "a" => "alias",
        other => other,
    };
    let id = object::take_text(&mut item, "messageId", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    event.user_id = object::take_text(&mut item, "userId", TEXT_CHARS_MAX)?;
    event.anonymous_id = object::take_text(&mut item, "anonymousId", TEXT_CHARS_MAX)?;
    let original_us = object::take_time_us(&mut item, "originalTimestamp", Unit::Milliseconds)?;
    draft.created_us = object::take_time_us(&mut item, "timestamp", Unit::Milliseconds)?.or(original_us);
    draft.sent_us = object::take_time_us(&mut item, "sentAt", Unit::Milliseconds)?.or(sent_us);

    let mut context = shared.clone();
    let own = object::take_object(&mut item, "context").unwrap_or_default();
    context.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    let mut traits = object::take_object(&mut item, "traits");
    if kind == "identify" && traits.is_none() {
        // RudderStack's SDKs for browsers and phones send them here.
        traits = object::take_object(&mut context, "traits");
    }
    let mut properties = object::take_object(&mut item, "properties").or(traits).unwrap_or_default();
    let mut name = object::take_text(&mut item, "name", LONG_CHARS_MAX)?;
    if let Some(category) = object::take_text(&mut item, "category", TEXT_CHARS_MAX)? {
        properties.entry("category").or_insert(category.into());
    }
    let mut unread = None;
    event.name = match kind {
        "track" => {
            event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
            unread = object::unread_money(&properties, "revenue");
            event.currency = object::take_text(&mut properties, "currency", TEXT_CHARS_MAX)?;
            object::take_text(&mut item, "event", NAME_CHARS_MAX)?
                .ok_or("`event` is missing: the name of what was tracked")?
        }
        "page" => {
            event.url = object::take_text(&mut properties, "url", LONG_CHARS_MAX)?;
            event.referrer = object::take_text(&mut properties, "referrer", LONG_CHARS_MAX)?;
            event.title = object::take_text(&mut properties, "title", LONG_CHARS_MAX)?;
            "page_view".into()
        }
        "screen" => {
            event.title = name.take();
            "screen_view".into()
        }
        "identify" => "identify".into(),
        "group" => {
            if let Some(group) = object::take_text(&mut item, "groupId", TEXT_CHARS_MAX)? {
                properties.insert("group_id".into(), group.into());
            }
            "group".into()
        }
        "alias" => {
            let previous = object::take_text(&mut item, "previousId", TEXT_CHARS_MAX)?;
            event.anonymous_id = previous.or(event.anonymous_id.take());
            "alias".into()
        }
        other => return Err(format!("`type` {other} is unknown; use track, page, screen, identify, group or alias")),
    };
    if let Some(name) = name {
        properties.entry("name").or_insert(name.into());
    }
    if event.user_id.is_none() && event.anonymous_id.is_none() {
        return Err("send `userId` or `anonymousId`".into());
    }

    read_context(&mut draft, context)?;
    draft.event.properties = object::properties(properties)?;
    Ok((draft, unread))
}

/// Reads the context into columns. The context itself is not stored: most of it repeats columns.
fn read_context(draft: &mut Draft, mut context: Object) -> Result<(), String> {
    let event = &mut draft.event;
    draft.ip = object::take_address(&mut context, "ip");
    draft.user_agent = object::take_text(&mut context, "userAgent", LONG_CHARS_MAX)?;
    event.language = object::take_text(&mut context, "locale", TEXT_CHARS_MAX)?;
    if let Some(mut page) = object::take_object(&mut context, "page") {
        let url = object::take_text(&mut page, "url", LONG_CHARS_MAX)?;
        event.url = event.url.take().or(url);
        let referrer = object::take_text(&mut page, "referrer", LONG_CHARS_MAX)?;
        event.referrer = event.referrer.take().or(referrer);
        let title = object::take_text(&mut page, "title", LONG_CHARS_MAX)?;
        event.title = event.title.take().or(title);
    }
    if let Some(mut campaign) = object::take_object(&mut context, "campaign") {
        let mut take = |name| object::take_text(&mut campaign, name, TEXT_CHARS_MAX);
        event.utm_campaign = take("name")?;
        event.utm_source = take("source")?;
        event.utm_medium = take("medium")?;
        event.utm_term = take("term")?;
        event.utm_content = take("content")?;
    }
    if let Some(mut library) = object::take_object(&mut context, "library") {
        let name = object::take_text(&mut library, "name", TEXT_CHARS_MAX)?;
        let version = object::take_text(&mut library, "version", TEXT_CHARS_MAX)?;
        event.sdk = name.map(|name| version.map_or(name.clone(), |version| format!("{name}/{version}")));
    }
    if let Some(mut screen) = object::take_object(&mut context, "screen") {
        let width = object::take_text(&mut screen, "width", TEXT_CHARS_MAX)?;
        let height = object::take_text(&mut screen, "height", TEXT_CHARS_MAX)?;
        event.screen = width.zip(height).map(|(width, height)| format!("{width}x{height}"));
    }
    event.session_id = object::take_text(&mut context, "sessionId", TEXT_CHARS_MAX)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, message, parse, refuse};

    #[test]
    fn each_kind_of_call_has_its_name_and_its_fields() {
        check(
            r#"{"type":"track","event":"Order Completed","userId":"u1","properties":{"revenue":19.9,"currency":"EUR","order_id":"o1"}}"#,
            r#"Order Completed | u1 | - | - | - | {"order_id":"o1"}"#,
        );
        check(
            r#"{"type":"page","name":"Cart","category":"Shop","anonymousId":"a1","properties":{"url":"https://shop.example/cart","title":"Cart"}}"#,
            r#"page_view | - | a1 | - | https://shop.example/cart | {"category":"Shop","name":"Cart"}"#,
        );
        check(
            r#"{"type":"screen","name":"Home","userId":"u1","properties":{"variant":"b"}}"#,
            r#"screen_view | u1 | - | - | - | {"variant":"b"}"#,
        );
        check(
            r#"{"type":"identify","userId":"u1","anonymousId":"a1","traits":{"plan":"pro"}}"#,
            r#"identify | u1 | a1 | - | - | {"plan":"pro"}"#,
        );
        check(
            r#"{"type":"identify","userId":"u1","context":{"traits":{"plan":"pro"}}}"#,
            r#"identify | u1 | - | - | - | {"plan":"pro"}"#,
        );
        check(
            r#"{"type":"group","userId":"u1","groupId":"g1","traits":{"name":"Acme"}}"#,
            r#"group | u1 | - | - | - | {"group_id":"g1","name":"Acme"}"#,
        );
        check(r#"{"type":"alias","userId":"u1","previousId":"a1"}"#, "alias | u1 | a1 | - | - | -");
    }

    #[test]
    fn the_path_names_the_kind_of_a_single_event() {
        let found = event(&Segment, "/v1/track/", r#"{"event":"a","userId":7,"writeKey":"k"}"#);
        assert_eq!(digest(&found), "a | 7 | - | - | - | -");
        assert_eq!(event(&Segment, "/v1/page", r#"{"userId":"u"}"#).name, "page_view");
        assert_eq!(event(&Segment, "/v1/p", r#"{"userId":"u"}"#).name, "page_view");
    }

    #[test]
    fn the_context_fills_columns_and_the_batchs_comes_second() {
        let body = r#"{"context":{"locale":"de","ip":"203.0.113.9"},"batch":[{"type":"track","event":"a","userId":"u",
            "context":{"locale":"en","page":{"url":"https://shop.example/?utm_source=x","referrer":"https://s.example/"},
            "campaign":{"source":"news","medium":"email"},"library":{"name":"lib","version":"1"},
            "screen":{"width":10,"height":20}}}]}"#;
        let found = event(&Segment, "/v1/batch", body);
        assert_eq!(found.language.as_deref(), Some("en"));
        assert_eq!(found.utm_source.as_deref(), Some("news"));
        assert_eq!(found.referrer_host.as_deref(), Some("s.example"));
        assert_eq!((found.sdk.as_deref(), found.screen.as_deref()), (Some("lib/1"), Some("10x20")));
        assert_eq!(found.properties, None);
    }

    #[test]
    fn the_clock_is_corrected_by_the_time_of_sending() {
        let body = r#"{"sentAt":"2020-01-01T00:01:00Z","batch":[{"type":"track","event":"a","userId":"u","timestamp":"2020-01-01T00:00:00Z"}]}"#;
        assert_eq!(event(&Segment, "/v1/batch", body).occurred_at_us, NOON_US - 60_000_000);
        let of_the_sdk = r#"{"batch":[{"type":"track","event":"a","userId":"u","timestamp":"2026-03-01T11:00:00Z",
            "originalTimestamp":"2026-03-01T11:59:00Z","sentAt":"2026-03-01T12:00:00Z"}]}"#;
        assert_eq!(event(&Segment, "/v1/batch", of_the_sdk).occurred_at_us, NOON_US - 3_600_000_000);
    }

    #[test]
    fn a_message_id_identifies_whatever_it_looks_like() {
        let id = "node-next-1795264519528-c3092922-1262-430c-aabd-9dbd0b71298e";
        let body = format!(r#"{{"event":"a","userId":"u","messageId":"{id}"}}"#);
        let found = event(&Segment, "/v1/track", &body);
        assert_eq!((found.event_id, found.id_assigned), (EventId::from_client(id), false));
        assert!(event(&Segment, "/v1/track", r#"{"event":"a","userId":"u"}"#).id_assigned);
    }

    #[test]
    fn refusals_name_what_is_missing() {
        let reasons = |body: &str| {
            let parsed = parse(&Segment, "/v1/batch", body);
            parsed.rejected.into_iter().map(|rejected| rejected.reason).collect::<Vec<_>>().join(" ")
        };
        assert!(reasons(r#"{"batch":[{"type":"track","event":"a"}]}"#).starts_with("send `userId`"));
        assert!(reasons(r#"{"batch":[{"type":"track","userId":"u"}]}"#).starts_with("`event` is missing"));
        assert!(reasons(r#"{"batch":[{"type":"wave","userId":"u"}]}"#).starts_with("`type` wave is unknown"));
        assert!(reasons(r#"{"batch":[{"userId":"u"}]}"#).starts_with("`type` is missing"));
        assert!(reasons(r#"{"batch":[7]}"#).starts_with("the event is not an object"));
        let large = format!(r#"{{"batch":[{{"type":"track","event":"a","userId":"{}"}}]}}"#, "u".repeat(33_000));
        assert!(reasons(&large).starts_with("the event is larger than 32768 bytes"));
        assert!(refuse(&Segment, "/v1/batch", "{}").starts_with("`batch` is missing"));
        assert!(refuse(&Segment, "/v1/batch", &" ".repeat(600_000)).starts_with("the body is larger than"));
        let many = format!(r#"{{"batch":[{}1]}}"#, "1,".repeat(2_500));
        assert!(refuse(&Segment, "/v1/batch", &many).starts_with("more than 2500 events"));
    }

    #[test]
    fn the_write_key_may_be_in_the_body() {
        let sender = |path, body: &str| Segment.sender_of_body(&message(path, body), 10).unwrap();
        assert_eq!(sender("/v1/batch", r#"{"writeKey":"k","batch":[]}"#), Some(Sender::Key("k".into())));
        assert_eq!(sender("/v1/track", r#"{"writeKey":"k"}"#), Some(Sender::Key("k".into())));
        assert_eq!(sender("/v1/track", "{}"), None);
    }

    #[track_caller]
    fn check(item: &str, expected: &str) {
        assert_eq!(digest(&event(&Segment, "/v1/batch", &format!(r#"{{"batch":[{item}]}}"#))), expected);
    }
}
