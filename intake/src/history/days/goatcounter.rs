//! GoatCounter's export in JSON: lists (`paths.jsonl`, `refs.jsonl`, …) whose numbers stand in statistics by hour or day.
//!
//! Its `count` is how many visits saw a page, each visit once for a page however often it came back. So it is `visits` of a
//! page; summed over pages it is no number of visits of the site, and none is made of it.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use lake::{DayKind, ImportedDay};
use serde_json::Value as Json;

use super::stem;
use crate::protocol::body::object::Object;

/// The lists, which are read first, with a field by which each is known.
const LISTS: [(&str, &str); 7] = [
    ("info", "export_version"),
    ("paths", "path"),
    ("refs", "ref_scheme"),
    ("browsers", "name"),
    ("systems", "name"),
    ("languages", "iso_639_3"),
    ("locations", "country"),
];

/// The statistics, with a field by which each is known.
const STATISTICS: [(&str, &str); 6] = [
    ("hit_stats", "ref_id"),
    ("browser_stats", "browser_id"),
    ("system_stats", "system_id"),
    ("location_stats", "location"),
    ("language_stats", "language"),
    ("size_stats", "width"),
];

/// Whether a file is one of an export.
pub(super) fn is_of_export(name: &str, fields: &[String]) -> bool {
    let known = LISTS.into_iter().chain(STATISTICS).find(|(file, _)| *file == stem(name));
    known.is_some_and(|(_, sign)| fields.iter().any(|field| field == sign))
}

