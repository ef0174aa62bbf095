//! Snowplow's tracker protocol, version 2:
//! <https://docs.snowplow.io/docs/fundamentals/canonical-event/understanding-the-snowplow-tracker-protocol/>.
//!
//! The app id (`aid`) chooses the site; there is no key. Page views and pings become `page_view` and `page_ping`. A
//! structured event is named by its action, a self-describing one by its schema. Schemas are not looked up: any data
//! is accepted.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use http::StatusCode;
use lake::EventId;
use serde_json::Value;

use super::field::{EVENT_ID_CHARS_MAX, LONG_CHARS_MAX, NAME_CHARS_MAX, TEXT_CHARS_MAX};
use super::object::{self, Object};
use super::{Answer, Message, Parsed, Protocol, Receipt, Sender};
use crate::context::Context;
use crate::draft::Draft;
use crate::error::IngestError;

/// Trackers differ in whether they pad.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

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
        let (data, _) = object::envelope(object::raw(&message.body)?, "data", &[], events_max)?;
        let first = data.as_ref().and_then(|data| data.first()).and_then(|first| object::field(first, "aid"));
        first.map(Sender::Domain).map(Some).ok_or_else(no_app)
    }

    fn parse(&self, message: &Message, context: &Context, events_max: usize) -> Result<Parsed, IngestError> {
        let (data, _) = object::envelope(object::raw(&message.body)?, "data", &[], events_max)?;
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

fn read(mut fields: Object) -> Result<Draft, String> {
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
    if let Some(contexts) = decoded(&mut fields, "co", "cx")?
        && let Some(contexts) = contexts.get("data")
    {
        properties.insert("contexts".into(), contexts.clone());
    }
    read_columns(&mut draft, &mut fields)?;
    draft.event.properties = object::properties(properties)?;
    Ok(draft)
}

fn read_columns(draft: &mut Draft, fields: &mut Object) -> Result<(), String> {
    let event = &mut draft.event;
    let id = object::take_text(fields, "eid", EVENT_ID_CHARS_MAX)?;
    draft.id = id.map(|id| EventId::from_client(&id));
    let true_us = object::take_time_us(fields, "ttm", 1_000)?;
    let created_us = object::take_time_us(fields, "dtm", 1_000)?;
    let sent_us = object::take_time_us(fields, "stm", 1_000)?;
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
    event.title = take("page", LONG_CHARS_MAX)?;
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
    if let Some(value) = fields.remove(from) {
        properties.insert(to.into(), value);
    }
}

/// The JSON in a field: plain under one name, or Base64 under the other.
fn decoded(fields: &mut Object, plain: &str, base64: &str) -> Result<Option<Value>, String> {
    let (name, text) = match (fields.remove(plain), fields.remove(base64)) {
        (Some(Value::String(text)), _) => (plain, text),
        (_, Some(Value::String(encoded))) => {
            let bytes = BASE64.decode(&encoded).map_err(|error| format!("`{base64}` is not Base64: {error}"))?;
            (base64, String::from_utf8(bytes).map_err(|_| format!("`{base64}` is not UTF-8"))?)
        }
        // Some trackers leave the object as it is.
        (Some(value @ Value::Object(_)), _) => return Ok(Some(value)),
        _ => return Ok(None),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| format!("`{name}` is not JSON: {error}"))
}

/// The name in a schema's address: `iglu:vendor/name/format/version`.
fn name_in(schema: &str) -> Option<&str> {
    schema.strip_prefix("iglu:")?.split('/').nth(1).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::protocol::object::tests::{NOON_US, digest, event, message, parse};

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
        for padding in ["", "="] {
            let encoded = |text: &str| BASE64.encode(text) + padding;
            let (data, contexts) = (encoded(&format!("{data} ")), encoded(&format!("{contexts} ")));
            if BASE64.decode(&data).is_ok() && BASE64.decode(&contexts).is_ok() {
                check(&json!({"e": "ue", "ue_px": data, "cx": contexts}).to_string(), expected);
            }
        }
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
