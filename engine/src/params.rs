//! Parameters of a query: `$from`, `$until`, `$now`, `$site`, and those that its author names.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use datafusion::scalar::ScalarValue;

/// Days of the period, the day of `$until` among them.
const PERIOD_DAYS: u64 = 30;

/// What the scheduled report binds and every query may name: `$now`, `$until` (= now), `$from` (midnight, 30 days with
/// today), `$site`.
pub fn of_period(now: DateTime<Utc>, site: Option<&str>) -> Vec<(String, Param)> {
    let first_day = now.date_naive().checked_sub_days(Days::new(PERIOD_DAYS - 1)).unwrap_or(now.date_naive());
    vec![
        ("now".to_owned(), Param::Time(now)),
        ("until".to_owned(), Param::Time(now)),
        ("from".to_owned(), Param::Time(first_day.and_time(NaiveTime::MIN).and_utc())),
        ("site".to_owned(), Param::Text(site.map(str::to_owned))),
    ]
}

/// A value that a query may name as `$name`. Values are bound, never pasted into the SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// An instant; compares with `occurred_at`.
    Time(DateTime<Utc>),
    /// A day.
    Date(NaiveDate),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A truth value.
    Flag(bool),
    /// A string, or null.
    Text(Option<String>),
    /// What somebody typed: it takes the type of what it is compared with, and where it is compared with nothing, that of
    /// which it looks ([`parse`](Self::parse)).
    Written(String),
}

impl Param {
    /// The same value at another time: instants and days move, everything else stays.
    pub(crate) fn moved(&self, by: TimeDelta) -> Self {
        match self {
            Self::Time(time) => Self::Time(*time + by),
            Self::Date(date) => Self::Date(*date + by),
            other => other.clone(),
        }
    }

    /// What somebody typed after `name=`: a whole number, a number, `true`, `false`, `null`, a day, a time as
    /// [`instant`] reads it by the calendar, or else a string. Quotes make it a string whatever it looks like. Total.
    ///
    /// ```
    /// # use engine::Param;
    /// assert_eq!(Param::parse("7"), Param::Integer(7));
    /// assert_eq!(Param::parse("'7'"), Param::Text(Some("7".into())));
    /// assert_eq!(Param::parse("2026-03-01"), Param::Date("2026-03-01".parse().unwrap()));
    /// ```
    pub fn parse(text: &str) -> Self {
        if let Some(quoted) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Self::Text(Some(quoted.replace("''", "'")));
        }
        match text {
            "null" | "NULL" => return Self::Text(None),
            "true" => return Self::Flag(true),
            "false" => return Self::Flag(false),
            _ => {}
        }
        // No number is written like this, an id may be; nor does a float have all digits of a long one.
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let is_id = all_digits && (text.starts_with('+') || digits.len() > 1 && digits.starts_with('0'));
        match text.parse() {
            Ok(integer) if !is_id => return Self::Integer(integer),
            _ if all_digits => return Self::Text(Some(text.to_owned())),
            _ => {}
        }
        if text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.') {
            if let Ok(float) = text.parse() {
                return Self::Float(float);
            }
            if let Ok(date) = text.parse() {
                return Self::Date(date);
            }
            // Without a time of day it is rather a name, such as `1 May 2026`.
            if text.contains([':', 'T'])
                && let Ok(time) = instant::parse(text)
            {
                return Self::Time(time);
            }
        }
        Self::Text(Some(text.to_owned()))
    }

    pub(crate) fn to_scalar(&self) -> ScalarValue {
        match self {
            Self::Time(time) => ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into())),
            Self::Date(date) => ScalarValue::Date32(Some((*date - NaiveDate::default()).num_days() as i32)),
            Self::Integer(integer) => ScalarValue::Int64(Some(*integer)),
            Self::Float(float) => ScalarValue::Float64(Some(*float)),
            Self::Flag(flag) => ScalarValue::Boolean(Some(*flag)),
            Self::Text(text) => ScalarValue::Utf8(text.clone()),
            Self::Written(text) => Self::parse(text).to_scalar(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_covers_thirty_whole_days_with_today() {
        let now = "2026-03-31T13:00:00Z".parse().unwrap();
        let from = &of_period(now, None)[2];
        assert_eq!(*from, ("from".to_owned(), Param::Time("2026-03-02T00:00:00Z".parse().unwrap())));
    }

    #[test]
    fn a_value_is_what_it_looks_like() {
        check("1.5", Param::Float(1.5));
        check("-3", Param::Integer(-3));
        check("true", Param::Flag(true));
        check("null", Param::Text(None));
        check("shop.example.com", Param::Text(Some("shop.example.com".into())));
        check("2026-03-01T10:00:00Z", Param::Time("2026-03-01T10:00:00Z".parse().unwrap()));
        for text in [
            "2026-03-01T10:00:00+00:00",     // Python
            "2026-03-01T10:00Z",             // Java
            "2026-03-01T05:00:00-0500",      // iOS
            "2026-03-01 10:00:00+00",        // PostgreSQL, DuckDB
            "2026-03-01 10:00:00 UTC",       // BigQuery
            "2026-03-01 10:00:00 +0000 UTC", // Go
            "2026-03-01 10:00:00,000",       // Python's log
            "2026-03-01 10:00",              // a person
        ] {
            check(text, Param::Time("2026-03-01T10:00:00Z".parse().unwrap()));
        }
        check("1 May 2026", Param::Text(Some("1 May 2026".into())));
        check("3:1", Param::Text(Some("3:1".into())));
        check("'it''s'", Param::Text(Some("it's".into())));
        check("nan", Param::Text(Some("nan".into())));
        for id in ["007", "+49", "-01", "12345678901234567890"] {
            check(id, Param::Text(Some(id.into())));
        }
        check("0", Param::Integer(0));
        check("0.5", Param::Float(0.5));
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_some_value_and_a_quoted_one_is_itself(text in "\\PC{0,20}|[-+0-9.:TZeE ]{1,24}") {
            // Any value can be bound.
            Param::parse(&text).to_scalar();
            let quoted = format!("'{}'", text.replace('\'', "''"));
            proptest::prop_assert_eq!(Param::parse(&quoted), Param::Text(Some(text)));
        }

        #[test]
        fn what_is_printed_is_read_as_it_was(integer: i64, us in -10_000_000_000_000_000_i64..10_000_000_000_000_000) {
            proptest::prop_assert_eq!(Param::parse(&integer.to_string()), Param::Integer(integer));
            let time = DateTime::from_timestamp_micros(us).unwrap();
            proptest::prop_assert_eq!(Param::parse(&time.to_rfc3339()), Param::Time(time));
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Param) {
        assert_eq!(Param::parse(text), expected);
    }
}
