//! Whether a refused event mentions a person, as far as one can tell from bytes that could not be read as an event.
//! Pure.

use serde_json::Value as Json;
use url::form_urlencoded;

/// How deep addresses and JSON are looked for within each other's values.
const NESTED_MAX: u32 = 4;

/// Whether an event that was refused has an id as one of its values: of its JSON, or of the parameters that a pixel sends.
pub(super) fn mentions(event: &str, id: &str) -> bool {
    if has_parameter(event, id, NESTED_MAX) {
        return true;
    }
    match serde_json::from_str(event) {
        Ok(json) => has_value(&json, id, NESTED_MAX),
        // No JSON, or cut off.
        Err(_) => {
            let quoted = serde_json::to_string(id).expect("a string can always be written as JSON");
            has_word(event, &quoted[1..quoted.len() - 1])
        }
    }
}

fn has_value(json: &Json, id: &str, nested_max: u32) -> bool {
    match json {
        Json::String(text) => is_or_has(text, id, nested_max),
        Json::Number(number) => number.to_string() == id,
        Json::Array(values) => values.iter().any(|value| has_value(value, id, nested_max)),
        Json::Object(fields) => fields.iter().any(|(name, value)| name == id || has_value(value, id, nested_max)),
        Json::Null | Json::Bool(_) => false,
    }
}

/// Whether a text is an id, or an address with it, or JSON with it.
fn is_or_has(text: &str, id: &str, nested_max: u32) -> bool {
    if text == id {
        return true;
    }
    // A sender may nest them without end.
    let Some(nested_max) = nested_max.checked_sub(1) else { return has_word(text, id) };
    let address = text.split_once('#').map_or(text, |(address, _)| address);
    address.split_once('?').is_some_and(|(_, parameters)| has_parameter(parameters, id, nested_max))
        || (text.starts_with(['{', '['])
            && serde_json::from_str(text).is_ok_and(|json| has_value(&json, id, nested_max)))
}

/// Whether one of an address's parameters is or has an id, as it was before it was encoded.
fn has_parameter(parameters: &str, id: &str, nested_max: u32) -> bool {
    form_urlencoded::parse(parameters.as_bytes()).any(|(_, value)| is_or_has(&value, id, nested_max))
}

/// Whether a text has an id that does not go on in letters or digits on either side.
fn has_word(text: &str, id: &str) -> bool {
    text.match_indices(id).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + id.len()..].chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_mentioned_where_it_is_a_value_and_not_where_it_is_a_part_of_one() {
        check("42", r#"{"user_id":"42"}"#, true);
        check("42", r#"{"traits":[{"id":42}]}"#, true);
        check("42", r#"{"42":{"seen":true}}"#, true);
        check("42", r#"{"url":"https://shop.example/?user=42&x=1"}"#, true);
        check("42", r#"{"data":"{\"userId\":\"42\"}"}"#, true);
        check("42", r#"{"url":"https://shop.example/?user=42#top"}"#, true);
        check("42", "name=x&uid=42", true);
        check("42", "name=&url=https%3A%2F%2Fshop%2F%3Fuser%3D42", true);
        check("42", "properties=%7B%22userId%22%3A%2242%22%7D", true);
        check("42", &format!("{}42", "?a=".repeat(3_000)), true);
        check("42", r#"{"user_id":"42","name":"cut o"#, true);
        check("a b", r#"{"user_id":"a b","cut o"#, true);
        check("42", r#"{"user_id":"142","revenue":42.5,"timestamp":"2026-01-01T10:42:00Z"}"#, false);
        check("42", "name=x&uid=142", false);
        check("42", "name=&url=https%3A%2F%2Fshop%2F%3Fuser%3D142", false);
        check("42", r#"{"user_id":"142","cut o"#, false);
        check("dan", r#"{"title":"danger zone"}"#, false);

        #[track_caller]
        fn check(id: &str, event: &str, expected: bool) {
            assert_eq!(mentions(event, id), expected, "{event}");
        }
    }
}
