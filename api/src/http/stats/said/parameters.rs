//! The parameters of a request, from a query string or from a JSON object, as one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::names;

/// What a request says, by the names of an endpoint's parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::http::stats) struct Parameters(BTreeMap<String, Vec<Value>>);

impl Parameters {
    /// From a query string. An empty value asks for nothing.
    ///
    /// - `known`: the endpoint's parameters, and whether each may be there several times.
    ///
    /// Fails with words for the sender.
    pub(in crate::http::stats) fn of_query(
        pairs: Vec<(String, String)>,
        known: &[(&'static str, bool)],
    ) -> Result<Self, String> {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            let repeats = check(&name, known)?;
            if value.is_empty() {
                continue;
            }
            let values = parameters.0.entry(name.clone()).or_default();
            if !values.is_empty() && !repeats {
                return Err(format!("the parameter {name} is there twice"));
            }
            values.push(Value::String(value));
        }
        Ok(parameters)
    }

    /// From a body. Null asks for nothing.
    pub(in crate::http::stats) fn of_body(body: &[u8], known: &[(&'static str, bool)]) -> Result<Self, String> {
        let object: Map<String, Value> = match serde_json::from_slice(body) {
            Ok(object) => object,
            Err(error) => return Err(format!("the body is no JSON object: {error}")),
        };
        let mut parameters = Self::default();
        for (name, value) in object {
            let repeats = check(&name, known)?;
            let values = match value {
                Value::Null => continue,
                Value::Array(values) if repeats => values,
                value => vec![value],
            };
            parameters.0.insert(name, values);
        }
        Ok(parameters)
    }

    /// All values of a parameter that may be there several times.
    pub(in crate::http::stats) fn all(&mut self, name: &str) -> Vec<Value> {
        self.0.remove(name).unwrap_or_default()
    }

    /// Whether a text is in one of the values.
    pub(in crate::http::stats) fn mention(&self, text: &str) -> bool {
        self.0.iter().any(|(name, values)| name == text || values.iter().any(|value| value.to_string().contains(text)))
    }

    /// Whether a parameter is just this text.
    pub(in crate::http::stats) fn say(&self, name: &str, text: &str) -> bool {
        let is_text = |value: &Value| match value {
            Value::String(value) => value.trim() == text,
            Value::Array(values) => matches!(values.as_slice(), [value] if value == text),
            _ => false,
        };
        self.0.get(name).is_some_and(|values| values.iter().any(is_text))
    }

    /// The value of a parameter, whatever it is.
    pub(in crate::http::stats) fn one(&mut self, name: &str) -> Option<Value> {
        self.all(name).into_iter().next()
    }

    /// A text. A number is its digits.
    pub(in crate::http::stats) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(other) => Err(format!("{name} is a text, and not {other}")),
        }
    }

    /// Texts, divided by commas or in a list.
    pub(in crate::http::stats) fn list(&mut self, name: &str) -> Result<Option<Vec<String>>, String> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.split(',').map(|one| one.trim().to_owned()).collect())),
            Some(Value::Array(values)) => {
                let text = |value| match value {
                    Value::String(text) => Ok(text),
                    other => Err(format!("{name} is a list of texts, and {other} is none")),
                };
                values.into_iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(format!("{name} is a list of texts, and not {other}")),
        }
    }

    /// Yes or no.
    pub(in crate::http::stats) fn flag(&mut self, name: &str) -> Result<Option<bool>, String> {
        match self.one(name) {
            None => Ok(None),
            Some(value) => match flag_of(&value) {
                Some(flag) => Ok(Some(flag)),
                None => Err(format!("{name} is true or false, and not {value}")),
            },
        }
    }

    /// Whether a parameter says yes.
    pub(in crate::http::stats) fn says_yes(&self, name: &str) -> bool {
        self.0.get(name).into_iter().flatten().any(|value| flag_of(value) == Some(true))
    }

    /// A whole number between two bounds.
    pub(in crate::http::stats) fn number(&mut self, name: &str, least: i64, most: i64) -> Result<Option<i64>, String> {
        let number = match self.one(name) {
            None => return Ok(None),
            Some(Value::String(text)) => text.parse().map_err(|_| text),
            Some(value) => value.as_i64().ok_or_else(|| value.to_string()),
        };
        match number {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            Ok(number) => Err(format!("{name} is a number from {least} to {most}, and not {number}")),
            Err(text) => Err(format!("{name} is a whole number from {least} to {most}, and not {text:?}")),
        }
    }
}

