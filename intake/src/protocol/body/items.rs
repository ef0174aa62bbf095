//! The forms of a native body: one object, an array, an envelope, or lines (NDJSON).
//!
//! Splits a body into items without parsing them, so that a bad one spoils no other. Nothing here recurses: nesting
//! takes no stack, however deep.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::field::{self, Kind, Object, TEXT_CHARS_MAX};
use crate::error::IngestError;
use crate::event_time::Window;
use crate::json;
use crate::protocol::Sender;

/// The items of a body.
pub(in crate::protocol) struct Items<'a> {
    /// Each item as it was written; with the reason, if it is not JSON.
    pub(in crate::protocol) values: Vec<Result<&'a str, (&'a str, String)>>,
    /// When they were sent, in microseconds by the sender's clock, if the envelope says so.
    pub(in crate::protocol) sent_at_us: Option<i64>,
    /// The sender, if the envelope or the first item names one.
    pub(in crate::protocol) sender: Option<Sender>,
}

/// Splits a body into items and hands them on.
///
/// - `events_max`: the most items there may be.
pub(in crate::protocol) fn with<T>(
    body: &[u8],
    events_max: usize,
    take: impl FnOnce(Items<'_>) -> T,
) -> Result<T, IngestError> {
    let text =
        json::text_of(body).map_err(|error| IngestError::invalid(format!("the body cannot be read: {error}")))?;
    let read = read(&text, events_max);
    let can_be_mended = match &read {
        Ok(items) => items.values.iter().any(Result::is_err),
        Err(error) => matches!(error, IngestError::Invalid { .. }),
    };
    match can_be_mended.then(|| json::mended(&text)).flatten() {
        Some(mended) => Ok(take(self::read(&mended, events_max)?)),
        None => Ok(take(read?)),
    }
}

fn read(text: &str, events_max: usize) -> Result<Items<'_>, IngestError> {
    let mut values: Vec<&RawValue> = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        match value {
            Ok(_) if values.len() == events_max => return Err(too_many(events_max)),
            Ok(value) => values.push(value),
            Err(_) if are_lines(text) => return read_lines(text, events_max),
            Err(error) => return Err(IngestError::invalid(format!("the body is not JSON: {error}"))),
        }
    }
    match values[..] {
        [] => Err(IngestError::invalid("the body is empty; send one event, an array of events, or one event a line")),
        [value] => match Kind::of(value) {
            Kind::Object => read_object(value, events_max),
            Kind::Array => list(read_array(value, events_max)?, None, None),
            other => {
                Err(IngestError::invalid(format!("the body must be an object or an array of objects, not {other}")))
            }
        },
        _ => list(values, None, None),
    }
}

/// An envelope if it has an array `events`, else a single event.
fn read_object(value: &RawValue, events_max: usize) -> Result<Items<'_>, IngestError> {
    let Object(fields) =
        Object::read(value.get()).map_err(|error| IngestError::invalid(format!("not an event: {error}")))?;
    let find = |wanted: &str| fields.iter().rev().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    match find("events") {
        Some(events) if Kind::of(events) == Kind::Array => {
            let sent_at_us = match find("sent_at") {
                Some(sent_at) => field::time_us("sent_at", sent_at, Window::Live).map_err(IngestError::invalid)?,
                None => None,
            };
            list(read_array(events, events_max)?, sent_at_us, sender_of(&fields))
        }
        Some(events) if find("name").is_none() && Kind::of(events) != Kind::Null => {
            Err(IngestError::invalid(format!("`events` must be an array, not {}", Kind::of(events))))
        }
        _ => list(vec![value], None, None),
    }
}

fn list<'a>(
    values: Vec<&'a RawValue>,
    sent_at_us: Option<i64>,
    envelope_sender: Option<Sender>,
) -> Result<Items<'a>, IngestError> {
    let sender = envelope_sender.or_else(|| values.first().and_then(|first| sender_of_item(first.get())));
    Ok(Items { values: values.into_iter().map(|value| Ok(value.get())).collect(), sent_at_us, sender })
}

/// Whether a body that is not JSON as a whole is meant as one event per line: some line is an object by itself, and no
/// line looks like part of a document that spans several lines.
fn are_lines(text: &str) -> bool {
    let piece_of_a_document = |line: &str| line.ends_with([',', '[', '{']) || line.starts_with([']', '}']);
    !text.starts_with('[')
        && !lines(text).any(piece_of_a_document)
        && lines(text).any(|line| line.starts_with('{') && serde_json::from_str::<&RawValue>(line).is_ok())
}

