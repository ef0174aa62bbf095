//! Calls about days and times. The unit may stand first or last, as a text or as a bare word.

use datafusion::logical_expr::sqlparser::ast::{Expr, Interval, UnaryOperator, Value, ValueWithSpan};

use super::call::{Call, plain_name, whole_number};
use super::template::{fill, fill_call};
use crate::error::Result;
use crate::sql::syntax::{text_expr, text_of};

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Unit {
    /// As it is called here.
    name: &'static str,
    /// Whether it was called a week and no more: one that begins on Sunday where BigQuery writes units last.
    is_plain_week: bool,
}

const UNITS: [(&str, &[&str]); 9] = [
    ("year", &["year", "years", "yyyy", "yy", "yr", "isoyear"]),
    ("quarter", &["quarter", "quarters", "qtr"]),
    ("month", &["month", "months", "mon", "mm"]),
    ("week", &["week", "weeks", "wk", "ww", "isoweek"]),
    ("day", &["day", "days", "dd"]),
    ("hour", &["hour", "hours", "hh"]),
    ("minute", &["minute", "minutes", "mi"]),
    ("second", &["second", "seconds", "ss"]),
    ("millisecond", &["millisecond", "milliseconds", "ms"]),
];

impl Unit {
    fn of(expr: &Expr) -> Option<Self> {
        let word = match expr {
            Expr::Identifier(word) => word.value.to_lowercase(),
            Expr::Function(function) => {
                // BigQuery's WEEK(MONDAY).
                let call = Call::of(function)?;
                let [Expr::Identifier(day)] = call.args[..] else { return None };
                let is_monday = plain_name(&function.name)? == "week" && day.value.eq_ignore_ascii_case("monday");
                return is_monday.then_some(Self { name: "week", is_plain_week: false });
            }
            text => text_of(text)?.to_lowercase(),
        };
        Self::named(&word)
    }

    fn named(word: &str) -> Option<Self> {
        let word = word.trim();
        if matches!(word, "microsecond" | "microseconds" | "us") {
            return Some(Self { name: "microsecond", is_plain_week: false });
        }
        let (name, _) = UNITS.iter().find(|(_, words)| words.contains(&word))?;
        Some(Self { name, is_plain_week: matches!(word, "week" | "weeks") })
    }

    /// One of it, as an interval.
    fn interval(self) -> &'static str {
        match self.name {
            "year" => "INTERVAL '1 year'",
            "quarter" => "INTERVAL '3 months'",
            "month" => "INTERVAL '1 month'",
            "week" => "INTERVAL '7 days'",
            "day" => "INTERVAL '1 day'",
            "hour" => "INTERVAL '1 hour'",
            "minute" => "INTERVAL '1 minute'",
            "second" => "INTERVAL '1 second'",
            "millisecond" => "INTERVAL '1 millisecond'",
            _ => "INTERVAL '1 microsecond'",
        }
    }

    /// The beginning of the one in which `$1` lies.
    fn begin(self, begins_on_sunday: bool) -> String {
        match begins_on_sunday {
            true => "date_trunc('week', $1 + INTERVAL '1 day') - INTERVAL '1 day'".to_owned(),
            false => format!("date_trunc('{}', $1)", self.name),
        }
    }
}

/// A week that begins on Sunday, as a unit of `date_diff`.
pub(in crate::sql) const SUNDAY_WEEK: &str = "sunday_week";

/// Parts of a time as functions: names, and the part.
const PARTS: &[(&[&str], &str)] = &[
    (&["year", "toyear"], "year"),
    (&["quarter", "toquarter"], "quarter"),
    (&["month", "tomonth"], "month"),
    (&["week", "weekofyear", "weekiso", "toisoweek"], "week"),
    (&["isoyear", "toisoyear", "yearofweekiso"], "isoyear"),
    (&["day", "dayofmonth", "todayofmonth"], "day"),
    (&["dayofyear", "todayofyear"], "doy"),
    (&["dayofweekiso", "dayofweek_iso", "isodow", "todayofweek"], "isodow"),
    (&["hour", "tohour"], "hour"),
    (&["minute", "tominute"], "minute"),
    (&["second", "tosecond"], "second"),
    (&["epoch"], "epoch"),
];

