//! Which events and sessions count: conditions on dimensions, as text for an address and as nested lists for JSON.

use serde_json::{Value, json};

use super::dimension::Dimension;
use super::names;

/// Conditions of one request, all filters together.
const CONDITIONS_MAX: usize = 50;

/// Values of one condition.
const VALUES_MAX: usize = 100;

/// How deep lists may lie in lists.
const LEVELS_MAX: usize = 5;

/// Characters of a value: what an address of a page has at most.
const VALUE_CHARACTERS_MAX: usize = 4_096;

/// Characters of a pattern.
const PATTERN_CHARACTERS_MAX: usize = 500;

/// What must hold for an event, a session, or an event and its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Filter {
    Condition(Condition),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
}

/// What must hold for one dimension.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) struct Condition {
    pub(in crate::http::stats) dimension: Dimension,
    pub(in crate::http::stats) test: Test,
    /// Whether the test must fail instead, as it does where there is no value.
    pub(in crate::http::stats) fails: bool,
    /// None of them is having no value. Without a test of values it is empty.
    pub(in crate::http::stats) values: Vec<Option<String>>,
}

/// How a value is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Test {
    Is,
    Contains,
    StartsWith,
    EndsWith,
    /// By a pattern: `*` is any part of a path without a slash, `**` any with.
    Matches,
    Exists,
}

/// Operators as they are written.
pub(in crate::http::stats) const OPERATORS: [(&str, Test, bool); 12] = [
    ("is", Test::Is, false),
    ("is_not", Test::Is, true),
    ("contains", Test::Contains, false),
    ("contains_not", Test::Contains, true),
    ("starts_with", Test::StartsWith, false),
    ("starts_with_not", Test::StartsWith, true),
    ("ends_with", Test::EndsWith, false),
    ("ends_with_not", Test::EndsWith, true),
    ("matches", Test::Matches, false),
    ("matches_not", Test::Matches, true),
    ("exists", Test::Exists, false),
    ("exists_not", Test::Exists, true),
];

/// What others call the same.
const ELSEWHERE: [(&str, &str); 12] = [
    ("==", "is"),
    ("=", "is"),
    ("eq", "is"),
    ("in", "is"),
    ("any_of", "is"),
    ("!=", "is_not"),
    ("not_in", "is_not"),
    ("none_of", "is_not"),
    ("~", "contains"),
    ("does_not_contain", "contains_not"),
    ("not_exists", "exists_not"),
    ("is_set", "exists"),
];

/// What makes a list of conditions.
const CONNECTIVES: [&str; 3] = ["and", "or", "not"];

fn operator(name: &str) -> Result<(Test, bool), String> {
    let found = OPERATORS.iter().find(|(known, ..)| *known == name);
    let known = OPERATORS.iter().map(|(known, ..)| *known);
    let found = found.ok_or_else(|| names::unknown("operator", name, known.chain(CONNECTIVES), &ELSEWHERE));
    found.map(|(_, test, fails)| (*test, *fails))
}

impl Filter {
    /// What holds for everything.
    pub(in crate::http::stats) fn everything() -> Self {
        Self::And(vec![])
    }

    /// A condition, or several of which one must hold, as they are written into an address. Fails with words for the sender.
    pub(in crate::http::stats) fn read_text(text: &str) -> Result<Self, String> {
        let mut conditions = split(text, '|')?.into_iter().map(|text| Condition::read_text(&text));
        match (conditions.next().transpose()?, conditions.collect::<Result<Vec<_>, _>>()?) {
            (Some(one), others) if others.is_empty() => Ok(Self::Condition(one)),
            (one, others) => Ok(Self::Or(one.into_iter().chain(others).map(Self::Condition).collect())),
        }
    }

    /// A list as it is written in JSON, or a text. Fails with words for the sender.
    pub(in crate::http::stats) fn read_json(value: &Value) -> Result<Self, String> {
        Self::read_json_at(value, 1)
    }

