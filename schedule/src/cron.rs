//! When a job runs: a cron expression that is known to fire.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SubsecRound, Utc};
use croner::parser::{CronParser, Seconds};

/// A cron expression in UTC, checked when it is parsed.
///
/// Six fields: second, minute, hour, day of month, month, day of week. 1 is Monday, and 0 and 7 are Sunday. A day must match
/// both day fields. `@hourly`, `@daily` and the like are understood too.
///
/// ```
/// use schedule::Cron;
/// assert!("*/10 * * * * *".parse::<Cron>().is_ok());
/// assert!("0 0 12 31 2 *".parse::<Cron>().is_err()); // February has no 31st
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron(String);

/// Why a cron expression cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not six fields.
    #[error("a cron has six fields, seconds first, such as \"*/10 * * * * *\"; this one has {0}{hint}", hint = match .0 {
        5 => ": put a 0 in front of it to run at second 0",
        7 => ": leave the year out",
        _ => "",
    })]
    FieldCount(usize),
    /// A field that cannot be read.
    #[error("not a cron expression: {0}")]
    Unreadable(String),
    /// A step larger than its field, which would fire at the field's first value only.
    #[error(
        "a step of {step} in the field of {field} is larger than the field, so it would not run every {step} {field}; \
         use the next field, such as \"0 */2 * * * *\" for every two minutes"
    )]
    StepTooLarge {
        /// The field, in the plural.
        field: &'static str,
        /// The step.
        step: u32,
    },
    /// No instant matches.
    #[error(
        "it never runs: no date has day of month {day}, month {month} and day of week {weekday} at once{hint}",
        hint = match .weekday.eq_ignore_ascii_case("L") {
            true => "; the last Friday of a month is 5L",
            false => "",
        }
    )]
    Never {
        /// The field of the day of the month.
        day: String,
        /// The field of the month.
        month: String,
        /// The field of the day of the week.
        weekday: String,
    },
}

/// The fields, and how many values each has.
const FIELDS: [(&str, u32); 6] =
    [("seconds", 60), ("minutes", 60), ("hours", 24), ("days", 31), ("months", 12), ("weekdays", 7)];

impl Cron {
    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first instant after `at` at which it fires; `None` beyond the calendar.
    pub fn next_after(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        read(&self.0).ok()?.find_next_occurrence(&at.trunc_subsecs(0), false).ok()
    }

    /// The last instant at which it fired, `at` or before; `None` beyond the calendar.
    pub fn last_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        read(&self.0).ok()?.find_previous_occurrence(&at.trunc_subsecs(0), true).ok()
    }
}

/// As the scheduler reads it.
fn read(text: &str) -> Result<croner::Cron, croner::errors::CronError> {
    CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build().parse(text)
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        if !text.trim_start().starts_with('@') && fields.len() != FIELDS.len() {
            return Err(CronError::FieldCount(fields.len()));
        }
        for (field, (name, size)) in fields.iter().zip(FIELDS) {
            let steps = field.split(',').filter_map(|part| part.split_once('/')?.1.parse().ok());
            if let Some(step) = steps.into_iter().find(|step| *step > size) {
                return Err(CronError::StepTooLarge { field: name, step });
            }
        }
        let cron = read(text).map_err(|error| CronError::Unreadable(error.to_string()))?;
        // All combinations of dates and weekdays come round within 400 years of any instant, so any will do.
        if cron.find_next_occurrence(&DateTime::<Utc>::UNIX_EPOCH, true).is_err() {
            let field = |n: usize| fields.get(n).copied().unwrap_or("*").to_owned();
            return Err(CronError::Never { day: field(3), month: field(4), weekday: field(5) });
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cron: &str, problem: Option<&str>) {
        match (cron.parse::<Cron>(), problem) {
            (Ok(parsed), None) => assert_eq!(parsed.as_str(), cron.trim()),
            (Err(error), Some(problem)) => assert!(error.to_string().contains(problem), "{cron}: {error}"),
            (parsed, problem) => panic!("{cron}: {parsed:?}, expected {problem:?}"),
        }
    }

    #[test]
    fn a_cron_that_fires_is_accepted() {
        for cron in [
            "*/10 * * * * *",
            "0 */5 * * * *",
            "0 7 * * * *",
            "0 0 12 * * MON-FRI",
            // A 29th of February that is a Monday: years apart, but it comes.
            "0 0 0 29 2 1",
            "0 0 0 L * *",
            "0 0 9 * * 5L",
            "0 30 6 * * 7",
            // As often as the minute, the day.
            "*/60 * * * * *",
            "0 0 */24 * * *",
            "@hourly",
            " 0 0 3 * * * ",
        ] {
            check(cron, None);
        }
    }

    #[test]
    fn an_instant_lies_between_two_at_which_it_fires() {
        let at = |text: &str| -> DateTime<Utc> { format!("2026-03-01T{text}Z").parse().unwrap() };
        let cron: Cron = "0 */5 * * * *".parse().unwrap();
        for (now, last, next) in [
            ("12:00:00", "12:00:00", "12:05:00"),
            ("12:00:00.25", "12:00:00", "12:05:00"),
            ("12:04:59.999999", "12:00:00", "12:05:00"),
            ("12:05:00", "12:05:00", "12:10:00"),
            ("00:03:00", "00:00:00", "00:05:00"),
        ] {
            assert_eq!((cron.last_until(at(now)), cron.next_after(at(now))), (Some(at(last)), Some(at(next))), "{now}");
        }
        let yearly: Cron = "@yearly".parse().unwrap();
        assert_eq!(yearly.last_until(at("12:00:00")), Some("2026-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_cron_that_never_fires_is_refused_with_its_reason() {
        check("0 0 12 31 2 *", Some("no date has day of month 31, month 2 and day of week *"));
        check("0 0 12 30 FEB *", Some("never runs"));
        check("0 0 0 31 4,6,9,11 *", Some("never runs"));
        check("0 0 12 * * L", Some("5L"));
    }

    #[test]
    fn a_step_larger_than_its_field_is_refused() {
        check("*/90 * * * * *", Some("a step of 90 in the field of seconds"));
        check("0 */90 * * * *", Some("minutes"));
        check("0 0 */36 * * *", Some("hours"));
        check("0,5/61 * * * * *", Some("seconds"));
    }

    #[test]
    fn what_is_no_cron_is_refused_with_what_to_write() {
        check("* * * * *", Some("put a 0 in front"));
        check("0 0 0 1 1 * 2030", Some("leave the year out"));
        check("", Some("this one has 0"));
        check("every minute", Some("this one has 2"));
        check("61 * * * * *", Some("not a cron expression"));
        check("0 0 25 * * *", Some("not a cron expression"));
        check("0 0 0 * * MONDAY", Some("not a cron expression"));
        check("@sometimes", Some("not a cron expression"));
    }
}