/// Beginnings of a unit as functions: names, and the form.
const BEGINNINGS: &[(&[&str], &str)] = &[
    (&["tostartofday"], "date_trunc('day', $1)"),
    (&["tostartofhour"], "date_trunc('hour', $1)"),
    (&["tostartofminute"], "date_trunc('minute', $1)"),
    (&["tostartofsecond"], "date_trunc('second', $1)"),
    (&["tostartoffiveminutes", "tostartoffiveminute"], "date_bin(INTERVAL '5 minutes', $1)"),
    (&["tostartoftenminutes"], "date_bin(INTERVAL '10 minutes', $1)"),
    (&["tostartoffifteenminutes"], "date_bin(INTERVAL '15 minutes', $1)"),
    (&["tomonday"], "CAST(date_trunc('week', $1) AS DATE)"),
    (&["tostartofweek"], "CAST(date_trunc('week', $1 + INTERVAL '1 day') - INTERVAL '1 day' AS DATE)"),
    (&["tostartofmonth"], "CAST(date_trunc('month', $1) AS DATE)"),
    (&["tostartofquarter"], "CAST(date_trunc('quarter', $1) AS DATE)"),
    (&["tostartofyear"], "CAST(date_trunc('year', $1) AS DATE)"),
];

/// Other forms: names, how many arguments, and the form.
const FORMS: &[(&[&str], usize, &str)] = &[
    (&["date", "todate"], 1, "CAST($1 AS DATE)"),
    (&["date", "todate"], 2, "CAST($1 AT TIME ZONE $2 AS DATE)"),
    (&["date", "datefromparts", "date_from_parts", "makedate"], 3, "make_date($1, $2, $3)"),
    (&["timestamp"], 1, "CAST($1 AS TIMESTAMP WITH TIME ZONE)"),
    (&["datetime"], 1, "CAST($1 AS TIMESTAMP)"),
    (&["datetime"], 2, "$1 AT TIME ZONE $2"),
    (&["todatetime", "fromunixtimestamp", "timestamp_seconds"], 1, "to_timestamp($1)"),
    (&["timestamp_millis"], 1, "to_timestamp_millis($1)"),
    (&["unix_seconds", "unix_timestamp", "tounixtimestamp"], 1, "CAST(floor(date_part('epoch', $1)) AS BIGINT)"),
    (&["unix_millis", "epoch_ms", "tounixtimestamp64milli"], 1, "date_diff('millisecond', TIMESTAMP '1970-01-01', $1)"),
    (&["unix_micros", "epoch_us"], 1, "date_diff('microsecond', TIMESTAMP '1970-01-01', $1)"),
    (&["curdate"], 0, "current_date"),
    (&["getdate", "sysdate", "sysdatetime"], 0, "now()"),
    (&["yesterday"], 0, "current_date - INTERVAL '1 day'"),
    (&["last_day"], 1, "CAST(date_trunc('month', $1) + INTERVAL '1 month' - INTERVAL '1 day' AS DATE)"),
    (&["add_months", "addmonths"], 2, "$1 + INTERVAL '1 month' * $2"),
    (&["toyyyymm"], 1, "date_part('year', $1) * 100 + date_part('month', $1)"),
    (&["toyyyymmdd"], 1, "date_part('year', $1) * 10000 + date_part('month', $1) * 100 + date_part('day', $1)"),
    (&["datediff"], 2, "date_diff('day', $2, $1)"),
    // PostgreSQL's, from midnight of today.
    (&["age"], 1, "age(current_date, $1)"),
];

