//! SQL under way: fragments of this crate's own text, and values that are bound to it.
//!
//! Which columns a query reads follows from what is asked, so its text is put together here. It is put together of nothing
//! but texts of this crate; whatever comes from a request is a value of a parameter.

use chrono::{DateTime, Utc};
use engine::Param;

use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::{Condition, Filter, Test, expression};

/// Values that are bound to a statement.
#[derive(Debug, Default)]
pub(in crate::http::stats) struct Values(Vec<(String, Param)>);

/// A query that can be asked.
#[derive(Debug)]
pub(in crate::http::stats) struct Statement {
    pub(in crate::http::stats) sql: String,
    pub(in crate::http::stats) values: Vec<(String, Param)>,
}

impl Values {
    /// The name of a value in SQL.
    pub(in crate::http::stats) fn bind(&mut self, value: Param) -> String {
        let at = self.0.iter().position(|(_, known)| *known == value).unwrap_or_else(|| {
            self.0.push((format!("v{}", self.0.len()), value));
            self.0.len() - 1
        });
        format!("$v{at}")
    }

    pub(in crate::http::stats) fn text(&mut self, text: &str) -> String {
        let name = self.bind(Param::Text(Some(text.to_owned())));
        format!("CAST({name} AS TEXT)")
    }

    pub(in crate::http::stats) fn time(&mut self, time: DateTime<Utc>) -> String {
        self.bind(Param::Time(time))
    }

    pub(in crate::http::stats) fn number(&mut self, number: i64) -> String {
        self.bind(Param::Integer(number))
    }

    /// The statement of a text that names these values.
    pub(in crate::http::stats) fn into_statement(self, sql: String) -> Statement {
        Statement { sql, values: self.0 }
    }
}

/// What rows have a name for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::stats) enum Named {
    /// `e`, an event; and `s`, the session that it is of, if that is asked for.
    Events,
    /// `s`, a session.
    Sessions,
    /// `d`, a day that was imported.
    Days,
}

/// A dimension of rows.
pub(in crate::http::stats) fn dimension(dimension: &Dimension, named: Named, values: &mut Values) -> String {
    match dimension {
        Dimension::Site if named == Named::Events => "e.site_id".to_owned(),
        Dimension::Site if named == Named::Sessions => "s.site_id".to_owned(),
        Dimension::Site => "d.site_id".to_owned(),
        Dimension::Session(column) | Dimension::Event(column) if named == Named::Days => format!("d.{column}"),
        Dimension::Session(column) => format!("s.{column}"),
        Dimension::Event(column) => format!("e.{column}"),
        Dimension::Property(key) => format!("(e.properties ->> {})", values.text(key)),
        // Filters of goals stand in their place before anything is asked.
        Dimension::Goal => "NULL".to_owned(),
    }
}

/// Whether a filter holds: true, or anything else if it does not.
pub(in crate::http::stats) fn condition(filter: &Filter, named: Named, values: &mut Values) -> String {
    holds(filter, false, named, values)
}

/// - `fails`: whether the filter must not hold. It is moved down to the conditions, which know what to do without a value.
fn holds(filter: &Filter, fails: bool, named: Named, values: &mut Values) -> String {
    let (filters, all) = match filter {
        Filter::Condition(condition) => return test(condition, condition.fails != fails, named, values),
        Filter::Not(filter) => return holds(filter, !fails, named, values),
        Filter::And(filters) => (filters, !fails),
        Filter::Or(filters) => (filters, fails),
    };
    let filters: Vec<String> = filters.iter().map(|filter| holds(filter, fails, named, values)).collect();
    match (filters.as_slice(), all) {
        ([], true) => "TRUE".to_owned(),
        ([], false) => "FALSE".to_owned(),
        ([one], _) => one.clone(),
        (_, true) => format!("({})", filters.join(" AND ")),
        (_, false) => format!("({})", filters.join(" OR ")),
    }
}

fn test(condition: &Condition, fails: bool, named: Named, values: &mut Values) -> String {
    let value = dimension(&condition.dimension, named, values);
    let texts: Vec<&String> = condition.values.iter().flatten().collect();
    let names_none = texts.len() < condition.values.len();
    let call = |function: &str, values: &mut Values| {
        let calls: Vec<String> =
            texts.iter().map(|text| format!("{function}({value}, {})", values.text(text))).collect();
        format!("({})", calls.join(" OR "))
    };
    let matches = match condition.test {
        Test::Exists => return format!("{value} IS {}NULL", if fails { "" } else { "NOT " }),
        Test::Is if texts.is_empty() => return format!("{value} IS {}NULL", if fails { "NOT " } else { "" }),
        Test::Is => {
            let texts: Vec<String> = texts.iter().map(|text| values.bind(Param::Text(Some((*text).clone())))).collect();
            format!("{value} IN ({})", texts.join(", "))
        }
        Test::Contains => call("contains", values),
        Test::StartsWith => call("starts_with", values),
        Test::EndsWith => call("ends_with", values),
        Test::Matches => {
            let calls: Vec<String> =
                texts.iter().map(|text| format!("regexp_like({value}, {})", values.text(&expression(text)))).collect();
            format!("({})", calls.join(" OR "))
        }
    };
    match (fails, names_none) {
        (false, false) => matches,
        (false, true) => format!("({value} IS NULL OR {matches})"),
        (true, false) => format!("({value} IS NULL OR NOT {matches})"),
        (true, true) => format!("({value} IS NOT NULL AND NOT {matches})"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_from_a_request_is_a_value_and_never_text() {
        let hostile = "'); DROP TABLE events; --";
        for (filter, expected) in [
            (json!(["is", "country", [hostile, "DE"]]), "s.country IN ($v0, $v1)"),
            (json!(["is", "country", [null, "DE"]]), "(s.country IS NULL OR s.country IN ($v0))"),
            (json!(["is_not", "country", ["DE"]]), "(s.country IS NULL OR NOT s.country IN ($v0))"),
            (json!(["is_not", "country", [null, "DE"]]), "(s.country IS NOT NULL AND NOT s.country IN ($v0))"),
            (json!(["is_not", "country", [null]]), "s.country IS NOT NULL"),
            (
                json!(["contains", format!("properties.{hostile}"), [hostile]]),
                "(contains((e.properties ->> CAST($v0 AS TEXT)), CAST($v0 AS TEXT)))",
            ),
            (
                json!(["not", ["or", [["exists", "os"], ["is", "os", ["a"]]]]]),
                "(s.os IS NULL AND (s.os IS NULL OR NOT s.os IN ($v0)))",
            ),
            (json!(["and", []]), "TRUE"),
            (json!(["not", ["and", []]]), "FALSE"),
        ] {
            let mut values = Values::default();
            let filter = Filter::read_json(&filter).unwrap();
            assert_eq!(condition(&filter, Named::Events, &mut values), expected);
        }
    }
}
