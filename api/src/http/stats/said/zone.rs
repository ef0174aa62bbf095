//! What clocks of a time zone show, and the instants at which they do.

use arrow::array::timezone::Tz;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Utc};

/// A time zone.
#[derive(Clone)]
pub(crate) struct Zone {
    name: String,
    tz: Tz,
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// By its name: the rules of one fill pages.
impl std::fmt::Debug for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Zone {
    /// The zone of a name such as `Europe/Berlin`. Fails with words for the sender.
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        match name.parse().ok().filter(|_| engine::params::is_time_zone(name)) {
            Some(tz) => Ok(Self { name: name.to_owned(), tz }),
            None => Err(format!("there is no time zone {name:?}: write a name such as Europe/Berlin, or UTC")),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What clocks show at an instant.
    pub(crate) fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        at.with_timezone(&self.tz).naive_local()
    }

    /// The instant at which clocks show this for the first time; if they pass over it, the first quarter of an hour
    /// behind it that they show.
    pub(crate) fn instant(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let quarters = (0..100).map(|quarters| local + TimeDelta::minutes(15 * quarters));
        let first = quarters.filter_map(|local| self.tz.from_local_datetime(&local).earliest()).next();
        first.map_or(local.and_utc(), |first| first.to_utc())
    }

    /// The instant at which a day begins.
    pub(crate) fn begin_of(&self, day: NaiveDate) -> DateTime<Utc> {
        self.instant(day.and_time(NaiveTime::MIN))
    }

    /// An instant as clocks show it, with their offset.
    pub(crate) fn show(&self, at: DateTime<Utc>) -> String {
        at.with_timezone(&self.tz).to_rfc3339_opts(SecondsFormat::AutoSi, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_when_clocks_show_it() {
        for (zone, day, begins, shown) in [
            ("UTC", "2026-03-29", "2026-03-29T00:00:00Z", "2026-03-29T00:00:00+00:00"),
            ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T00:00:00+01:00"),
            ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z", "2026-03-30T00:00:00+02:00"),
            ("Asia/Kolkata", "2026-03-30", "2026-03-29T18:30:00Z", "2026-03-30T00:00:00+05:30"),
            // Clocks pass over midnight.
            ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", "2018-11-04T01:00:00-02:00"),
        ] {
            let zone = Zone::named(zone).unwrap();
            let at = zone.begin_of(day.parse().unwrap());
            assert_eq!((at, zone.show(at).as_str()), (begins.parse().unwrap(), shown));
        }
        assert!(Zone::named("+02:00").unwrap_err().contains("write a name such as Europe/Berlin"));
    }
}