    fn read_json_at(value: &Value, level: usize) -> Result<Self, String> {
        if level > LEVELS_MAX {
            return Err(format!("filters lie at most {LEVELS_MAX} levels deep"));
        }
        let list = match value {
            Value::String(text) => return Self::read_text(text),
            Value::Array(list) => list,
            other => return Err(format!("{other} is no filter: write [\"is\", \"country\", [\"DE\"]]")),
        };
        let all = |list: &[Value]| list.iter().map(|one| Self::read_json_at(one, level + 1)).collect::<Result<_, _>>();
        match list.as_slice() {
            [Value::String(name), Value::Array(filters)] if name == "and" => Ok(Self::And(all(filters)?)),
            [Value::String(name), Value::Array(filters)] if name == "or" && filters.is_empty() => {
                Err("an \"or\" of no filters holds for nothing: leave it out".to_owned())
            }
            [Value::String(name), Value::Array(filters)] if name == "or" => Ok(Self::Or(all(filters)?)),
            [Value::String(name), filter] if name == "not" => {
                Ok(Self::Not(Box::new(Self::read_json_at(filter, level + 1)?)))
            }
            [Value::String(name), ..] if CONNECTIVES.contains(&name.as_str()) => {
                Err(format!("{value} is no filter: write [\"{name}\", …] with a list of filters, or one for \"not\""))
            }
            [Value::String(operator), Value::String(dimension), rest @ ..] => {
                Ok(Self::Condition(Condition::read_json(operator, dimension, rest)?))
            }
            _ => Err(format!("{value} is no filter: write [\"is\", \"country\", [\"DE\"]]")),
        }
    }

    /// Fails with words for the sender if there are more conditions than may be.
    pub(in crate::http::stats) fn check_size(&self) -> Result<(), String> {
        match self.conditions().len() {
            0..=CONDITIONS_MAX => Ok(()),
            many => Err(format!("filters have at most {CONDITIONS_MAX} conditions, and these have {many}")),
        }
    }

    /// Both filters.
    pub(in crate::http::stats) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(mut filters), other) => {
                filters.push(other);
                Self::And(filters)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }

    /// All conditions, wherever they stand.
    pub(in crate::http::stats) fn conditions(&self) -> Vec<&Condition> {
        match self {
            Self::Condition(condition) => vec![condition],
            Self::And(filters) | Self::Or(filters) => filters.iter().flat_map(Self::conditions).collect(),
            Self::Not(filter) => filter.conditions(),
        }
    }

    /// The nested lists of it.
    pub(in crate::http::stats) fn to_json(&self) -> Value {
        match self {
            Self::Condition(condition) => condition.to_json(),
            Self::And(filters) => json!(["and", filters.iter().map(Self::to_json).collect::<Vec<_>>()]),
            Self::Or(filters) => json!(["or", filters.iter().map(Self::to_json).collect::<Vec<_>>()]),
            Self::Not(filter) => json!(["not", filter.to_json()]),
        }
    }
}

impl Condition {
    /// Any of these values.
    pub(in crate::http::stats) fn is_any_of(dimension: Dimension, values: Vec<Option<String>>) -> Self {
        Self { dimension, test: Test::Is, fails: false, values }
    }

    fn read_text(text: &str) -> Result<Self, String> {
        let example = "write country:is:DE, or properties.plan:exists";
        // A key may have colons in it, so the operator is the first word between colons that is one.
        let pieces: Vec<&str> = text.split(':').collect();
        let is_operator = |piece: &&str| OPERATORS.iter().any(|(known, ..)| known == piece);
        let at = pieces.iter().skip(1).position(is_operator).map_or(1, |at| at + 1);
        let Some(name) = pieces.get(at) else { return Err(format!("{text:?} is no filter: {example}")) };
        let dimension = Dimension::named(&pieces[..at].join(":"))?;
        let (test, fails) = operator(name)?;
        let values = match pieces.get(at + 1..) {
            Some([]) | None if test == Test::Exists => vec![],
            Some([]) | None => return Err(format!("{text:?} has no value: write {}:{name}:VALUE", dimension.name())),
            Some(values) => split(&values.join(":"), ',')?.into_iter().map(|value| Some(unescape(&value))).collect(),
        };
        Self { dimension, test, fails, values }.checked()
    }

