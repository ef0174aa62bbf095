//! Plausible's export: ten tables or more, `imported_pages_20250101_20251231.csv` and so on, each by day and something else.
//!
//! Which table a file is say its columns, since people rename files. Columns that a table has gained over the years may be
//! missing, and columns that are not known are left out.

use chrono::NaiveDate;
use lake::{DayKind, ImportedDay};
use url::Url;

/// What a column of a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Day,
    Dimension(&'static str),
    Number(&'static str),
    /// Text from which the column takes no more than a part.
    Region,
    Referrer,
    Device,
    Browser,
    System,
    City,
    Unknown,
}

use Meaning::{Browser, City, Day, Device, Dimension, Number, Referrer, Region, System, Unknown};

/// A table of the export, whose records are rows of `imported_days`.
#[derive(Clone, Debug)]
pub struct PlausibleTable {
    kind: DayKind,
    columns: Vec<Meaning>,
}

/// The columns by which a table is told from others.
const SIGNS: [(DayKind, &[&str]); 11] = [
    (DayKind::Browsers, &["browser", "visits"]),
    (DayKind::Systems, &["operating_system", "visits"]),
    (DayKind::Devices, &["device", "visits"]),
    (DayKind::Places, &["country", "region", "city"]),
    (DayKind::EntryPages, &["entry_page", "entrances"]),
    (DayKind::ExitPages, &["exit_page", "exits"]),
    (DayKind::Pages, &["page", "pageviews"]),
    (DayKind::Sources, &["source", "utm_medium", "visits"]),
    (DayKind::Events, &["name", "link_url", "events"]),
    (DayKind::Properties, &["property", "value", "events"]),
    (DayKind::Days, &["pageviews", "bounces", "visits", "visit_duration"]),
];

impl PlausibleTable {
    /// The table that has these columns, if one of the export has.
    pub fn of_columns(columns: &[String]) -> Option<Self> {
        let has = |name: &str| columns.iter().any(|column| column == name);
        if !has("date") || !has("visitors") {
            return None;
        }
        let (kind, _) = SIGNS.into_iter().find(|(_, signs)| signs.iter().all(|sign| has(sign)))?;
        Some(Self { kind, columns: columns.iter().map(|column| meaning(kind, column)).collect() })
    }

    /// What its rows are counted by.
    pub fn kind(&self) -> DayKind {
        self.kind
    }

    /// Reads a record.
    ///
    /// Fails with a reason that names the column.
    pub fn read<'a>(&self, record: impl Iterator<Item = &'a str>) -> Result<ImportedDay, String> {
        let (mut day, mut dimensions, mut numbers) = (None, Vec::new(), Vec::new());
        for (meaning, text) in self.columns.iter().zip(record) {
            let mut dimension = |name: &'static str, text: &str| {
                if !text.is_empty() {
                    dimensions.push((name, text.to_owned()));
                }
            };
            match meaning {
                Day => day = Some(text.parse::<NaiveDate>().map_err(|_| format!("`date` is no day: {text:?}"))?),
                Dimension(name) => dimension(name, text),
                Number(name) => {
                    let number = number(text).ok_or_else(|| format!("`{name}` is no number: {text:?}"))?;
                    numbers.push((*name, number));
                }
                // `DE-BW`
                Region => dimension("region", text.split_once('-').map_or(text, |(_, region)| region)),
                // `google.com/search`
                Referrer => {
                    dimension("referrer", text);
                    let address = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
                    let host = Url::parse(&address).ok().and_then(|url| url.host_str().map(str::to_owned));
                    dimension("referrer_host", host.as_deref().unwrap_or_default());
                }
                Device => dimension("device", named(text, &DEVICES, &text.to_lowercase())),
                Browser => dimension("browser", named(text, &BROWSERS, text)),
                System => dimension("os", named(text, &SYSTEMS, text)),
                City => {
                    let id = number(text).ok_or_else(|| format!("`city` is no number: {text:?}"))?;
                    numbers.extend((id > 0).then_some(("city_geoname_id", id)));
                }
                Unknown => {}
            }
        }
        Ok(ImportedDay { day: day.ok_or("it has no `date`")?, kind: self.kind, dimensions, numbers })
    }
}

