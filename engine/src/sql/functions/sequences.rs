//! What a visitor's events are in their order: how far they came in a funnel, and whether they match a pattern.
//!
//! An event is its time and which of up to 32 conditions it meets, as one number: so `array_agg` keeps a visitor's events in
//! 16 bytes each, and their order is that of the numbers.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use super::columns::of_columns;
use crate::sql::spelling::STEPS_MAX;

pub(super) fn all() -> Vec<ScalarUDF> {
    [Kind::Moment, Kind::Funnel, Kind::Pattern]
        .map(|kind| {
            ScalarUDF::from(SequenceFunction { kind, signature: Signature::user_defined(Volatility::Immutable) })
        })
        .into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `moment(time, condition, …)`: an event.
    Moment,
    /// `funnel_steps(moments, window)`: how many of the conditions were met one after the other within the window.
    Funnel,
    /// `sequence_matches(moments, pattern)`.
    Pattern,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SequenceFunction {
    kind: Kind,
    signature: Signature,
}

const MOMENT: DataType = DataType::Decimal128(38, 0);

fn moments() -> DataType {
    DataType::List(Arc::new(Field::new_list_field(MOMENT, true)))
}

impl ScalarUDFImpl for SequenceFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Moment => "moment",
            Kind::Funnel => "funnel_steps",
            Kind::Pattern => "sequence_matches",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_time = |of: &DataType| {
            matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null)
        };
        let is_condition = |of: &DataType| matches!(of, DataType::Boolean | DataType::Null);
        match (self.kind, types) {
            (Kind::Moment, [time, conditions @ ..])
                if is_time(time) && !conditions.is_empty() && conditions.iter().all(is_condition) =>
            {
                let time = DataType::Timestamp(TimeUnit::Microsecond, None);
                Ok(std::iter::once(time).chain(conditions.iter().map(|_| DataType::Boolean)).collect())
            }
            (Kind::Moment, _) => {
                plan_err!("a sequence is of a time and of conditions: occurred_at, name = 'a', name = 'b'")
            }
            (Kind::Funnel, [_, DataType::Interval(_) | DataType::Utf8 | DataType::Utf8View]) => {
                Ok(vec![moments(), DataType::Interval(IntervalUnit::MonthDayNano)])
            }
            (Kind::Funnel, _) => plan_err!("the window of a funnel is an interval: INTERVAL '1 hour'"),
            (Kind::Pattern, _) => Ok(vec![moments(), DataType::Utf8]),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Moment => MOMENT,
            Kind::Funnel => DataType::Int64,
            Kind::Pattern => DataType::Boolean,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_columns(&args, |columns, rows| match self.kind {
            Kind::Moment => moments_of(columns, rows),
            Kind::Funnel => funnels(columns),
            Kind::Pattern => matches_of(columns),
        })
    }
}

/// A time in microseconds, and below it a bit for each condition that is met.
fn moments_of(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
    let times = columns[0].as_primitive::<TimestampMicrosecondType>();
    let conditions: Vec<&BooleanArray> = columns[1..].iter().map(|column| column.as_boolean()).collect();
    if conditions.len() > STEPS_MAX {
        return exec_err!("a sequence has at most {STEPS_MAX} conditions");
    }
    let moment = |row: usize| {
        let met = |condition: &BooleanArray| condition.is_valid(row) && condition.value(row);
        let met =
            conditions.iter().enumerate().map(|(place, condition)| i128::from(met(condition)) << place).sum::<i128>();
        times.is_valid(row).then(|| i128::from(times.value(row)) << STEPS_MAX | met)
    };
    let moments: Decimal128Array = (0..rows).map(moment).collect();
    Ok(Arc::new(moments.with_precision_and_scale(38, 0)?))
}

/// An event of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    at_us: i64,
    met: u32,
}

impl Moment {
    fn meets(self, condition: usize) -> bool {
        self.met >> condition & 1 == 1
    }
}

/// The events of each row, in their order; those without a time are left out.
fn in_order(lists: &ArrayRef, row: usize) -> Vec<Moment> {
    let lists = lists.as_list::<i32>();
    if lists.is_null(row) {
        return vec![];
    }
    let members = lists.value(row);
    let mut numbers: Vec<i128> = members.as_primitive::<Decimal128Type>().iter().flatten().collect();
    numbers.sort_unstable();
    let moment = |number: i128| Moment { at_us: (number >> STEPS_MAX) as i64, met: number as u32 };
    numbers.into_iter().map(moment).collect()
}