    fn read_json(name: &str, dimension: &str, rest: &[Value]) -> Result<Self, String> {
        let (test, fails) = operator(name)?;
        let dimension = Dimension::named(dimension)?;
        let values = match rest {
            [] => vec![],
            [Value::Array(values)] => values.iter().map(|value| value_of(value, test)).collect::<Result<_, _>>()?,
            [value] => vec![value_of(value, test)?],
            _ => {
                return Err(format!(
                    "a filter is an operator, a dimension and a list of values: [\"{name}\", …, [\"…\"]]"
                ));
            }
        };
        Self { dimension, test, fails, values }.checked()
    }

    fn checked(self) -> Result<Self, String> {
        let name = self.dimension.name();
        let is_long_pattern = |value: &Option<String>| {
            self.test == Test::Matches && value.as_ref().is_some_and(|v| v.chars().count() > PATTERN_CHARACTERS_MAX)
        };
        let too_long =
            |value: &Option<String>| value.as_ref().is_some_and(|v| v.chars().count() > VALUE_CHARACTERS_MAX);
        match self.values.len() {
            1.. if self.test == Test::Exists => Err(format!("{name}:{} takes no values", self.operator())),
            0 if self.test != Test::Exists => {
                Err(format!("the filter of {name} has no values: give one, or use exists or exists_not"))
            }
            many if many > VALUES_MAX => {
                Err(format!("a condition has at most {VALUES_MAX} values, and {name} has {many}"))
            }
            _ if self.values.iter().any(too_long) => {
                Err(format!("a value has at most {VALUE_CHARACTERS_MAX} characters, and one of {name} has more"))
            }
            _ if self.values.iter().any(is_long_pattern) => {
                Err(format!("a pattern has at most {PATTERN_CHARACTERS_MAX} characters, and one of {name} has more"))
            }
            _ => Ok(self),
        }
    }

    /// Whether it says which values there are, or are not.
    pub(in crate::http::stats) fn is_equality(&self) -> bool {
        self.test == Test::Is
    }

    fn operator(&self) -> &'static str {
        let found = OPERATORS.iter().find(|(_, test, fails)| (*test, *fails) == (self.test, self.fails));
        found.expect("every test has two operators").0
    }

    fn to_json(&self) -> Value {
        match self.test {
            Test::Exists => json!([self.operator(), self.dimension.name()]),
            _ => json!([self.operator(), self.dimension.name(), self.values]),
        }
    }
}

/// The regular expression of a pattern.
pub(in crate::http::stats) fn expression(pattern: &str) -> String {
    let mut expression = String::from("^");
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let (piece, taken) = match first {
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            c if c.is_alphanumeric() || c == '_' => (c.to_string(), c.len_utf8()),
            // Whatever else it is, it means itself.
            c => (format!("\\x{{{:x}}}", u32::from(c)), c.len_utf8()),
        };
        expression += &piece;
        rest = &rest[taken..];
    }
    expression + "$"
}

/// A value of a list. Fields of `properties` are compared as text, so a number is its digits.
fn value_of(value: &Value, test: Test) -> Result<Option<String>, String> {
    match value {
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        Value::Null if test == Test::Is => Ok(None),
        Value::Null => Err("null is a value of is and is_not alone".to_owned()),
        Value::Array(_) | Value::Object(_) => Err(format!("{value} is no value: values are texts")),
    }
}