fn read_lines(text: &str, events_max: usize) -> Result<Items<'_>, IngestError> {
    if lines(text).nth(events_max).is_some() {
        return Err(too_many(events_max));
    }
    let values: Vec<_> = lines(text)
        .map(|line| match serde_json::from_str::<&RawValue>(line) {
            Ok(value) => Ok(value.get()),
            Err(error) => Err((line, format!("the line is not JSON: {error}"))),
        })
        .collect();
    let sender = values.iter().flatten().next().and_then(|first| sender_of_item(first));
    Ok(Items { values, sent_at_us: None, sender })
}

/// The lines of a body, without blank ones. Files that were joined have byte order marks in the middle.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.trim_start_matches('\u{feff}').trim_ascii()).filter(|line| !line.is_empty())
}

fn sender_of_item(item: &str) -> Option<Sender> {
    // Most bodies name no sender: look for one before taking an item apart.
    if !item.contains("\"key\"") && !item.contains("\"site\"") {
        return None;
    }
    let Object(fields) = Object::read(item).ok()?;
    sender_of(&fields)
}

/// Checks that an item does not name a different sender than the request: another key, or another domain if a domain
/// chose the site.
pub(in crate::protocol) fn check_sender(
    item: &str,
    sender: &Option<Sender>,
    domain: Option<&str>,
) -> Result<(), String> {
    let is_other = match (sender_of_item(item), sender, domain) {
        (Some(Sender::Key(named)), Some(Sender::Key(key)), _) => named != *key,
        (Some(Sender::Domain(named)), _, Some(domain)) => lake::domain_form(&named) != lake::domain_form(domain),
        _ => false,
    };
    if is_other { Err("it names a different key or site than the request".into()) } else { Ok(()) }
}

fn sender_of(fields: &[(Cow<'_, str>, &RawValue)]) -> Option<Sender> {
    let find = |wanted: &str| {
        let (_, value) = fields.iter().rev().find(|(name, _)| name == wanted)?;
        field::text(wanted, *value, TEXT_CHARS_MAX).ok().flatten().map(Cow::into_owned)
    };
    find("key").map(Sender::Key).or_else(|| find("site").map(Sender::Domain))
}

/// The elements of an array. Fails at the limit before collecting more: a million elements of one digit would take
/// eight times the memory of the body.
pub(in crate::protocol) fn read_array(value: &RawValue, events_max: usize) -> Result<Vec<&RawValue>, IngestError> {
    struct Elements {
        events_max: usize,
    }

    impl<'de> Visitor<'de> for Elements {
        type Value = Option<Vec<&'de RawValue>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = array.next_element()? {
                if elements.len() == self.events_max {
                    while array.next_element::<IgnoredAny>()?.is_some() {}
                    return Ok(None);
                }
                elements.push(element);
            }
            Ok(Some(elements))
        }
    }

    if Kind::of(value) != Kind::Array {
        return Err(IngestError::invalid(format!("the events must be an array, not {}", Kind::of(value))));
    }
    let elements = serde_json::Deserializer::from_str(value.get()).deserialize_seq(Elements { events_max });
    elements
        .map_err(|error| IngestError::invalid(format!("the events are not JSON: {error}")))?
        .ok_or_else(|| too_many(events_max))
}

