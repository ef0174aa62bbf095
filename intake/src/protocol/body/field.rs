//! Fields of a JSON object, read one by one, so that a refusal can name the field and what was expected.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat};
use instant::{Unit, Unreadable};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event_time::Window;
use crate::json::{self, MendedText, Text};
use crate::money;

pub(in crate::protocol) const EVENT_ID_CHARS_MAX: usize = 100;
pub(in crate::protocol) const NAME_CHARS_MAX: usize = 200;
/// For addresses and titles.
pub(in crate::protocol) const LONG_CHARS_MAX: usize = 4_096;
pub(crate) const TEXT_CHARS_MAX: usize = 512;
pub(in crate::protocol) const PROPERTIES_BYTES_MAX: usize = 32 * 1024;

/// Fields of one object. What is not stored as a column must fit into `properties`, so an honest event has far
/// fewer; the bound keeps a large body of tiny fields from taking many times its size in memory.
const FIELDS_MAX: usize = 5_000;

/// A JSON object, one level deep: its fields in the order they were sent, each value as it was written.
pub(in crate::protocol) struct Object<'a>(pub(in crate::protocol) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    pub(in crate::protocol) fn read(json: &'a str) -> serde_json::Result<Self> {
        // Values are not looked into, so if anything can be mended it is a name.
        read_fields::<Text>(json).or_else(|error| read_fields::<MendedText>(json).map_err(|_| error)).map(Self)
    }
}

type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// The fields of an object, whose names are read as `K`.
fn read_fields<'a, K: Deserialize<'a> + Into<Cow<'a, str>>>(json: &'a str) -> serde_json::Result<Fields<'a>> {
    struct Names<K>(PhantomData<K>);

    impl<'de, K: Deserialize<'de> + Into<Cow<'de, str>>> Visitor<'de> for Names<K> {
        type Value = Fields<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some((name, value)) = map.next_entry::<K, &'de RawValue>()? {
                if fields.len() == FIELDS_MAX {
                    return Err(A::Error::custom(format!("the object has more than {FIELDS_MAX} fields")));
                }
                fields.push((name.into(), value));
            }
            Ok(fields)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(json);
    let fields = deserializer.deserialize_map(Names::<K>(PhantomData))?;
    deserializer.end()?;
    Ok(fields)
}

/// The value of a field: JSON as it was written, or what a table has instead, so that nothing is written as JSON only to be
/// read again.
#[derive(Clone, Copy, Debug)]
pub enum Given<'a> {
    /// JSON.
    Json(&'a RawValue),
    /// A text.
    Text(&'a str),
    /// Microseconds since the Unix epoch.
    TimeUs(i64),
    /// A number that is no whole one.
    Double(f64),
}

impl<'a> From<&'a RawValue> for Given<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self::Json(value)
    }
}

/// What a JSON value is, by its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::protocol) enum Kind {
    Null,
    Flag,
    Number,
    Text,
    Array,
    Object,
}

impl Kind {
    pub(in crate::protocol) fn of<'a>(value: impl Into<Given<'a>>) -> Self {
        let json = match value.into() {
            Given::Json(json) => json.get(),
            Given::Text(_) | Given::TimeUs(_) => return Self::Text,
            Given::Double(_) => return Self::Number,
        };
        match json.as_bytes()[0] {
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
pub(in crate::protocol) fn text<'a>(
    name: &str,
    value: impl Into<Given<'a>>,
    chars_max: usize,
) -> Result<Option<Cow<'a, str>>, String> {
    let value = value.into();
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
pub(in crate::protocol) fn id<'a>(
    name: &str,
    value: impl Into<Given<'a>>,
    chars_max: usize,
) -> Result<Option<Cow<'a, str>>, String> {
    let value = value.into();
    match Kind::of(value) {
        Kind::Number => match written(value) {
            number if number.len() > chars_max => Err(format!("`{name}` is longer than {chars_max} characters")),
            Cow::Borrowed(number) => Ok(Some(id_of_number(number))),
            Cow::Owned(number) => Ok(Some(id_of_number(&number).into_owned().into())),
        },
        Kind::Null | Kind::Text => text(name, value, chars_max),
        other => Err(format!("`{name}` must be a string or a number, not {other}")),
    }
}

/// The text of a number that is an id. Programs that know only floating-point numbers, or whose column has gaps, write
/// `42.0` and `4.2e1` for 42.
pub(in crate::protocol) fn id_of_number(number: &str) -> Cow<'_, str> {
    /// Beyond, a double does not hold every integer, and the digits are worth more than their form.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.contains(['.', 'e', 'E']).then(|| number.parse::<f64>()) {
        Some(Ok(float)) if float.fract() == 0.0 && float.abs() <= EXACT_MAX => format!("{float:.0}").into(),
        _ => number.into(),
    }
}

