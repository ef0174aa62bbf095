//! Snowplow's tracker protocol, version 2:
//! <https://docs.snowplow.io/docs/fundamentals/canonical-event/understanding-the-snowplow-tracker-protocol/>.
//!
//! The app id (`aid`) chooses the site; there is no key. Page views and pings become `page_view` and `page_ping`. A
//! structured event is named by its action, a self-describing one by its schema. Schemas are not looked up: any data
//! is accepted. Trackers for phones name the device and its session in the context `client_session`, and trackers of
//! shops the money in a context beside the event.

use base64::Engine;
use http::StatusCode;
use instant::Unit;
use lake::{Event, EventId};
use serde_json::Value;

use super::body::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::body::object::{self, BASE64, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;
use crate::json;

/// The id of nobody, which trackers write where the schema wants an id and the visitor wants none.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// The path that Snowplow's trackers post to.
pub const PATH: &str = "/com.snowplowanalytics.snowplow/tp2";

/// `POST` to [`PATH`].
pub struct Snowplow;

/// `GET /i`, with the event in the parameters of an image.
pub struct SnowplowPixel;

const NAME: &str = "snowplow";

impl Protocol for Snowplow {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_body(&self, message: &Message, events_max: usize) -> Result<Option<Sender>, IngestError> {
        let body = object::raw(&message.body)?;
        let (data, _) = object::envelope(&body, "data", &[], events_max)?;
        let first = data.as_ref().and_then(|data| data.first()).and_then(|first| object::field(first, "aid"));
        first.map(Sender::Domain).map(Some).ok_or_else(no_app)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let body = object::raw(&message.body)?;
        let (data, _) = object::envelope(&body, "data", &[], events_max)?;
        let data = data.ok_or_else(|| IngestError::invalid("`data` is missing: an array of events"))?;
        let app = data.first().and_then(|first| object::field(first, "aid"));
        let mut parsed = Parsed::default();
        for (index, item) in data.into_iter().enumerate() {
            let read = object::read(item.get()).and_then(|fields| {
                if fields.get("aid").and_then(Value::as_str) != app.as_deref() {
                    return Err("all events of a request must name the same `aid`".into());
                }
                read(fields)?.complete(context, NAME, || context.missing_id(item.get(), index))
            });
            parsed.push(index, item.get(), read);
        }
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Text(StatusCode::OK, "ok")
    }
}

impl Protocol for SnowplowPixel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn sender_of_address(&self, message: &Message) -> Result<Option<Sender>, IngestError> {
        let app = message.param("aid").filter(|app| !app.is_empty());
        app.map(Sender::Domain).map(Some).ok_or_else(no_app)
    }

    fn sender_of_body(&self, _: &Message, _: usize) -> Result<Option<Sender>, IngestError> {
        Ok(None)
    }

    fn parse(&self, message: &Message, context: &Context, _: usize) -> Result<Parsed, IngestError> {
        let mut parsed = Parsed::default();
        let sent = message.uri.query().unwrap_or_default();
        parsed.push(
            0,
            sent,
            read(fields_of(message)).and_then(|draft| draft.complete(context, NAME, || context.missing_id(sent, 0))),
        );
        Ok(parsed)
    }

    fn accepted(&self, _: &Receipt) -> Answer {
        Answer::Gif
    }
}