pub(in crate::protocol) fn too_many(events_max: usize) -> IngestError {
    IngestError::too_large(format!("more than {events_max} events in one request; send them in smaller batches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_an_object_an_array_an_envelope_or_lines() {
        check(r#"{"a":1}"#, r#"{"a":1}"#);
        check(r#"[{"a":1}, {"a":2}]"#, r#"{"a":1} {"a":2}"#);
        check(r#"{"events":[{"a":1},{"a":2}]}"#, r#"{"a":1} {"a":2}"#);
        check("{\"a\":1}\n{\"a\":2}", r#"{"a":1} {"a":2}"#);
        check("\u{feff} {\"a\":1}\r\n\r\n{\"a\":2}\r\n", r#"{"a":1} {"a":2}"#);
        check("\u{feff}{\"a\":1}\n\u{feff}{\"a\":2}\n", r#"{"a":1} {"a":2}"#);
        check(r#"{"a":1}{"a":2}"#, r#"{"a":1} {"a":2}"#);
        check("[]", "");
    }

    #[test]
    fn a_broken_line_leaves_the_others_alone() {
        check("{\"a\":1}\nnonsense\n{\"a\":3}", r#"{"a":1} ! {"a":3}"#);
        check("{\"a\":\n{\"a\":2}\n{\"a\":3}", r#"! {"a":2} {"a":3}"#);
        check("nonsense\n{\"a\":2}", r#"! {"a":2}"#);
        check("{\"a\":1}\n{\"a\":\"cut o", r#"{"a":1} !"#);
    }

    #[test]
    fn a_broken_document_is_not_taken_for_lines() {
        check("[{\"a\":1},\n{\"a\":2}", "400 the body is not JSON: EOF");
        check("{\"events\":[\n{\"a\":1},\n{\"a\":2}\n", "400 the body is not JSON: EOF");
        check("{\n\"a\": {}\n", "400 the body is not JSON: EOF");
        check("{\"a\":1},\n{\"a\":2}", "400 the body is not JSON: expected value at line 1 column 8");
    }

    #[test]
    fn what_is_no_event_at_all_is_refused() {
        check("", "400 the body is empty");
        check(" \n ", "400 the body is empty");
        check("nonsense", "400 the body is not JSON");
        check("7", "400 the body must be an object or an array of objects, not a number");
        check("null", "400 the body must be an object or an array of objects, not null");
        check(r#"{"events":7}"#, "400 `events` must be an array, not a number");
        check(r#"{"events":[],"sent_at":"noon"}"#, "400 `sent_at` is not a time");
    }

    #[test]
    fn an_event_may_have_a_field_called_events() {
        check(r#"{"name":"a","events":7}"#, r#"{"name":"a","events":7}"#);
    }

    #[test]
    fn deep_nesting_takes_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(read(&deep, 3).unwrap().values.len(), 1);
        let deep = "{\"a\":".repeat(1_000_000);
        assert!(read(&deep, 3).is_err());
    }

    #[test]
    fn an_odd_word_or_byte_is_mended_in_every_form() {
        check(r#"[{"a":NaN}]"#, r#"{"a":null}"#);
        check("{\"a\":NaN}\n{\"a\":2}", r#"{"a":null} {"a":2}"#);
        check("{\"a\":\"\t\"}", r#"{"a":"\u0009"}"#);
    }

    #[test]
    fn too_many_events_are_refused_in_every_form() {
        for body in ["[1,2,3,4]", r#"{"events":[1,2,3,4]}"#, "1 2 3 4", "{}\n!\n{}\n{}"] {
            check(body, "413 more than 3 events in one request");
        }
        check("[1,2,3]", "1 2 3");
    }

    #[test]
    fn the_sender_is_in_the_envelope_or_the_first_item() {
        let key = |key: &str| Sender::Key(key.into());
        for (body, sender) in [
            (r#"{"key":"k","events":[]}"#, Some(key("k"))),
            (r#"{"key":"k","name":"a"}"#, Some(key("k"))),
            (r#"[{"key":"k"},{}]"#, Some(key("k"))),
            ("{\"key\":\"k\"}\n{}", Some(key("k"))),
            (r#"{"site":"shop.example","events":[]}"#, Some(Sender::Domain("shop.example".into()))),
            (r#"{"site":"shop.example","key":"k"}"#, Some(key("k"))),
            (r#"{"events":[{}]}"#, None),
            (r#"{"key":7}"#, None),
            (r#"{"key":"k","\ud83d":1}"#, Some(key("k"))),
            (r#"{"properties":{"key":"k"}}"#, None),
        ] {
            assert_eq!(with(body.as_bytes(), 3, |items| items.sender).unwrap(), sender, "{body}");
        }
    }

    /// Compares the items, `!` for a broken one, or the beginning of the status and reason of a refusal.
    #[track_caller]
    fn check(body: &str, expected: &str) {
        let join =
            |items: Items<'_>| items.values.into_iter().map(|value| value.unwrap_or("!")).collect::<Vec<_>>().join(" ");
        match with(body.as_bytes(), 3, join) {
            Ok(values) => assert_eq!(values, expected, "{body}"),
            Err(error) => {
                let status = if matches!(error, IngestError::TooLarge { .. }) { 413 } else { 400 };
                let actual = format!("{status} {error}");
                assert!(actual.starts_with(expected), "{body}: {actual}");
            }
        }
    }
}
