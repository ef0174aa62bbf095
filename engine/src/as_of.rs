//! Which state of the published table a query is about, as people write it.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

/// A state of the published table in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// A version by its number.
    Version(u64),
    /// The last version that was committed at a time or before it.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Reads a version number, a time in RFC 3339, or a date, which means its midnight in UTC.
    ///
    /// Fails with words for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::Time(date.and_time(NaiveTime::MIN).and_utc()));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::Time(time.to_utc())),
            Err(_) => Err("give a version such as 42, or a time such as 2026-03-01T12:00:00Z or 2026-03-01".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_version_and_a_date_is_its_midnight() {
        let midnight = || Some(AsOf::Time("2026-03-01T00:00:00Z".parse().unwrap()));
        check("42", Some(AsOf::Version(42)));
        check("2026-03-01", midnight());
        check("2026-03-01T00:00:00Z", midnight());
        check("2026-03-01T02:00:00+02:00", midnight());
        check("yesterday", None);
        check("-1", None);
        check("2026-02-30", None);
    }

    #[track_caller]
    fn check(text: &str, expected: Option<AsOf>) {
        assert_eq!(AsOf::parse(text).ok(), expected, "{text}");
    }
}
