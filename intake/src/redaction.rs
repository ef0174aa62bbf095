//! Redaction of refused events: removes what is never stored of any event, such as addresses, user agents and keys.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;
use url::form_urlencoded;

use crate::json;

/// Fields, of any protocol, whose values are dropped wherever they are.
const NOT_STORED: [&str; 13] = [
    "ip",
    "$ip",
    "ip_override",
    "user_agent",
    "userAgent",
    "userAgentData",
    "$raw_user_agent",
    "ua",
    "key",
    "writeKey",
    "api_key",
    "token",
    "api_secret",
];

/// Matches a member of an object in text that does not parse as JSON and may be cut off. Matches too much rather than
/// too little.
static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    let names = NOT_STORED.map(regex::escape).join("|");
    let string = r#""(\\.|[^"\\])*("|\\?$)"#;
    let (array, object, other) = (r"\[[^\]]*\]?", r"\{[^}]*\}?", r"[^,\]}]*");
    Regex::new(&format!(r#"(?s)"({names})"\s*:\s*({string}|{array}|{object}|{other})"#)).expect("it is a pattern")
});

/// Redacts an event as it was sent: JSON, or the parameters of an address.
pub(crate) fn redact(sent: &str) -> String {
    let kept = match json::read::<Value>(sent) {
        Ok(mut json) => {
            strip(&mut json);
            json.to_string()
        }
        Err(_) => without_members(&without_params(sent)),
    };
    without_keys(&kept)
}

fn strip(json: &mut Value) {
    match json {
        Value::Object(fields) => {
            fields.retain(|name, _| !NOT_STORED.contains(&name.as_str()));
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        // Events that were encoded twice.
        Value::String(text) if text.contains('{') => *text = without_members(text),
        _ => {}
    }
}

fn without_members(text: &str) -> String {
    MEMBER.replace_all(text, r#""$1":null"#).into_owned()
}

fn without_params(sent: &str) -> String {
    let is_stored = |param: &&str| {
        let name = form_urlencoded::parse(param.as_bytes()).next().map(|(name, _)| name);
        name.is_none_or(|name| !NOT_STORED.contains(&&*name))
    };
    sent.split('&').filter(is_stored).collect::<Vec<_>>().join("&")
}

/// The prefix of write keys. Hexadecimal digits follow.
const KEY_PREFIX: &str = "dpw_";

/// Removes write keys from a text, also those of other sites and those that are cut off.
fn without_keys(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(KEY_PREFIX) {
        kept.push_str(&rest[..at]);
        kept.push_str("[write key]");
        rest = rest[at + KEY_PREFIX.len()..].trim_start_matches(|char: char| char.is_ascii_hexdigit());
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_of_an_event_is_not_kept_of_a_refused_one() {
        let sent = r#"{"name":7,"ip":"192.0.2.1","context":{"userAgent":"x","page":1},"key":"\u0064pw_0"}"#;
        check(sent, r#"{"context":{"page":1},"name":7}"#);
        check("{ nonsense", "{ nonsense");
    }

    #[test]
    fn nor_of_one_that_is_no_json() {
        check(r#"{"ip": "192.0.2.1", "name":}"#, r#"{"ip":null, "name":}"#);
        check(
            r#"{"a":{"ip":["192.0.2.1"],"user_agent":"a \"b\", c"},"name":}"#,
            r#"{"a":{"ip":null,"user_agent":null},"name":}"#,
        );
        check(r#"[{"zip":"1","key":7,"user_agent":"Mozilla \"#, r#"[{"zip":"1","key":null,"user_agent":null"#);
        check(r#"{"ip":["192.0.2.1", "192.0.2.2"],"a":1e999}"#, r#"{"a":"1e999"}"#);
        check("{\"ip\":{\"v4\":\"192.0.2.1\",\n\"v6\":\"::1\"},\"a\":}", r#"{"ip":null,"a":}"#);
        check(r#"2026-03-01 {"ip":"192.0.2.1"}"#, r#"2026-03-01 {"ip":null}"#);
        check(r#"["{\"ip\":\"192.0.2.1\"}"]"#, r#"["{\"ip\":null}"]"#);
    }

    #[test]
    fn nor_of_one_in_an_address() {
        check("e=pv&ip=192.0.2.1&ua=Mozilla%2F5.0&zip=1", "e=pv&zip=1");
        check("%24ip=192.0.2.1&i%70=192.0.2.1&name=a+b", "name=a+b");
        check("nothing", "nothing");
    }

    #[test]
    fn a_write_key_is_not_kept() {
        check(r#"{"field":"dpw_0af9","name":7}"#, r#"{"field":"[write key]","name":7}"#);
        check(r#"{"a":"dpw_0","field":"dpw_0a"#, r#"{"a":"[write key]","field":"[write key]"#);
    }

    #[track_caller]
    fn check(sent: &str, expected: &str) {
        assert_eq!(redact(sent), expected);
    }
}
