//! The header of a query: what the comment at the top of a `.sql` file says of it, beside prose. Pure.
//!
//! ```sql
//! -- Orders without a payment, over [$from, $until).
//! --
//! -- unit: orders
//! -- schedule: 0 0 * * * *
//! -- param: wait_hours = 2
//! -- alert: value > 10
//! SELECT …
//! ```
//!
//! A line `-- key: value` with one of the [keys](KEYS) is a setting; every other comment is prose, so files without
//! settings mean what they always did.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use engine::Param;
use schedule::Cron;

use crate::alerts::Alert;

/// The keys of settings. The first three have texts, which may go on in the next lines, indented further.
const KEYS: [&str; 8] = ["title", "description", "unit", "schedule", "scope", "param", "alert", "incremental"];

/// Parameters that every run sets.
const RUN_PARAMS: [&str; 4] = ["now", "until", "from", "site"];

/// What a query's author says of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// What is counted: `title:`, or else the first sentence of the comment.
    pub title: Option<String>,
    /// More about it.
    pub description: Option<String>,
    /// What its numbers are of: `EUR`, `orders`, `s`.
    pub unit: Option<String>,
    /// When it runs; at every run of the job if not given.
    pub schedule: Option<Cron>,
    /// In which reports it is.
    pub scope: MetricScope,
    /// Values of parameters where nobody gives others, in the order of the file.
    pub params: Vec<(String, Param)>,
    /// What to be told of.
    pub alert: Option<Alert>,
    /// How it may be answered.
    pub incremental: Incremental,
}

/// In which reports a metric is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricScope {
    /// Only in that of the whole lake.
    Lake,
    /// Only in those of sites.
    Site,
    /// In all.
    #[default]
    Both,
}

/// Whether a metric may be answered from states that earlier runs kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incremental {
    /// If its query allows it.
    #[default]
    Auto,
    /// It must be; otherwise it fails and says why.
    Require,
    /// All events are read each time.
    Never,
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HeaderError {
    /// What is wrong and what to write, in words for the author.
    pub message: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

impl Header {
    /// Parses the comment at the top of a query. Fails with the first setting that cannot be read.
    pub fn parse(sql: &str) -> Result<Self, HeaderError> {
        let mut header = Self::default();
        let (mut prose, mut seen) = (vec![], vec![]);
        for setting in read_comment(sql) {
            let Setting { key, value, line, column } = match setting {
                Comment::Prose(text) => {
                    prose.push(text);
                    continue;
                }
                Comment::Setting(setting) => setting,
            };
            let fail = |message: String| Err(HeaderError { message, line, column });
            if !KEYS.contains(&key.as_str()) {
                return fail(format!(
                    "there is no setting {key:?}; did you mean {:?}?",
                    nearest(&key).unwrap_or("title")
                ));
            }
            if value.is_empty() {
                return fail(format!("{key}: has no value; write {}", example(&key)));
            }
            if key != "param" && seen.contains(&key) {
                return fail(format!("{key}: is there twice; keep one of them"));
            }
            let read = match key.as_str() {
                "title" | "description" | "unit" => {
                    let text = match key.as_str() {
                        "title" => &mut header.title,
                        "description" => &mut header.description,
                        _ => &mut header.unit,
                    };
                    *text = Some(value);
                    Ok(())
                }
                "schedule" => {
                    Cron::from_str(&value).map(|cron| header.schedule = Some(cron)).map_err(|e| e.to_string())
                }
                "scope" => one_of(
                    &value,
                    &[("lake", MetricScope::Lake), ("site", MetricScope::Site), ("both", MetricScope::Both)],
                )
                .map(|scope| header.scope = scope),
                "param" => param(&value, &header.params).map(|param| header.params.push(param)),
                "alert" => Alert::from_str(&value).map(|alert| header.alert = Some(alert)),
                _ => one_of(
                    &value,
                    &[("auto", Incremental::Auto), ("require", Incremental::Require), ("never", Incremental::Never)],
                )
                .map(|incremental| header.incremental = incremental),
            };
            if let Err(reason) = read {
                return fail(format!("{key}: {reason}"));
            }
            seen.push(key);
        }
        if header.title.is_none() {
            header.title = first_sentence(&prose);
        }
        Ok(header)
    }

    /// Whether the metric is in the report of a site, or of the whole lake for `None`.
    pub fn is_of(&self, site: Option<&str>) -> bool {
        match self.scope {
            MetricScope::Lake => site.is_none(),
            MetricScope::Site => site.is_some(),
            MetricScope::Both => true,
        }
    }

    /// Whether the metric is to run at `now`, if it last ran at `last`.
    pub fn is_due(&self, last: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        match (&self.schedule, last) {
            (Some(schedule), Some(last)) => schedule.next_after(last).is_some_and(|next| next <= now),
            _ => true,
        }
    }

    /// Adds the defaults of parameters that `params` does not have.
    pub fn complete(&self, params: &mut Vec<(String, Param)>) {
        for (name, default) in &self.params {
            if !params.iter().any(|(given, _)| given == name) {
                params.push((name.clone(), default.clone()));
            }
        }
    }
}

/// A part of the comment.
enum Comment {
    Prose(String),
    Setting(Setting),
}

struct Setting {
    key: String,
    value: String,
    line: u64,
    column: u64,
}

/// The comment before the query: its lines of prose and its settings, in order.
fn read_comment(sql: &str) -> Vec<Comment> {
    let mut parts: Vec<Comment> = vec![];
    // Whether the line before belongs to a setting whose text may go on.
    let mut goes_on = false;
    for (number, line) in sql.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            goes_on = false;
            if !parts.is_empty() {
                parts.push(Comment::Prose(String::new()));
            }
            continue;
        }
        let Some(comment) = trimmed.strip_prefix("--") else { break };
        let text = comment.trim();
        if let (true, true, Some(Comment::Setting(setting))) =
            (goes_on, comment.starts_with("   ") && !text.is_empty(), parts.last_mut())
        {
            setting.value.push(' ');
            setting.value.push_str(text);
            continue;
        }
        goes_on = false;
        match text.split_once(':').and_then(|(key, value)| Some((known_key(key)?, value.trim()))) {
            Some((key, value)) => {
                let column = 1 + line.find(text).map_or(0, |at| line[..at].chars().count()) as u64;
                goes_on = KEYS[..3].contains(&key.as_str());
                parts.push(Comment::Setting(Setting { key, value: value.to_owned(), line: number as u64 + 1, column }));
            }
            None => parts.push(Comment::Prose(text.to_owned())),
        }
    }
    parts
}

