//! Numbers of days that another product counted, added to what is counted here where they can be: up to the first day with an
//! event of the site's own, whole days alone, and only numbers that add up.
//!
//! Visitors do not: who came on two days is one visitor of both. So they are told of single days, and of more nothing is.

use chrono::{Datelike, Days, NaiveDate};
use engine::Param;
use serde_json::{Map, Value, json};

use super::asker::Asker;
use super::rows::Counted;
use super::statement::{self, Named, Values};
use crate::http::error::ApiError;
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::Filter;
use crate::http::stats::said::intervals::Interval;
use crate::http::stats::said::metric::{Metric, Part};
use crate::http::stats::said::range::Range;
use crate::http::stats::said::request::Common;
use crate::http::stats::said::zone::Zone;

/// What is added to a request's numbers.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) enum Addition {
    /// Nothing, since nothing is asked for.
    Unasked,
    /// Nothing, and why.
    Nothing(&'static str),
    /// These days.
    Days(Imported),
}

/// Days that are added.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Imported {
    kind: &'static Kind,
    /// Of each site the source that is used, and the first day on which it is not any more.
    sites: Vec<(String, String, NaiveDate)>,
    /// The first of these days, and the one behind the last.
    span: (NaiveDate, NaiveDate),
    /// What is known of them.
    known: Vec<Part>,
    /// Metrics of the request that are not.
    without: Vec<Metric>,
    zone: Zone,
}

/// A kind of rows, and what they are good for.
#[derive(Debug, PartialEq)]
struct Kind {
    name: &'static str,
    /// What they are told apart by here.
    dimensions: &'static [&'static str],
    /// Those of them without which numbers would not add up: rows are finer.
    needed: &'static [&'static str],
    /// What a row has of a source.
    plausible: &'static [Part],
    goatcounter: &'static [Part],
    /// Whether a visitor of a day is in one row alone of those that are told apart by all dimensions.
    has_visitors: bool,
}

const OF_VISITS: &[Part] =
    &[Part::PageViews, Part::Sessions, Part::EngagedSessions, Part::Duration, Part::SessionPageViews];

