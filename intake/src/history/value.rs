//! Values of a mapping: where in a record a value stands, and what is made of it. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value as Json;

use super::country;
use crate::protocol::body::object::Object;

/// A value as a mapping file writes it: the name of a field, several of which the first that has a value counts, or a
/// table that says what to make of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Written {
    Field(String),
    First(Vec<Written>),
    Made(Box<WrittenMade>),
}

/// What to make of a value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenMade {
    /// Where it stands.
    from: Option<Written>,
    /// A value of the mapping itself.
    is: Option<Json>,
    /// A text with fields in braces: `https://{host}{path}`. None if one of them has no value.
    text: Option<String>,
    /// A pattern that the text must match. What its first group found is the value, or all of it.
    matching: Option<String>,
    /// What to write of what the pattern found: `$1x$2`.
    give: Option<String>,
    /// What some values are called here. Others stay as they are.
    called: BTreeMap<String, Json>,
    /// What to make of it.
    r#as: Option<Form>,
    /// The value counts only where these fields have these values.
    only_if: BTreeMap<String, String>,
}

/// What is made of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// In small letters.
    Lower,
    /// The code of a country, from a code or a name in English.
    Country,
    /// Without escapes: spaces as plus signs, and what was escaped once or twice.
    Unescaped,
    /// True or false, from what programs write for it.
    Flag,
    /// JSON that stands in a text.
    Json,
    /// A time, told by the clocks of the zone of the import (`--zone`).
    LocalTime,
    /// Seconds, from milliseconds.
    OfMillis,
}

/// A value, ready to be read from records.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Field(Field),
    First(Vec<Value>),
    Made(Box<Made>),
}

#[derive(Clone, Debug)]
pub(super) struct Made {
    from: Option<Value>,
    is: Option<Json>,
    text: Vec<Piece>,
    matching: Option<Regex>,
    give: Option<String>,
    called: BTreeMap<String, Json>,
    form: Option<Form>,
    only_if: Vec<(Field, String)>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field(Field),
}

/// The place of a value in a record: a field, or one within another (`geo.country`), or a place in an array (`a.0`). A
/// dollar sign before the name of a variable that `--set` gives: `$host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    name: String,
    parts: Vec<String>,
}

/// What an import is told beside its files.
#[derive(Clone, Debug)]
pub struct Told {
    /// The zone of times without one.
    pub zone: Tz,
    /// Values for mappings: `host`, for logs that do not name it.
    pub variables: BTreeMap<String, String>,
}

impl Default for Told {
    fn default() -> Self {
        Self { zone: Tz::UTC, variables: BTreeMap::new() }
    }
}

/// A record and what is known beside it.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) fields: &'a Object,
    pub(super) told: &'a Told,
    /// Texts that say that there is no value, such as a dash.
    pub(super) empty: &'a [String],
}

impl Record<'_> {
    fn is_none(&self, value: &Json) -> bool {
        match value {
            Json::Null => true,
            Json::String(text) => text.is_empty() || self.empty.contains(text),
            Json::Array(items) => items.is_empty(),
            Json::Object(fields) => fields.is_empty(),
            Json::Bool(_) | Json::Number(_) => false,
        }
    }
}

impl Field {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), parts: name.split('.').map(str::to_owned).collect() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a record has the field, with a value or without.
    pub(super) fn is_in(&self, fields: &Object) -> bool {
        fields.contains_key(&self.name) || find(fields, &self.parts).is_some()
    }

    pub(super) fn get<'a>(&self, record: Record<'a>) -> Option<std::borrow::Cow<'a, Json>> {
        use std::borrow::Cow;
        // A field may have points, or a dollar sign, in its name.
        let found = match record.fields.get(&self.name) {
            Some(found) => Some(Cow::Borrowed(found)),
            None => match self.name.strip_prefix('$').and_then(|name| record.told.variables.get(name)) {
                Some(told) => Some(Cow::Owned(Json::String(told.clone()))),
                None => find(record.fields, &self.parts).map(Cow::Borrowed),
            },
        };
        found.filter(|found| !record.is_none(found))
    }
}

