//! Time zones by name, and what clocks show in them.

use std::collections::HashMap;

use chrono::{DateTime, Offset, TimeZone};
use datafusion::arrow::array::timezone::Tz;

/// A zone by its name, such as `Europe/Berlin` or `UTC`. Offsets such as `+02:00` are none: in PostgreSQL their sign is
/// reversed, and elsewhere it is not.
pub(crate) fn time_zone(name: &str) -> Option<Tz> {
    name.parse().ok().filter(|_| name.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Stretches of time as a power of two of microseconds: 38 hours. In the tz database, no zone turns its clocks twice within
/// less than 95 hours; so clocks that are as far ahead at both ends of a stretch were not turned in it.
const STRETCH_BITS: u32 = 37;

/// What the clocks of a zone show. It looks up once for many instants how far they are ahead of UTC.
#[derive(Clone, Debug)]
pub(crate) struct Clocks {
    zone: Tz,
    /// How far clocks are ahead of UTC, in microseconds, by stretches; `None` if they are turned within.
    ahead_us: HashMap<i64, Option<i64>>,
    /// A stretch, and how far ahead they are in it: the last one that was asked for in which they are not turned.
    last: Option<(i64, i64)>,
}

impl Clocks {
    pub(crate) fn new(zone: Tz) -> Self {
        Self { zone, ahead_us: HashMap::new(), last: None }
    }

    /// What clocks show at an instant, both in microseconds since 1970; `None` beyond the calendar.
    #[inline]
    pub(crate) fn local_us(&mut self, at_us: i64) -> Option<i64> {
        match self.last {
            Some((last, ahead_us)) if last == at_us >> STRETCH_BITS => Some(at_us + ahead_us),
            _ => self.local_us_elsewhere(at_us),
        }
    }

    /// The same in another stretch than the last.
    fn local_us_elsewhere(&mut self, at_us: i64) -> Option<i64> {
        let (zone, stretch) = (self.zone, at_us >> STRETCH_BITS);
        let ahead_us = *self.ahead_us.entry(stretch).or_insert_with(|| ahead_in_stretch_us(zone, stretch));
        self.last = ahead_us.map(|ahead_us| (stretch, ahead_us));
        Some(at_us + ahead_us.or_else(|| ahead_us_at(zone, at_us))?)
    }
}

/// How far clocks are ahead of UTC in a whole stretch, in microseconds; `None` if they are turned within.
fn ahead_in_stretch_us(zone: Tz, stretch: i64) -> Option<i64> {
    let begin_us = stretch << STRETCH_BITS;
    let ahead_us = ahead_us_at(zone, begin_us)?;
    let at_end_us = ahead_us_at(zone, begin_us + ((1 << STRETCH_BITS) - 1))?;
    (at_end_us == ahead_us).then_some(ahead_us)
}

/// How far clocks are ahead of UTC at an instant; `None` if it, or what they show, is beyond the calendar.
fn ahead_us_at(zone: Tz, at_us: i64) -> Option<i64> {
    let at = DateTime::from_timestamp_micros(at_us)?.naive_utc();
    let ahead = zone.offset_from_utc_datetime(&at).fix();
    at.checked_add_offset(ahead)?;
    Some(i64::from(ahead.local_minus_utc()) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use proptest::prelude::*;

    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    /// What chrono says that clocks show.
    fn shown_us(zone: Tz, at_us: i64) -> Option<i64> {
        let at = DateTime::from_timestamp_micros(at_us)?.naive_utc();
        Some(at.checked_add_offset(zone.offset_from_utc_datetime(&at).fix())?.and_utc().timestamp_micros())
    }

    #[test]
    fn clocks_of_every_zone_are_right_all_the_time() {
        let us = |text: &str| text.parse::<NaiveDateTime>().unwrap().and_utc().timestamp_micros();
        // Freetown's clocks were turned twice within 96 hours in 1939, Cambridge Bay's within 166 in 2000.
        for (name, from, until) in [
            ("Africa/Freetown", "1939-08-01T00:00:00", "1939-10-01T00:00:00"),
            ("America/Cambridge_Bay", "2000-10-01T00:00:00", "2000-12-01T00:00:00"),
            ("Asia/Gaza", "2040-09-01T00:00:00", "2040-12-01T00:00:00"),
            ("Africa/Casablanca", "2026-01-01T00:00:00", "2026-05-01T00:00:00"),
            ("Australia/Lord_Howe", "2026-03-01T00:00:00", "2026-11-01T00:00:00"),
            ("Pacific/Apia", "2011-12-01T00:00:00", "2012-02-01T00:00:00"),
            ("Europe/Berlin", "2025-01-01T00:00:00", "2028-01-01T00:00:00"),
            ("UTC", "2026-01-01T00:00:00", "2026-02-01T00:00:00"),
        ] {
            let zone = time_zone(name).unwrap();
            let mut clocks = Clocks::new(zone);
            for at_us in (us(from)..us(until)).step_by(HOUR_US as usize / 4) {
                for at_us in [at_us - 1, at_us] {
                    assert_eq!(clocks.local_us(at_us), shown_us(zone, at_us), "{name} at {at_us}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_shown_beyond_the_calendar() {
        let mut clocks = Clocks::new(time_zone("Asia/Tokyo").unwrap());
        for at_us in [i64::MIN, i64::MAX, DateTime::<chrono::Utc>::MAX_UTC.timestamp_micros()] {
            assert_eq!(clocks.local_us(at_us), None);
        }
    }

    proptest! {
        #[test]
        fn clocks_that_are_looked_up_once_for_many_instants_show_the_same(
            zone in prop::sample::select(&[
                "Europe/Berlin", "America/New_York", "Asia/Gaza", "Africa/Cairo", "America/Sao_Paulo", "Asia/Kathmandu",
                "Africa/Monrovia", "Pacific/Apia",
            ][..]),
            all in prop::collection::vec(-80 * 366 * 24 * HOUR_US..80 * 366 * 24 * HOUR_US, 1..20),
            near in prop::collection::vec(-80 * HOUR_US..80 * HOUR_US, 1..20),
        ) {
            let zone = time_zone(zone).unwrap();
            let mut clocks = Clocks::new(zone);
            for (at_us, by_us) in all.into_iter().zip(near) {
                let other_us = at_us + by_us;
                prop_assert_eq!(clocks.local_us(at_us), shown_us(zone, at_us));
                prop_assert_eq!(clocks.local_us(other_us), shown_us(zone, other_us));
            }
        }
    }
}