/// The call as it is written here; `None` if it is none of these.
pub(super) fn respell(call: &Call<'_>) -> Result<Option<Expr>> {
    if !call.parameters.is_empty() {
        return Ok(None);
    }
    let (name, args) = (call.name.as_str(), call.args.as_slice());
    if let Some((_, part)) = PARTS.iter().find(|(names, _)| names.contains(&name)) {
        return match args.len() {
            // BigQuery's unit WEEK(MONDAY), see [`Unit::of`].
            1 if name == "week"
                && matches!(args[0], Expr::Identifier(day) if day.value.to_lowercase().ends_with("day")) =>
            {
                Ok(None)
            }
            1 => fill_call(&format!("date_part('{part}', $1)"), args, call).map(Some),
            2 if text_of(args[1]).is_some() => {
                fill_call(&format!("date_part('{part}', $1 AT TIME ZONE $2)"), args, call).map(Some)
            }
            _ => Ok(None),
        };
    }
    if let Some((_, form)) = BEGINNINGS.iter().find(|(names, _)| names.contains(&name)) {
        return match args {
            [_] => fill_call(form, args, call).map(Some),
            [time, mode] if name == "tostartofweek" && whole_number(mode) == Some(1) => {
                fill_call("CAST(date_trunc('week', $1) AS DATE)", &[time], call).map(Some)
            }
            [time, mode] if name == "tostartofweek" && whole_number(mode) == Some(0) => {
                fill_call(form, &[time], call).map(Some)
            }
            [_, zone] if text_of(zone).is_some() => {
                let local = fill("$1 AT TIME ZONE $2", args);
                fill_call(form, &[&local], call).map(Some)
            }
            _ => Ok(None),
        };
    }
    if let Some((_, _, form)) = FORMS.iter().find(|(names, count, _)| *count == args.len() && names.contains(&name)) {
        return fill_call(form, args, call).map(Some);
    }
    match name {
        "date_diff" | "datediff" | "datetime_diff" => difference(call),
        "timestamp_diff" => whole_units(call),
        "age" if args.len() == 3 => match Unit::of(args[0]) {
            Some(unit) => diff_call("whole_units", unit.name, args[1], args[2], call).map(Some),
            None => Err(call.refuse("write age(end, start), or age('day', start, end) for whole units")),
        },
        "date_add" | "dateadd" | "adddate" | "timestamp_add" | "datetime_add" => shifted(call, "+"),
        "date_sub" | "datesub" | "subdate" | "timestamp_sub" | "datetime_sub" => match args {
            // DuckDB counts whole units; a bare word is ClickHouse's, which takes them away.
            [unit, start, end] if text_of(unit).is_some() => match Unit::of(unit) {
                Some(unit) => diff_call("whole_units", unit.name, start, end, call).map(Some),
                None => Err(call.refuse("the unit is none: write 'day', 'hour' or another")),
            },
            _ => shifted(call, "-"),
        },
        "date_trunc" | "datetrunc" | "timestamp_trunc" | "datetime_trunc" => beginning(call),
        "last_day" => match args {
            [time, unit] => match Unit::of(unit) {
                Some(unit) if matches!(unit.name, "year" | "quarter" | "month" | "week") => {
                    let form = format!("CAST({} + {} - INTERVAL '1 day' AS DATE)", unit.begin(false), unit.interval());
                    fill_call(&form, &[time], call).map(Some)
                }
                _ => Err(call.refuse("it takes a day, and year, quarter, month or week")),
            },
            _ => Ok(None),
        },
        "time_bucket" => bucket(call),
        "tostartofinterval" => match args {
            // Weeks begin on Monday; 1970 began on a Thursday.
            [time, width] if words_of(width).contains("week") => {
                fill_call("date_bin($2, $1, TIMESTAMP '1970-01-05')", &[time, width], call).map(Some)
            }
            [_, _] => fill_call("date_bin($2, $1)", args, call).map(Some),
            _ => Ok(None),
        },
        "time_slice" => match args {
            [time, count, unit] => match (Unit::of(unit), whole_number(count)) {
                (Some(unit), Some(count)) if count > 0 => {
                    let origin = if unit.name == "week" { ", TIMESTAMP '1970-01-05'" } else { "" };
                    let form = format!("date_bin(INTERVAL '{count} {}', $1{origin})", plural(unit));
                    fill_call(&form, &[time], call).map(Some)
                }
                _ => Err(call.refuse("it takes a time, a whole number and a unit: time_slice(t, 15, 'minute')")),
            },
            _ => Ok(None),
        },
        "strftime" | "format_date" | "format_timestamp" | "format_datetime" | "formatdatetime" => formatted(call),
        "timestampdiff" => Err(call.refuse(
            "it counts whole units in MySQL and beginnings of units in Snowflake: write timestamp_diff(end, start, day) for the first and \
             date_diff('day', start, end) for the second",
        )),
        _ if name.len() > 4 && (name.starts_with("add") || name.starts_with("subtract")) && args.len() == 2 => {
            let (op, unit) = match name.strip_prefix("subtract") {
                Some(unit) => ("-", unit),
                None => ("+", &name[3..]),
            };
            match Unit::named(unit) {
                Some(unit) => {
                    fill_call(&format!("$1 {op} {} * $2", unit.interval()), args, call).map(Some)
                }
                None => Ok(None),
            }
        }
        _ => Ok(None),
    }
}