/// A key in small letters, if a word is one or is meant to be one. A capital at the beginning makes no other key, and a
/// word that is only near one is prose then: sentences begin with capitals.
fn known_key(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    match KEYS.contains(&lower.as_str()) {
        true => Some(lower),
        false => (word == lower && nearest(word).is_some()).then_some(lower),
    }
}

/// The key that a word was meant to be: with few letters between them, or its beginning.
fn nearest(word: &str) -> Option<&'static str> {
    let is_beginning = |key: &&&str| word.len() >= 4 && key.starts_with(word);
    let near = || {
        let nearest = KEYS.iter().min_by_key(|key| typing_distance(word, key))?;
        (typing_distance(word, nearest) <= (word.len() / 3).clamp(1, 3)).then_some(nearest)
    };
    KEYS.iter().find(is_beginning).or_else(near).copied()
}

/// How many letters somebody mistyped: left out, put in, put in place of another, or exchanged with their neighbour.
pub fn typing_distance(a: &str, b: &str) -> usize {
    strsim::osa_distance(a, b)
}

fn one_of<T: Copy>(value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let chosen = choices.iter().find(|(name, _)| *name == value);
    chosen.map(|(_, choice)| *choice).ok_or_else(|| format!("{value:?} is none of {}", names.join(", ")))
}

/// `NAME = DEFAULT`
fn param(text: &str, others: &[(String, Param)]) -> Result<(String, Param), String> {
    let Some((name, default)) = text.split_once('=') else {
        return Err(format!("{text:?} has no default; write {}", example("param")));
    };
    let (name, default) = (name.trim().trim_start_matches('$'), default.trim());
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(format!("{name:?} is no name of a parameter: use letters, digits and _"));
    }
    if RUN_PARAMS.contains(&name) {
        return Err(format!("${name} is set by every run; name the parameter otherwise"));
    }
    if others.iter().any(|(other, _)| other == name) {
        return Err(format!("${name} has a default already"));
    }
    if default.is_empty() {
        return Err(format!("${name} has no default; write '' for an empty text, or null"));
    }
    Ok((name.to_owned(), Param::parse(default)))
}

fn example(key: &str) -> &'static str {
    match key {
        "schedule" => "schedule: 0 0 6 * * *, a cron in UTC, seconds first",
        "scope" => "scope: lake, site or both",
        "param" => "param: name = 7",
        "alert" => "alert: value < 100",
        "incremental" => "incremental: auto, require or never",
        "unit" => "unit: EUR",
        "description" => "description: what it says, and what not",
        _ => "title: what is counted",
    }
}

