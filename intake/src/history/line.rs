//! Lines of logs as records: by a pattern whose groups name the fields, or by the header that W3C's logs have. Pure.

use regex::Regex;
use serde_json::Value as Json;

use crate::protocol::body::object::Object;

/// How lines become records.
#[derive(Clone, Debug)]
pub(super) enum Lines {
    /// The fields are the named groups of the first pattern that matches.
    Matching(Vec<Regex>),
    /// `#Fields:` names the fields of the lines after it, which stand between spaces or tabs.
    W3c,
}

/// What the lines before say: the fields that a header named.
#[derive(Clone, Debug, Default)]
pub struct Header(Vec<String>);

impl Header {
    /// Takes a line that is about those after it. Whether it is one.
    pub fn take(&mut self, line: &str) -> bool {
        if let Some(fields) = line.strip_prefix("#Fields:") {
            self.0 = fields.split_whitespace().map(str::to_owned).collect();
        }
        line.starts_with('#')
    }
}

impl Lines {
    /// The record of a line; `None` if it is none of this log's.
    pub(super) fn record(&self, line: &str, header: &Header) -> Option<Object> {
        match self {
            Self::Matching(patterns) => patterns.iter().find_map(|pattern| {
                let found = pattern.captures(line)?;
                let named = pattern.capture_names().flatten();
                let fields = named.filter_map(|name| Some((name.to_owned(), unquoted(found.name(name)?.as_str()))));
                Some(fields.collect())
            }),
            Self::W3c => {
                let separator = if line.contains('\t') { '\t' } else { ' ' };
                let values: Vec<&str> = line.split(separator).collect();
                let is_whole = !header.0.is_empty() && values.len() == header.0.len();
                is_whole.then(|| {
                    let named = header.0.iter().zip(values);
                    named.map(|(name, value)| (name.clone(), Json::String(value.to_owned()))).collect()
                })
            }
        }
    }
}

/// A value as it was before the server escaped it: nginx writes `\x22` for a quote, Apache `\"`.
fn unquoted(value: &str) -> Json {
    if !value.contains('\\') {
        return Json::String(value.to_owned());
    }
    let (mut plain, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.strip_prefix(b"x").and_then(|after| std::str::from_utf8(after.get(..2)?).ok());
        match (byte, digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()), after.first()) {
            (b'\\', Some(escaped), _) => {
                plain.push(escaped);
                rest = &after[3..];
            }
            (b'\\', None, Some(next @ (b'"' | b'\\'))) => {
                plain.push(*next);
                rest = &after[1..];
            }
            _ => {
                plain.push(byte);
                rest = after;
            }
        }
    }
    Json::String(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_the_first_pattern_that_matches_are_the_fields() {
        let patterns = [r"^(?<a>\d+) (?<b>\d+)?$", "^(?<c>[a-z]+)$"].map(|pattern| Regex::new(pattern).unwrap());
        let lines = Lines::Matching(patterns.into());
        let record = |line: &str| lines.record(line, &Header::default()).map(|fields| Json::Object(fields).to_string());
        assert_eq!(record("1 2").as_deref(), Some(r#"{"a":"1","b":"2"}"#));
        assert_eq!(record("1 ").as_deref(), Some(r#"{"a":"1"}"#));
        assert_eq!(record("word").as_deref(), Some(r#"{"c":"word"}"#));
        assert_eq!(record("?"), None);
    }

    #[test]
    fn fields_may_change_within_a_file() {
        let mut header = Header::default();
        let mut record = |line: &str| match header.take(line) {
            true => None,
            false => Lines::W3c.record(line, &header).map(|fields| Json::Object(fields).to_string()),
        };
        assert_eq!(record("a b"), None, "nobody knows what these are");
        assert_eq!(record("#Fields: x y"), None);
        assert_eq!(record("1 2").as_deref(), Some(r#"{"x":"1","y":"2"}"#));
        assert_eq!(record("1"), None, "a line that was cut");
        assert_eq!(record("#Fields: y"), None);
        assert_eq!(record("3").as_deref(), Some(r#"{"y":"3"}"#));
        assert_eq!(record("#Software: Microsoft Internet Information Services 10.0"), None);
    }

    #[test]
    fn what_servers_escape_is_what_was_sent() {
        assert_eq!(unquoted(r"a\x22b\\c\d"), "a\"b\\c\\d");
        assert_eq!(unquoted(r#"a\"b"#), "a\"b");
        assert_eq!(unquoted(r"\xc3\xa4\x"), "ä\\x");
    }
}
