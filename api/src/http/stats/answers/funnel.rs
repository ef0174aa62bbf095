//! `funnel`: how many visitors take steps one after the other.

use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use crate::http::error::ApiError;
use crate::http::stats::query::asker::Asker;
use crate::http::stats::query::rows::{Counted, Rows, VISITOR};
use crate::http::stats::query::statement::{self, Named, Statement, Values};
use crate::http::stats::said::comparison;
use crate::http::stats::said::dimension::Dimension;
use crate::http::stats::said::filter::Filter;
use crate::http::stats::said::parameters::Parameters;
use crate::http::stats::said::request::{Common, Setting};

const STEPS_MIN: usize = 2;
const STEPS_MAX: usize = 10;

/// Whether these can be the steps of a funnel, and this its window. Fails with words for the sender.
pub(in crate::http::stats) fn check(steps: &[Value], window: Option<&str>) -> Result<(), String> {
    if !(STEPS_MIN..=STEPS_MAX).contains(&steps.len()) {
        return Err(format!("a funnel has {STEPS_MIN} to {STEPS_MAX} steps, and this one {}", steps.len()));
    }
    steps.iter().try_for_each(|step| Filter::read_json(step)?.check_size())?;
    window.map_or(Ok(()), |text| self::window(text).map(drop))
}

/// No time within a range is longer.
const WINDOW_MAX: TimeDelta = TimeDelta::days(3_660);

#[derive(Clone, Debug, PartialEq)]
pub(in crate::http::stats) struct Funnel {
    pub(in crate::http::stats) common: Common,
    steps: Vec<Filter>,
    /// The longest time from the first step to the last.
    window: Option<TimeDelta>,
}

impl Funnel {
    pub(in crate::http::stats) fn read(parameters: &mut Parameters, setting: &Setting) -> Result<Self, String> {
        let common = Common::read(parameters, setting)?;
        let mut steps = parameters.all("step");
        match parameters.one("steps") {
            None => {}
            Some(_) if !steps.is_empty() => return Err("the steps are step, or steps: give one of them".to_owned()),
            Some(Value::Array(list)) => steps = list,
            Some(Value::String(text)) => {
                steps = serde_json::from_str(&text).map_err(|error| format!("steps are a list in JSON: {error}"))?;
            }
            Some(other) => return Err(format!("steps are a list of filters, and not {other}")),
        }
        let read = |step: &Value| Filter::read_json(step)?.with_goals(&setting.goals);
        let steps = steps.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        if !(STEPS_MIN..=STEPS_MAX).contains(&steps.len()) {
            return Err(format!(
                "a funnel has {STEPS_MIN} to {STEPS_MAX} steps, and this one {}: write step=path:is:/&step=name:is:signup",
                steps.len()
            ));
        }
        steps.iter().try_for_each(Filter::check_size)?;
        let window = parameters.text("window")?.map(|text| window(&text)).transpose()?;
        Ok(Self { common, steps, window })
    }

    pub(in crate::http::stats) fn echo(&self, echo: &mut Map<String, Value>) {
        echo.insert("steps".into(), self.steps.iter().map(Filter::to_json).collect());
        echo.insert("window_s".into(), json!(self.window.map(|window| window.num_seconds())));
    }

    pub(in crate::http::stats) async fn answer(&self, asker: &Asker) -> Result<Map<String, Value>, ApiError> {
        let taken = self.taken(asker, &self.common.counted).await?;
        let mut answer = self.shown(&taken);
        if let Some(compared) = self.common.compared() {
            let others = self.taken(asker, &compared).await?;
            let mut comparison = self.shown(&others);
            let pairs = taken.iter().zip(&others);
            let changes = pairs.map(|(one, other)| comparison::change(&json!(one), &json!(other)));
            comparison.insert("change".into(), changes.collect());
            answer.insert("comparison".into(), comparison.into());
        }
        Ok(answer)
    }

