//! A report: what one run found, as readers get it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use engine::How;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// All metrics of one scope at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When the run began.
    pub generated_at: DateTime<Utc>,
    /// Every event that occurred before this and was acknowledged before the run is counted. Numbers for
    /// times before it change only by events that arrive late.
    pub complete_until: DateTime<Utc>,
    /// The version of the table `events` that was read, or -1 before there is one.
    pub lake_version: i64,
    /// The site, or null for the whole lake.
    pub site: Option<String>,
    /// The metrics by name.
    pub metrics: BTreeMap<String, Metric>,
}

/// One metric: the answer of one `.sql` file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// What is counted: the file's `title:`, or else the first sentence of its comment.
    pub title: Option<String>,
    /// Names of the columns; null if the query failed.
    pub columns: Option<Vec<String>>,
    /// The rows, each a list in the order of the columns; null if the query failed.
    pub rows: Option<Vec<Vec<Json>>>,
    /// The number of an answer of one row and one column; its digits as text if a double does not hold it.
    pub value: Option<Json>,
    /// Why the query failed, with file and line where they are known.
    pub error: Option<String>,
    /// How long the query took.
    pub duration_ms: i64,
    /// Whether `rows` are only the first ones. In the cache alone, where an item has a limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The number of all rows, where they are truncated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_count: Option<u64>,
    /// What else there is to say of it.
    #[serde(flatten)]
    pub details: Details,
}

/// What a metric has besides its answer. Each is left out of the JSON where there is none; history keeps them together, as
/// JSON in the column `details`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// The file's `description:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file's `unit:`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// How the answer was made; none of a query that failed, or of an earlier release.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub how: Option<MadeHow>,
    /// When the query ran, if the file has a schedule of its own: the answer is of that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// The query that was answered then, as a hash: another one is not answered by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_hash: Option<String>,
    /// Of a run of a past time: by which queries and rules of sites it was made, as a hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules_hash: Option<String>,
    /// Of a report of the whole main lake: how many sites it does not have, because their events lie in lakes of their
    /// organisations' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites_elsewhere: Option<u64>,
    /// The file's `alert:`, and whether it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AlertState>,
}

/// Whether an answer cost what is new, or everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MadeHow {
    /// Whether what earlier runs found in unchanged files was used, or would have been.
    pub incremental: bool,
    /// Why the query ran over all its events, where it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The files of the table with events that count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// How many of the files were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_files: Option<u64>,
    /// The rows of events that were read, pending ones among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_read: Option<u64>,
}

impl From<How> for MadeHow {
    fn from(how: How) -> Self {
        match how {
            How::InFull { why } => Self { why: Some(why), ..Self::default() },
            How::Incremental(used) => Self {
                incremental: true,
                why: None,
                files: Some(used.files as u64),
                known_files: Some(used.known_files as u64),
                rows_read: Some(used.rows_read),
            },
        }
    }
}

impl Metric {
    /// The answer of a query that succeeded.
    pub fn answered(title: Option<String>, columns: Vec<String>, rows: Vec<Vec<Json>>, duration_ms: i64) -> Self {
        let value = match rows.as_slice() {
            [row] => match row.as_slice() {
                [value @ Json::Number(_)] => Some(value.clone()),
                [value @ Json::String(digits)] if is_long_number(digits) => Some(value.clone()),
                _ => None,
            },
            _ => None,
        };
        Self { title, columns: Some(columns), rows: Some(rows), value, duration_ms, ..Self::default() }
    }

    /// A query that failed. The others of the report are not touched by it.
    pub fn failed(title: Option<String>, error: String, duration_ms: i64) -> Self {
        Self { title, error: Some(error), duration_ms, ..Self::default() }
    }
}

/// An alert as it stands in a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertState {
    /// The condition, as its author wrote it.
    pub condition: String,
    /// Whether it holds.
    pub firing: bool,
    /// The run since which that is so.
    pub since: DateTime<Utc>,
    /// Whether a post of this is still due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unposted: bool,
}

/// Whether a text is a number that was written as text because a double does not hold it.
fn is_long_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    // As many digits as the first number above 2⁵³ has, and as a decimal has that is text.
    digits.len() >= 16 && all_digits(whole) && all_digits(fraction)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_single_number_is_a_value() {
        let value = |rows| Metric::answered(None, vec![], rows, 0).value;
        assert_eq!(value(vec![vec![json!(7)]]), Some(json!(7)));
        assert_eq!(value(vec![vec![json!("x")]]), None);
        assert_eq!(value(vec![vec![json!("9007199254740993")]]), Some(json!("9007199254740993")));
        assert_eq!(value(vec![vec![json!("-12345678901234.5678")]]), Some(json!("-12345678901234.5678")));
        assert_eq!(value(vec![vec![json!("2026")]]), None);
        assert_eq!(value(vec![vec![json!("4be2b2dd4a594b91b39d2db84cdf31c5")]]), None);
        assert_eq!(value(vec![vec![json!(1), json!(2)]]), None);
        assert_eq!(value(vec![vec![json!(1)], vec![json!(2)]]), None);
        assert_eq!(value(vec![]), None);
    }
}