/// What Plausible calls otherwise than Dewpond.
const DEVICES: [(&str, &str); 2] = [("Laptop", "desktop"), ("Ultra-wide", "desktop")];
const BROWSERS: [(&str, &str); 2] = [("Microsoft Edge", "Edge"), ("Mobile Safari", "Safari")];
const SYSTEMS: [(&str, &str); 2] = [("Mac", "macOS"), ("GNU/Linux", "Linux")];

fn named<'a>(text: &str, names: &[(&str, &'a str)], otherwise: &'a str) -> &'a str {
    names.iter().find(|(theirs, _)| *theirs == text).map_or(otherwise, |(_, ours)| ours)
}

/// A count. What ClickHouse writes for none is `\N`.
fn number(text: &str) -> Option<i64> {
    match text {
        "" | "\\N" => Some(0),
        text => text.parse().ok().filter(|number| *number >= 0),
    }
}

fn meaning(kind: DayKind, column: &str) -> Meaning {
    match (column, kind) {
        ("date", _) => Day,
        ("hostname", _) => Dimension("hostname"),
        ("page" | "path", _) => Dimension("path"),
        ("entry_page", _) => Dimension("entry_page"),
        ("exit_page", _) => Dimension("exit_page"),
        ("name", _) => Dimension("name"),
        ("link_url", _) => Dimension("link_url"),
        ("property", _) => Dimension("property"),
        ("value", _) => Dimension("value"),
        ("source", _) => Dimension("referrer_source"),
        ("referrer", _) => Referrer,
        ("utm_source", _) => Dimension("utm_source"),
        ("utm_medium", _) => Dimension("utm_medium"),
        ("utm_campaign", _) => Dimension("utm_campaign"),
        ("utm_term", _) => Dimension("utm_term"),
        ("utm_content", _) => Dimension("utm_content"),
        ("country", _) => Dimension("country"),
        ("region", _) => Region,
        ("city", _) => City,
        ("device", _) => Device,
        ("browser", _) => Browser,
        ("browser_version", _) => Dimension("browser_version"),
        ("operating_system", _) => System,
        ("operating_system_version", _) => Dimension("os_version"),
        ("visitors", _) => Number("visitors"),
        // A visit enters by one page and leaves by one.
        ("visits" | "entrances", _) | ("exits", DayKind::ExitPages) => Number("visits"),
        ("exits", _) => Number("exits"),
        ("pageviews", _) => Number("page_views"),
        ("events", _) => Number("events"),
        ("bounces", _) => Number("bounces"),
        ("visit_duration", _) => Number("visit_duration_s"),
        ("time_on_page" | "total_time_on_page", _) => Number("time_on_page_s"),
        ("total_time_on_page_visits", _) => Number("time_on_page_visits"),
        ("total_scroll_depth", _) => Number("scroll_depth"),
        ("total_scroll_depth_visits", _) => Number("scroll_depth_visits"),
        _ => Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_table_of_the_export_is_told_by_its_columns_and_read() {
        check(
            "date,visitors,pageviews,bounces,visits,visit_duration",
            "2025-01-01,5,9,2,6,340",
            "days | visitors=5 page_views=9 bounces=2 visits=6 visit_duration_s=340",
        );
        check(
            "date,source,referrer,utm_source,utm_medium,utm_campaign,utm_content,utm_term,pageviews,visitors,visits,visit_duration,bounces",
            "2025-01-01,Google,google.com/search,,cpc,spring,,,4,2,3,60,1",
            "sources referrer_source=Google referrer=google.com/search referrer_host=google.com utm_medium=cpc utm_campaign=spring | page_views=4 visitors=2 visits=3 visit_duration_s=60 bounces=1",
        );
        check(
            "date,hostname,page,visits,visitors,pageviews,total_scroll_depth,total_scroll_depth_visits,total_time_on_page,total_time_on_page_visits",
            "2025-01-01,shop.example,/hats,3,2,4,150,2,\\N,0",
            "pages hostname=shop.example path=/hats | visits=3 visitors=2 page_views=4 scroll_depth=150 scroll_depth_visits=2 time_on_page_s=0 time_on_page_visits=0",
        );
        check(
            "date,hostname,page,visitors,pageviews,exits,time_on_page",
            "2021-12-30,a,/,1,2,1,40",
            "pages hostname=a path=/ | visitors=1 page_views=2 exits=1 time_on_page_s=40",
        );
        check(
            "date,entry_page,visitors,entrances,visit_duration,bounces,pageviews",
            "2025-01-01,/,2,3,60,1,5",
            "entry_pages entry_page=/ | visitors=2 visits=3 visit_duration_s=60 bounces=1 page_views=5",
        );
        check(
            "date,exit_page,visitors,visit_duration,exits,bounces,pageviews",
            "2025-01-01,/b,2,60,3,1,5",
            "exit_pages exit_page=/b | visitors=2 visit_duration_s=60 visits=3 bounces=1 page_views=5",
        );
        check(
            "date,name,link_url,path,visitors,events",
            "2025-01-01,Signup,,/join,4,5",
            "events name=Signup path=/join | visitors=4 events=5",
        );
        check(
            "date,property,value,visitors,events",
            "2025-01-01,plan,pro,2,4",
            "properties property=plan value=pro | visitors=2 events=4",
        );
        check(
            "date,country,region,city,visitors,visits,visit_duration,bounces,pageviews",
            "2025-01-01,DE,DE-BW,2825297,1,1,0,1,1",
            "places country=DE region=BW | city_geoname_id=2825297 visitors=1 visits=1 visit_duration_s=0 bounces=1 page_views=1",
        );
        check(
            "date,device,visitors,visits,visit_duration,bounces,pageviews",
            "2025-01-01,Laptop,1,1,0,1,1",
            "devices device=desktop | visitors=1 visits=1 visit_duration_s=0 bounces=1 page_views=1",
        );
        check(
            "date,browser,browser_version,visitors,visits,visit_duration,bounces,pageviews",
            "2025-01-01,Microsoft Edge,140,1,1,0,1,1",
            "browsers browser=Edge browser_version=140 | visitors=1 visits=1 visit_duration_s=0 bounces=1 page_views=1",
        );
        check(
            "date,operating_system,operating_system_version,visitors,visits,visit_duration,bounces,pageviews",
            "2025-01-01,Mac,15.1,1,1,0,1,1",
            "systems os=macOS os_version=15.1 | visitors=1 visits=1 visit_duration_s=0 bounces=1 page_views=1",
        );
    }

    #[test]
    fn other_tables_are_none_of_it_and_bad_values_are_named() {
        for columns in ["name,timestamp,user_id", "date,visitors", "page,pageviews,visitors", "date,name,visitors"] {
            assert!(table(columns).is_none(), "{columns}");
        }
        let table = table("date,visitors,pageviews,bounces,visits,visit_duration").unwrap();
        assert_eq!(table.read("30.12.2025,1,1,1,1,1".split(',')), Err("`date` is no day: \"30.12.2025\"".into()));
        assert_eq!(table.read("2025-12-30,many,1,1,1,1".split(',')), Err("`visitors` is no number: \"many\"".into()));
    }

    fn table(columns: &str) -> Option<PlausibleTable> {
        PlausibleTable::of_columns(&columns.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[track_caller]
    fn check(columns: &str, record: &str, expected: &str) {
        let row = table(columns).unwrap().read(record.split(',')).unwrap();
        let mut shown = row.kind.name().to_owned();
        row.dimensions.iter().for_each(|(name, value)| shown.push_str(&format!(" {name}={value}")));
        shown.push_str(" |");
        row.numbers.iter().for_each(|(name, value)| shown.push_str(&format!(" {name}={value}")));
        assert_eq!(shown, expected);
        assert_eq!(row.day.to_string(), &record[..10]);
    }
}
