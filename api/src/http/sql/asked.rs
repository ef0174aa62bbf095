//! What a request asks. Pure.

use axum::http::{HeaderMap, header};
use engine::Param;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::format::Format;

/// A query as it was asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    /// The SQL.
    pub(crate) sql: String,
    /// Values for its parameters.
    pub(crate) params: Vec<(String, Param)>,
    /// The site it is asked of; all that its sender may read if none is named.
    pub(crate) site: Option<String>,
}

impl Asked {
    /// Whether the SQL has `$name` in it, if only in a comment.
    pub(crate) fn names(&self, name: &str) -> bool {
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        self.sql.match_indices(&format!("${name}")).any(|(at, found)| is_end(&self.sql[at + found.len()..]))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    sql: String,
    #[serde(default)]
    params: Map<String, Value>,
    site: Option<String>,
    format: Option<String>,
}

/// Reads a request: a JSON object, or the SQL itself.
///
/// - `format`, `site`: from the query string, for requests that are the SQL itself.
///
/// Fails with words for the sender.
pub(super) fn read(
    headers: &HeaderMap,
    body: &[u8],
    format: Option<String>,
    site: Option<String>,
) -> Result<(Asked, Format), String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // No query begins like an object, and `curl -d` names neither type.
    let is_json = text(header::CONTENT_TYPE).contains("json") || body.trim_ascii_start().starts_with(b"{");
    let body = match is_json {
        true => serde_json::from_slice(body).map_err(|error| {
            format!("the body is no query: {error}; write {{\"sql\": \"SELECT …\", \"params\": {{…}}}}, or send the SQL as text/plain")
        })?,
        false => {
            let sql = str::from_utf8(body).map_err(|_| "the SQL is not in UTF-8".to_owned())?;
            Body { sql: sql.to_owned(), params: Map::new(), site: None, format: None }
        }
    };
    let format = match one_of("format", body.format, format)? {
        Some(name) => Format::named(&name)?,
        None => Format::accepted(text(header::ACCEPT))?,
    };
    let site = one_of("site", body.site, site)?;
    Ok((Asked { sql: body.sql, params: params(body.params)?, site }, format))
}

fn one_of(name: &str, in_body: Option<String>, in_address: Option<String>) -> Result<Option<String>, String> {
    match (in_body, in_address) {
        (Some(one), Some(other)) if one != other => {
            Err(format!("the body has the {name} {one:?}, and the address {other:?}: give one of them"))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// The values of parameters. Fails with words for the sender.
pub(crate) fn params(params: Map<String, Value>) -> Result<Vec<(String, Param)>, String> {
    params
        .into_iter()
        .map(|(name, value)| Ok((name.trim_start_matches('$').to_owned(), param(&name, value)?)))
        .collect()
}

fn param(name: &str, value: Value) -> Result<Param, String> {
    Ok(match value {
        Value::Null => Param::Text(None),
        Value::Bool(flag) => Param::Flag(flag),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Param::Integer(integer),
            // More digits than a whole number here has.
            (None, _) if number.is_u64() => Param::Written(number.to_string()),
            (None, Some(float)) => Param::Float(float),
            (None, None) => return Err(format!("{name} is no number that can be computed with: {number}")),
        },
        Value::String(text) => match Param::parse(&text) {
            // A time or an id takes the type of what it is compared with. A text that looks like a number stays text.
            Param::Time(_) | Param::Date(_) => Param::Written(text),
            Param::Text(Some(same)) if same == text => Param::Written(text),
            _ => Param::Text(Some(text)),
        },
        Value::Array(_) | Value::Object(_) => {
            return Err(format!("{name} is a list or an object: a parameter is text, a number, true, false or null"));
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(content_type: &str, body: &str) -> Result<(Asked, Format), String> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]);
        read(&headers, body.as_bytes(), None, Some("shop".into()))
    }

    #[test]
    fn a_request_is_json_or_the_sql_itself() {
        let plain = |sql: &str| Asked { sql: sql.into(), params: vec![], site: Some("shop".into()) };
        for content_type in ["text/plain", "application/sql", "application/x-www-form-urlencoded"] {
            assert_eq!(check(content_type, "SELECT 1"), Ok((plain("SELECT 1"), Format::Json)));
        }
        let body = r#" {"sql": "SELECT $n", "params": {"$n": 7, "from": "2026-03-01"}, "format": "csv"}"#;
        for content_type in ["application/json; charset=utf-8", "application/x-www-form-urlencoded"] {
            let (asked, format) = check(content_type, body).unwrap();
            assert_eq!((asked.sql.as_str(), format), ("SELECT $n", Format::Csv));
            let expected = [("n".into(), Param::Integer(7)), ("from".into(), Param::Written("2026-03-01".into()))];
            assert_eq!(asked.params.len(), 2);
            assert!(expected.iter().all(|param| asked.params.contains(param)), "{:?}", asked.params);
        }
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        for (content_type, body, words) in [
            ("application/json", "SELECT 1", "the body is no query: expected value at line 1 column 1"),
            ("application/json", r#"{"sql": "SELECT 1", "Params": {}}"#, "unknown field `Params`"),
            ("application/json", r#"{"params": {}}"#, "missing field `sql`"),
            ("application/json", r#"{"sql": "SELECT 1", "params": {"a": [1]}}"#, "a is a list or an object"),
            ("application/json", r#"{"sql": "SELECT 1", "format": "xml"}"#, "there is no format \"xml\""),
            ("application/json", r#"{"sql": "SELECT 1", "site": "blog"}"#, "the body has the site \"blog\""),
        ] {
            let refused = check(content_type, body).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_text_stays_a_text_whatever_it_looks_like() {
        let of = |text: &str| param("p", Value::String(text.into())).unwrap();
        for text in ["7", "true", "null", "'x'", "1e3"] {
            assert_eq!(of(text), Param::Text(Some(text.into())), "{text}");
        }
        assert_eq!(of("2026-03-01T12:00:00Z"), Param::Written("2026-03-01T12:00:00Z".into()));
        assert_eq!(of("shop"), Param::Written("shop".into()));
        assert_eq!(param("p", serde_json::json!(u64::MAX)), Ok(Param::Written(u64::MAX.to_string())));
        assert_eq!(param("p", Value::Null), Ok(Param::Text(None)));
    }
}