/// Values of a row.
type Dimensions = Vec<(&'static str, String)>;

/// Adds up the statistics of an export by day.
#[derive(Debug, Default)]
pub struct GoatCounterDays {
    paths: HashMap<i64, (String, bool)>,
    referrers: HashMap<i64, Dimensions>,
    browsers: HashMap<i64, [String; 2]>,
    systems: HashMap<i64, [String; 2]>,
    zone: Tz,
    day: Option<NaiveDate>,
    counts: BTreeMap<(DayKind, Dimensions), i64>,
}

impl GoatCounterDays {
    /// - `zone`: whose days hours are added up to. Other statistics have their days already.
    pub fn new(zone: Tz) -> Self {
        Self { zone, ..Self::default() }
    }

    /// Whether a file is a list, and to be read before all that are none.
    pub fn is_list(name: &str) -> bool {
        LISTS.iter().any(|(list, _)| *list == stem(name))
    }

    /// Reads an entry of a list.
    pub fn learn(&mut self, file: &str, entry: &Object) {
        let text = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
        let Some(id) = entry.get("id").and_then(Json::as_i64) else { return };
        match stem(file) {
            "paths" => {
                let is_event = entry.get("event").and_then(Json::as_bool).unwrap_or(false);
                self.paths.insert(id, (text("path"), is_event));
            }
            "refs" => drop(self.referrers.insert(id, referrer(&text("ref"), &text("ref_scheme")))),
            "browsers" => drop(self.browsers.insert(id, [text("name"), text("version")])),
            "systems" => drop(self.systems.insert(id, [text("name"), text("version")])),
            _ => {}
        }
    }

    /// Counts an entry of the statistics. Returns the rows of the day before, if it is the first of its day.
    ///
    /// Fails with a reason that names the field.
    pub fn count(&mut self, file: &str, entry: &Object) -> Result<Vec<ImportedDay>, String> {
        let number = |name: &str| {
            let number = entry.get(name).and_then(Json::as_i64).filter(|number| *number >= 0);
            number.ok_or_else(|| format!("`{name}` must be a number"))
        };
        let text = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default();
        let count = number("count")?;
        let day = match text("hour") {
            "" => text("day").parse().map_err(|_| "`day` must be a day".to_owned())?,
            hour => {
                let at: DateTime<chrono::Utc> = hour.parse().map_err(|_| "`hour` must be a time".to_owned())?;
                at.with_timezone(&self.zone).date_naive()
            }
        };
        let mut seen: Vec<(DayKind, Dimensions)> = Vec::new();
        let unknown = |what: &str, id: i64| format!("`{what}` {id} is in no list of the export");
        let versioned = |list: &HashMap<i64, [String; 2]>, what, name, version| {
            let id = number(what)?;
            let found = list.get(&id).ok_or_else(|| unknown(what, id))?;
            Ok::<_, String>(filled([(name, &found[0]), (version, &found[1])]))
        };
        let path_id = number("path_id")?;
        let (path, is_event) = self.paths.get(&path_id).ok_or_else(|| unknown("path_id", path_id))?;
        match stem(file) {
            "hit_stats" if *is_event => seen.push((DayKind::Events, filled([("name", path)]))),
            // Of pages alone, as all that follows.
            "hit_stats" => {
                let ref_id = number("ref_id")?;
                let referrer = self.referrers.get(&ref_id).ok_or_else(|| unknown("ref_id", ref_id))?;
                seen.push((DayKind::Pages, filled([("path", path)])));
                seen.push((DayKind::Sources, referrer.clone()));
            }
            _ if *is_event => {}
            "browser_stats" => {
                let by = versioned(&self.browsers, "browser_id", "browser", "browser_version")?;
                seen.push((DayKind::Browsers, by));
            }
            "system_stats" => seen.push((DayKind::Systems, versioned(&self.systems, "system_id", "os", "os_version")?)),
            "location_stats" => {
                let (country, region) = text("location").split_once('-').unwrap_or((text("location"), ""));
                seen.push((DayKind::Places, filled([("country", country), ("region", region)])));
            }
            "language_stats" => seen.push((DayKind::Languages, filled([("language", text("language"))]))),
            "size_stats" => {
                let width = number("width")?;
                seen.push((DayKind::Screens, filled([("value", &width.to_string())])));
            }
            other => return Err(format!("{other} is none of the export's statistics")),
        }
        let done = if self.day == Some(day) { vec![] } else { self.finish() };
        self.day = Some(day);
        for key in seen {
            *self.counts.entry(key).or_default() += count;
        }
        Ok(done)
    }

    /// The rows of the last day.
    pub fn finish(&mut self) -> Vec<ImportedDay> {
        let Some(day) = self.day.take() else { return vec![] };
        let row = |((kind, dimensions), count): ((DayKind, Dimensions), i64)| {
            let mut numbers = vec![("visits", count)];
            let mut dimensions = dimensions;
            if kind == DayKind::Screens
                && let Some((_, width)) = dimensions.pop()
            {
                numbers.extend(width.parse().ok().map(|width| ("screen_width", width)));
            }
            ImportedDay { day, kind, dimensions, numbers }
        };
        std::mem::take(&mut self.counts).into_iter().map(row).collect()
    }
}

/// Values that are there.
fn filled<const N: usize>(values: [(&'static str, &(impl AsRef<str> + ?Sized)); N]) -> Dimensions {
    let values = values.into_iter().map(|(name, value)| (name, value.as_ref().to_owned()));
    values.filter(|(_, value)| !value.is_empty()).collect()
}

/// What a referrer is, by its kind: an address, a name that GoatCounter has for several, a campaign, or something else.
fn referrer(text: &str, scheme: &str) -> Dimensions {
    let host = text.split('/').next().unwrap_or_default();
    match scheme {
        "h" => filled([("referrer", text), ("referrer_host", host)]),
        "c" => filled([("utm_source", text)]),
        _ => filled([("referrer_source", text)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: [(&str, &str); 9] = [
        ("paths.jsonl", r#"{"id": 1, "path": "/", "title": "Home"}"#),
        ("paths.jsonl", r#"{"id": 2, "path": "/api", "title": "API"}"#),
        ("paths.jsonl", r#"{"id": 3, "event": true, "path": "click-banana", "title": "Fruit"}"#),
        ("refs.jsonl", r#"{"id": 1, "ref": "", "ref_scheme": "o"}"#),
        ("refs.jsonl", r#"{"id": 2, "ref": "Google", "ref_scheme": "g"}"#),
        ("refs.jsonl", r#"{"id": 3, "ref": "example.com/page.html", "ref_scheme": "h"}"#),
        ("refs.jsonl", r#"{"id": 4, "ref": "spring", "ref_scheme": "c"}"#),
        ("browsers.jsonl", r#"{"id": 1, "name": "Firefox", "version": "83"}"#),
        ("systems.jsonl", r#"{"id": 1, "name": "", "version": ""}"#),
    ];

    #[test]
    fn hours_are_added_up_to_days_by_page_and_by_referrer() {
        check(
            "UTC",
            &[
                ("hit_stats.jsonl", r#"{"hour": "2026-03-05T19:00:00Z", "path_id": 1, "ref_id": 1, "count": 4}"#),
                ("hit_stats.jsonl", r#"{"hour": "2026-03-05T20:00:00Z", "path_id": 1, "ref_id": 2, "count": 1}"#),
                ("hit_stats.jsonl", r#"{"hour": "2026-03-05T23:00:00Z", "path_id": 2, "ref_id": 3, "count": 2}"#),
                ("hit_stats.jsonl", r#"{"hour": "2026-03-05T23:00:00Z", "path_id": 3, "ref_id": 1, "count": 7}"#),
                ("hit_stats.jsonl", r#"{"hour": "2026-03-06T00:00:00Z", "path_id": 1, "ref_id": 4, "count": 1}"#),
            ],
            "03-05 events name=click-banana 7; 03-05 pages path=/ 5; 03-05 pages path=/api 2; 03-05 sources 4; \
             03-05 sources referrer=example.com/page.html referrer_host=example.com 2; \
             03-05 sources referrer_source=Google 1; 03-06 pages path=/ 1; 03-06 sources utm_source=spring 1",
        );
        check(
            "Asia/Tokyo",
            &[("hit_stats.jsonl", r#"{"hour": "2026-03-05T19:00:00Z", "path_id": 1, "ref_id": 1, "count": 4}"#)],
            "03-06 pages path=/ 4; 03-06 sources 4",
        );
    }

    #[test]
    fn other_statistics_are_added_up_over_pages() {
        check(
            "UTC",
            &[
                ("browser_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 1, "browser_id": 1, "count": 1}"#),
                ("browser_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 2, "browser_id": 1, "count": 6}"#),
                ("browser_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 3, "browser_id": 1, "count": 9}"#),
                ("system_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 1, "system_id": 1, "count": 3}"#),
                ("location_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 1, "location": "RO-B", "count": 1}"#),
                ("language_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 1, "language": "eng", "count": 2}"#),
                ("size_stats.jsonl", r#"{"day": "2026-03-05", "path_id": 1, "width": 1280, "count": 9}"#),
            ],
            "03-05 browsers browser=Firefox browser_version=83 7; 03-05 languages language=eng 2; \
             03-05 places country=RO region=B 1; 03-05 screens 9 1280; 03-05 systems 3",
        );
    }

    #[test]
    fn what_is_in_no_list_is_named() {
        let mut days = listed("UTC");
        let entry = r#"{"day": "2026-03-05", "path_id": 99, "browser_id": 1, "count": 1}"#;
        let refused = days.count("browser_stats.jsonl", &serde_json::from_str(entry).unwrap());
        assert_eq!(refused, Err("`path_id` 99 is in no list of the export".into()));
    }

    fn listed(zone: &str) -> GoatCounterDays {
        let mut days = GoatCounterDays::new(zone.parse().unwrap());
        LISTED.iter().for_each(|(file, entry)| days.learn(file, &serde_json::from_str(entry).unwrap()));
        days
    }

    #[track_caller]
    fn check(zone: &str, entries: &[(&str, &str)], expected: &str) {
        let mut days = listed(zone);
        let mut rows = Vec::new();
        for (file, entry) in entries {
            rows.extend(days.count(file, &serde_json::from_str(entry).unwrap()).unwrap());
        }
        rows.extend(days.finish());
        let shown = |row: &ImportedDay| {
            let mut shown = format!("{} {}", row.day.format("%m-%d"), row.kind.name());
            row.dimensions.iter().for_each(|(name, value)| shown.push_str(&format!(" {name}={value}")));
            row.numbers.iter().for_each(|(_, number)| shown.push_str(&format!(" {number}")));
            shown
        };
        assert_eq!(rows.iter().map(shown).collect::<Vec<_>>().join("; "), expected);
    }
}