fn plural(unit: Unit) -> &'static str {
    match unit.name {
        "year" => "years",
        "quarter" => "quarters",
        "month" => "months",
        "week" => "weeks",
        "day" => "days",
        "hour" => "hours",
        "minute" => "minutes",
        "second" => "seconds",
        "millisecond" => "milliseconds",
        _ => "microseconds",
    }
}

/// How many units begin between two times.
fn difference(call: &Call<'_>) -> Result<Option<Expr>> {
    let [first, second, third] = call.args[..] else {
        return Err(call.refuse("write date_diff('day', start, end), or date_diff(end, start, DAY)"));
    };
    // As weeks that begin on Sunday are written below.
    if text_of(first) == Some(SUNDAY_WEEK) {
        return Ok(None);
    }
    if let Some(unit) = Unit::of(first) {
        // It is as it is written here.
        if call.name == "date_diff" && text_of(first) == Some(unit.name) {
            return Ok(None);
        }
        return diff_call("date_diff", unit.name, second, third, call).map(Some);
    }
    match Unit::of(third) {
        Some(unit) => {
            let name = if unit.is_plain_week { SUNDAY_WEEK } else { unit.name };
            diff_call("date_diff", name, second, first, call).map(Some)
        }
        None => Err(call.refuse(
            "it needs a unit, such as 'day' or 'hour': date_diff('day', start, end), or date_diff(end, start, DAY)",
        )),
    }
}

/// How many whole units lie between two times.
fn whole_units(call: &Call<'_>) -> Result<Option<Expr>> {
    match call.args[..] {
        [end, start, unit] if Unit::of(unit).is_some() && text_of(end).is_none() => {
            let unit = Unit::of(unit).map_or("day", |unit| unit.name);
            diff_call("whole_units", unit, start, end, call).map(Some)
        }
        _ => Err(call.refuse("write timestamp_diff(end, start, SECOND)")),
    }
}

fn diff_call(name: &str, unit: &str, start: &Expr, end: &Expr, call: &Call<'_>) -> Result<Expr> {
    fill_call(&format!("{name}($1, $2, $3)"), &[&text_expr(unit.to_owned()), start, end], call)
}

/// A time and an interval, or a unit, a number and a time.
fn shifted(call: &Call<'_>, op: &str) -> Result<Option<Expr>> {
    match call.args[..] {
        [time, by] => match whole_number(by) {
            // Spark's and Hive's days.
            Some(_) => fill_call(&format!("$1 {op} INTERVAL '1 day' * $2"), &[time, by], call).map(Some),
            None => fill_call(&format!("$1 {op} $2"), &[time, by], call).map(Some),
        },
        [unit, count, time] => match Unit::of(unit) {
            Some(unit) => fill_call(&format!("$2 {op} {} * $1", unit.interval()), &[count, time], call).map(Some),
            None => Err(call.refuse("the unit comes first: date_add('day', 7, t), or write t + INTERVAL '7 days'")),
        },
        _ => Err(call.refuse(format!("write t {op} INTERVAL '1 day'"))),
    }
}

/// The beginning of a unit, which may stand behind the time and as a bare word.
fn beginning(call: &Call<'_>) -> Result<Option<Expr>> {
    let (unit, time, zone, is_last) = match call.args[..] {
        [unit, time] if Unit::of(unit).is_some() => (unit, time, None, false),
        [time, unit] if Unit::of(unit).is_some() => (unit, time, None, true),
        [time, unit, zone] if Unit::of(unit).is_some() => (unit, time, Some(zone), true),
        _ => return Ok(None),
    };
    let is_as_here = call.name == "date_trunc" && !is_last && text_of(unit).is_some();
    let Some(unit) = Unit::of(unit).filter(|_| !is_as_here) else { return Ok(None) };
    let begins_on_sunday = is_last && unit.is_plain_week;
    match zone {
        None => fill_call(&unit.begin(begins_on_sunday), &[time], call).map(Some),
        Some(zone) => {
            let local = fill("$1 AT TIME ZONE $2", &[time, zone]);
            let begin = fill(&unit.begin(begins_on_sunday), &[&local]);
            fill_call("$1 AT TIME ZONE $2", &[&begin, zone], call).map(Some)
        }
    }
}

