//! Goals: what visitors of a site are meant to do, under a name. Pure.

use serde_json::{Value, json};

use super::filter::{Condition, Filter};

/// A goal of a site, as requests name it and answers show it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Goal {
    pub(in crate::http::stats) id: String,
    pub(in crate::http::stats) name: String,
    pub(in crate::http::stats) kind: String,
    pub(in crate::http::stats) value: String,
    /// Whether an event reaches it.
    pub(in crate::http::stats) filter: Filter,
}

/// The filter of a goal. Fails with words for the sender.
///
/// - `kind`: `event` (its name), `page` (a pattern of its path) or `object` (its name).
pub(in crate::http::stats) fn filter(kind: &str, value: &str, filters: &[Value]) -> Result<Filter, String> {
    if value.is_empty() {
        return Err(
            "a goal has a value: the name of an event or an object, or a pattern of pages such as /blog/*".to_owned()
        );
    }
    let mut filter = match kind {
        "event" => Filter::read_json(&json!(["is", "name", [value]]))?,
        "page" if !value.starts_with('/') && !value.starts_with('*') => {
            return Err(format!("{value:?} is no pattern of pages: write /thanks, /blog/* or /shop/**"));
        }
        "page" => Filter::read_json(&json!(["and", [["is", "name", ["page_view"]], ["matches", "path", [value]]]]))?,
        "object" => Filter::read_json(&json!(["is", "object", [value]]))?,
        other => return Err(format!("there is no kind of goal {other:?}: there is event, page, object")),
    };
    for one in filters {
        filter = filter.and(Filter::read_json(one)?);
    }
    filter.check_size()?;
    match filter.names_goals() {
        true => Err("the filters of a goal name no goals".to_owned()),
        false => Ok(filter),
    }
}

/// The goal of a name or an id. Fails with words for the sender.
pub(in crate::http::stats) fn named<'a>(goals: &'a [Goal], named: &str) -> Result<&'a Goal, String> {
    let found = goals.iter().find(|goal| goal.name == named || goal.id == named);
    let known = || goals.iter().map(|goal| &*goal.name).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| match goals.is_empty() {
        true => format!("there is no goal {named:?}: goals are of one site, so name it, and this has none"),
        false => format!("there is no goal {named:?}: there is {}", known()),
    })
}

impl Filter {
    /// Whether a condition names goals instead of what events say.
    pub(in crate::http::stats) fn names_goals(&self) -> bool {
        self.conditions().iter().any(|condition| condition.dimension.is_goal())
    }

    /// The same with the filters of goals where these are named. Fails with words for the sender.
    pub(in crate::http::stats) fn with_goals(self, goals: &[Goal]) -> Result<Self, String> {
        let all = |filters: Vec<Self>| filters.into_iter().map(|one| one.with_goals(goals)).collect::<Result<_, _>>();
        Ok(match self {
            Self::Condition(condition) if condition.dimension.is_goal() => of_goals(&condition, goals)?,
            Self::Condition(condition) => Self::Condition(condition),
            Self::And(filters) => Self::And(all(filters)?),
            Self::Or(filters) => Self::Or(all(filters)?),
            Self::Not(filter) => Self::Not(Box::new(filter.with_goals(goals)?)),
        })
    }
}

fn of_goals(condition: &Condition, goals: &[Goal]) -> Result<Filter, String> {
    if !condition.is_equality() {
        return Err("a goal is named: write goal:is:Signup or goal:is_not:Signup".to_owned());
    }
    let one = |value: &Option<String>| Ok(named(goals, value.as_deref().unwrap_or_default())?.filter.clone());
    let mut any = condition.values.iter().map(one).collect::<Result<Vec<_>, String>>()?;
    let any = if any.len() == 1 { any.remove(0) } else { Filter::Or(any) };
    Ok(if condition.fails { Filter::Not(Box::new(any)) } else { any })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goals() -> Vec<Goal> {
        let goal = |id: &str, name: &str, kind: &str, value: &str, filters: &[Value]| Goal {
            id: id.into(),
            name: name.into(),
            kind: kind.into(),
            value: value.into(),
            filter: filter(kind, value, filters).unwrap(),
        };
        vec![
            goal("1", "Signup", "event", "signup", &[]),
            goal("2", "Blog", "page", "/blog/*", &[json!(["is", "country", ["DE"]])]),
            goal("3", "Buy", "object", "buy-button", &[]),
        ]
    }

    #[test]
    fn a_goal_stands_for_its_filters() {
        let blog = json!([
            "and",
            [["is", "name", ["page_view"]], ["matches", "path", ["/blog/*"]], ["is", "country", ["DE"]]]
        ]);
        for (named, expected) in [
            (json!(["is", "goal", ["Signup"]]), json!(["is", "name", ["signup"]])),
            (json!(["is", "goal", ["1"]]), json!(["is", "name", ["signup"]])),
            (json!(["is", "goal", ["Blog"]]), blog),
            (
                json!(["or", [["is_not", "goal", ["Signup", "Buy"]], ["exists", "os"]]]),
                json!([
                    "or",
                    [["not", ["or", [["is", "name", ["signup"]], ["is", "object", ["buy-button"]]]]], ["exists", "os"]]
                ]),
            ),
        ] {
            let filter = Filter::read_json(&named).unwrap();
            assert!(filter.names_goals());
            assert_eq!(filter.with_goals(&goals()).unwrap().to_json(), expected);
        }
    }

    #[test]
    fn what_is_no_goal_is_refused_in_words() {
        for (kind, value, filters, words) in [
            ("click", "x", json!([]), "there is no kind of goal \"click\": there is event, page, object"),
            ("event", "", json!([]), "a goal has a value"),
            ("page", "blog", json!([]), "is no pattern of pages"),
            ("event", "x", json!([["is", "contry", ["DE"]]]), "did you mean country?"),
            ("event", "x", json!([["is", "goal", ["Signup"]]]), "name no goals"),
        ] {
            let refused = filter(kind, value, filters.as_array().unwrap()).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let contains = Filter::read_json(&json!(["contains", "goal", ["Sign"]])).unwrap();
        assert!(contains.with_goals(&goals()).unwrap_err().contains("a goal is named"));
        let unknown = Filter::read_json(&json!(["is", "goal", ["Signin"]])).unwrap();
        assert_eq!(
            unknown.clone().with_goals(&goals()).unwrap_err(),
            "there is no goal \"Signin\": there is Signup, Blog, Buy"
        );
        assert!(unknown.with_goals(&[]).unwrap_err().contains("goals are of one site"));
    }
}