/// The pieces between separators that have no backslash before them. Backslashes stay.
fn split(text: &str, separator: char) -> Result<Vec<String>, String> {
    let (mut pieces, mut escaped) = (vec![String::new()], false);
    for c in text.chars() {
        if c == separator && !escaped {
            pieces.push(String::new());
        } else {
            pieces.last_mut().expect("there is one at least").push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    match escaped {
        true => Err(format!("{text:?} ends in a backslash: write \\\\ for one")),
        false => Ok(pieces),
    }
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_in_an_address_is_one_of_lists() {
        for (text, expected) in [
            ("country:is:DE", json!(["is", "country", ["DE"]])),
            ("country:is_not:DE,AT", json!(["is_not", "country", ["DE", "AT"]])),
            ("path:contains:/a\\,b,\\|,c:d", json!(["contains", "path", ["/a,b", "|", "c:d"]])),
            ("properties.plan:exists", json!(["exists", "properties.plan"])),
            ("properties.a:b:starts_with:x", json!(["starts_with", "properties.a:b", ["x"]])),
            ("title:is:", json!(["is", "title", [""]])),
            ("url:starts_with:https://shop.example/", json!(["starts_with", "url", ["https://shop.example/"]])),
            ("name:is:is", json!(["is", "name", ["is"]])),
            (
                "path:is:/|path:ends_with_not:.html",
                json!(["or", [["is", "path", ["/"]], ["ends_with_not", "path", [".html"]]]]),
            ),
        ] {
            let filter = Filter::read_text(text).unwrap();
            assert_eq!(filter.to_json(), expected, "{text}");
            assert_eq!(Filter::read_json(&expected), Ok(filter), "{text}");
        }
    }

    #[test]
    fn a_star_is_a_part_of_a_path_and_two_are_any() {
        for (pattern, expected) in [
            ("/blog/*", "^\\x{2f}blog\\x{2f}[^/]*$"),
            ("/shop/**", "^\\x{2f}shop\\x{2f}.*$"),
            ("/a.b(c)", "^\\x{2f}a\\x{2e}b\\x{28}c\\x{29}$"),
            ("**", "^.*$"),
            ("/ä\\d", "^\\x{2f}ä\\x{5c}d$"),
        ] {
            assert_eq!(expression(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn lists_lie_in_lists() {
        let nested = json!([
            "and",
            [
                ["is", "site", [null, "shop"]],
                ["or", [["exists_not", "os"], ["not", ["contains", "properties.n", ["7", "true"]]]]],
            ]
        ]);
        assert_eq!(Filter::read_json(&nested).unwrap().to_json(), nested);
        let numbers = Filter::read_json(&json!(["is", "properties.n", [7, true]])).unwrap();
        assert_eq!(numbers.to_json(), json!(["is", "properties.n", ["7", "true"]]));
        assert_eq!(Filter::read_json(&json!(["is", "os", "Linux"])), Filter::read_text("os:is:Linux"));
    }

    #[test]
    fn what_is_no_filter_is_refused_in_words() {
        for (text, words) in [
            ("", "\"\" is no filter: write country:is:DE"),
            ("country", "is no filter: write country:is:DE"),
            ("country:DE", "there is no operator \"DE\""),
            ("contry:is:DE", "there is no dimension \"contry\": did you mean country?"),
            ("country:is", "has no value: write country:is:VALUE"),
            ("country:==:DE", "there is no operator \"==\": write is"),
            ("country:Is:DE", "there is no operator \"Is\": write is"),
            ("country:exists:DE", "country:exists takes no values"),
            ("country:is:DE\\", "ends in a backslash"),
        ] {
            let refused = Filter::read_text(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        for (value, words) in [
            (json!({ "country": "DE" }), "is no filter"),
            (json!(["is", "country"]), "has no values"),
            (json!(["is", "country", []]), "has no values"),
            (json!(["or", []]), "holds for nothing"),
            (json!(["and", "x"]), "is no filter: write [\"and\", …]"),
            (json!(["contains", "country", [null]]), "null is a value of is and is_not alone"),
            (json!(["is", "country", [["DE"]]]), "is no value"),
            (json!(["is", "country", vec!["x"; 101]]), "at most 100 values, and country has 101"),
            (json!(["is", "country", ["x".repeat(4_097)]]), "at most 4096 characters"),
            (json!(["not", ["not", ["not", ["not", ["not", ["exists", "os"]]]]]]), "at most 5 levels deep"),
        ] {
            let refused = Filter::read_json(&value).unwrap_err();
            assert!(refused.contains(words), "{value}: {refused}");
        }
        let many = Filter::And(vec![Filter::read_text("os:exists").unwrap(); 51]);
        assert_eq!(many.check_size().unwrap_err(), "filters have at most 50 conditions, and these have 51");
    }

    proptest::proptest! {
        #[test]
        fn every_value_can_be_written_into_an_address(values in proptest::collection::vec("\\PC{0,8}|[,|\\\\:]{1,4}", 1..4)) {
            let escape = |value: &String| value.chars().fold(String::new(), |text, c| match c {
                ',' | '|' | '\\' => format!("{text}\\{c}"),
                c => format!("{text}{c}"),
            });
            let text = format!("path:contains:{}", values.iter().map(escape).collect::<Vec<_>>().join(","));
            let filter = Filter::read_text(&text).unwrap();
            proptest::prop_assert_eq!(filter.to_json(), json!(["contains", "path", values]));
        }
    }
}