    /// - `taken`: how many took each step.
    fn shown(&self, taken: &[u64]) -> Map<String, Value> {
        let share = |of: u64, whole: Option<u64>| {
            whole.filter(|whole| *whole > 0).map_or(Value::Null, |whole| json!(of as f64 / whole as f64))
        };
        let first = taken.first().copied();
        let steps = self.steps.iter().zip(taken).enumerate().map(|(at, (step, visitors))| {
            let before = at.checked_sub(1).map_or(first, |before| taken.get(before).copied());
            json!({
                "step": at + 1,
                "filter": step.to_json(),
                "visitors": visitors,
                "conversion": share(*visitors, first),
                "conversion_from_previous": share(*visitors, before),
            })
        });
        let mut shown = Map::new();
        shown.insert("steps".into(), steps.collect());
        shown.insert("conversion".into(), taken.last().map_or(Value::Null, |last| share(*last, first)));
        shown
    }

    /// How many visitors take each step.
    async fn taken(&self, asker: &Asker, counted: &Counted) -> Result<Vec<u64>, ApiError> {
        let mut rows = asker.stream(&self.statement(counted)).await?;
        let mut taken = Taken::new(self.steps.len(), self.window);
        while let Some(batch) = rows.next().await.map_err(ApiError::unread("the events"))? {
            taken.add(&batch);
        }
        Ok(taken.finish())
    }

    /// The events that are a step, of each visitor in their order: visitor, time, and whether it is each step.
    fn statement(&self, counted: &Counted) -> Statement {
        let mut values = Values::default();
        let named: Vec<Dimension> =
            self.steps.iter().flat_map(Filter::conditions).map(|condition| condition.dimension.clone()).collect();
        let rows = match counted.rows_of_events(&named, true) {
            Rows::Events => Rows::Events,
            Rows::Sessions | Rows::EventsOfSessions => Rows::EventsOfSessions,
        };
        let steps: Vec<String> =
            self.steps.iter().map(|step| statement::condition(step, Named::Events, &mut values)).collect();
        let columns = steps.iter().enumerate().map(|(at, step)| format!("coalesce({step}, FALSE) AS step{at}"));
        let sql = format!(
            "SELECT {VISITOR} AS visitor, e.occurred_at AS occurred_at, {} {} AND e.visitor_id IS NOT NULL AND ({}) \
             ORDER BY visitor, occurred_at, e.event_id",
            columns.collect::<Vec<_>>().join(", "),
            counted.sql_with_visitors(rows, &mut values),
            steps.join(" OR "),
        );
        values.into_statement(sql)
    }
}

/// A time such as `30m`.
fn window(text: &str) -> Result<TimeDelta, String> {
    let example = "write 30m, 2h or 7d";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("window: {text:?} is no time: {example}"))?;
    let unit = match &text[digits.len()..] {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(format!("window: {text:?} is no time: {example}")),
    };
    let window = TimeDelta::from_std(Duration::from_secs(number.saturating_mul(unit))).unwrap_or(TimeDelta::MAX);
    match window {
        window if window.is_zero() => Err(format!("window: {text:?} leaves no time for a second step: {example}")),
        window if window > WINDOW_MAX => Err(format!("window: {text:?} is longer than 3660 days")),
        window => Ok(window),
    }
}

/// How many visitors took each step, of events that come visitor by visitor.
///
/// For each step it knows the latest time at which a way to this step can have begun: a later beginning leaves more of the
/// window, so no other needs to be known.
struct Taken {
    window_us: Option<i64>,
    visitor: Option<i64>,
    began_us: Vec<Option<i64>>,
    visitors: Vec<u64>,
}

impl Taken {
    fn new(steps: usize, window: Option<TimeDelta>) -> Self {
        let window_us = window.and_then(|window| window.num_microseconds());
        Self { window_us, visitor: None, began_us: vec![None; steps], visitors: vec![0; steps] }
    }

    fn add(&mut self, batch: &RecordBatch) {
        let visitors = batch.column(0).as_primitive::<Int64Type>();
        let times = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        let steps: Vec<_> = batch.columns()[2..].iter().map(|column| column.as_boolean()).collect();
        for row in 0..batch.num_rows() {
            self.add_event(visitors.value(row), times.value(row), |step| {
                steps[step].is_valid(row) && steps[step].value(row)
            });
        }
    }

