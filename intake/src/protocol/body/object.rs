//! JSON objects of protocols that others define. Fields are taken out one by one; the rest becomes `properties`. This
//! is more lenient than the native protocol: a minor field of an unexpected type stays where it is.

use std::borrow::Cow;
use std::net::IpAddr;

use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};
use instant::{Unit, Unreadable};
use lake::Event;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::field::{self, Kind, Object as RawFields, PROPERTIES_BYTES_MAX, TEXT_CHARS_MAX};
use super::items;
use crate::error::IngestError;
use crate::protocol::Message;
use crate::{json, money};

/// Base64 of the alphabet for addresses, with or without padding: programs differ. For the other alphabet see
/// [`base64_of`].
pub(in crate::protocol) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// The largest item as it is sent.
const ITEM_BYTES_MAX: usize = 512 * 1024;

/// The largest field of an envelope. Fields that all items share are small, and parsing a large one would take many
/// times its size in memory.
const SHARED_BYTES_MAX: usize = 64 * 1024;

/// A body as JSON, one level deep.
pub(in crate::protocol) fn raw(body: &[u8]) -> Result<Cow<'_, RawValue>, IngestError> {
    let text =
        json::text_of(body).map_err(|error| IngestError::invalid(format!("the body cannot be read: {error}")))?;
    if text.is_empty() {
        return Err(IngestError::invalid("the body is empty"));
    }
    json::raw(text).map_err(|error| IngestError::invalid(format!("the body is not JSON: {error}")))
}

/// The body of a message as one object.
pub(in crate::protocol) fn of(message: &Message) -> Result<Object, IngestError> {
    read(raw(&message.body)?.get()).map_err(IngestError::invalid)
}

/// An envelope: its array `list` as it was sent, item by item, and those of its other fields that are `wanted`.
///
/// This runs before the sender is known, so a field that is not wanted or is too large is skipped and not parsed.
pub(in crate::protocol) fn envelope<'a>(
    raw: &'a RawValue,
    list: &str,
    wanted: &[&str],
    events_max: usize,
) -> Result<(Option<Vec<&'a RawValue>>, Object), IngestError> {
    let RawFields(fields) = fields(raw)?;
    let (mut found, mut others) = (None, Object::new());
    for (name, value) in fields {
        if name == list && Kind::of(value) == Kind::Array {
            found = Some(items::read_array(value, events_max)?);
        } else if wanted.contains(&&*name)
            && value.get().len() <= SHARED_BYTES_MAX
            && let Ok(value) = json::read(value.get())
        {
            others.insert(name.into_owned(), value);
        }
    }
    Ok((found, others))
}

/// The fields of an object, none of them parsed.
pub(in crate::protocol) fn fields(raw: &RawValue) -> Result<RawFields<'_>, IngestError> {
    match Kind::of(raw) {
        Kind::Object => RawFields::read(raw.get())
            .map_err(|error| IngestError::invalid(format!("the body must be an object: {error}"))),
        other => Err(IngestError::invalid(format!("the body must be an object, not {other}"))),
    }
}

/// One field of an object, if it is a string that could name a sender. The others are not parsed.
pub(in crate::protocol) fn field(raw: &RawValue, name: &str) -> Option<String> {
    let RawFields(fields) = fields(raw).ok()?;
    let (_, value) = fields.into_iter().rev().find(|(found, _)| found == name)?;
    field::text(name, value, TEXT_CHARS_MAX).ok().flatten().map(Cow::into_owned)
}

/// The object in a field of an object.
pub(in crate::protocol) fn inner<'a>(raw: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let RawFields(fields) = fields(raw).ok()?;
    fields.into_iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Base64 in the alphabet for addresses, from either alphabet. A plus sign that came unescaped through a form or an
/// address is a space.
pub(in crate::protocol) fn base64_of(text: &str) -> String {
    text.trim_end()
        .chars()
        .map(|char| match char {
            '+' | ' ' => '-',
            '/' => '_',
            other => other,
        })
        .collect()
}

/// One item as an object.
pub(crate) fn read(json: &str) -> Result<Object, String> {
    if json.len() > ITEM_BYTES_MAX {
        return Err(format!("the event is larger than {ITEM_BYTES_MAX} bytes"));
    }
    match json::read(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the event is not an object".into()),
        Err(error) => Err(format!("the event cannot be read: {error}")),
    }
}

