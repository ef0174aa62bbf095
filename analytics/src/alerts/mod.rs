//! Alerts: a metric's condition, whether it holds, since when, and whether somebody was told. Pure; [`poster`] and
//! [`webhook`] tell.
//!
//! The state of an alert stands in each report, so the report before says whether something changed, whichever process
//! made it. A change is marked `unposted` until its post was received; then the newest report loses the mark.

pub(crate) mod poster;
pub(crate) mod webhook;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::report::{AlertState, Metric, Report};

/// The name of the single value of a metric, in conditions.
const VALUE: &str = "value";

/// Another process than the one that made a change's report posts the change after this: that one may have ended before it
/// could. Longer than a process tries ([`webhook`]).
pub(crate) const TAKEN_OVER_AFTER: TimeDelta = TimeDelta::minutes(2);

/// A condition on a metric's answer: `value < 100`, or `errors >= 5` with the name of a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The column; `value` is the single number of an answer without such a column.
    pub column: String,
    comparison: Comparison,
    threshold: f64,
    /// As its author wrote it.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

/// Longer ones first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 8] = [
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<>", Comparison::NotEqual),
    ("!=", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl FromStr for Alert {
    type Err = String;

    /// Fails in words for the author.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no condition: write a comparison with a number, such as value < 100");
        let at = text.find(['<', '>', '=', '!']).ok_or_else(wrong)?;
        let (column, rest) = (text[..at].trim(), &text[at..]);
        let (sign, comparison) = COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(wrong)?;
        let threshold: f64 = rest[sign.len()..].trim().replace('_', "").parse().map_err(|_| wrong())?;
        let column = column.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(column);
        if column.is_empty() || !threshold.is_finite() {
            return Err(wrong());
        }
        Ok(Self { column: column.to_owned(), comparison: *comparison, threshold, text: text.to_owned() })
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What a condition says of an answer.
#[derive(Clone, Debug, PartialEq)]
struct Finding {
    holds: bool,
    /// The number that makes it hold, or the first that does not.
    value: Option<Json>,
}

impl Alert {
    fn holds_for(&self, number: f64) -> bool {
        match self.comparison {
            Comparison::Less => number < self.threshold,
            Comparison::LessOrEqual => number <= self.threshold,
            Comparison::Equal => number == self.threshold,
            Comparison::NotEqual => number != self.threshold,
            Comparison::GreaterOrEqual => number >= self.threshold,
            Comparison::Greater => number > self.threshold,
        }
    }

    /// Whether the condition holds for any row; `None` if the answer cannot tell: the metric failed, or has no such number.
    /// A column without rows has nothing for which it holds.
    fn examine(&self, metric: &Metric) -> Option<Finding> {
        let (columns, rows) = (metric.columns.as_ref()?, metric.rows.as_ref()?);
        let values: Vec<&Json> = match columns.iter().position(|column| *column == self.column) {
            Some(at) => rows.iter().filter_map(|row| row.get(at)).collect(),
            None if self.column == VALUE => vec![metric.value.as_ref()?],
            None => return None,
        };
        let numbers: Vec<(&Json, f64)> = values.into_iter().filter_map(|value| Some((value, number(value)?))).collect();
        if numbers.is_empty() && !rows.is_empty() {
            return None;
        }
        let firing = numbers.iter().find(|(_, number)| self.holds_for(*number));
        let shown = firing.or(numbers.first()).map(|(value, _)| (*value).clone());
        Some(Finding { holds: firing.is_some(), value: shown })
    }
}

fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The state of an alert after a run.
///
/// - `before`: the state in the report before, if the alert had one.
///
/// While the answer cannot tell, the state before stays; if there is none, there is no state. An alert that is new, or has
/// another condition than before, is told of if it fires.
fn next_state(alert: &Alert, metric: &Metric, before: Option<&AlertState>, at: DateTime<Utc>) -> Option<AlertState> {
    let before = before.filter(|before| before.condition == alert.text);
    let Some(finding) = alert.examine(metric) else { return before.cloned() };
    match before {
        Some(before) if before.firing == finding.holds => Some(before.clone()),
        _ => {
            let unposted = before.is_some() || finding.holds;
            Some(AlertState { condition: alert.text.clone(), firing: finding.holds, since: at, unposted })
        }
    }
}

/// Puts the states of alerts into a report.
///
/// - `alerts`: of metrics by name.
/// - `before`: the report before this one, of the same site.
pub(crate) fn judge<'a>(
    report: &mut Report,
    alerts: impl IntoIterator<Item = (&'a str, &'a Alert)>,
    before: Option<&Report>,
) {
    for (name, alert) in alerts {
        let Some(metric) = report.metrics.get_mut(name) else { continue };
        let before = before.and_then(|before| before.metrics.get(name)?.details.alert.as_ref());
        metric.details.alert = next_state(alert, metric, before, report.generated_at);
    }
}

/// What is posted of a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct AlertPost {
    /// The same for every post of one change, and for no other.
    pub(crate) id: String,
    pub(crate) metric: String,
    pub(crate) title: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) condition: String,
    pub(crate) value: Option<Json>,
    /// `firing` or `resolved`.
    pub(crate) state: &'static str,
    pub(crate) since: DateTime<Utc>,
    pub(crate) generated_at: DateTime<Utc>,
}