fn funnels(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let windows = columns[1].as_primitive::<IntervalMonthDayNanoType>();
    let mut steps = Vec::with_capacity(windows.len());
    for (row, window) in windows.iter().enumerate() {
        let window_us = match window {
            Some(window) => length_us(window)?,
            None => return exec_err!("the window of a funnel is null"),
        };
        steps.push(reached(&in_order(&columns[0], row), window_us));
    }
    Ok(Arc::new(Int64Array::from(steps)))
}

/// A length of time that is the same at any time: a day has 24 hours, and a month has none.
fn length_us(window: IntervalMonthDayNano) -> Result<i64> {
    if window.months != 0 || window.days < 0 || window.nanoseconds < 0 {
        return exec_err!("the window of a funnel is in days, hours, minutes or seconds: INTERVAL '30 days'");
    }
    Ok(i64::from(window.days) * 86_400_000_000 + window.nanoseconds / 1_000)
}

/// How many conditions were met one after the other, from the first, all at most `window_us` after an event that met the
/// first. One event is one step; of events at the same time those of earlier steps come first.
fn reached(moments: &[Moment], window_us: i64) -> i64 {
    // For each step the latest beginning from which it was reached.
    let mut begun: [Option<i64>; STEPS_MAX] = [None; STEPS_MAX];
    for moment in moments {
        // From the last step down, so that one event is not two of them.
        for step in (0..STEPS_MAX).rev().filter(|step| moment.meets(*step)) {
            let beginning = match step.checked_sub(1) {
                None => Some(moment.at_us),
                Some(before) => begun[before].filter(|began| moment.at_us - began <= window_us),
            };
            begun[step] = beginning.max(begun[step]);
        }
    }
    begun.iter().take_while(|began| began.is_some()).count() as i64
}

fn matches_of(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let patterns = columns[1].as_string::<i32>();
    let mut known: Option<(&str, Vec<Step>)> = None;
    let mut answers = Vec::with_capacity(patterns.len());
    for (row, text) in patterns.iter().enumerate() {
        let Some(text) = text else {
            answers.push(None);
            continue;
        };
        if known.as_ref().is_none_or(|(of, _)| *of != text) {
            known = Some((text, pattern(text)?));
        }
        let steps = known.as_ref().map_or(&[][..], |(_, steps)| steps);
        answers.push(Some(is_matched(&in_order(&columns[0], row), steps)));
    }
    Ok(Arc::new(BooleanArray::from(answers)))
}

/// A step of a pattern: an event, and how it stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    /// The condition that it meets; none if any event will do.
    condition: Option<usize>,
    after: After,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    /// Right behind it.
    Next,
    /// Anywhere behind it.
    Any,
    /// Anywhere behind it, at least and at most so many microseconds later.
    Within { least_us: i64, most_us: i64 },
}

/// Reads `(?1)`, `.`, `.*` and `(?t<=3600)`.
fn pattern(text: &str) -> Result<Vec<Step>> {
    let refuse = || {
        exec_err!(
            "{text:?} is no pattern of events: (?1) is an event that meets the first condition, . any event, .* any number of events, \
             (?t<=3600) says how many seconds lie between two, as in '(?1).*(?2)(?t<=3600)(?3)'"
        )
    };
    let mut steps: Vec<Step> = Vec::new();
    let mut after = After::Any;
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(left) = rest.strip_prefix(".*") {
            after = if after == After::Next { After::Any } else { after };
            rest = left;
        } else if let Some(left) = rest.strip_prefix('.') {
            steps.push(Step { condition: None, after });
            after = After::Next;
            rest = left;
        } else if let Some((inner, left)) = rest.strip_prefix("(?").and_then(|rest| rest.split_once(')')) {
            rest = left;
            if let Some(between) = inner.strip_prefix('t') {
                let (op, number) =
                    between.split_at(between.find(|c: char| c.is_ascii_digit()).unwrap_or(between.len()));
                let Some(us) = number.trim().parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1_000_000))
                else {
                    return refuse();
                };
                let (mut least_us, mut most_us) = match after {
                    After::Within { least_us, most_us } => (least_us, most_us),
                    _ => (0, i64::MAX),
                };
                match op.trim() {
                    "<" => most_us = most_us.min(us - 1),
                    "<=" => most_us = most_us.min(us),
                    ">" => least_us = least_us.max(us + 1),
                    ">=" => least_us = least_us.max(us),
                    "==" | "=" => (least_us, most_us) = (least_us.max(us), most_us.min(us)),
                    _ => return refuse(),
                }
                if steps.is_empty() {
                    return refuse();
                }
                after = After::Within { least_us, most_us };
            } else {
                let Some(number) = inner.parse::<usize>().ok().filter(|number| (1..=STEPS_MAX).contains(number)) else {
                    return refuse();
                };
                steps.push(Step { condition: Some(number - 1), after });
                after = After::Next;
            }
        } else {
            return refuse();
        }
    }
    if steps.is_empty() || matches!(after, After::Within { .. }) {
        return refuse();
    }
    Ok(steps)
}