/// The first sentence of the first paragraph.
fn first_sentence(prose: &[String]) -> Option<String> {
    let paragraph: Vec<&str> = prose
        .iter()
        .map(String::as_str)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty())
        .collect();
    let paragraph = paragraph.join(" ");
    let sentence = paragraph.split_once(". ").map_or(paragraph.as_str(), |(first, _)| first);
    let sentence = sentence.trim_end_matches('.').trim();
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_is_the_first_sentence_of_the_comment() {
        title("-- Events.\n-- All of them.\nSELECT 1", Some("Events"));
        title("\n-- Sessions per day,\n-- over 30 days. More.\n\nSELECT 1", Some("Sessions per day, over 30 days"));
        title("-- Events\n--\n-- Details.\nSELECT 1", Some("Events"));
        title("-- unit: EUR\n-- Revenue. Gross.\nSELECT 1", Some("Revenue"));
        title("-- Revenue\n-- unit: EUR\n-- gross.\nSELECT 1", Some("Revenue gross"));
        title("SELECT 1 -- no title", None);
        title("-- Prose.\n-- title: Orders. Paid.\nSELECT 1", Some("Orders. Paid."));
    }

    #[test]
    fn a_header_says_all_of_a_query() {
        let sql = "-- title: Open orders
-- description: Those that were ordered
--   and not paid: they wait.
-- unit: orders
-- schedule: 0 0 * * * *
-- scope: site
-- param: hours = 2
-- param: plan = 'pro'
-- alert: value > 10
-- incremental: require
SELECT 1";
        let header = Header::parse(sql).unwrap();
        let expected = Header {
            title: Some("Open orders".into()),
            description: Some("Those that were ordered and not paid: they wait.".into()),
            unit: Some("orders".into()),
            schedule: Some("0 0 * * * *".parse().unwrap()),
            scope: MetricScope::Site,
            params: vec![("hours".into(), Param::Integer(2)), ("plan".into(), Param::Text(Some("pro".into())))],
            alert: Some("value > 10".parse().unwrap()),
            incremental: Incremental::Require,
        };
        assert_eq!(header, expected);
    }

    #[test]
    fn what_is_no_setting_is_prose() {
        for sql in [
            "SELECT 1",
            "-- Returns: day, sessions.\n-- Note: robots: not counted.\nSELECT 1",
            "-- Titel: not English\n-- Alerts: none, a capital begins a sentence\nSELECT 1",
            "-- Events.\nSELECT 1\n-- unit: nobody reads this\n",
            "-- time: a pause of exactly 30 minutes\n-- site: by site\nSELECT 1",
        ] {
            let header = Header::parse(sql).unwrap();
            assert_eq!(Header { title: None, ..header }, Header::default(), "{sql}");
        }
    }

    #[test]
    fn a_setting_that_cannot_be_read_is_refused_at_its_place_with_what_to_write() {
        error("-- A.\n--\n-- titel: B\nSELECT 1", 3, 4, "there is no setting \"titel\"; did you mean \"title\"?");
        error("-- alerts: value < 1", 1, 4, "did you mean \"alert\"?");
        error("--   desc: B", 1, 6, "did you mean \"description\"?");
        error("-- incremetal: auto", 1, 4, "did you mean \"incremental\"?");
        error("-- unit:", 1, 4, "unit: has no value; write unit: EUR");
        error("-- unit: s\n-- unit: h", 2, 4, "unit: is there twice");
        error("-- schedule: 0 * * * *", 1, 4, "put a 0 in front");
        error("-- scope: sites", 1, 4, "scope: \"sites\" is none of lake, site, both");
        error("-- param: hours", 1, 4, "write param: name = 7");
        error("-- param: 7h = 7", 1, 4, "is no name of a parameter");
        error("-- param: from = 2026-01-01", 1, 4, "$from is set by every run");
        error("-- param: a = 1\n-- param: a = 2", 2, 4, "$a has a default already");
        error("-- param: a =", 1, 4, "$a has no default");
        error("-- alert: value", 1, 4, "write a comparison with a number");
        error("-- incremental: yes", 1, 4, "is none of auto, require, never");
    }

    #[test]
    fn a_metric_with_a_schedule_is_due_at_its_ticks() {
        let hourly = Header::parse("-- schedule: 0 0 * * * *\nSELECT 1").unwrap();
        let at = |text: &str| -> DateTime<Utc> { format!("2026-03-01T{text}Z").parse().unwrap() };
        assert!(hourly.is_due(None, at("11:30:00")), "it has never run");
        assert!(!hourly.is_due(Some(at("11:30:00")), at("11:59:59")));
        assert!(hourly.is_due(Some(at("11:30:00")), at("12:00:00")));
        assert!(!hourly.is_due(Some(at("12:00:00.25")), at("12:01:00")));
        assert!(hourly.is_due(Some(at("12:00:00.25")), at("15:01:00")), "ticks were missed");
        assert!(Header::default().is_due(Some(at("12:00:00")), at("12:00:01")), "it has no schedule");
    }

    proptest::proptest! {
        #[test]
        fn every_text_has_a_header_or_is_refused_in_words(
            sql in "(--? ?(title|unit|param|alert|schedul|scope)?:? ?[-a-z0-9*<>=$'. ]{0,20}\n){0,6}\\PC{0,20}"
        ) {
            if let Err(error) = Header::parse(&sql) {
                proptest::prop_assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
            }
        }
    }

    #[track_caller]
    fn title(sql: &str, expected: Option<&str>) {
        assert_eq!(Header::parse(sql).unwrap().title.as_deref(), expected);
    }

    #[track_caller]
    fn error(sql: &str, line: u64, column: u64, part: &str) {
        let error = Header::parse(sql).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}
