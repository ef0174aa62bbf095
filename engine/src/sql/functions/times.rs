//! Differences of times in units, ages, and intervals times a number.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDateTime, TimeDelta};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, IntervalMonthDayNanoArray};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    TimestampMicrosecondType,
};
use datafusion::common::{DFSchema, Result, exec_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::sqlparser::ast::BinaryOperator;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use datafusion::scalar::ScalarValue;

use super::columns::of_columns;
use crate::sql::spelling::SUNDAY_WEEK;

pub(super) fn all() -> Vec<ScalarUDF> {
    [Kind::Begun, Kind::Whole, Kind::Age, Kind::Times].map(udf).into()
}

fn udf(kind: Kind) -> ScalarUDF {
    ScalarUDF::from(TimeFunction { kind, signature: Signature::user_defined(Volatility::Immutable) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// `date_diff(unit, start, end)`: how many units begin after `start` and not after `end`.
    Begun,
    /// `whole_units(unit, start, end)`: how many whole units lie between.
    Whole,
    /// `age(end, start)`: years, months, days and the rest, as PostgreSQL counts them.
    Age,
    /// An interval times a number.
    Times,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeFunction {
    kind: Kind,
    signature: Signature,
}

const LOCAL: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl ScalarUDFImpl for TimeFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Begun => "date_diff",
            Kind::Whole => "whole_units",
            Kind::Age => "age",
            Kind::Times => "interval_times",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let is_time = |of: &DataType| {
            matches!(of, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Null) || is_text(of)
        };
        match (self.kind, types) {
            (Kind::Begun | Kind::Whole, [unit, start, end]) if is_text(unit) && is_time(start) && is_time(end) => {
                Ok(vec![DataType::Utf8, LOCAL, LOCAL])
            }
            (Kind::Age, [end, start]) if is_time(end) && is_time(start) => Ok(vec![LOCAL, LOCAL]),
            (Kind::Times, [_, _]) => Ok(vec![INTERVAL, DataType::Float64]),
            (Kind::Age, _) => plan_err!("age takes two times: age(end, start)"),
            _ => plan_err!("{} takes a unit and two times: {}('day', start, end)", self.name(), self.name()),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Begun | Kind::Whole => DataType::Int64,
            Kind::Age | Kind::Times => INTERVAL,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_columns(&args, |columns, _| match self.kind {
            Kind::Begun => differences(columns, begun),
            Kind::Whole => differences(columns, whole),
            Kind::Age => ages(columns),
            Kind::Times => products(columns),
        })
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn differences(columns: &[ArrayRef], count: fn(Unit, NaiveDateTime, NaiveDateTime) -> i64) -> Result<ArrayRef> {
    let units = columns[0].as_string::<i32>();
    let (starts, ends) =
        (columns[1].as_primitive::<TimestampMicrosecondType>(), columns[2].as_primitive::<TimestampMicrosecondType>());
    let mut known: Option<(&str, Unit)> = None;
    let mut counts = Vec::with_capacity(units.len());
    for ((name, start), end) in units.iter().zip(starts).zip(ends) {
        let (Some(name), Some(start), Some(end)) = (name, start, end) else {
            counts.push(None);
            continue;
        };
        let unit = match known {
            Some((of, unit)) if of == name => unit,
            _ => Unit::named(name)?,
        };
        known = Some((name, unit));
        counts.push(Some(count(unit, time_of(start)?, time_of(end)?)));
    }
    Ok(Arc::new(Int64Array::from(counts)))
}

fn time_of(us: i64) -> Result<NaiveDateTime> {
    match DateTime::from_timestamp_micros(us) {
        Some(time) => Ok(time.naive_utc()),
        None => exec_err!("the time {us} µs is beyond the calendar"),
    }
}

#[derive(Clone, Copy)]
enum Unit {
    /// So many months, from the year 0.
    Months(i64),
    /// So many microseconds, from the first time that the week of the unit begins after 1970 or before.
    Fixed { us: i64, from_us: i64 },
}

const SECOND_US: i64 = 1_000_000;
pub(super) const DAY_US: i64 = 86_400 * SECOND_US;

impl Unit {
    fn named(name: &str) -> Result<Self> {
        let fixed = |us| Self::Fixed { us, from_us: 0 };
        // 1970 began on a Thursday.
        let week = |days_from: i64| Self::Fixed { us: 7 * DAY_US, from_us: days_from * DAY_US };
        Ok(match name.to_lowercase().trim_end_matches('s') {
            "year" => Self::Months(12),
            "quarter" => Self::Months(3),
            "month" => Self::Months(1),
            "week" => week(4),
            SUNDAY_WEEK => week(3),
            "day" => fixed(DAY_US),
            "hour" => fixed(3_600 * SECOND_US),
            "minute" => fixed(60 * SECOND_US),
            "second" => fixed(SECOND_US),
            "millisecond" => fixed(1_000),
            "microsecond" => fixed(1),
            _ => {
                return exec_err!(
                    "there is no unit {name:?}: write year, quarter, month, week, day, hour, minute, second, millisecond or microsecond"
                );
            }
        })
    }
}

/// How many units begin after `start` and not after `end`; below 0 if `end` is before.
fn begun(unit: Unit, start: NaiveDateTime, end: NaiveDateTime) -> i64 {
    match unit {
        Unit::Months(months) => {
            let place =
                |time: NaiveDateTime| (i64::from(time.year()) * 12 + i64::from(time.month0())).div_euclid(months);
            place(end) - place(start)
        }
        Unit::Fixed { us, from_us } => {
            let place = |time: NaiveDateTime| (time.and_utc().timestamp_micros() - from_us).div_euclid(us);
            place(end) - place(start)
        }
    }
}

/// How many whole units lie between; below 0 if `end` is before.
fn whole(unit: Unit, start: NaiveDateTime, end: NaiveDateTime) -> i64 {
    match unit {
        Unit::Months(months) => whole_months(start, end) / months,
        Unit::Fixed { us, .. } => (end.and_utc().timestamp_micros() - start.and_utc().timestamp_micros()) / us,
    }
}

/// The months that fit between, towards zero.
fn whole_months(start: NaiveDateTime, end: NaiveDateTime) -> i64 {
    if end < start {
        return -whole_months(end, start);
    }
    let months = begun(Unit::Months(1), start, end);
    let is_over = shifted(start, months).is_some_and(|shifted| shifted <= end);
    if is_over { months } else { months - 1 }
}

/// The time so many months later, on the last day of the month if it has no such day.
fn shifted(time: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    time.checked_add_months(Months::new(u32::try_from(months).ok()?))
}

fn ages(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (ends, starts) =
        (columns[0].as_primitive::<TimestampMicrosecondType>(), columns[1].as_primitive::<TimestampMicrosecondType>());
    let mut ages = Vec::with_capacity(ends.len());
    for (end, start) in ends.iter().zip(starts) {
        let (Some(end), Some(start)) = (end, start) else {
            ages.push(None);
            continue;
        };
        let (end, start) = (time_of(end)?, time_of(start)?);
        ages.push(Some(match start <= end {
            true => age(end, start),
            false => negative(age(start, end)),
        }));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(ages)))
}

/// Whole months, then whole days, then the rest. Days beyond those of `end`'s month are borrowed from `start`'s month, as in
/// PostgreSQL.
fn age(end: NaiveDateTime, start: NaiveDateTime) -> IntervalMonthDayNano {
    let mut months = begun(Unit::Months(1), start, end);
    let mut days = i64::from(end.day()) - i64::from(start.day());
    let mut rest = end.time() - start.time();
    if rest < TimeDelta::zero() {
        rest += TimeDelta::days(1);
        days -= 1;
    }
    if days < 0 {
        months -= 1;
        days += i64::from(start.num_days_in_month());
    }
    IntervalMonthDayNano::new(
        months as i32,
        days as i32,
        rest.num_nanoseconds().expect("less than two days fit into a number"),
    )
}

fn negative(age: IntervalMonthDayNano) -> IntervalMonthDayNano {
    IntervalMonthDayNano::new(-age.months, -age.days, -age.nanoseconds)
}

/// Intervals times numbers. A part of a month is so many of its 30 days, and a part of a day so many of its 24 hours.
fn products(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let intervals = columns[0].as_primitive::<IntervalMonthDayNanoType>();
    let factors = columns[1].as_primitive::<Float64Type>();
    let mut products = Vec::with_capacity(intervals.len());
    for (interval, factor) in intervals.iter().zip(factors) {
        let (Some(interval), Some(factor)) = (interval, factor) else {
            products.push(None);
            continue;
        };
        let months = f64::from(interval.months) * factor;
        let days = f64::from(interval.days) * factor + (months - months.trunc()) * 30.0;
        let nanoseconds = interval.nanoseconds as f64 * factor + (days - days.trunc()) * DAY_US as f64 * 1_000.0;
        let fits = months.abs() < 1e9 && days.abs() < 1e9 && nanoseconds.abs() < 9e18;
        if !fits {
            return exec_err!("an interval times {factor} is beyond what an interval holds");
        }
        // To microseconds, as in PostgreSQL.
        let nanoseconds = (nanoseconds / 1_000.0).round() as i64 * 1_000;
        products.push(Some(IntervalMonthDayNano::new(months.trunc() as i32, days.trunc() as i32, nanoseconds)));
    }
    Ok(Arc::new(IntervalMonthDayNanoArray::from(products)))
}

/// Plans `interval * n`, `n * interval` and `interval / n`, and hours added to a day, which make it a time.
#[derive(Debug)]
pub(super) struct Intervals;

impl ExprPlanner for Intervals {
    fn plan_binary_op(&self, raw: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let types = (raw.left.get_type(schema), raw.right.get_type(schema));
        let (Ok(left), Ok(right)) = types else { return Ok(PlannerResult::Original(raw)) };
        let is_interval = |of: &DataType| matches!(of, DataType::Interval(_));
        let times =
            |interval: Expr, factor: Expr| PlannerResult::Planned(udf(Kind::Times).call(vec![interval, factor]));
        let is_number = |of: &DataType| of.is_numeric();
        Ok(match raw.op {
            BinaryOperator::Multiply if is_interval(&left) && is_number(&right) => times(raw.left, raw.right),
            BinaryOperator::Multiply if is_number(&left) && is_interval(&right) => times(raw.right, raw.left),
            BinaryOperator::Divide if is_interval(&left) && is_number(&right) => {
                let one = Expr::Literal(ScalarValue::Float64(Some(1.0)), None);
                times(raw.left, one / cast(raw.right, DataType::Float64))
            }
            // A day plus hours is a time.
            BinaryOperator::Plus | BinaryOperator::Minus
                if left == DataType::Date32 && is_interval(&right) && has_time(&raw.right) =>
            {
                let left = cast(raw.left, LOCAL);
                PlannerResult::Planned(match raw.op {
                    BinaryOperator::Plus => left + raw.right,
                    _ => left - raw.right,
                })
            }
            _ => PlannerResult::Original(raw),
        })
    }
}

/// Whether an interval was written with hours or less.
fn has_time(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.nanoseconds != 0,
        Expr::ScalarFunction(call) if call.func.name() == "interval_times" => call.args.first().is_some_and(has_time),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_difference_counts_beginnings_and_whole_units_count_durations() {
        for (unit, start, end, beginnings, whole_units) in [
            ("day", "2026-03-01T23:59:59", "2026-03-02T00:00:00", 1, 0),
            ("day", "2026-03-02T00:00:00", "2026-03-01T23:59:59", -1, 0),
            ("hour", "2026-03-01T10:59:00", "2026-03-01T12:01:00", 2, 1),
            ("month", "2026-01-31T12:00:00", "2026-02-28T12:00:00", 1, 1),
            ("month", "2026-01-31T12:00:00", "2026-03-01T00:00:00", 2, 1),
            ("month", "2026-03-01T00:00:00", "2026-01-31T12:00:00", -2, -1),
            ("quarter", "2026-03-31T00:00:00", "2026-04-01T00:00:00", 1, 0),
            ("year", "2025-12-31T00:00:00", "2026-01-01T00:00:00", 1, 0),
            // From Sunday to Monday, and from Saturday to Sunday.
            ("week", "2026-03-01T00:00:00", "2026-03-02T00:00:00", 1, 0),
            (SUNDAY_WEEK, "2026-03-01T00:00:00", "2026-03-02T00:00:00", 0, 0),
            ("week", "2026-02-28T00:00:00", "2026-03-01T00:00:00", 0, 0),
            (SUNDAY_WEEK, "2026-02-28T00:00:00", "2026-03-01T00:00:00", 1, 0),
            ("seconds", "1969-12-31T23:59:59.500", "1970-01-01T00:00:00.500", 1, 1),
        ] {
            let unit_read = Unit::named(unit).unwrap();
            assert_eq!(begun(unit_read, time(start), time(end)), beginnings, "{unit} from {start} to {end}");
            assert_eq!(whole(unit_read, time(start), time(end)), whole_units, "{unit} within {start} and {end}");
        }
    }

    #[test]
    fn an_age_is_that_of_postgresql() {
        for (end, start, expected) in [
            ("2001-04-10T00:00:00", "1957-06-13T00:00:00", (43 * 12 + 9, 27, 0)),
            ("2026-03-01T00:00:00", "2026-01-31T00:00:00", (1, 1, 0)),
            ("2026-03-02T01:00:00", "2026-03-01T02:00:00", (0, 0, 23)),
        ] {
            let (months, days, hours) = expected;
            let expected = IntervalMonthDayNano::new(months, days, hours * 3_600 * SECOND_US * 1_000);
            assert_eq!(age(time(end), time(start)), expected, "{end} since {start}");
        }
    }
}