/// Whether there are events that meet all steps, in their order. For each step it is known at which events it may end, so
/// no pattern takes longer than its steps times the events.
fn is_matched(moments: &[Moment], steps: &[Step]) -> bool {
    let mut ends: Vec<bool> = vec![];
    for (place, step) in steps.iter().enumerate() {
        let meets = |moment: &Moment| step.condition.is_none_or(|condition| moment.meets(condition));
        let mut next = vec![false; moments.len()];
        // Whether the step before may have ended by now; how far it was looked for, and the newest of its ends so far.
        let (mut any, mut open, mut newest) = (false, 0, None::<usize>);
        for (at, moment) in moments.iter().enumerate() {
            let follows = match step.after {
                _ if place == 0 => true,
                After::Next => at > 0 && ends[at - 1],
                After::Any => {
                    any |= at > 0 && ends[at - 1];
                    any
                }
                After::Within { least_us, most_us } => {
                    while open < at && moment.at_us - moments[open].at_us >= least_us {
                        newest = if ends[open] { Some(open) } else { newest };
                        open += 1;
                    }
                    // Of those that are long enough ago, the newest is the nearest.
                    newest.is_some_and(|newest| moment.at_us - moments[newest].at_us <= most_us)
                }
            };
            next[at] = follows && meets(moment);
        }
        ends = next;
    }
    ends.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as `seconds:conditions`, such as `0:1 60:23`.
    fn moments(text: &str) -> Vec<Moment> {
        let moment = |event: &str| {
            let (seconds, met) = event.split_once(':').unwrap();
            let met = met.bytes().map(|digit| 1_u32 << (digit - b'1')).sum::<u32>();
            Moment { at_us: seconds.parse::<i64>().unwrap() * 1_000_000, met }
        };
        text.split_whitespace().map(moment).collect()
    }

    #[test]
    fn a_funnel_is_as_long_as_its_longest_chain_within_the_window() {
        for (events, window_s, expected) in [
            ("", 60, 0),
            ("0:2 10:3", 60, 0),
            ("0:1 10:2 20:3", 60, 3),
            ("0:1 10:2 61:3", 60, 2),
            ("0:1 10:2 60:3", 60, 3),
            // A later beginning counts where the first is too long ago.
            ("0:1 50:1 90:2", 60, 2),
            ("0:1 50:2 70:1 100:2 120:3", 60, 3),
            // One event is one step.
            ("0:12 10:3", 60, 1),
            ("0:12 10:12 20:3", 60, 3),
            // The order is what counts.
            ("0:2 10:1 20:3", 60, 1),
            ("0:1 0:2", 60, 2),
        ] {
            assert_eq!(reached(&moments(events), window_s * 1_000_000), expected, "{events} within {window_s} s");
        }
    }

    #[test]
    fn a_pattern_is_of_events_that_follow_one_another() {
        for (events, text, expected) in [
            ("0:1 5:2", "(?1)(?2)", true),
            ("0:1 2:3 5:2", "(?1)(?2)", false),
            ("0:1 2:3 5:2", "(?1).*(?2)", true),
            ("0:1 2:3 5:2", "(?1).(?2)", true),
            ("0:2 5:1", "(?1).*(?2)", false),
            ("0:1 5:1 9:2", "(?1)(?t<=4)(?2)", true),
            ("0:1 9:2", "(?1)(?t<=4)(?2)", false),
            ("0:1 9:2 20:2", "(?1)(?t>10)(?2)", true),
            ("0:1 10:2", "(?1)(?t>10)(?2)", false),
            ("0:1 10:2", "(?1)(?t>=10)(?2)", true),
            ("0:1 10:2 14:3", "(?1).*(?2)(?t<=4)(?3)", true),
            ("0:1", "(?1)", true),
            ("", "(?1)", false),
            ("0:1", "(?1).", false),
            ("0:1", "(?1).*", true),
            ("0:1 20:1 25:2", "(?1)(?t>=3)(?t<=8)(?2)", true),
        ] {
            assert_eq!(is_matched(&moments(events), &pattern(text).unwrap()), expected, "{text} of {events}");
        }
        for none in ["", "(?0)", "(?33)", "a", "(?1)(?t<5)", "(?t<5)(?1)", "(?1)(?t!5)(?2)", "(?1"] {
            assert!(pattern(none).is_err(), "{none}");
        }
    }
}
