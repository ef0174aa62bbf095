//! Days of a time zone. A day is the date that clocks there show, so it has 23 or 25 hours when they are turned.

use chrono::{DateTime, NaiveDate};
use datafusion::arrow::array::timezone::Tz;

use crate::time_zone::local_time;

/// Microseconds of a second.
pub(crate) const SECOND_US: i64 = 1_000_000;

const DAY_US: i64 = 86_400 * SECOND_US;

/// Clocks are turned, and days begin, at quarters of an hour, but for a few zones long ago.
const WINDOW_US: i64 = 900 * SECOND_US;

/// Tells the day of an instant. Remembers the last quarter of an hour, because events come in the order of time.
#[derive(Clone, Debug)]
pub(crate) struct LocalDays {
    zone: Option<Tz>,
    /// The last window whose instants all have one day, and the day.
    last: Option<(i64, i32)>,
}

impl LocalDays {
    /// Days of a zone; of UTC without one.
    pub(crate) fn new(zone: Option<Tz>) -> Self {
        Self { zone, last: None }
    }

    /// The day that contains an instant, as days since 1970.
    pub(crate) fn day_of(&mut self, at_us: i64) -> i32 {
        let Some(zone) = self.zone else { return utc_day(at_us) };
        let window = at_us.div_euclid(WINDOW_US);
        match self.last {
            Some((last, day)) if last == window => day,
            _ => {
                let begins_us = window * WINDOW_US;
                let (first, last) = (local_day(begins_us, zone), local_day(begins_us + WINDOW_US - 1, zone));
                if first != last {
                    return local_day(at_us, zone);
                }
                self.last = Some((window, first));
                first
            }
        }
    }
}

fn utc_day(at_us: i64) -> i32 {
    at_us.div_euclid(DAY_US) as i32
}

fn local_day(at_us: i64, zone: Tz) -> i32 {
    let Some(at) = DateTime::from_timestamp_micros(at_us).map(|at| at.naive_utc()) else { return utc_day(at_us) };
    match local_time(at, zone) {
        Some(local) => (local.date() - NaiveDate::default()).num_days() as i32,
        None => utc_day(at_us),
    }
}

#[cfg(test)]
mod tests {
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

    proptest::proptest! {
        #[test]
        fn what_was_asked_before_changes_nothing(times in proptest::collection::vec(-9_000_000_000_i64..9_000_000_000, 1..40)) {
            for zone in ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Africa/Monrovia", "Pacific/Apia"] {
                let zone = zone.parse().unwrap();
                let mut days = LocalDays::new(Some(zone));
                for at_s in &times {
                    proptest::prop_assert_eq!(days.day_of(at_s * SECOND_US), local_day(at_s * SECOND_US, zone));
                }
            }
        }
    }

    #[track_caller]
    fn check(zone: &str, at: &str, expected: &str) {
        let at_us = at.parse::<DateTime<chrono::Utc>>().unwrap().timestamp_micros();
        let day = LocalDays::new(zone.parse().ok().filter(|_| zone != "UTC")).day_of(at_us);
        let expected: NaiveDate = expected.parse().unwrap();
        assert_eq!(NaiveDate::default() + chrono::TimeDelta::days(day.into()), expected, "{at} in {zone}");
    }
}
