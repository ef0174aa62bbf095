//! The numbers of a site's overview, for what this server writes itself: mails, and a page without scripts. They are asked of
//! the stats API as anybody's are.

use serde_json::{Value, json};

use super::caller::reader::Reader;
use super::error::ApiError;
use super::state::Api;
use super::stats;
use crate::words::{Language, Word};

/// What is asked.
pub(crate) struct Wanted<'a> {
    pub(crate) site: &'a str,
    /// As `date_range` of the stats API.
    pub(crate) range: Value,
    /// As `compare`.
    pub(crate) compare: Value,
    pub(crate) filters: &'a [Value],
    /// Rows of each table.
    pub(crate) rows: usize,
}

/// The numbers of a site in a range.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) numbers: Vec<Number>,
    pub(crate) tables: Vec<Table>,
    /// Until when they do not change any more, by the clocks of the site.
    pub(crate) complete_until: String,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Share,
    Duration,
}

/// A single number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub(crate) title: Word,
    pub(crate) kind: Kind,
    pub(crate) value: Option<f64>,
    /// By what share it differs from the range before.
    pub(crate) change: Option<f64>,
    /// Whether more of it is worse.
    pub(crate) is_worse: bool,
}

/// The first values of a dimension.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) title: Word,
    pub(crate) of: Word,
    pub(crate) columns: [Word; 2],
    pub(crate) rows: Vec<(String, [Option<f64>; 2])>,
}

const NUMBERS: [(&str, Word, Kind, bool); 6] = [
    ("visitors", Word::Visitors, Kind::Count, false),
    ("sessions", Word::Sessions, Kind::Count, false),
    ("page_views", Word::PageViews, Kind::Count, false),
    ("bounce_rate", Word::BounceRate, Kind::Share, true),
    ("duration_s_mean", Word::SessionDuration, Kind::Duration, false),
    ("engaged_s_mean", Word::EngagedTime, Kind::Duration, false),
];

/// Title, name of a value, dimension, the two numbers, and a condition on what is counted.
type TableSpec = (Word, Word, &'static str, [(&'static str, Word); 2], Option<[&'static str; 3]>);

const VISITORS: (&str, Word) = ("visitors", Word::Visitors);
const SESSIONS: (&str, Word) = ("sessions", Word::Sessions);
const TABLES: [TableSpec; 7] = [
    (Word::Pages, Word::Page, "path", [VISITORS, ("page_views", Word::PageViews)], Some(["is", "name", "page_view"])),
    (Word::Channels, Word::Channel, "channel", [VISITORS, SESSIONS], None),
    (Word::Referrers, Word::Referrer, "referrer_host", [VISITORS, SESSIONS], None),
    (Word::Countries, Word::Country, "country", [VISITORS, SESSIONS], None),
    (Word::Devices, Word::Device, "device", [VISITORS, SESSIONS], None),
    (Word::Browsers, Word::Browser, "browser", [VISITORS, SESSIONS], None),
    (Word::Events, Word::Event, "name", [("events", Word::Events), VISITORS], Some(["is_not", "name", "page_ping"])),
];

/// Asks for them all.
///
/// - `reader`: who asks, and may see the site.
pub(crate) async fn figures(
    api: &Api,
    reader: &Reader,
    wanted: &Wanted<'_>,
    language: Language,
) -> Result<Figures, ApiError> {
    let common = json!({ "site": wanted.site, "date_range": wanted.range, "filters": wanted.filters });
    let mut asked = common.clone();
    asked["metrics"] = NUMBERS.iter().map(|(name, ..)| *name).collect();
    asked["compare"] = wanted.compare.clone();
    let single = stats::ask(api, reader, "aggregate", &asked).await?;
    let numbers = NUMBERS.map(|(name, title, kind, is_worse)| Number {
        title,
        kind,
        value: number(&single["metrics"][name]),
        change: number(&single["comparison"]["change"][name]),
        is_worse,
    });
    let mut tables = vec![];
    for (title, of, dimension, columns, condition) in TABLES {
        let mut asked = common.clone();
        asked["dimensions"] = json!([dimension]);
        asked["metrics"] = columns.iter().map(|(name, _)| *name).collect();
        asked["limit"] = wanted.rows.into();
        if let Some([operator, named, value]) = condition {
            let filters = wanted.filters.iter().cloned().chain([json!([operator, named, [value]])]);
            asked["filters"] = filters.collect();
        }
        let answer = stats::ask(api, reader, "breakdown", &asked).await?;
        let row = |row: &Value| {
            let name = match (dimension, row["dimensions"][dimension].as_str()) {
                (_, None) => language.say(Word::None).to_owned(),
                ("country", Some(code)) => language.country(code),
                (_, Some(value)) => value.to_owned(),
            };
            (name, columns.map(|(metric, _)| number(&row["metrics"][metric])))
        };
        let rows = answer["results"].as_array().into_iter().flatten().map(row).collect();
        tables.push(Table { title, of, columns: columns.map(|(_, word)| word), rows });
    }
    let complete_until = single["complete_until"].as_str().unwrap_or_default().to_owned();
    Ok(Figures { numbers: numbers.into(), tables, complete_until })
}

/// A number of an answer; one that a double does not hold is its digits as text.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

impl Number {
    /// As it is written.
    pub(crate) fn shown(&self, language: Language) -> String {
        let Some(value) = self.value else { return "–".to_owned() };
        match self.kind {
            Kind::Count => language.count(value),
            Kind::Share => language.percent(value),
            Kind::Duration => language.duration(value),
        }
    }

    /// Whether it got better, if it changed.
    pub(crate) fn is_better(&self) -> Option<bool> {
        let change = self.change.filter(|change| (change * 100.0).round() != 0.0)?;
        Some((change > 0.0) != self.is_worse)
    }
}