/// A time, in microseconds since the epoch. An empty string counts as missing.
pub(in crate::protocol) fn time_us<'a>(
    name: &str,
    value: impl Into<Given<'a>>,
    window: Window,
) -> Result<Option<i64>, String> {
    let value = value.into();
    if let Given::TimeUs(at_us) = value {
        return Ok(Some(at_us));
    }
    let read = |text: &str| match window {
        Window::Live => instant::parse_clock(text, Unit::Milliseconds),
        // No time of sending corrects the clock that a file of history was written by.
        Window::History => instant::parse(text),
    };
    let time = match Kind::of(value) {
        Kind::Null => return Ok(None),
        Kind::Number => read(&written(value)),
        Kind::Text => {
            let text = unescape(name, value)?;
            if text.is_empty() {
                return Ok(None);
            }
            read(&text)
        }
        _ => Err(Unreadable::NoTime),
    };
    time.map(|at| Some(at.timestamp_micros())).map_err(|unreadable| format!("`{name}` {unreadable}"))
}

/// An amount of money, in ten-thousandths.
pub(in crate::protocol) fn money_e4<'a>(name: &str, value: impl Into<Given<'a>>) -> Result<Option<i128>, String> {
    let value = value.into();
    let amount = match Kind::of(value) {
        Kind::Null => return Ok(None),
        Kind::Number => money::parse_e4(&written(value)),
        Kind::Text => money::parse_e4(&unescape(name, value)?),
        _ => None,
    };
    let expected = || format!("`{name}` must be a number with at most 14 digits before the point, such as 1234.50");
    amount.map(Some).ok_or_else(expected)
}

/// An IP address; `None` if it is not one. It serves enrichment, and an event is worth more than its country.
pub(in crate::protocol) fn address<'a>(name: &str, value: impl Into<Given<'a>>) -> Result<Option<IpAddr>, String> {
    Ok(text(name, value, TEXT_CHARS_MAX)?
        .and_then(|text| text.trim().parse::<IpAddr>().ok())
        .map(|ip| ip.to_canonical()))
}

/// An object; `None` for null.
pub(in crate::protocol) fn object<'a>(name: &str, value: impl Into<Given<'a>>) -> Result<Option<Object<'a>>, String> {
    let value = value.into();
    match (Kind::of(value), value) {
        (Kind::Null, _) => Ok(None),
        (Kind::Object, Given::Json(json)) => {
            Object::read(json.get()).map(Some).map_err(|error| format!("`{name}` cannot be read: {error}"))
        }
        (other, _) => Err(format!("`{name}` must be an object, not {other}")),
    }
}

/// A value in its compact form, to be stored: nested no deeper than others can read, and valid
/// throughout. Plain numbers keep their digits.
pub(in crate::protocol) fn compact<'a>(name: &str, value: impl Into<Given<'a>>) -> Result<String, String> {
    let value = value.into();
    match Kind::of(value) {
        Kind::Null | Kind::Flag | Kind::Number => Ok(written(value).into_owned()),
        Kind::Text => Ok(quote(&unescape(name, value)?)),
        Kind::Array | Kind::Object => {
            let mut nested: serde_json::Value =
                json::read(&written(value)).map_err(|error| format!("`{name}` cannot be read: {error}"))?;
            nested.sort_all_objects();
            Ok(nested.to_string())
        }
    }
}

/// A string as JSON.
pub(in crate::protocol) fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string can always be written as JSON")
}

fn unescape<'a>(name: &str, value: Given<'a>) -> Result<Cow<'a, str>, String> {
    match value {
        Given::Json(json) => json::text(json).map_err(|error| format!("`{name}` is not a valid string: {error}")),
        Given::Text(text) => Ok(text.into()),
        Given::TimeUs(_) | Given::Double(_) => Ok(written(value)),
    }
}

/// A value as it is written.
fn written(value: Given<'_>) -> Cow<'_, str> {
    match value {
        Given::Json(json) => json.get().into(),
        Given::Text(text) => text.into(),
        Given::TimeUs(at_us) => {
            let at = DateTime::from_timestamp_micros(at_us).unwrap_or_default();
            at.to_rfc3339_opts(SecondsFormat::AutoSi, true).into()
        }
        Given::Double(number) => number.to_string().into(),
    }
}