fn fields_of(message: &Message) -> Object {
    message.params().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

fn no_app() -> IngestError {
    IngestError::invalid("`aid` is missing: the site, by one of its domains")
}

/// The draft of an event, from the parameters of the tracker's protocol.
pub(crate) fn read(mut fields: Object) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let mut properties = Object::new();
    let kind = object::take_text(&mut fields, "e", TEXT_CHARS_MAX)?.ok_or("`e` is missing: the kind of event")?;
    draft.event.name = match &*kind {
        "pv" => "page_view".into(),
        "pp" => {
            for name in ["pp_mix", "pp_max", "pp_miy", "pp_may"] {
                move_field(&mut fields, &mut properties, name, name);
            }
            "page_ping".into()
        }
        "se" => {
            for (from, to) in [("se_ca", "category"), ("se_la", "label"), ("se_pr", "property"), ("se_va", "value")] {
                move_field(&mut fields, &mut properties, from, to);
            }
            object::take_text(&mut fields, "se_ac", NAME_CHARS_MAX)?.ok_or("`se_ac` is missing: what was done")?
        }
        "ue" => {
            let event = decoded(&mut fields, "ue_pr", "ue_px")?.ok_or("`ue_pr` is missing: the event itself")?;
            let inner = event.get("data").cloned().unwrap_or_default();
            let schema = inner.get("schema").and_then(Value::as_str).unwrap_or_default();
            if let Some(Value::Object(data)) = inner.get("data") {
                properties.clone_from(data);
            }
            if name_in(schema) == Some("screen_view") {
                draft.event.title = object::take_text(&mut properties, "name", LONG_CHARS_MAX)?;
            }
            draft.event.revenue_e4 = object::take_money_e4(&mut properties, "revenue");
            if draft.event.revenue_e4.is_some() {
                draft.event.currency = object::take_text(&mut properties, "currency", TEXT_CHARS_MAX)?;
            }
            name_in(schema).ok_or("the event has no schema such as iglu:com.example/name/jsonschema/1-0-0")?.to_owned()
        }
        "tr" => {
            draft.event.revenue_e4 = object::take_money_e4(&mut fields, "tr_tt");
            draft.event.currency = object::take_text(&mut fields, "tr_cu", TEXT_CHARS_MAX)?;
            for name in ["tr_id", "tr_af", "tr_tx", "tr_sh", "tr_ci", "tr_st", "tr_co"] {
                move_field(&mut fields, &mut properties, name, name);
            }
            "transaction".into()
        }
        "ti" => {
            for name in ["ti_id", "ti_sk", "ti_nm", "ti_ca", "ti_pr", "ti_qu", "ti_cu"] {
                move_field(&mut fields, &mut properties, name, name);
            }
            "transaction_item".into()
        }
        other => return Err(format!("`e` {other} is unknown; use pv, pp, se, ue, tr or ti")),
    };
    read_columns(&mut draft, &mut fields)?;
    if let Some(mut contexts) = decoded(&mut fields, "co", "cx")?
        && let Some(contexts) = contexts.get_mut("data").map(Value::take).filter(|contexts| !contexts.is_null())
    {
        read_contexts(&mut draft.event, &properties, &contexts)?;
        properties.insert("contexts".into(), contexts);
    }
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

/// Reads what contexts say of the visitor and of money. They stay as they are.
fn read_contexts(event: &mut Event, properties: &Object, contexts: &Value) -> Result<(), String> {
    let action = properties.get("type").and_then(Value::as_str).filter(|_| event.name == "snowplow_ecommerce_action");
    for context in contexts.as_array().into_iter().flatten() {
        let name = context.get("schema").and_then(Value::as_str).and_then(name_in);
        let Some(Value::Object(data)) = context.get("data") else { continue };
        let mut data = data.clone();
        match (name, action) {
            (Some("client_session"), _) => {
                let mut take = |name| object::take_text(&mut data, name, TEXT_CHARS_MAX);
                let (device, session) = (take("userId")?.filter(|id| id != NOBODY), take("sessionId")?);
                event.anonymous_id = event.anonymous_id.take().or(device);
                event.session_id = event.session_id.take().or(session);
            }
            (Some("transaction"), Some("transaction")) if event.revenue_e4.is_none() => {
                event.revenue_e4 = object::take_money_e4(&mut data, "revenue");
                event.currency = object::take_text(&mut data, "currency", TEXT_CHARS_MAX)?;
            }
            (Some("refund"), Some("refund")) if event.revenue_e4.is_none() => {
                event.revenue_e4 = object::take_money_e4(&mut data, "refund_amount").map(|amount| -amount);
                event.currency = object::take_text(&mut data, "currency", TEXT_CHARS_MAX)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn read_columns(draft: &mut Draft, fields: &mut Object) -> Result<(), String> {
    let event = &mut draft.event;
    let id = object::take_text(fields, "eid", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    let true_us = object::take_time_us(fields, "ttm", Unit::Milliseconds)?;
    let created_us = object::take_time_us(fields, "dtm", Unit::Milliseconds)?;
    let sent_us = object::take_time_us(fields, "stm", Unit::Milliseconds)?;
    // The true time does not come from the sender's clock, so the time of sending cannot correct it.
    (draft.created_us, draft.sent_us) = match true_us {
        Some(true_us) => (Some(true_us), None),
        None => (created_us, sent_us),
    };
    let mut take = |name, chars_max| object::take_text(fields, name, chars_max);
    event.user_id = take("uid", TEXT_CHARS_MAX)?;
    event.anonymous_id = take("duid", TEXT_CHARS_MAX)?;
    for name in ["nuid", "tnuid"] {
        let other = take(name, TEXT_CHARS_MAX)?;
        event.anonymous_id = event.anonymous_id.take().or(other);
    }
    event.session_id = take("sid", TEXT_CHARS_MAX)?;
    event.url = take("url", LONG_CHARS_MAX)?;
    event.title = take("page", LONG_CHARS_MAX)?.or(event.title.take());
    event.referrer = take("refr", LONG_CHARS_MAX)?;
    event.language = take("lang", TEXT_CHARS_MAX)?;
    event.screen = take("res", TEXT_CHARS_MAX)?;
    event.viewport = take("vp", TEXT_CHARS_MAX)?;
    event.sdk = take("tv", TEXT_CHARS_MAX)?;
    draft.user_agent = take("ua", LONG_CHARS_MAX)?;
    draft.ip = object::take_address(fields, "ip");
    Ok(())
}

/// Moves a field to the properties.
fn move_field(fields: &mut Object, properties: &mut Object, from: &str, to: &str) {
    if let Some(value) = object::take(fields, from) {
        properties.insert(to.into(), value);
    }
}

/// The JSON in a field: plain under one name, or Base64 under the other.
fn decoded(fields: &mut Object, plain: &str, base64: &str) -> Result<Option<Value>, String> {
    let (name, text) = match (object::take(fields, plain), object::take(fields, base64)) {
        (Some(Value::String(text)), _) => (plain, text),
        (_, Some(Value::String(encoded))) => {
            let bytes = BASE64.decode(object::base64_of(&encoded));
            let bytes = bytes.map_err(|error| format!("`{base64}` is not Base64: {error}"))?;
            (base64, json::text_of(&bytes).map_err(|error| format!("`{base64}` cannot be read: {error}"))?.into_owned())
        }
        // Some trackers leave the object as it is.
        (Some(value @ Value::Object(_)), _) => return Ok(Some(value)),
        _ => return Ok(None),
    };
    json::read(&text).map(Some).map_err(|error| format!("`{name}` is not JSON: {error}"))
}

/// The name in a schema's address: `iglu:vendor/name/format/version`.
fn name_in(schema: &str) -> Option<&str> {
    schema.strip_prefix("iglu:")?.split('/').nth(1).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;
    use crate::protocol::body::object::tests::{NOON_US, digest, event, message, parse};

    const PATH: &str = "/com.snowplowanalytics.snowplow/tp2";

    #[test]
    fn each_kind_has_its_name_and_its_fields() {
        check(
            r#"{"e":"pv","url":"https://shop.example/","page":"Home","duid":"d","uid":"u","sid":"s","aid":"x"}"#,
            "page_view | u | d | s | https://shop.example/ | -",
        );
        check(r#"{"e":"pp","pp_max":"10","nuid":"n"}"#, r#"page_ping | - | n | - | - | {"pp_max":"10"}"#);
        check(
            r#"{"e":"se","se_ca":"shop","se_ac":"add","se_la":"hat","se_pr":"pcs","se_va":"2.5"}"#,
            r#"add | - | - | - | - | {"category":"shop","label":"hat","property":"pcs","value":"2.5"}"#,
        );
        check(
            r#"{"e":"tr","tr_id":"o1","tr_tt":"19.9","tr_cu":"EUR"}"#,
            r#"transaction | - | - | - | - | {"tr_id":"o1"}"#,
        );
    }

    #[test]
    fn a_self_describing_event_is_named_by_its_schema_in_either_encoding() {
        let data = r#"{"schema":"iglu:x/unstruct_event/jsonschema/1-0-0","data":{"schema":"iglu:com.example/order/jsonschema/1-0-0","data":{"revenue":19.9,"n":1}}}"#;
        let contexts = r#"{"schema":"iglu:x/contexts/jsonschema/1-0-0","data":[{"schema":"iglu:x/web_page/jsonschema/1-0-0","data":{"id":"p"}}]}"#;
        let expected = r#"order | - | - | - | - | {"contexts":[{"data":{"id":"p"},"schema":"iglu:x/web_page/jsonschema/1-0-0"}],"n":1}"#;
        check(&json!({"e": "ue", "ue_pr": data, "co": contexts}).to_string(), expected);
        // Every length of padding, in both alphabets: `?>` and `~` need letters in which they differ.
        for spaces in ["", " ", "  "] {
            let (data, contexts) = (format!("{data}{spaces}"), format!("{contexts}{spaces}"));
            for base64 in [&URL_SAFE, &URL_SAFE_NO_PAD, &STANDARD, &STANDARD_NO_PAD] {
                check(
                    &json!({"e": "ue", "ue_px": base64.encode(&data), "cx": base64.encode(&contexts)}).to_string(),
                    expected,
                );
            }
        }
        let odd = r#"{"schema":"x","data":{"schema":"iglu:x/a/jsonschema/1-0-0","data":{"a":"??>>~~ÿÿ"}}}"#;
        let encoded = STANDARD.encode(odd);
        assert!(encoded.contains('+') && encoded.contains('/'), "{encoded}");
        check(&json!({"e": "ue", "ue_px": encoded}).to_string(), r#"a | - | - | - | - | {"a":"??>>~~ÿÿ"}"#);
        let found = event(&SnowplowPixel, &format!("/i?e=ue&aid=x&ue_px={encoded}"), "");
        assert_eq!(found.properties.as_deref(), Some(r#"{"a":"??>>~~ÿÿ"}"#));
    }

    #[test]
    fn the_pixel_says_the_same_in_its_address() {
        let path = "/i?e=pv&aid=shop.example&eid=1&url=https%3A%2F%2Fshop.example%2F&dtm=1577836800000&stm=1577836860000&duid=d";
        let found = event(&SnowplowPixel, path, "");
        assert_eq!(digest(&found), "page_view | - | d | - | https://shop.example/ | -");
        assert_eq!(found.occurred_at_us, NOON_US - 60_000_000);
        let sender = SnowplowPixel.sender_of_address(&message(path, "")).unwrap();
        assert_eq!(sender, Some(Sender::Domain("shop.example".into())));
    }

    #[test]
    fn phones_name_the_device_and_its_session_in_a_context() {
        let who = |session: &str, fields: &str| {
            let session = format!(
                r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2","data":{session}}}"#
            );
            let contexts = format!(r#"{{"schema":"iglu:x/contexts/jsonschema/1-0-1","data":[{session}]}}"#);
            let item = json!({"e": "pv", "cx": STANDARD.encode(contexts)}).to_string();
            let item = item.replacen('{', &format!("{{{fields}"), 1);
            let found = event(&Snowplow, PATH, &format!(r#"{{"data":[{item}]}}"#));
            (found.anonymous_id.unwrap_or_default(), found.session_id.unwrap_or_default())
        };
        let of = |device: &str, session: &str| (device.to_owned(), session.to_owned());
        let phone = r#"{"userId":"d1","sessionId":"s1","sessionIndex":3,"previousSessionId":null}"#;
        assert_eq!(who(phone, ""), of("d1", "s1"), "Android, iOS, React Native, Flutter");
        assert_eq!(who(phone, r#""duid":"d2","sid":"s2","#), of("d2", "s2"), "browsers with the session context");
        assert_eq!(who(phone, r#""duid":null,"sid":null,"#), of("d1", "s1"), "typed senders");
        let anonymous = format!(r#"{{"userId":"{NOBODY}","sessionId":"s1"}}"#);
        assert_eq!(who(&anonymous, ""), of("", "s1"), "any, with anonymous tracking");
        assert_eq!(who(r#"{"userId":null,"sessionId":null}"#, ""), of("", ""), "a session that has not begun");
    }

    #[test]
    fn shops_name_the_money_in_a_context() {
        let revenue = |kind: &str, context: &str, data: &str| {
            let vendor = "iglu:com.snowplowanalytics.snowplow.ecommerce";
            let action = format!(
                r#"{{"schema":"x","data":{{"schema":"{vendor}/snowplow_ecommerce_action/jsonschema/1-0-2","data":{{"type":"{kind}"}}}}}}"#
            );
            let contexts = format!(
                r#"{{"schema":"x","data":[{{"schema":"{vendor}/{context}/jsonschema/1-0-0","data":{data}}}]}}"#
            );
            let item = json!({"e": "ue", "ue_pr": action, "co": contexts}).to_string();
            let found = event(&Snowplow, PATH, &format!(r#"{{"data":[{item}]}}"#));
            (found.revenue_e4, found.currency)
        };
        let eur = || Some("EUR".to_owned());
        assert_eq!(
            revenue("transaction", "transaction", r#"{"revenue":19.9,"currency":"EUR"}"#),
            (Some(199_000), eur())
        );
        assert_eq!(revenue("refund", "refund", r#"{"refund_amount":"5,50","currency":"EUR"}"#), (Some(-55_000), eur()));
        assert_eq!(revenue("checkout_step", "transaction", r#"{"revenue":19.9,"currency":"EUR"}"#), (None, None));
    }

    #[test]
    fn the_true_time_is_not_corrected() {
        let body = r#"{"data":[{"e":"pv","ttm":"1772366399000","dtm":"1","stm":"2"}]}"#;
        assert_eq!(event(&Snowplow, PATH, body).occurred_at_us, NOON_US - 1_000_000);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let reason = |item: &str| parse(&Snowplow, PATH, &format!(r#"{{"data":[{item}]}}"#)).rejected[0].reason.clone();
        assert!(reason("{}").starts_with("`e` is missing"));
        assert!(reason(r#"{"e":"xx"}"#).starts_with("`e` xx is unknown"));
        assert!(reason(r#"{"e":"ue","ue_px":"!"}"#).starts_with("`ue_px` is not Base64"));
        assert!(reason(r#"{"e":"ue","ue_pr":"{"}"#).starts_with("`ue_pr` is not JSON"));
        assert!(reason(r#"{"e":"ue","ue_pr":"{}"}"#).starts_with("the event has no schema"));
        let two = parse(&Snowplow, PATH, r#"{"data":[{"e":"pv","aid":"a"},{"e":"pv","aid":"b"}]}"#);
        assert_eq!(two.rejected[0].reason, "all events of a request must name the same `aid`");
    }

    #[track_caller]
    fn check(item: &str, expected: &str) {
        assert_eq!(digest(&event(&Snowplow, PATH, &format!(r#"{{"data":[{item}]}}"#))), expected);
    }
}
