//! What all endpoints read of a request in one way: sites, range, zone, filters, metrics, dimensions, pages. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::dimension::Dimension;
use super::filter::Filter;
use super::goal::{self, Goal};
use super::metric::Metric;
use super::parameters::Parameters;
use super::range::{self, AskedRange, Range};
use super::zone::Zone;
use crate::http::stats::query::rows::Counted;

const DIMENSIONS_MAX: usize = 3;
const OFFSET_MAX: i64 = 100_000;

/// Rows of a page, and rows of one that does not say it.
pub(in crate::http::stats) const LIMIT_MAX: i64 = 1_000;
const LIMIT_DEFAULT: i64 = 100;

/// What a request is asked of, and when.
#[derive(Clone, Debug)]
pub(in crate::http::stats) struct Setting {
    pub(in crate::http::stats) now: DateTime<Utc>,
    /// The zone of the sites' days.
    pub(in crate::http::stats) time_zone: String,
    /// When the first event of the sites happened, if the request asks for that.
    pub(in crate::http::stats) first_event_at: Option<DateTime<Utc>>,
    /// The goals of the site, if the request may name some.
    pub(in crate::http::stats) goals: Vec<Goal>,
    /// Filters that hold for whoever asks, in JSON.
    pub(in crate::http::stats) fixed: Vec<Value>,
    /// Whether whoever asks may see no people.
    pub(in crate::http::stats) no_people: bool,
    /// After how long sessions of the sites end at the latest.
    pub(in crate::http::stats) session_cap: TimeDelta,
}

/// What is counted, and how it is shown.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Common {
    pub(in crate::http::stats) zone: Zone,
    pub(in crate::http::stats) counted: Counted,
    pub(in crate::http::stats) compared: Option<Range>,
    /// Whether days of other products are added.
    pub(in crate::http::stats) with_imported: bool,
}

/// The rows of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::http::stats) struct Page {
    pub(in crate::http::stats) limit: i64,
    pub(in crate::http::stats) offset: i64,
}

impl Common {
    /// Fails with words for the sender.
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let zone = zone(parameters, setting)?;
        let asked = AskedRange {
            date_range: days(parameters, "date_range")?,
            from: parameters.text("from")?,
            until: parameters.text("until")?,
        };
        let range = asked.read(&zone, setting.now, setting.first_event_at)?;
        Self::of_range(parameters, setting, zone, range)
    }

    /// The same, of a range that the endpoint sets.
    pub(in crate::http::stats) fn of_range(
        parameters: &mut Parameters,
        setting: &Setting,
        zone: Zone,
        range: Range,
    ) -> Result<Self, String> {
        let compare = days(parameters, "compare")?;
        let compared = compare.map(|compare| range::compared(&compare, range, &zone)).transpose()?;
        let goal = parameters.text("goal")?;
        let goal = goal.map(|named| goal::named(&setting.goals, &named)).transpose()?.map(|goal| goal.filter.clone());
        let filter = filter(parameters, setting)?;
        let counted = Counted { range, filter, goal, session_cap: setting.session_cap };
        let with_imported = parameters.flag("with_imported")?.unwrap_or(false);
        Ok(Self { zone, counted, compared, with_imported })
    }

    /// The same in the range that it is compared with, if it is.
    pub(in crate::http::stats) fn compared(&self) -> Option<Counted> {
        self.compared.map(|range| Counted { range, ..self.counted.clone() })
    }

    /// What was counted, for the answer.
    pub(in crate::http::stats) fn echo(&self) -> Map<String, Value> {
        let Range { from, until } = self.counted.range;
        let filters = match &self.counted.filter {
            Filter::And(filters) => filters.iter().map(Filter::to_json).collect(),
            filter => vec![filter.to_json()],
        };
        let mut echo = Map::new();
        echo.insert("from".into(), self.zone.show(from).into());
        echo.insert("until".into(), self.zone.show(until).into());
        echo.insert("time_zone".into(), self.zone.name().into());
        echo.insert("filters".into(), filters.into());
        if let Some(Range { from, until }) = self.compared {
            echo.insert("compare".into(), json!({ "from": self.zone.show(from), "until": self.zone.show(until) }));
        }
        echo
    }
}