fn find<'a>(fields: &'a Object, parts: &[String]) -> Option<&'a Json> {
    let (first, rest) = parts.split_first()?;
    rest.iter().try_fold(fields.get(first)?, |value, part| match value {
        Json::Object(inner) => inner.get(part),
        Json::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

impl Value {
    /// Fails with what is wrong with it.
    pub(super) fn new(written: Written) -> Result<Self, String> {
        Ok(match written {
            Written::Field(name) => Self::Field(Field::new(&name)),
            Written::First(several) => Self::First(several.into_iter().map(Self::new).collect::<Result<_, _>>()?),
            Written::Made(made) => Self::Made(Box::new(Made::new(*made)?)),
        })
    }

    /// The value in a record. Fails if it is there and cannot be what it should be.
    pub(super) fn of(&self, record: Record<'_>) -> Result<Option<Json>, String> {
        match self {
            Self::Field(field) => Ok(field.get(record).map(std::borrow::Cow::into_owned)),
            Self::First(several) => {
                for value in several {
                    if let found @ Some(_) = value.of(record)? {
                        return Ok(found);
                    }
                }
                Ok(None)
            }
            Self::Made(made) => made.of(record),
        }
    }
}

impl Made {
    fn new(written: WrittenMade) -> Result<Self, String> {
        let WrittenMade { from, is, text, matching, give, called, r#as: form, only_if } = written;
        if usize::from(from.is_some()) + usize::from(is.is_some()) + usize::from(text.is_some()) != 1 {
            return Err("a value has one of `from`, `is` and `text`".into());
        }
        Ok(Self {
            from: from.map(Value::new).transpose()?,
            is,
            text: text.as_deref().map(pieces).transpose()?.unwrap_or_default(),
            matching: matching.as_deref().map(pattern).transpose()?,
            give,
            called,
            form,
            only_if: only_if.into_iter().map(|(name, value)| (Field::new(&name), value)).collect(),
        })
    }

    fn of(&self, record: Record<'_>) -> Result<Option<Json>, String> {
        let is_as = |(field, value): &(Field, String)| field.get(record).is_some_and(|found| text_of(&found) == *value);
        if !self.only_if.iter().all(is_as) {
            return Ok(None);
        }
        let mut found = match &self.from {
            Some(from) => from.of(record)?,
            None if self.text.is_empty() => self.is.clone(),
            None => join(&self.text, record),
        };
        if let Some(pattern) = &self.matching {
            found = found.and_then(|found| matched(pattern, self.give.as_deref(), &text_of(&found)));
        }
        let Some(mut found) = found else { return Ok(None) };
        if let Some(called) = self.called.get(&text_of(&found)) {
            found = called.clone();
        }
        if record.is_none(&found) {
            return Ok(None);
        }
        self.form.map_or(Ok(Some(found.clone())), |form| formed(form, found, record.told))
    }
}

/// A pattern of a mapping.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("the pattern {text:?} cannot be read: {error}"))
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, field)) = rest.split_once('{') {
        let (field, after) = field.split_once('}').ok_or_else(|| format!("`{text}` has a brace that is not closed"))?;
        pieces.extend([Piece::Text(before.to_owned()), Piece::Field(Field::new(field))]);
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn join(pieces: &[Piece], record: Record<'_>) -> Option<Json> {
    let mut joined = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => joined.push_str(text),
            Piece::Field(field) => joined.push_str(&text_of(&*field.get(record)?)),
        }
    }
    Some(Json::String(joined))
}

fn matched(pattern: &Regex, give: Option<&str>, text: &str) -> Option<Json> {
    let found = pattern.captures(text)?;
    let value = match give {
        Some(give) => {
            let mut value = String::new();
            found.expand(give, &mut value);
            value
        }
        None => found.get(1).or(found.get(0))?.as_str().to_owned(),
    };
    Some(Json::String(value)).filter(|value| value != "")
}

/// A value as text, as a pattern and a template see it.
pub(super) fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn formed(form: Form, value: Json, told: &Told) -> Result<Option<Json>, String> {
    let text = text_of(&value);
    Ok(match form {
        Form::Lower => Some(text.to_lowercase().into()),
        Form::Country => country::code(&text).map(Into::into),
        Form::Unescaped => Some(unescaped(&text).into()),
        Form::Flag => match &*text.to_ascii_lowercase() {
            "true" | "t" | "yes" | "1" => Some(true.into()),
            "false" | "f" | "no" | "0" => Some(false.into()),
            _ => return Err(format!("`{text}` is neither true nor false")),
        },
        Form::Json => Some(crate::json::read(&text).unwrap_or(value)),
        Form::LocalTime => {
            let at = instant::parse(&text).map_err(|unreadable| format!("the time {text:?} {unreadable}"))?;
            Some(in_zone(at.naive_utc(), told.zone).to_rfc3339().into())
        }
        Form::OfMillis => text.parse::<f64>().ok().map(|millis| (millis / 1_000.0).into()),
    })
}

/// The moment at which the clocks of a zone showed a time. An hour that the clocks showed twice is the first one; in an
/// hour that they left out, they are taken to have gone on.
fn in_zone(shown: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&shown) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        LocalResult::None => {
            let before = shown - TimeDelta::hours(3);
            in_zone(before, zone) + TimeDelta::hours(3)
        }
    }
}

