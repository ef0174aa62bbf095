//! Of which period a report is due. Pure.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

use crate::http::stats::Zone;

/// The clock of the site's zone at which reports are sent: the day before is over everywhere, and people are not up yet.
const SEND_AT: NaiveTime = NaiveTime::from_hms_opt(7, 0, 0).expect("seven is an hour");

/// For how long a report is worth sending.
const SENT_WITHIN: TimeDelta = TimeDelta::days(3);

/// How often somebody gets a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rhythm {
    Weekly,
    Monthly,
}

/// A week from Monday on, or a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// What tells it from all others: `2026-W10`, `2026-03`. Later ones sort later.
    pub(crate) name: String,
    pub(crate) first: NaiveDate,
    pub(crate) last: NaiveDate,
    /// Those of the period before.
    pub(crate) before: (NaiveDate, NaiveDate),
}

impl Rhythm {
    /// By the name of an interval of the stats API.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "week" => Some(Self::Weekly),
            "month" => Some(Self::Monthly),
            _ => None,
        }
    }

    /// The last period that was over before a day.
    pub(crate) fn last_before(self, day: NaiveDate) -> Period {
        let begin = |of: NaiveDate| match self {
            Self::Weekly => of - Days::new(of.weekday().days_since(Weekday::Mon).into()),
            Self::Monthly => of - Days::new(of.day0().into()),
        };
        let step_back = |from: NaiveDate| match self {
            Self::Weekly => from - Days::new(7),
            Self::Monthly => from - Months::new(1),
        };
        let until = begin(day);
        let first = step_back(until);
        let before = step_back(first);
        let name = match self {
            Self::Weekly => format!("{}-W{:02}", first.iso_week().year(), first.iso_week().week()),
            Self::Monthly => first.format("%Y-%m").to_string(),
        };
        Period { name, first, last: until - Days::new(1), before: (before, first - Days::new(1)) }
    }
}

impl Period {
    /// When its report is sent.
    pub(crate) fn sent_at(&self, zone: &Zone) -> DateTime<Utc> {
        zone.instant((self.last + Days::new(1)).and_time(SEND_AT))
    }
}

/// The period whose report is due, if one is.
///
/// - `since`: when somebody asked for reports. He gets none of what was over before.
pub(crate) fn due(rhythm: Rhythm, zone: &Zone, since: DateTime<Utc>, now: DateTime<Utc>) -> Option<Period> {
    let period = rhythm.last_before(zone.local(now).date());
    let sent_at = period.sent_at(zone);
    (since < sent_at && sent_at <= now && now < sent_at + SENT_WITHIN).then_some(period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_whole_and_over() {
        for (rhythm, day, expected) in [
            (Rhythm::Weekly, "2026-03-09", "2026-W10 2026-03-02 2026-03-08 2026-02-23 2026-03-01"),
            (Rhythm::Weekly, "2026-03-15", "2026-W10 2026-03-02 2026-03-08 2026-02-23 2026-03-01"),
            // The week that has the last days of a year is the next year's.
            (Rhythm::Weekly, "2026-01-05", "2026-W01 2025-12-29 2026-01-04 2025-12-22 2025-12-28"),
            (Rhythm::Monthly, "2026-03-01", "2026-02 2026-02-01 2026-02-28 2026-01-01 2026-01-31"),
            (Rhythm::Monthly, "2026-03-31", "2026-02 2026-02-01 2026-02-28 2026-01-01 2026-01-31"),
            (Rhythm::Monthly, "2026-01-15", "2025-12 2025-12-01 2025-12-31 2025-11-01 2025-11-30"),
        ] {
            let Period { name, first, last, before } = rhythm.last_before(day.parse().unwrap());
            assert_eq!(format!("{name} {first} {last} {} {}", before.0, before.1), expected, "{day}");
        }
    }

    #[test]
    fn a_report_is_due_from_seven_on_by_the_clocks_of_the_site_for_three_days() {
        let long_ago = "2020-01-01T00:00:00Z";
        for (rhythm, zone, since, now, expected) in [
            (Rhythm::Weekly, "UTC", long_ago, "2026-03-09T06:59:59Z", None),
            (Rhythm::Weekly, "UTC", long_ago, "2026-03-09T07:00:00Z", Some("2026-W10")),
            (Rhythm::Weekly, "UTC", long_ago, "2026-03-12T06:59:59Z", Some("2026-W10")),
            (Rhythm::Weekly, "UTC", long_ago, "2026-03-12T07:00:00Z", None),
            // It is Monday there already.
            (Rhythm::Weekly, "Asia/Tokyo", long_ago, "2026-03-08T22:00:00Z", Some("2026-W10")),
            (Rhythm::Weekly, "America/New_York", long_ago, "2026-03-09T10:59:59Z", None),
            // Clocks went forward the day before.
            (Rhythm::Weekly, "America/New_York", long_ago, "2026-03-09T11:00:00Z", Some("2026-W10")),
            (Rhythm::Weekly, "Europe/Berlin", long_ago, "2026-03-30T05:00:00Z", Some("2026-W13")),
            (Rhythm::Monthly, "Europe/Berlin", long_ago, "2026-04-01T05:00:00Z", Some("2026-03")),
            (Rhythm::Monthly, "Europe/Berlin", long_ago, "2026-04-05T05:00:00Z", None),
            // Whoever asks on Monday at eight gets the first on the next one.
            (Rhythm::Weekly, "UTC", "2026-03-09T08:00:00Z", "2026-03-09T09:00:00Z", None),
            (Rhythm::Weekly, "UTC", "2026-03-09T06:00:00Z", "2026-03-09T09:00:00Z", Some("2026-W10")),
        ] {
            let zone = Zone::named(zone).unwrap();
            let found = due(rhythm, &zone, since.parse().unwrap(), now.parse().unwrap());
            assert_eq!(found.map(|period| period.name).as_deref(), expected, "{rhythm:?} {zone:?} {now}");
        }
    }
}