/// The zone that is asked for, or that of the sites.
pub(in crate::http::stats) fn zone(parameters: &mut Parameters, setting: &Setting) -> Result<Zone, String> {
    Zone::named(parameters.text("time_zone")?.as_deref().unwrap_or(&setting.time_zone))
}

/// A word, or two days as text or as a list.
fn days(parameters: &mut Parameters, name: &str) -> Result<Option<String>, String> {
    Ok(parameters.list(name)?.map(|words| words.join(",")))
}

/// All filters of a request.
fn filter(parameters: &mut Parameters, setting: &Setting) -> Result<Filter, String> {
    let mut all = Filter::everything();
    for text in parameters.all("filter") {
        let Value::String(text) = &text else {
            return Err(format!("filter is a text such as country:is:DE, and not {text}"));
        };
        all = all.and(Filter::read_text(text)?);
    }
    let lists = match parameters.one("filters") {
        // In an address it is JSON.
        Some(Value::String(text)) => {
            serde_json::from_str(&text).map_err(|error| format!("filters are a list in JSON: {error}"))?
        }
        other => other.unwrap_or(Value::Array(vec![])),
    };
    let Value::Array(lists) = lists else { return Err(format!("filters are a list of filters, and not {lists}")) };
    for list in &lists {
        all = all.and(Filter::read_json(list)?);
    }
    all = all.with_goals(&setting.goals)?;
    all.check_size()?;
    if setting.no_people && all.conditions().iter().any(|condition| condition.dimension.is_of_people()) {
        return Err("a link shows no people: user_id is no filter of it".to_owned());
    }
    for fixed in &setting.fixed {
        all = all.and(Filter::read_json(fixed)?.with_goals(&setting.goals)?);
    }
    Ok(all)
}

/// Fails if conversions are asked for and no goal is.
pub(in crate::http::stats) fn check_goal(counted: &Counted, metrics: &[Metric]) -> Result<(), String> {
    match metrics.iter().find(|metric| metric.is_of_goal()) {
        Some(metric) if counted.goal.is_none() => Err(format!(
            "{} needs a goal: give goal=NAME, the name or the id of one of the site's goals",
            metric.name()
        )),
        _ => Ok(()),
    }
}

/// The metrics that are asked for, each once.
pub(in crate::http::stats) fn metrics(parameters: &mut Parameters, default: &[Metric]) -> Result<Vec<Metric>, String> {
    let Some(names) = parameters.list("metrics")? else { return Ok(default.to_vec()) };
    let metrics = names.iter().map(|name| Metric::named(name)).collect::<Result<Vec<_>, _>>()?;
    match metrics.iter().enumerate().find(|(at, metric)| metrics[..*at].contains(metric)) {
        _ if metrics.is_empty() => Err("metrics name one at least: visitors".to_owned()),
        Some((_, twice)) => Err(format!("the metric {} is there twice", twice.name())),
        None => Ok(metrics),
    }
}

/// The dimensions that are asked for, each once.
pub(in crate::http::stats) fn dimensions(
    parameters: &mut Parameters,
    setting: &Setting,
) -> Result<Vec<Dimension>, String> {
    let Some(names) = parameters.list("dimensions")? else { return Ok(vec![]) };
    let dimensions = names.iter().map(|name| Dimension::named(name)).collect::<Result<Vec<_>, _>>()?;
    match dimensions.iter().enumerate().find(|(at, dimension)| dimensions[..*at].contains(dimension)) {
        _ if dimensions.len() > DIMENSIONS_MAX => {
            Err(format!("there are at most {DIMENSIONS_MAX} dimensions, and these are {}", dimensions.len()))
        }
        Some((_, twice)) => Err(format!("the dimension {} is there twice", twice.name())),
        None if dimensions.iter().any(Dimension::is_goal) => {
            Err("goal is no dimension of rows: ask /v1/stats/goals, or for conversions of one with goal=NAME"
                .to_owned())
        }
        None if setting.no_people && dimensions.iter().any(Dimension::is_of_people) => {
            Err("a link shows no people: user_id is no dimension of it".to_owned())
        }
        None => Ok(dimensions),
    }
}

