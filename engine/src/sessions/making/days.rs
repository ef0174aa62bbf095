//! Days of a time zone. A day is the date that clocks there show, so it has 23 or 25 hours when they are turned.

use datafusion::arrow::array::timezone::Tz;

use crate::time_zone::Clocks;

/// Microseconds of a second.
pub(crate) const SECOND_US: i64 = 1_000_000;

const DAY_US: i64 = 86_400 * SECOND_US;

/// Tells the day of an instant.
#[derive(Clone, Debug)]
pub(crate) struct LocalDays {
    clocks: Option<Clocks>,
}

impl LocalDays {
    /// Days of a zone; of UTC without one.
    pub(crate) fn new(zone: Option<Tz>) -> Self {
        Self { clocks: zone.map(Clocks::new) }
    }

    /// The day that contains an instant, as days since 1970. Beyond the calendar it is that of UTC.
    pub(crate) fn day_of(&mut self, at_us: i64) -> i32 {
        let local_us = self.clocks.as_mut().and_then(|clocks| clocks.local_us(at_us));
        local_us.unwrap_or(at_us).div_euclid(DAY_US) as i32
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};

    use super::*;

    #[test]
    fn a_day_is_the_date_that_clocks_show() {
        check("UTC", "2026-03-01T23:59:59.999999Z", "2026-03-01");
        check("Europe/Berlin", "2026-02-28T22:59:59.999999Z", "2026-02-28");
        check("Europe/Berlin", "2026-02-28T23:00:00Z", "2026-03-01");
        check("Asia/Kolkata", "2026-02-28T18:30:00Z", "2026-03-01");
        check("Asia/Kathmandu", "2026-02-28T18:14:59.999999Z", "2026-02-28");
        check("Asia/Kathmandu", "2026-02-28T18:15:00Z", "2026-03-01");
        // The leap day, from both sides.
        check("Europe/Berlin", "2028-02-28T23:00:00Z", "2028-02-29");
        check("Europe/Berlin", "2028-02-29T23:00:00Z", "2028-03-01");
    }

    #[test]
    fn a_day_has_23_hours_when_clocks_go_forward_and_25_when_they_go_back() {
        check("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29");
        check("Europe/Berlin", "2026-03-29T21:59:59.999999Z", "2026-03-29");
        check("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30");
        check("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25");
        check("Europe/Berlin", "2026-10-25T22:59:59.999999Z", "2026-10-25");
        check("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26");
        // A day that was left out.
        check("Pacific/Apia", "2011-12-30T09:59:59.999999Z", "2011-12-29");
        check("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31");
    }

    #[track_caller]
    fn check(zone: &str, at: &str, expected: &str) {
        let at_us = at.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        let day = LocalDays::new(zone.parse().ok().filter(|_| zone != "UTC")).day_of(at_us);
        let expected: NaiveDate = expected.parse().unwrap();
        assert_eq!(NaiveDate::default() + chrono::TimeDelta::days(day.into()), expected, "{at} in {zone}");
    }
}
