//! Fields of a JSON object, read one by one, so that a refusal can name the field and what was expected.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{event_time, money};

pub(super) const EVENT_ID_CHARS_MAX: usize = 100;
pub(super) const NAME_CHARS_MAX: usize = 200;
/// For addresses and titles.
pub(super) const LONG_CHARS_MAX: usize = 4_096;
pub(super) const TEXT_CHARS_MAX: usize = 512;
pub(super) const PROPERTIES_BYTES_MAX: usize = 32 * 1024;

/// Fields of one object. What is not stored as a column must fit into `properties`, so an honest event has far
/// fewer; the bound keeps a large body of tiny fields from taking many times its size in memory.
const FIELDS_MAX: usize = 5_000;

/// A JSON object, one level deep: its fields in the order they were sent, each value as it was written.
pub(super) struct Object<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if fields.len() == FIELDS_MAX {
                        return Err(A::Error::custom(format!("the object has more than {FIELDS_MAX} fields")));
                    }
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A JSON string, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a JSON value is, by its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Flag,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    pub(super) fn of(value: &RawValue) -> Self {
        match value.get().as_bytes()[0] {
            b'n' => Self::Null,
            b't' | b'f' => Self::Flag,
            b'"' => Self::Text,
            b'[' => Self::Array,
            b'{' => Self::Object,
            _ => Self::Number,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Flag => "true or false",
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

/// A string of at most `chars_max` characters. An empty string counts as missing: browsers send "" for "no
/// referrer", and an empty id would merge many visitors into one.
pub(super) fn text<'a>(name: &str, value: &'a RawValue, chars_max: usize) -> Result<Option<Cow<'a, str>>, String> {
    match Kind::of(value) {
        Kind::Null => Ok(None),
        Kind::Text => {
            let text = unescape(name, value)?;
            // Counting characters is needed only where there are many bytes.
            if text.len() > chars_max && text.chars().count() > chars_max {
                return Err(format!("`{name}` is longer than {chars_max} characters"));
            }
            Ok(Some(text).filter(|text| !text.is_empty()))
        }
        other => Err(format!("`{name}` must be a string, not {other}")),
    }
}

/// A string, or a number as its text: databases number their users.
pub(super) fn id<'a>(name: &str, value: &'a RawValue, chars_max: usize) -> Result<Option<Cow<'a, str>>, String> {
    match Kind::of(value) {
        Kind::Number if value.get().len() <= chars_max => Ok(Some(value.get().into())),
        Kind::Number => Err(format!("`{name}` is longer than {chars_max} characters")),
        Kind::Null | Kind::Text => text(name, value, chars_max),
        other => Err(format!("`{name}` must be a string or a number, not {other}")),
    }
}

/// A time, in microseconds since the epoch.
pub(super) fn time_us(name: &str, value: &RawValue) -> Result<Option<i64>, String> {
    let time = match Kind::of(value) {
        Kind::Null => return Ok(None),
        Kind::Number => event_time::parse_millis(value.get()),
        Kind::Text => {
            // In addresses every value is a string.
            let text = unescape(name, value)?;
            event_time::parse_text(&text).or_else(|| event_time::parse_millis(text.trim()))
        }
        _ => None,
    };
    let expected = || format!("`{name}` must be RFC 3339, such as 2026-03-01T12:00:00Z, or epoch milliseconds");
    time.map(Some).ok_or_else(expected)
}

/// An amount of money, in ten-thousandths.
pub(super) fn money_e4(name: &str, value: &RawValue) -> Result<Option<i128>, String> {
    let amount = match Kind::of(value) {
        Kind::Null => return Ok(None),
        Kind::Number => money::parse_e4(value.get()),
        Kind::Text => money::parse_e4(&unescape(name, value)?),
        _ => None,
    };
    let expected = || format!("`{name}` must be a number with at most 14 digits before the point");
    amount.map(Some).ok_or_else(expected)
}

/// An IP address; `None` if it is not one. It serves enrichment, and an event is worth more than its country.
pub(super) fn address(name: &str, value: &RawValue) -> Result<Option<IpAddr>, String> {
    Ok(text(name, value, TEXT_CHARS_MAX)?
        .and_then(|text| text.trim().parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical()))
}

/// An object; `None` for null.
pub(super) fn object<'a>(name: &str, value: &'a RawValue) -> Result<Option<Object<'a>>, String> {
    match Kind::of(value) {
        Kind::Null => Ok(None),
        Kind::Object => {
            serde_json::from_str(value.get()).map(Some).map_err(|error| format!("`{name}` cannot be read: {error}"))
        }
        other => Err(format!("`{name}` must be an object, not {other}")),
    }
}

/// A value in its compact form, to be stored: nested no deeper than others can read, and valid
/// throughout. Plain numbers keep their digits.
pub(super) fn compact(name: &str, value: &RawValue) -> Result<String, String> {
    match Kind::of(value) {
        Kind::Null | Kind::Flag | Kind::Number => Ok(value.get().to_owned()),
        Kind::Text => Ok(quote(&unescape(name, value)?)),
        Kind::Array | Kind::Object => {
            let mut nested: serde_json::Value =
                serde_json::from_str(value.get()).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
            nested.sort_all_objects();
            Ok(nested.to_string())
        }
    }
}

/// A string as JSON.
pub(super) fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string can always be written as JSON")
}

fn unescape<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, String> {
    let Text(text) =
        serde_json::from_str(value.get()).map_err(|error| format!("`{name}` is not a valid string: {error}"))?;
    Ok(text)
}