/// A text as it was before it was escaped for a log: W3C's logs write a plus sign for a space, and CloudFront escapes what
/// was escaped already.
fn unescaped(text: &str) -> String {
    let mut text = text.replace('+', " ");
    for _ in 0..2 {
        if !text.contains('%') {
            break;
        }
        let decoded = percent_decoded(&text);
        if decoded.contains('\u{fffd}') {
            break;
        }
        text = decoded;
    }
    text
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_field_or_what_is_made_of_fields() {
        check(r#"v = "a""#, Ok(Some("\"x\"")));
        check(r#"v = "geo.country""#, Ok(Some("\"Germany\"")));
        check(r#"v = "list.1""#, Ok(Some("2")));
        check(r#"v = "$insert_id""#, Ok(Some("\"i-1\"")));
        check(r#"v = "$host""#, Ok(Some("\"shop.example\"")));
        check(r#"v = ["none", "dash", "b.c"]"#, Ok(Some("true")));
        check(r#"v = "dash""#, Ok(None));
        check(r#"v = { is = "page_view" }"#, Ok(Some("\"page_view\"")));
        check(r#"v = { text = "https://{$host}/{a}" }"#, Ok(Some("\"https://shop.example/x\"")));
        check(r#"v = { text = "https://{none}/{a}" }"#, Ok(None));
        check(r#"v = { from = "size", matching = '^(\d+),(\d+)', give = "${1}x$2" }"#, Ok(Some("\"1920x1080\"")));
        check(r#"v = { from = "size", matching = "^x" }"#, Ok(None));
        check(r#"v = { from = "a", called = { x = "y" } }"#, Ok(Some("\"y\"")));
        check(r#"v = { from = "a", only_if = { "geo.country" = "Germany" } }"#, Ok(Some("\"x\"")));
        check(r#"v = { from = "a", only_if = { a = "y" } }"#, Ok(None));
    }

    #[test]
    fn values_take_other_forms() {
        check(r#"v = { from = "geo.country", as = "country" }"#, Ok(Some("\"DE\"")));
        check(r#"v = { from = "a", as = "country" }"#, Ok(None));
        check(r#"v = { from = "agent", as = "unescaped" }"#, Ok(Some("\"Mozilla/5.0 (X11; ä)\"")));
        check(r#"v = { is = "1", as = "flag" }"#, Ok(Some("true")));
        check(r#"v = { from = "a", as = "flag" }"#, Err("`x` is neither true nor false"));
        check(r#"v = { from = "size", as = "lower" }"#, Ok(Some("\"1920,1080,1\"")));
    }

    #[test]
    fn the_clocks_of_a_zone_are_read_through_the_changes_of_the_year() {
        for (shown, expected) in [
            ("2026-01-15 12:00:00", "2026-01-15T11:00:00+00:00"),
            ("2026-07-15 12:00:00", "2026-07-15T10:00:00+00:00"),
            // Left out: from 02:00 the clocks go on at 03:00.
            ("2026-03-29 02:30:00", "2026-03-29T01:30:00+00:00"),
            // Shown twice: at 03:00 they go back to 02:00.
            ("2026-10-25 02:30:00", "2026-10-25T00:30:00+00:00"),
            // Epoch seconds of the clocks, as old projects of Mixpanel have them.
            ("1784116800", "2026-07-15T10:00:00+00:00"),
        ] {
            let shown = instant::parse(shown).unwrap().naive_utc();
            assert_eq!(in_zone(shown, Tz::Europe__Berlin).to_rfc3339(), expected);
        }
    }

    #[test]
    fn what_cannot_be_a_value_is_refused_with_the_mapping() {
        let wrong = |toml: &str| Value::new(written(toml)).unwrap_err();
        assert!(wrong(r#"v = { from = "a", is = "b" }"#).starts_with("a value has one of"));
        assert!(wrong(r#"v = { from = "a", matching = "(" }"#).starts_with("the pattern \"(\" cannot be read"));
        assert!(wrong(r#"v = { text = "{a" }"#).contains("is not closed"));
    }

    fn written(toml: &str) -> Written {
        #[derive(Deserialize)]
        struct Holder {
            v: Written,
        }
        toml::from_str::<Holder>(toml).unwrap().v
    }

    #[track_caller]
    fn check(toml: &str, expected: Result<Option<&str>, &str>) {
        let fields: Object = serde_json::from_str(
            r#"{"a":"x","b":{"c":true},"geo":{"country":"Germany"},"list":[1,2],"$insert_id":"i-1","dash":"-","none":null,
                "size":"1920,1080,1","agent":"Mozilla/5.0+(X11;+%25C3%25A4)"}"#,
        )
        .unwrap();
        let told =
            Told { variables: BTreeMap::from([("host".to_owned(), "shop.example".to_owned())]), ..Told::default() };
        let record = Record { fields: &fields, told: &told, empty: &["-".to_owned()] };
        let value = Value::new(written(toml)).unwrap().of(record);
        let value = value.as_ref().map(|value| value.as_ref().map(Json::to_string)).map_err(|error| &**error);
        assert_eq!(value.as_ref().map(|value| value.as_deref()).map_err(|error| *error), expected, "{toml}");
    }
}