    fn add_event(&mut self, visitor: i64, at_us: i64, is_step: impl Fn(usize) -> bool) {
        if self.visitor != Some(visitor) {
            self.count();
            self.visitor = Some(visitor);
        }
        // From the last, so that an event is one step of a way.
        for step in (0..self.began_us.len()).rev().filter(|step| is_step(*step)) {
            let began_us = match step.checked_sub(1) {
                None => Some(at_us),
                Some(before) => self.began_us[before],
            };
            let is_in_time = |began_us: &i64| self.window_us.is_none_or(|window_us| at_us - began_us <= window_us);
            self.began_us[step] = self.began_us[step].max(began_us.filter(is_in_time));
        }
    }

    /// Counts the visitor so far.
    fn count(&mut self) {
        for (visitors, began_us) in self.visitors.iter_mut().zip(&mut self.began_us) {
            *visitors += u64::from(began_us.take().is_some());
        }
    }

    fn finish(mut self) -> Vec<u64> {
        self.count();
        self.visitors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes events as `visitor@minute:steps`, steps by their numbers from 0.
    fn taken(events: &str, window_minutes: Option<i64>) -> Vec<u64> {
        let mut taken = Taken::new(3, window_minutes.map(TimeDelta::minutes));
        for event in events.split_whitespace() {
            let (visitor, rest) = event.split_once('@').unwrap();
            let (minute, steps) = rest.split_once(':').unwrap();
            let at_us = minute.parse::<i64>().unwrap() * 60_000_000;
            taken.add_event(visitor.parse().unwrap(), at_us, |step| steps.contains(&step.to_string()));
        }
        taken.finish()
    }

    #[test]
    fn steps_are_taken_one_after_the_other() {
        for (events, window, expected) in [
            ("", None, [0, 0, 0]),
            ("1@0:0 1@1:1 1@2:2 2@0:0 2@1:2", None, [2, 1, 1]),
            ("1@0:2 1@1:1 1@2:0", None, [1, 0, 0]),
            // One event is one step.
            ("1@0:01", None, [1, 0, 0]),
            ("1@0:01 1@1:01 1@2:012", None, [1, 1, 1]),
            // The second beginning is in time, the first is not.
            ("1@0:0 1@50:0 1@55:1 1@65:2", Some(20), [1, 1, 1]),
            ("1@0:0 1@5:1 1@50:0 1@55:2", Some(20), [1, 1, 0]),
            ("1@0:0 1@20:1", Some(20), [1, 1, 0]),
            ("1@0:0 1@21:1", Some(20), [1, 0, 0]),
        ] {
            assert_eq!(taken(events, window), expected, "{events} within {window:?}");
        }
    }

    proptest::proptest! {
        /// Against the definition: the furthest of all ways in which events can be steps.
        #[test]
        fn the_way_that_goes_furthest_counts(
            events in proptest::collection::vec((0_i64..60, 0_u8..8), 0..9),
            window in proptest::option::of(1_i64..40),
        ) {
            let mut events = events;
            events.sort();
            let text: Vec<String> = events
                .iter()
                .map(|(minute, mask)| {
                    let steps: String = (0..3).filter(|step| mask & (1 << step) != 0).map(|step| step.to_string()).collect();
                    format!("1@{minute}:{steps}")
                })
                .collect();
            fn furthest(events: &[(i64, u8)], step: usize, began: Option<i64>, window: Option<i64>) -> usize {
                let mut best = step;
                for (at, (minute, mask)) in events.iter().enumerate() {
                    let began = began.unwrap_or(*minute);
                    let in_time = window.is_none_or(|window| minute - began <= window);
                    if step < 3 && mask & (1 << step) != 0 && in_time {
                        best = best.max(furthest(&events[at + 1..], step + 1, Some(began), window));
                    }
                }
                best
            }
            let furthest = furthest(&events, 0, None, window);
            let expected: Vec<u64> = (0..3).map(|step| u64::from(step < furthest)).collect();
            proptest::prop_assert_eq!(taken(&text.join(" "), window), expected);
        }
    }

    #[test]
    fn a_window_is_a_time() {
        assert_eq!(window("30m"), Ok(TimeDelta::minutes(30)));
        assert_eq!(window("7d"), Ok(TimeDelta::days(7)));
        for (text, words) in [
            ("", "is no time"),
            ("m", "is no time"),
            ("7 days", "is no time"),
            ("0s", "leaves no time"),
            ("9999d", "longer than 3660 days"),
            ("18446744073709551615w", "longer than 3660 days"),
        ] {
            assert!(window(text).unwrap_err().contains(words), "{text}");
        }
    }
}