/// The first that has all dimensions of a request counts.
static KINDS: [Kind; 9] = [
    Kind { name: "days", ..kind(&[], OF_VISITS) },
    Kind {
        name: "pages",
        needed: &["path"],
        goatcounter: &[Part::Sessions],
        ..kind(&["path", "hostname"], &[Part::PageViews, Part::Sessions])
    },
    Kind { name: "entry_pages", ..kind(&["entry_page"], OF_VISITS) },
    Kind { name: "exit_pages", ..kind(&["exit_page"], OF_VISITS) },
    Kind {
        name: "sources",
        has_visitors: false,
        ..kind(&["referrer_host", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"], OF_VISITS)
    },
    Kind { name: "places", has_visitors: false, ..kind(&["country", "region"], OF_VISITS) },
    Kind { name: "devices", ..kind(&["device"], OF_VISITS) },
    Kind { name: "browsers", ..kind(&["browser", "browser_version"], OF_VISITS) },
    Kind { name: "systems", ..kind(&["os", "os_version"], OF_VISITS) },
];

const fn kind(dimensions: &'static [&'static str], plausible: &'static [Part]) -> Kind {
    Kind { name: "", dimensions, needed: &[], plausible, goatcounter: &[], has_visitors: true }
}

impl Kind {
    /// Fails with words for the sender if no kind tells these apart.
    fn of(dimensions: &[Dimension]) -> Result<&'static Self, &'static str> {
        let names: Vec<String> =
            dimensions.iter().filter(|one| **one != Dimension::Site).map(Dimension::name).collect();
        let has = |list: &[&str], name: &str| list.contains(&name);
        let fits = |kind: &&Self| {
            names.iter().all(|name| has(kind.dimensions, name))
                && kind.needed.iter().all(|needed| names.iter().any(|name| name == needed))
        };
        KINDS.iter().find(fits).ok_or("imported days are not told apart by these dimensions")
    }

    /// What is known of rows of a source.
    ///
    /// - `of_one_day`: whether no row of the answer has more than one day.
    fn parts(&self, source: &str, dimensions: &[Dimension], of_one_day: bool) -> Vec<Part> {
        let mut parts = match source {
            "plausible" => self.plausible.to_vec(),
            "goatcounter" => self.goatcounter.to_vec(),
            _ => vec![],
        };
        let is_whole = dimensions.iter().filter(|one| **one != Dimension::Site).count() == self.dimensions.len();
        // Of a page there is one row, whatever its host.
        let is_whole = is_whole || self.name == "pages";
        if source == "plausible" && of_one_day && self.has_visitors && is_whole {
            parts.push(Part::Visitors);
        }
        parts
    }
}

/// What can be added to a request's numbers.
///
/// - `interval`: what they are told apart by in time, if they are.
pub(in crate::http::stats) async fn find(
    asker: &Asker,
    common: &Common,
    metrics: &[Metric],
    dimensions: &[Dimension],
    interval: Option<Interval>,
) -> Result<Addition, ApiError> {
    if !common.with_imported {
        return Ok(Addition::Unasked);
    }
    let kind = match usable(&common.counted, dimensions, interval) {
        Ok(kind) => kind,
        Err(why) => return Ok(Addition::Nothing(why)),
    };
    let zone = &common.zone;
    let ranges: Vec<(NaiveDate, NaiveDate)> = [Some(common.counted.range), common.compared]
        .into_iter()
        .flatten()
        .map(|range| whole_days(range, zone))
        .collect();
    let from = ranges.iter().map(|(from, _)| *from).min().unwrap_or_default();
    let until = ranges.iter().map(|(_, until)| *until).max().unwrap_or_default();
    let of_one_day = interval == Some(Interval::Day)
        || interval.is_none() && ranges.iter().all(|(from, until)| *from + Days::new(1) >= *until);

    let mut values = Values::default();
    let within = within(kind, from, until, &mut values);
    let sql = format!(
        "SELECT d.site_id, d.source, count(DISTINCT d.day) AS days, min(d.day) AS first, max(d.day) AS last \
         FROM imported_days AS d WHERE {within} GROUP BY 1, 2 ORDER BY days DESC, d.source"
    );
    let said = asker.rows(&values.into_statement(sql)).await?;
    let day = |value: &Value| value.as_str().and_then(|text| text.get(..10)?.parse::<NaiveDate>().ok());
    let mut candidates: Vec<(String, String, NaiveDate, NaiveDate)> = Vec::new();
    for row in &said {
        let (Some(site), Some(source)) = (row[0].as_str(), row[1].as_str()) else { continue };
        let (Some(first), Some(last)) = (day(&row[3]), day(&row[4])) else { continue };
        // Of a site one source is used: two may have counted the same visits.
        let is_useful = !kind.parts(source, dimensions, of_one_day).is_empty();
        if is_useful && !candidates.iter().any(|(known, ..)| known == site) {
            candidates.push((site.to_owned(), source.to_owned(), first, last + Days::new(1)));
        }
    }
    let Some(end) = candidates.iter().map(|(.., end)| *end).max() else {
        return Ok(Addition::Nothing("no imported days lie in this time"));
    };
    let mut values = Values::default();
    let end = values.time(zone.begin_of(end));
    let sql = format!(
        "SELECT e.site_id, min(e.occurred_at) AS first FROM events AS e \
         WHERE NOT e.is_bot AND e.occurred_at < {end} GROUP BY 1"
    );
    let own = asker.rows(&values.into_statement(sql)).await?;
    let first_of_own = |site: &str| {
        let row = own.iter().find(|row| row[0].as_str() == Some(site))?;
        let first: chrono::DateTime<chrono::Utc> = row[1].as_str()?.parse().ok()?;
        Some(zone.local(first).date())
    };
    let sites: Vec<_> = candidates
        .into_iter()
        .map(|(site, source, first, end)| {
            let end = first_of_own(&site).map_or(end, |own| own.min(end));
            (site, source, first, end)
        })
        .filter(|(.., first, end)| first < end)
        .collect();
    let (Some(first), Some(end)) =
        (sites.iter().map(|(.., first, _)| *first).min(), sites.iter().map(|(.., end)| *end).max())
    else {
        return Ok(Addition::Nothing("the site has events of its own on these days"));
    };
    let mut known = kind.parts(&sites[0].1, dimensions, of_one_day);
    for (_, source, ..) in &sites[1..] {
        let others = kind.parts(source, dimensions, of_one_day);
        known.retain(|part| others.contains(part));
    }
    let is_known = |metric: &&Metric| metric.parts().iter().all(|part| known.contains(part));
    let without: Vec<Metric> = metrics.iter().filter(|metric| !is_known(metric)).copied().collect();
    if without.len() == metrics.len() {
        return Ok(Addition::Nothing("imported days have none of these numbers, or they do not add up over days"));
    }
    let sites = sites.into_iter().map(|(site, source, _, end)| (site, source, end)).collect();
    Ok(Addition::Days(Imported { kind, sites, span: (first, end), known, without, zone: zone.clone() }))
}

fn usable(
    counted: &Counted,
    dimensions: &[Dimension],
    interval: Option<Interval>,
) -> Result<&'static Kind, &'static str> {
    if counted.filter != Filter::everything() {
        return Err("imported days cannot be filtered");
    }
    if interval.is_some_and(|interval| interval.length().is_some()) {
        return Err("imported days have no hours");
    }
    Kind::of(dimensions)
}

/// The days that lie in a range with all their hours: the first, and the one behind the last.
fn whole_days(range: Range, zone: &Zone) -> (NaiveDate, NaiveDate) {
    let first = zone.local(range.from).date();
    let first = if zone.begin_of(first) < range.from { first + Days::new(1) } else { first };
    (first, zone.local(range.until).date().max(first))
}

/// Rows `d` of a kind from a day until another.
fn within(kind: &Kind, from: NaiveDate, until: NaiveDate, values: &mut Values) -> String {
    let name = values.bind(Param::Text(Some(kind.name.to_owned())));
    let month = values.bind(Param::Date(from.with_day(1).unwrap_or(from)));
    let (from, until) = (values.bind(Param::Date(from)), values.bind(Param::Date(until)));
    format!("d.kind = {name} AND d.date >= {month} AND d.day >= {from} AND d.day < {until}")
}

impl Addition {
    pub(in crate::http::stats) fn days(&self) -> Option<Imported> {
        match self {
            Self::Days(days) => Some(days.clone()),
            Self::Unasked | Self::Nothing(_) => None,
        }
    }

    /// Says in an answer what was added.
    pub(in crate::http::stats) fn say(&self, answer: &mut Map<String, Value>) {
        match self {
            Self::Unasked => {}
            Self::Nothing(why) => {
                answer.insert("imported".into(), false.into());
                answer.insert("imported_reason".into(), (*why).into());
            }
            Self::Days(days) => {
                let mut sources: Vec<&str> = days.sites.iter().map(|(_, source, _)| &**source).collect();
                sources.sort_unstable();
                sources.dedup();
                answer.insert("imported".into(), true.into());
                answer.insert(
                    "imported_days".into(),
                    json!({
                        "sources": sources, "from": days.span.0.to_string(), "until": days.span.1.to_string(),
                        "without": days.without.iter().map(|metric| metric.name()).collect::<Vec<_>>(),
                    }),
                );
            }
        }
    }
}

impl Imported {
    /// What a metric is: nothing in a row with days that do not have it.
    pub(in crate::http::stats) fn metric(&self, metric: Metric) -> String {
        match self.without.contains(&metric) {
            true => format!("CASE WHEN imported IS NULL THEN {} END", metric.sql()),
            false => metric.sql().to_owned(),
        }
    }

    /// Counts the days in a range.
    ///
    /// - `interval`: what they are told apart by in time.
    /// - `parts`: what is selected, null where it is not known.
    pub(in crate::http::stats) fn sql(
        &self,
        counted: &Counted,
        interval: Option<Interval>,
        dimensions: &[Dimension],
        parts: &[Part],
        values: &mut Values,
    ) -> String {
        let mut keys = Vec::new();
        if let Some(interval) = interval {
            keys.push(format!("CAST(date_trunc('{}', CAST(d.day AS TIMESTAMP)) AS DATE) AS t", interval.name()));
        }
        for (at, dimension) in dimensions.iter().enumerate() {
            keys.push(format!("{} AS d{at}", statement::dimension(dimension, Named::Days, values)));
        }
        let sums = parts.iter().map(|part| {
            let sum = if self.known.contains(part) { sum_of(*part) } else { "NULL" };
            format!("CAST({sum} AS {}) AS {}", part.sql_type(), part.name())
        });
        let (from, until) = whole_days(counted.range, &self.zone);
        let within = within(self.kind, from, until, values);
        let sites: Vec<String> = self
            .sites
            .iter()
            .map(|(site, source, end)| {
                let (site, source) = (values.text(site), values.text(source));
                format!("(d.site_id = {site} AND d.source = {source} AND d.day < {})", values.bind(Param::Date(*end)))
            })
            .collect();
        let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
        // Without anything to tell rows apart there is a row even if there are no days.
        let group_by = match places.is_empty() {
            true => "HAVING count(*) > 0".to_owned(),
            false => format!("GROUP BY {}", places.join(", ")),
        };
        format!(
            "SELECT {}, count(*) AS imported FROM imported_days AS d WHERE {within} AND ({}) AND {} {group_by}",
            keys.into_iter().chain(sums).collect::<Vec<_>>().join(", "),
            sites.join(" OR "),
            statement::condition(&counted.filter, Named::Days, values),
        )
    }
}

/// A part of rows of imported days.
fn sum_of(part: Part) -> &'static str {
    match part {
        Part::Visitors => "sum(d.visitors)",
        Part::PageViews | Part::SessionPageViews => "sum(d.page_views)",
        Part::Sessions => "sum(d.visits)",
        Part::EngagedSessions => "sum(d.visits - d.bounces)",
        Part::Duration => "sum(d.visit_duration_s)",
        _ => "NULL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_say_which_rows_can_be_added() {
        for (dimensions, expected) in [
            ("", "days"),
            ("site", "days"),
            ("path", "pages"),
            ("hostname,path", "pages"),
            ("utm_source,utm_term", "sources"),
            ("site,country", "places"),
            ("browser", "browsers"),
            ("hostname", ""),
            ("browser,os", ""),
            ("channel", ""),
            ("properties.plan", ""),
        ] {
            let named = dimensions.split(',').filter(|name| !name.is_empty());
            let named: Vec<Dimension> = named.map(|name| Dimension::named(name).unwrap()).collect();
            assert_eq!(Kind::of(&named).map_or("", |kind| kind.name), expected, "{dimensions}");
        }
    }

    #[test]
    fn visitors_are_those_of_one_day_and_of_rows_that_hold_each_once() {
        let parts = |dimensions: &str, source: &str, of_one_day: bool| {
            let named = dimensions.split(',').filter(|name| !name.is_empty());
            let named: Vec<Dimension> = named.map(|name| Dimension::named(name).unwrap()).collect();
            Kind::of(&named).unwrap().parts(source, &named, of_one_day).contains(&Part::Visitors)
        };
        assert!(parts("", "plausible", true) && !parts("", "plausible", false));
        assert!(parts("path", "plausible", true) && parts("browser,browser_version", "plausible", true));
        assert!(!parts("browser", "plausible", true) && !parts("utm_source", "plausible", true));
        assert!(!parts("path", "goatcounter", true));
    }

    #[test]
    fn a_day_is_whole_if_all_its_hours_are_in_the_range() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        for (from, until, expected) in [
            ("2026-02-28T23:00:00Z", "2026-03-02T23:00:00Z", ("2026-03-01", "2026-03-03")),
            ("2026-02-28T23:00:01Z", "2026-03-02T22:59:00Z", ("2026-03-02", "2026-03-02")),
            ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z", ("2026-03-02", "2026-03-02")),
        ] {
            let range = Range { from: from.parse().unwrap(), until: until.parse().unwrap() };
            let (from, until) = whole_days(range, &zone);
            assert_eq!((&*from.to_string(), &*until.to_string()), expected);
        }
    }
}