/// Takes a string, or a number as its text. An empty string counts as missing.
pub(in crate::protocol) fn take_text(
    object: &mut Object,
    name: &str,
    chars_max: usize,
) -> Result<Option<String>, String> {
    let text = match object.get(name) {
        Some(Value::String(_) | Value::Number(_)) => match object.remove(name) {
            Some(Value::String(text)) => text,
            Some(number) => field::id_of_number(&number.to_string()).into_owned(),
            None => return Ok(None),
        },
        Some(Value::Null) => {
            object.remove(name);
            return Ok(None);
        }
        _ => return Ok(None),
    };
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(format!("`{name}` is longer than {chars_max} characters"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Takes the campaign: `utm_source` and the others.
pub(in crate::protocol) fn take_campaign(object: &mut Object, event: &mut Event) -> Result<(), String> {
    for (column, name) in [
        (&mut event.utm_source, "utm_source"),
        (&mut event.utm_medium, "utm_medium"),
        (&mut event.utm_campaign, "utm_campaign"),
        (&mut event.utm_term, "utm_term"),
        (&mut event.utm_content, "utm_content"),
    ] {
        *column = take_text(object, name, TEXT_CHARS_MAX)?;
    }
    Ok(())
}

/// Takes a value; null counts as missing.
pub(in crate::protocol) fn take(object: &mut Object, name: &str) -> Option<Value> {
    object.remove(name).filter(|value| !value.is_null())
}

/// Takes an object. One that is written as a JSON string counts too, and null counts as missing.
pub(in crate::protocol) fn take_object(object: &mut Object, name: &str) -> Option<Object> {
    let parsed = match object.get(name)? {
        Value::Object(_) | Value::Null => None,
        Value::String(text) => Some(json::read::<Object>(text).ok()?),
        _ => return None,
    };
    match (take(object, name), parsed) {
        (_, Some(parsed)) => Some(parsed),
        (Some(Value::Object(inner)), None) => Some(inner),
        _ => None,
    }
}

/// Takes a time, in microseconds.
///
/// - `unit`: what the protocol counts times in. It matters to a clock that was never set; see [`instant`].
pub(in crate::protocol) fn take_time_us(object: &mut Object, name: &str, unit: Unit) -> Result<Option<i64>, String> {
    let time = match take(object, name) {
        None => return Ok(None),
        Some(Value::String(text)) if text.is_empty() => return Ok(None),
        Some(Value::String(text)) => instant::parse_clock(&text, unit),
        Some(Value::Number(number)) => instant::parse_clock(&number.to_string(), unit),
        Some(_) => Err(Unreadable::NoTime),
    };
    time.map(|at| Some(at.timestamp_micros())).map_err(|unreadable| format!("`{name}` {unreadable}"))
}

/// Takes a duration in milliseconds, as microseconds.
pub(in crate::protocol) fn take_millis_us(object: &mut Object, name: &str) -> Result<Option<i64>, String> {
    /// Three hundred years.
    const MILLIS_MAX: f64 = 1e13;
    let millis = match take(object, name) {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    match millis.filter(|millis| millis.abs() <= MILLIS_MAX) {
        Some(millis) => Ok(Some((millis * 1_000.0).round() as i64)),
        None => Err(format!("`{name}` must be a number of milliseconds")),
    }
}

/// Takes an amount of money, in ten-thousandths. A value that is not an amount stays; null counts as missing.
pub(in crate::protocol) fn take_money_e4(object: &mut Object, name: &str) -> Option<i128> {
    let amount = match object.get(name)? {
        Value::Number(number) => money::parse_e4(&number.to_string()),
        Value::String(text) => money::parse_e4(text),
        Value::Null => {
            object.remove(name);
            None
        }
        _ => None,
    }?;
    object.remove(name);
    Some(amount)
}

/// What to tell a sender whose amount could not be read and stayed where it was.
pub(in crate::protocol) fn unread_money(object: &Object, name: &str) -> Option<String> {
    object.get(name)?;
    Some(format!("`{name}` is no clear amount and stays in `properties`: write a number, such as 1234.50"))
}

/// Takes an IP address. The field is removed even if it is not one: addresses are not stored.
pub(in crate::protocol) fn take_address(object: &mut Object, name: &str) -> Option<IpAddr> {
    object.remove(name)?.as_str()?.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The traits that an update of a profile sets, beside its other operations under their own names.
pub(in crate::protocol) fn traits(mut operations: Object) -> Object {
    let set = take_object(&mut operations, "$set").unwrap_or_default();
    for (name, value) in set {
        operations.entry(name).or_insert(value);
    }
    operations
}

/// The rest of an object as `properties`, with sorted keys.
pub(in crate::protocol) fn properties(object: Object) -> Result<Option<String>, String> {
    if object.is_empty() {
        return Ok(None);
    }
    let mut value = Value::Object(object);
    value.sort_all_objects();
    let json = value.to_string();
    if json.len() > PROPERTIES_BYTES_MAX {
        return Err(format!("`properties` are larger than {PROPERTIES_BYTES_MAX} bytes"));
    }
    Ok(Some(json))
}

#[cfg(test)]
pub(in crate::protocol) mod tests {
    use bytes::Bytes;
    use lake::Event;

    use super::*;
    use crate::client::Client;
    use crate::context::Context;
    use crate::event_time::Window;
    use crate::ids::Ids;
    use crate::protocol::{Parsed, Protocol};

    /// 2026-03-01T12:00:00Z.
    pub(in crate::protocol) const NOON_US: i64 = 1_772_366_400_000_000;

    pub(in crate::protocol) fn context() -> Context {
        Context {
            site_id: "shop".into(),
            received_at_us: NOON_US,
            window: Window::Live,
            client: Client { ip: Some([192, 0, 2, 1].into()), ..Client::default() },
            ids: Ids::seeded(1),
        }
    }

    pub(in crate::protocol) fn message(path: &str, body: &str) -> Message {
        Message { uri: path.parse().unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    pub(in crate::protocol) fn parse(protocol: &dyn Protocol, path: &str, body: &str) -> Parsed {
        protocol.parse(&message(path, body), &context(), 10_000).unwrap()
    }

    pub(in crate::protocol) fn refuse(protocol: &dyn Protocol, path: &str, body: &str) -> String {
        protocol.parse(&message(path, body), &context(), 10_000).unwrap_err().to_string()
    }

    /// The one event of a body.
    #[track_caller]
    pub(in crate::protocol) fn event(protocol: &dyn Protocol, path: &str, body: &str) -> Event {
        let parsed = parse(protocol, path, body);
        assert_eq!(parsed.rejected, []);
        let [event] = <[Event; 1]>::try_from(parsed.events).unwrap();
        event
    }

    /// `name | user | anonymous | session | url | properties`.
    pub(in crate::protocol) fn digest(event: &Event) -> String {
        let text = |text: &Option<String>| text.clone().unwrap_or("-".into());
        let Event { name, user_id, anonymous_id, session_id, url, properties, .. } = event;
        let others = [user_id, anonymous_id, session_id, url, properties].map(text);
        format!("{name} | {}", others.join(" | "))
    }

    #[test]
    fn what_is_taken_is_gone_and_the_rest_is_left() {
        let mut fields = read(r#"{"a":"x","b":7,"c":null,"d":true,"e":""}"#).unwrap();
        assert_eq!(take_text(&mut fields, "a", 10).unwrap().as_deref(), Some("x"));
        assert_eq!(take_text(&mut fields, "b", 10).unwrap().as_deref(), Some("7"));
        for name in ["c", "d", "e", "f"] {
            assert_eq!(take_text(&mut fields, name, 10).unwrap(), None);
        }
        assert_eq!(properties(fields).unwrap().as_deref(), Some(r#"{"d":true}"#));
    }

    #[test]
    fn a_time_is_a_text_or_a_number_and_null_is_none() {
        let time = |json: &str, unit| take_time_us(&mut read(json).unwrap(), "t", unit);
        for (sent, sender) in [
            (r#"{"t":1772366400}"#, "Umami"),
            (r#"{"t":1772366400.0}"#, "Python time.time"),
            (r#"{"t":"1772366400000"}"#, "Snowplow"),
            (r#"{"t":1772366400000000}"#, "GA4"),
            (r#"{"t":1.7723664e18}"#, "a number with an exponent"),
            (r#"{"t":"2026-03-01T12:00:00+0000"}"#, "iOS"),
        ] {
            for unit in [Unit::Seconds, Unit::Milliseconds, Unit::Microseconds] {
                assert_eq!(time(sent, unit), Ok(Some(NOON_US)), "{sender}");
            }
        }
        for none in ["{}", r#"{"t":null}"#, r#"{"t":""}"#] {
            assert_eq!(time(none, Unit::Seconds), Ok(None));
        }
        assert_eq!(time(r#"{"t":5}"#, Unit::Seconds), Ok(Some(5_000_000)));
        for wrong in [r#"{"t":"noon"}"#, r#"{"t":{}}"#, r#"{"t":true}"#, r#"{"t":1e300}"#] {
            assert!(time(wrong, Unit::Seconds).unwrap_err().starts_with("`t` is not a"), "{wrong}");
        }
    }
}