fn flag_of(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text == "true" || text == "1" => Some(true),
        Value::String(text) if text == "false" || text == "0" => Some(false),
        _ => None,
    }
}

/// Whether a parameter may be there several times. Fails if there is no such parameter.
fn check(name: &str, known: &[(&'static str, bool)]) -> Result<bool, String> {
    let found = known.iter().find(|(known, _)| *known == name);
    let names = known.iter().map(|(known, _)| *known);
    found.map(|(_, repeats)| *repeats).ok_or_else(|| names::unknown("parameter", name, names, &ELSEWHERE))
}

/// What others call the same.
const ELSEWHERE: [(&str, &str); 14] = [
    ("site_id", "site"),
    ("sites", "site"),
    ("metric", "metrics"),
    ("dimension", "dimensions"),
    ("property", "dimensions"),
    ("period", "date_range"),
    ("range", "date_range"),
    ("startDate", "from"),
    ("since", "from"),
    ("to", "until"),
    ("endDate", "until"),
    ("timezone", "time_zone"),
    ("sort", "order_by"),
    ("comparison", "compare"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const KNOWN: [(&str, bool); 4] = [("site", false), ("metrics", false), ("limit", false), ("filter", true)];

    fn query(pairs: &[(&str, &str)]) -> Result<Parameters, String> {
        Parameters::of_query(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(), &KNOWN)
    }

    fn body(body: Value) -> Result<Parameters, String> {
        Parameters::of_body(body.to_string().as_bytes(), &KNOWN)
    }

    #[test]
    fn an_address_and_a_body_say_the_same() {
        let address = [("site", "shop"), ("metrics", "a, b"), ("limit", "7"), ("filter", "x"), ("filter", "y")];
        let in_body = json!({ "site": "shop", "metrics": ["a", "b"], "limit": 7, "filter": ["x", "y"] });
        for mut parameters in [query(&address).unwrap(), body(in_body).unwrap()] {
            assert_eq!(parameters.text("site"), Ok(Some("shop".into())));
            assert_eq!(parameters.list("metrics"), Ok(Some(vec!["a".into(), "b".into()])));
            assert_eq!(parameters.number("limit", 1, 10), Ok(Some(7)));
            assert_eq!(parameters.all("filter"), [json!("x"), json!("y")]);
            assert_eq!(parameters, Parameters::default());
        }
        for mut nothing in [query(&[("site", "")]).unwrap(), body(json!({ "site": null })).unwrap()] {
            assert_eq!(nothing.text("site"), Ok(None));
        }
        assert_eq!(body(json!({ "filter": "x" })).unwrap().all("filter"), [json!("x")]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let number = |value: Value| body(json!({ "limit": value })).unwrap().number("limit", 1, 10).unwrap_err();
        for (refused, words) in [
            (query(&[("Site", "shop")]).unwrap_err(), "there is no parameter \"Site\": write site"),
            (query(&[("sites", "shop")]).unwrap_err(), "there is no parameter \"sites\": write site"),
            (query(&[("sort", "")]).unwrap_err(), "there is no parameter \"sort\": write order_by"),
            (body(json!({ "metrcs": [] })).unwrap_err(), "did you mean metrics?"),
            (query(&[("site", "a"), ("site", "b")]).unwrap_err(), "the parameter site is there twice"),
            (body(json!([])).unwrap_err(), "the body is no JSON object"),
            (number(json!(11)), "limit is a number from 1 to 10, and not 11"),
            (number(json!("x")), "limit is a whole number from 1 to 10, and not \"x\""),
            (number(json!(1.5)), "limit is a whole number from 1 to 10, and not \"1.5\""),
            (body(json!({ "site": {} })).unwrap().text("site").unwrap_err(), "site is a text, and not {}"),
            (body(json!({ "metrics": [1] })).unwrap().list("metrics").unwrap_err(), "and 1 is none"),
        ] {
            assert!(refused.contains(words), "{refused}");
        }
    }
}