/// TimescaleDB's and DuckDB's buckets: of weeks and less they begin on Monday, 3 January 2000, of months on 1 January.
fn bucket(call: &Call<'_>) -> Result<Option<Expr>> {
    let (width, time) = match call.args[..] {
        [width, time] | [width, time, _] => (width, time),
        _ => return Err(call.refuse("write time_bucket(INTERVAL '15 minutes', t)")),
    };
    let width_expr = match text_of(width) {
        Some(text) => Expr::Interval(Interval {
            value: Box::new(text_expr(text.to_owned())),
            leading_field: None,
            leading_precision: None,
            last_field: None,
            fractional_seconds_precision: None,
        }),
        None => (*width).clone(),
    };
    let origin = if counts_months(width) { "TIMESTAMP '2000-01-01'" } else { "TIMESTAMP '2000-01-03'" };
    match call.args.get(2) {
        None => fill_call(&format!("date_bin($1, $2, {origin})"), &[&width_expr, time], call).map(Some),
        Some(zone) if text_of(zone).is_some_and(|zone| zone.starts_with(|c: char| c.is_alphabetic())) => {
            let form = format!("date_bin($1, $2 AT TIME ZONE $3, {origin}) AT TIME ZONE $3");
            fill_call(&form, &[&width_expr, time, zone], call).map(Some)
        }
        Some(origin @ Expr::TypedString(_)) => {
            fill_call("date_bin($1, $2, $3)", &[&width_expr, time, origin], call).map(Some)
        }
        Some(_) => Err(call.refuse("write the third one as TIMESTAMP '2026-01-01', or as a zone: 'Europe/Berlin'")),
    }
}

fn words_of(interval: &Expr) -> String {
    match interval {
        Expr::Interval(interval) => interval.to_string().to_lowercase(),
        text => text_of(text).unwrap_or_default().to_lowercase(),
    }
}

fn counts_months(interval: &Expr) -> bool {
    let words = words_of(interval);
    ["month", "quarter", "year"].iter().any(|unit| words.contains(unit))
}

/// A time as a text, by a pattern of strftime.
fn formatted(call: &Call<'_>) -> Result<Option<Expr>> {
    let (first, second) = match call.args[..] {
        [first, second] | [first, second, _] => (first, second),
        _ => return Ok(None),
    };
    let is_pattern = |expr: &Expr| text_of(expr).is_some_and(|text| text.contains('%'));
    let (pattern, time) = match (is_pattern(first), is_pattern(second)) {
        (true, false) => (first, second),
        (false, true) => (second, first),
        _ => return Err(call.refuse("write to_char(t, '%Y-%m-%d')")),
    };
    // In ClickHouse %M is the name of the month and %i the minute.
    if call.name == "formatdatetime" && text_of(pattern).is_some_and(|text| text.contains("%M") || text.contains("%i"))
    {
        return Err(
            call.refuse("%M and %i mean something else here: write to_char(t, '%H:%M'), where %M is the minute")
        );
    }
    match call.args.get(2) {
        None => fill_call("to_char($1, $2)", &[time, pattern], call).map(Some),
        Some(zone) => fill_call("to_char($1 AT TIME ZONE $3, $2)", &[time, pattern, zone], call).map(Some),
    }
}

/// An interval of a computed number of units, `INTERVAL n DAY`, as a product; and `'1 month - 1 day'`, which DataFusion reads
/// without the blank, as it reads it.
pub(super) fn interval(interval: &Interval) -> Option<Expr> {
    if let (Some(text), None) = (text_of(&interval.value), &interval.leading_field)
        && text.contains("- ")
    {
        let value = Box::new(text_expr(text.replace("- ", "-")));
        return Some(Expr::Interval(Interval { value, ..interval.clone() }));
    }
    let unit = Unit::named(&interval.leading_field.as_ref()?.to_string().to_lowercase())?;
    let count = match &*interval.value {
        Expr::Nested(inner) => inner,
        other => other,
    };
    let written = match count {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(_), .. }) => false,
        Expr::Value(_) => true,
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => matches!(**expr, Expr::Value(_)),
        _ => false,
    };
    (!written).then(|| fill(&format!("{} * $1", unit.interval()), &[count]))
}
