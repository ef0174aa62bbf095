//! Which state of the published table a query is about, as people write it.

use chrono::{DateTime, Utc};

/// A state of the published table in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// A version by its number.
    Version(u64),
    /// The last version that was committed at a time or before it.
    Time(DateTime<Utc>),
}

impl AsOf {
    /// Reads a version number, or a time as [`instant`] does. A number that is as large as those of times is a time: no
    /// table has so many versions.
    ///
    /// Fails with words for whoever typed it.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(version) if (version as f64) < instant::SINCE_S => Ok(Self::Version(version)),
            _ => instant::parse(text)
                .map(Self::Time)
                .map_err(|unreadable| format!("it {unreadable}; or give a version such as 42")),
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
        check("2026-03-01 00:00:00 UTC", midnight());
        check("1772323200", midnight());
        check("yesterday", None);
        check("-1", None);
        check("2026-02-30", None);
    }

    #[track_caller]
    fn check(text: &str, expected: Option<AsOf>) {
        assert_eq!(AsOf::parse(text).ok(), expected, "{text}");
    }
}