/// The currency of money. Fails if money is asked for and nothing says which.
pub(in crate::http::stats) fn currency(
    parameters: &mut Parameters,
    metrics: &[Metric],
    dimensions: &[Dimension],
) -> Result<Option<String>, String> {
    let currency = parameters.text("currency")?;
    let by_currency = dimensions.contains(&Dimension::Event("currency"));
    match metrics.iter().find(|metric| metric.is_money()) {
        Some(metric) if currency.is_none() && !by_currency => Err(format!(
            "{} needs a currency, since sums of several mean nothing: give currency=EUR, or ask for dimensions=currency",
            metric.name()
        )),
        _ => Ok(currency),
    }
}

impl Page {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters) -> Result<Self, String> {
        Ok(Self {
            limit: parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT),
            offset: parameters.number("offset", 0, OFFSET_MAX)?.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(body: Value) -> Parameters {
        let names = [
            "date_range",
            "from",
            "until",
            "time_zone",
            "compare",
            "filters",
            "metrics",
            "dimensions",
            "currency",
            "limit",
            "offset",
        ];
        let known: Vec<_> = names.into_iter().map(|name| (name, false)).chain([("filter", true)]).collect();
        Parameters::of_body(body.to_string().as_bytes(), &known).unwrap()
    }

    fn setting() -> Setting {
        Setting {
            now: "2026-03-31T10:00:00Z".parse().unwrap(),
            time_zone: "Europe/Berlin".into(),
            session_cap: TimeDelta::days(1),
            first_event_at: None,
            goals: vec![],
            fixed: vec![],
            no_people: false,
        }
    }

    #[test]
    fn what_is_counted_is_said() {
        let asked = json!({
            "date_range": ["2026-03-29", "2026-03-29"], "compare": "previous_period", "filter": "os:is:Linux",
            "filters": [["exists", "country"]],
        });
        let echo = Common::read(&mut parameters(asked.clone()), &setting()).unwrap().echo();
        let expected = json!({
            "from": "2026-03-29T00:00:00+01:00", "until": "2026-03-30T00:00:00+02:00", "time_zone": "Europe/Berlin",
            "filters": [["is", "os", ["Linux"]], ["exists", "country"]],
            "compare": { "from": "2026-03-28T00:00:00+01:00", "until": "2026-03-29T00:00:00+01:00" },
        });
        assert_eq!(Value::from(echo), expected);
        // In an address filters are JSON, and days are divided by a comma.
        let mut in_text = asked;
        in_text["filters"] = json!("[[\"exists\", \"country\"]]");
        in_text["date_range"] = json!("2026-03-29,2026-03-29");
        assert_eq!(Value::from(Common::read(&mut parameters(in_text), &setting()).unwrap().echo()), expected);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_words() {
        let read = |body: Value| {
            let mut parameters = parameters(body);
            Common::read(&mut parameters, &setting())?;
            let metrics = metrics(&mut parameters, &[])?;
            let dimensions = dimensions(&mut parameters, &setting())?;
            currency(&mut parameters, &metrics, &dimensions)?;
            Page::read(&mut parameters).map(drop)
        };
        for (body, words) in [
            (json!({ "time_zone": "Berlin" }), "there is no time zone \"Berlin\""),
            (json!({ "filters": "x" }), "filters are a list in JSON"),
            (json!({ "filters": { "os": 1 } }), "filters are a list of filters"),
            (json!({ "filter": [7] }), "filter is a text"),
            (json!({ "filters": vec![json!(["exists", "os"]); 51] }), "at most 50 conditions"),
            (json!({ "metrics": "visitors,visitors" }), "the metric visitors is there twice"),
            (json!({ "metrics": [] }), "name one at least"),
            (json!({ "dimensions": "os,os" }), "the dimension os is there twice"),
            (json!({ "dimensions": "os,browser,country,path" }), "at most 3 dimensions"),
            (json!({ "metrics": "revenue" }), "revenue needs a currency"),
            (json!({ "limit": 1_001 }), "limit is a number from 1 to 1000"),
            (json!({ "offset": -1 }), "offset is a number from 0 to 100000"),
        ] {
            let refused = read(body.clone()).unwrap_err();
            assert!(refused.contains(words), "{body}: {refused}");
        }
        assert_eq!(read(json!({ "metrics": "revenue", "dimensions": "currency" })), Ok(()));
        assert_eq!(read(json!({ "metrics": "revenue", "currency": "EUR" })), Ok(()));
    }
}