/// The posts that are due after a report.
///
/// - `made_here`: whether this process made the report of a change with such an id.
pub(crate) fn due_posts(report: &Report, made_here: impl Fn(&str) -> bool) -> Vec<AlertPost> {
    let due = report.metrics.iter().filter_map(|(name, metric)| {
        let state = metric.details.alert.as_ref().filter(|state| state.unposted)?;
        let id = id_of(name, report.site.as_deref(), state);
        let waits = !made_here(&id)
            && report.generated_at - state.since < TAKEN_OVER_AFTER
            && report.generated_at != state.since;
        let alert = Alert::from_str(&state.condition).ok()?;
        (!waits).then(|| AlertPost {
            id,
            metric: name.clone(),
            title: metric.title.clone(),
            site: report.site.clone(),
            condition: state.condition.clone(),
            value: alert.examine(metric).and_then(|finding| finding.value),
            state: if state.firing { "firing" } else { "resolved" },
            since: state.since,
            generated_at: report.generated_at,
        })
    });
    due.collect()
}

/// The id of a change: its metric, site, state and time.
fn id_of(metric: &str, site: Option<&str>, state: &AlertState) -> String {
    let change = serde_json::json!([metric, site, state.firing, state.since]).to_string();
    Sha256::digest(change.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the mark off a change that was received. Whether it was there.
pub(crate) fn mark_posted(report: &mut Report, post: &AlertPost) -> bool {
    let state = report.metrics.get_mut(&post.metric).and_then(|metric| metric.details.alert.as_mut());
    match state {
        Some(state) if state.unposted && state.since == post.since && (state.firing == (post.state == "firing")) => {
            state.unposted = false;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_compares_a_number_of_the_answer() {
        holds("value < 100", json!([[99]]), Some(true));
        holds("value < 100", json!([[100]]), Some(false));
        holds("value<=100", json!([[100]]), Some(true));
        holds("value != 0", json!([[0]]), Some(false));
        holds("value = 2.5", json!([[2.5]]), Some(true));
        holds("value > 9_000_000_000_000_000", json!([["9007199254740993"]]), Some(true));
        holds("n >= -1", json!([[-1]]), Some(true));
    }

    #[test]
    fn a_named_column_fires_if_any_row_does() {
        holds("n > 5", json!([[1], [7], [2]]), Some(true));
        holds("n > 5", json!([[1], [2]]), Some(false));
        holds("n > 5", json!([]), Some(false));
        holds("n > 5", json!([[null], [7]]), Some(true));
    }

    #[test]
    fn an_answer_without_the_number_tells_nothing() {
        holds("value < 1", json!([[0], [0]]), None);
        holds("other < 1", json!([[0]]), None);
        holds("value < 1", json!([[null]]), None);
        holds("value < 1", json!([["none"]]), None);
    }

    #[test]
    fn what_is_no_comparison_is_refused() {
        for text in ["value", "value < many", "< 5", "value ~ 5", "value < inf", "value ! 5", ""] {
            let error = text.parse::<Alert>().unwrap_err();
            assert!(error.contains("such as value < 100"), "{text}: {error}");
        }
    }

    #[test]
    fn a_change_is_kept_with_its_time_and_told_of_once() {
        // What each run finds; `?` is a metric that failed. Then: firing, minutes since when, and whether a post is due.
        states("0 0 0", "-0 -0 -0");
        states("9 9", "+0! +0");
        states("0 9 9 0 0", "-0 +1! +1 -3! -3");
        states("9 ? 9", "+0! +0 +0");
        states("? 9", "none +1!");
    }

    #[test]
    fn another_condition_is_another_alert() {
        let alert: Alert = "value > 5".parse().unwrap();
        let metric = answered(json!([[3]]));
        let before = AlertState { condition: "value > 1".into(), firing: true, since: at(0), unposted: false };
        let state = next_state(&alert, &metric, Some(&before), at(1)).unwrap();
        assert_eq!((state.firing, state.since, state.unposted), (false, at(1), false));
    }

    #[test]
    fn a_change_of_another_process_is_posted_once_that_one_had_its_time() {
        let due = |generated: i64, made_here: bool| {
            let state = AlertState { condition: "value > 5".into(), firing: true, since: at(10), unposted: true };
            let mut report = Report { generated_at: at(generated), ..Report::default() };
            let mut metric = answered(json!([[7]]));
            metric.details.alert = Some(state);
            report.metrics.insert("m".into(), metric);
            due_posts(&report, |_| made_here).len()
        };
        assert_eq!([due(10, false), due(11, false), due(12, false)], [1, 0, 1]);
        assert_eq!([due(10, true), due(11, true)], [1, 1]);
    }

    #[test]
    fn a_changes_id_is_its_own() {
        let state =
            |firing, minute| AlertState { condition: "value > 5".into(), firing, since: at(minute), unposted: true };
        let ids = [
            id_of("m", None, &state(true, 1)),
            id_of("m", None, &state(false, 1)),
            id_of("m", None, &state(true, 2)),
            id_of("m", Some("shop"), &state(true, 1)),
            id_of("n", None, &state(true, 1)),
        ];
        let distinct: std::collections::HashSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], id_of("m", None, &AlertState { unposted: false, ..state(true, 1) }));
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_366_400 + 60 * minute, 0).unwrap()
    }

    fn answered(rows: Json) -> Metric {
        let rows = serde_json::from_value(rows).unwrap();
        Metric::answered(None, vec!["n".into()], rows, 0)
    }

    #[track_caller]
    fn holds(condition: &str, rows: Json, expected: Option<bool>) {
        let alert: Alert = condition.parse().unwrap();
        assert_eq!(alert.examine(&answered(rows)).map(|finding| finding.holds), expected);
    }

    #[track_caller]
    fn states(runs: &str, expected: &str) {
        let alert: Alert = "value > 5".parse().unwrap();
        let (mut before, mut words) = (None, vec![]);
        for (minute, found) in (0..).zip(runs.split(' ')) {
            let metric = match found.parse::<i64>() {
                Ok(value) => answered(json!([[value]])),
                Err(_) => Metric::failed(None, "no".into(), 0),
            };
            let state = next_state(&alert, &metric, before.as_ref(), at(minute));
            words.push(match &state {
                None => "none".to_owned(),
                Some(state) => format!(
                    "{}{}{}",
                    if state.firing { '+' } else { '-' },
                    (state.since - at(0)).num_minutes(),
                    if state.unposted { "!" } else { "" }
                ),
            });
            // It was received meanwhile.
            before = state.map(|state| AlertState { unposted: false, ..state });
        }
        assert_eq!(words.join(" "), expected);
    }
}
