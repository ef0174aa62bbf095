//! JSON objects of protocols that others define. Fields are taken out one by one; the rest becomes `properties`. This
//! is more lenient than the native protocol: a minor field of an unexpected type stays where it is.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::field::{self, Kind, Object as RawFields, PROPERTIES_BYTES_MAX, TEXT_CHARS_MAX};
use super::{Message, items};
use crate::error::IngestError;
use crate::{event_time, money};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// The largest item as it is sent.
const ITEM_BYTES_MAX: usize = 512 * 1024;

/// The largest field of an envelope. Fields that all items share are small, and parsing a large one would take many
/// times its size in memory.
const SHARED_BYTES_MAX: usize = 64 * 1024;

/// A body as JSON, one level deep.
pub(super) fn raw(body: &[u8]) -> Result<&RawValue, IngestError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| IngestError::invalid(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if text.is_empty() {
        return Err(IngestError::invalid("the body is empty"));
    }
    serde_json::from_str(text).map_err(|error| IngestError::invalid(format!("the body is not JSON: {error}")))
}

/// The body of a message as one object.
pub(super) fn of(message: &Message) -> Result<Object, IngestError> {
    read(raw(&message.body)?.get()).map_err(IngestError::invalid)
}

/// An envelope: its array `list` as it was sent, item by item, and those of its other fields that are `wanted`.
///
/// This runs before the sender is known, so a field that is not wanted or is too large is skipped and not parsed.
pub(super) fn envelope<'a>(
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
            && let Ok(value) = serde_json::from_str(value.get())
        {
            others.insert(name.into_owned(), value);
        }
    }
    Ok((found, others))
}

/// The fields of an object, none of them parsed.
fn fields(raw: &RawValue) -> Result<RawFields<'_>, IngestError> {
    match Kind::of(raw) {
        Kind::Object => serde_json::from_str(raw.get())
            .map_err(|error| IngestError::invalid(format!("the body must be an object: {error}"))),
        other => Err(IngestError::invalid(format!("the body must be an object, not {other}"))),
    }
}

/// One field of an object, if it is a string that could name a sender. The others are not parsed.
pub(super) fn field(raw: &RawValue, name: &str) -> Option<String> {
    let RawFields(fields) = fields(raw).ok()?;
    let (_, value) = fields.into_iter().rev().find(|(found, _)| found == name)?;
    field::text(name, value, TEXT_CHARS_MAX).ok().flatten().map(Cow::into_owned)
}

/// The object in a field of an object.
pub(super) fn inner<'a>(raw: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let RawFields(fields) = fields(raw).ok()?;
    fields.into_iter().rev().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// One item as an object.
pub(super) fn read(json: &str) -> Result<Object, String> {
    if json.len() > ITEM_BYTES_MAX {
        return Err(format!("the event is larger than {ITEM_BYTES_MAX} bytes"));
    }
    match serde_json::from_str(json) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the event is not an object".into()),
        Err(error) => Err(format!("the event cannot be read: {error}")),
    }
}

/// Takes a string, or a number as its text. An empty string counts as missing.
pub(super) fn take_text(object: &mut Object, name: &str, chars_max: usize) -> Result<Option<String>, String> {
    let text = match object.get(name) {
        Some(Value::String(_) | Value::Number(_)) => match object.remove(name) {
            Some(Value::String(text)) => text,
            Some(number) => number.to_string(),
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

/// Takes an object. One that is written as a JSON string counts too.
pub(super) fn take_object(object: &mut Object, name: &str) -> Option<Object> {
    let parsed = match object.get(name)? {
        Value::Object(_) => None,
        Value::String(text) => Some(serde_json::from_str::<Object>(text).ok()?),
        Value::Null => Some(Object::new()),
        _ => return None,
    };
    match (object.remove(name), parsed) {
        (_, Some(parsed)) => Some(parsed),
        (Some(Value::Object(inner)), None) => Some(inner),
        _ => None,
    }
}

/// Takes a time, in microseconds: RFC 3339, or a number with `units_per_s` units per second.
pub(super) fn take_time_us(object: &mut Object, name: &str, units_per_s: i64) -> Result<Option<i64>, String> {
    let Some(value) = object.remove(name) else { return Ok(None) };
    let scaled = |number: &str| match units_per_s {
        1_000 => event_time::parse_millis(number),
        _ => {
            let Ok(whole) = number.parse::<i64>() else {
                let units: f64 = number.parse().ok()?;
                return event_time::parse_millis(&(units * 1_000.0 / units_per_s as f64).to_string());
            };
            i64::try_from(i128::from(whole) * 1_000_000 / i128::from(units_per_s)).ok()
        }
    };
    let time = match &value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => scaled(text).or_else(|| event_time::parse_text(text)),
        Value::Number(number) => scaled(&number.to_string()),
        _ => None,
    };
    let unit = match units_per_s {
        1 => "seconds",
        1_000 => "milliseconds",
        _ => "microseconds",
    };
    time.map(Some).ok_or_else(|| format!("`{name}` must be a time: RFC 3339, or {unit} since 1970"))
}

/// Takes an amount of money, in ten-thousandths. A value that is not an amount stays.
pub(super) fn take_money_e4(object: &mut Object, name: &str) -> Option<i128> {
    let amount = match object.get(name)? {
        Value::Number(number) => money::parse_e4(&number.to_string()),
        Value::String(text) => money::parse_e4(text),
        _ => None,
    }?;
    object.remove(name);
    Some(amount)
}

/// Takes an IP address. The field is removed even if it is not one: addresses are not stored.
pub(super) fn take_address(object: &mut Object, name: &str) -> Option<IpAddr> {
    object.remove(name)?.as_str()?.trim().parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The rest of an object as `properties`, with sorted keys.
pub(super) fn properties(object: Object) -> Result<Option<String>, String> {
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
pub(super) mod tests {
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
    fn times_have_the_unit_of_their_protocol() {
        let time = |json: &str, units| take_time_us(&mut read(json).unwrap(), "t", units);
        assert_eq!(time(r#"{"t":1772366400}"#, 1), Ok(Some(NOON_US)));
        assert_eq!(time(r#"{"t":1772366400.5}"#, 1), Ok(Some(NOON_US + 500_000)));
        assert_eq!(time(r#"{"t":"1772366400000"}"#, 1_000), Ok(Some(NOON_US)));
        assert_eq!(time(r#"{"t":1772366400000000}"#, 1_000_000), Ok(Some(NOON_US)));
        assert_eq!(time(r#"{"t":"2026-03-01T12:00:00Z"}"#, 1_000), Ok(Some(NOON_US)));
        assert_eq!(time("{}", 1), Ok(None));
        assert!(time(r#"{"t":"noon"}"#, 1).unwrap_err().contains("seconds since 1970"));
        assert!(time(r#"{"t":{}}"#, 1_000).is_err());
    }
}
