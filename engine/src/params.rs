//! Parameters of a query: `$from`, `$until`, `$now`, `$today`, `$time_zone`, `$site`, and those that its author names.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use datafusion::arrow::array::timezone::Tz;
use datafusion::scalar::ScalarValue;

use crate::time_zone::time_zone as zone_named;

/// Days of the period, the day of `$until` among them.
const PERIOD_DAYS: u64 = 30;

/// What the scheduled report binds and every query may name: `$now`, `$until` (= now), `$from` (midnight, 30 days with
/// today), `$today`, `$time_zone`, `$site`.
///
/// - `time_zone`: the zone of the days; one that [is none](is_time_zone) counts as UTC.
pub fn of_period(now: DateTime<Utc>, site: Option<&str>, time_zone: &str) -> Vec<(String, Param)> {
    let (time_zone, zone) = match zone_named(time_zone) {
        Some(zone) => (time_zone, zone),
        None => ("UTC", "UTC".parse().expect("UTC is a zone")),
    };
    let today = now.with_timezone(&zone).date_naive();
    let first_day = today.checked_sub_days(Days::new(PERIOD_DAYS - 1)).unwrap_or(today);
    vec![
        ("now".to_owned(), Param::Time(now)),
        ("until".to_owned(), Param::Time(now)),
        ("from".to_owned(), Param::Time(begin_of(first_day, zone))),
        ("today".to_owned(), Param::Date(today)),
        ("time_zone".to_owned(), Param::Text(Some(time_zone.to_owned()))),
        ("site".to_owned(), Param::Text(site.map(str::to_owned))),
    ]
}

/// Whether this is the name of a time zone, such as `Europe/Berlin` or `UTC`. Offsets such as `+02:00` are none, because
/// PostgreSQL reads their sign the other way round.
pub fn is_time_zone(name: &str) -> bool {
    zone_named(name).is_some()
}

/// The instant at which a day begins: midnight, or the first quarter of an hour that clocks show if they pass over it.
fn begin_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(NaiveTime::MIN);
    let quarters = (0..100).map(|quarters| midnight + TimeDelta::minutes(15 * quarters));
    let first = quarters.filter_map(|local| zone.from_local_datetime(&local).earliest()).next();
    first.map_or(midnight.and_utc(), |first| first.to_utc())
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
    /// A value of a type that a client gave it.
    Typed(ScalarValue),
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
            Self::Typed(value) => value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_covers_thirty_whole_days_with_today() {
        let now = "2026-03-31T13:00:00Z".parse().unwrap();
        let from = &of_period(now, None, "UTC")[2];
        assert_eq!(*from, ("from".to_owned(), Param::Time("2026-03-02T00:00:00Z".parse().unwrap())));
    }

    #[test]
    fn a_day_begins_when_clocks_of_the_zone_show_it() {
        for (now, zone, from, today) in [
            // Clocks went forward in between.
            ("2026-03-31T21:59:59Z", "Europe/Berlin", "2026-03-01T23:00:00Z", "2026-03-31"),
            ("2026-03-31T22:00:00Z", "Europe/Berlin", "2026-03-02T23:00:00Z", "2026-04-01"),
            ("2026-11-01T12:00:00Z", "Europe/Berlin", "2026-10-02T22:00:00Z", "2026-11-01"),
            // Clocks pass over midnight, and show it twice.
            ("2018-12-03T12:00:00Z", "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-12-03"),
            ("2018-03-18T12:00:00Z", "America/Sao_Paulo", "2018-02-17T02:00:00Z", "2018-03-18"),
            ("2028-03-01T12:00:00Z", "no zone", "2028-02-01T00:00:00Z", "2028-03-01"),
        ] {
            let params = of_period(now.parse().unwrap(), None, zone);
            assert_eq!(params[2].1, Param::Time(from.parse().unwrap()), "{now} in {zone}");
            assert_eq!(params[3].1, Param::Date(today.parse().unwrap()), "{now} in {zone}");
        }
        assert!(is_time_zone("Europe/Berlin") && is_time_zone("UTC"));
        assert!(!is_time_zone("+02:00") && !is_time_zone("Europe/Nowhere") && !is_time_zone(""));
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
