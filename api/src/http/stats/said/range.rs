//! Which time a request asks of, and with which other time it compares. Pure.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use super::zone::Zone;
use crate::http::params;

/// How long a range may be.
const DAYS_MAX: i64 = 3_660;

/// The name of the range that has everything.
pub(in crate::http::stats) const ALL: &str = "all";

const RANGE_EXAMPLES: &str = "today, yesterday, 7d, week, month, year, last_week, last_month, last_year, 6mo, all, or two days as 2026-03-01,2026-03-31";

/// The time `[from, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) struct Range {
    pub(in crate::http::stats) from: DateTime<Utc>,
    pub(in crate::http::stats) until: DateTime<Utc>,
}

/// What a request says of its range.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::http::stats) struct AskedRange {
    pub(in crate::http::stats) date_range: Option<String>,
    pub(in crate::http::stats) from: Option<String>,
    pub(in crate::http::stats) until: Option<String>,
}

impl AskedRange {
    /// The range. One that reaches beyond now ends at the next whole minute, so that whoever asks within the minute asks
    /// the same. Fails with words for the sender.
    ///
    /// - `first_event_at`: where `all` begins, with its day; today if there is no event.
    pub(in crate::http::stats) fn read(
        &self,
        zone: &Zone,
        now: DateTime<Utc>,
        first_event_at: Option<DateTime<Utc>>,
    ) -> Result<Range, String> {
        let latest = next_minute(now);
        let today = zone.local(now).date();
        let range = match (&self.date_range, &self.from, &self.until) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                return Err("a range is date_range, or from and until: give one of them".to_owned());
            }
            (None, None, None) => named("30d", zone, today, latest)?,
            (Some(name), ..) if name == ALL => Range { from: beginning(first_event_at, zone, latest), until: latest },
            (Some(name), ..) => named(name, zone, today, latest)?,
            (None, None, Some(_)) => return Err("until needs from, the beginning of the range".to_owned()),
            (None, Some(from), until) => Range {
                from: time("from", from, zone)?,
                until: until.as_ref().map_or(Ok(latest), |until| time("until", until, zone))?,
            },
        };
        if range.from >= range.until {
            return Err("the range is empty: from must lie before until, which is not included".to_owned());
        }
        if range.from >= latest {
            return Err(format!("the range lies in the future: it is {}", zone.show(now)));
        }
        let range = Range { until: range.until.min(latest), ..range };
        // A day in which clocks are turned back is longer.
        match range.until - range.from > TimeDelta::days(DAYS_MAX) + TimeDelta::hours(1) {
            true => Err(format!("a range has at most {DAYS_MAX} days: ask for a shorter one")),
            false => Ok(range),
        }
    }
}

/// The day of the first event, or the first day that a range may have.
fn beginning(first_event_at: Option<DateTime<Utc>>, zone: &Zone, latest: DateTime<Utc>) -> DateTime<Utc> {
    let earliest = latest - TimeDelta::days(DAYS_MAX);
    let first = first_event_at.filter(|first| *first < latest).unwrap_or(latest - TimeDelta::minutes(1));
    zone.begin_of(zone.local(first).date()).max(earliest)
}

/// The end of the minute of an instant; the instant, if it is one.
pub(in crate::http::stats) fn next_minute(now: DateTime<Utc>) -> DateTime<Utc> {
    let into_minute = TimeDelta::seconds(i64::from(now.second())) + TimeDelta::nanoseconds(i64::from(now.nanosecond()));
    match into_minute.is_zero() {
        true => now,
        false => now - into_minute + TimeDelta::minutes(1),
    }
}

fn named(name: &str, zone: &Zone, today: NaiveDate, latest: DateTime<Utc>) -> Result<Range, String> {
    let refused = || format!("there is no date_range {name:?}: there is {RANGE_EXAMPLES}");
    let days_before = |days: i64| u64::try_from(days).ok().and_then(|days| today.checked_sub_days(Days::new(days)));
    let months_before = |months: u32| first_of_month(today).checked_sub_months(Months::new(months));
    let monday = today.checked_sub_days(Days::new(today.weekday().num_days_from_monday().into()));
    let january = NaiveDate::from_ymd_opt(today.year(), 1, 1);
    let week = Days::new(7);
    // The first day, and the day after the last unless the range ends now.
    let days = match name {
        "today" | "day" => Some((Some(today), None)),
        "yesterday" => Some((days_before(1), Some(today))),
        "week" => Some((monday, None)),
        "month" => Some((months_before(0), None)),
        "year" => Some((january, None)),
        "last_week" => Some((monday.and_then(|monday| monday.checked_sub_days(week)), monday)),
        "last_month" => Some((months_before(1), months_before(0))),
        "last_year" => Some((january.and_then(|january| january.checked_sub_months(Months::new(12))), january)),
        _ => None,
    };
    if let Some((first, after)) = days {
        let first = first.ok_or_else(refused)?;
        return Ok(Range { from: zone.begin_of(first), until: after.map_or(latest, |after| zone.begin_of(after)) });
    }
    if let Some((first, last)) = name.split_once(',') {
        return whole_days("date_range", first, last, zone);
    }
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
    let first = match (name.strip_suffix("mo"), name.strip_suffix('d')) {
        (Some(months), _) => months_before(number(months).ok_or_else(refused)?.min(10_000) - 1),
        (_, Some(days)) => days_before(i64::from(number(days).ok_or_else(refused)?.min(1_000_000)) - 1),
        _ => return Err(refused()),
    };
    Ok(Range { from: zone.begin_of(first.ok_or_else(refused)?), until: latest })
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).expect("every month has a first day")
}

/// From the beginning of one day to the end of another.
fn whole_days(parameter: &str, first: &str, last: &str, zone: &Zone) -> Result<Range, String> {
    let day = |text: &str| {
        let day: Option<NaiveDate> =
            text.trim().parse().ok().filter(|day: &NaiveDate| (1..=9_999).contains(&day.year()));
        day.ok_or_else(|| format!("{parameter}: {text:?} is no day: write 2026-03-01"))
    };
    let (first, last) = (day(first)?, day(last)?);
    if last < first {
        return Err(format!("{parameter}: the day {last} lies before {first}"));
    }
    Ok(Range { from: zone.begin_of(first), until: zone.begin_of(last + Days::new(1)) })
}

/// A day, which is its beginning in the zone, or a time.
fn time(parameter: &str, text: &str, zone: &Zone) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>()
        && (1..=9_999).contains(&day.year())
    {
        return Ok(zone.begin_of(day));
    }
    params::time(Some(text), DateTime::UNIX_EPOCH).map_err(|words| format!("{parameter}: {words}"))
}

/// With what a range is compared.
///
/// - `asked`: `previous_period`, `previous_year`, or two days.
pub(in crate::http::stats) fn compared(asked: &str, range: Range, zone: &Zone) -> Result<Range, String> {
    let (from, until) = (zone.local(range.from), zone.local(range.until));
    let moved = |by: &dyn Fn(NaiveDateTime) -> Option<NaiveDateTime>| {
        let too_early = || "the time to compare with lies before the calendar".to_owned();
        let (from, until) = (by(from).ok_or_else(too_early)?, by(until).ok_or_else(too_early)?);
        Ok::<_, String>(Range { from: zone.instant(from), until: zone.instant(until) })
    };
    let day = TimeDelta::days(1);
    let compared = match asked {
        "previous_period" if until - from < day && from.time() != NaiveTime::MIN => {
            Range { from: range.from - (range.until - range.from), until: range.from }
        }
        "previous_period" => {
            let length = until - from;
            let days = length.num_days() + i64::from(length > TimeDelta::days(length.num_days()));
            moved(&|local| local.checked_sub_signed(TimeDelta::days(days)))?
        }
        "previous_year" => moved(&|local| local.checked_sub_months(Months::new(12)))?,
        days => match days.split_once(',') {
            Some((first, last)) => whole_days("compare", first, last, zone)?,
            None => {
                return Err(format!(
                    "there is no comparison {days:?}: there is previous_period, previous_year, or two days as 2026-02-01,2026-02-28"
                ));
            }
        },
    };
    match compared.until - compared.from > TimeDelta::days(DAYS_MAX) + TimeDelta::hours(1) {
        true => Err(format!("a range has at most {DAYS_MAX} days: compare with a shorter one")),
        false if compared.from >= compared.until => Err("the time to compare with is empty".to_owned()),
        false => Ok(compared),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Tuesday, two days after clocks went forward in Berlin.
    const NOW: &str = "2026-03-31T09:59:30.5Z";

    fn asked(date_range: &str) -> AskedRange {
        AskedRange { date_range: Some(date_range.into()), ..AskedRange::default() }
    }

    fn between(from: &str, until: &str) -> AskedRange {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        AskedRange { date_range: None, from: text(from), until: text(until) }
    }

    fn read(asked: &AskedRange) -> Result<String, String> {
        let zone = Zone::named("Europe/Berlin").unwrap();
        asked.read(&zone, NOW.parse().unwrap(), None).map(|range| show(range, &zone))
    }

    fn show(range: Range, zone: &Zone) -> String {
        format!("{} {}", zone.show(range.from), zone.show(range.until))
    }

    #[test]
    fn a_range_has_days_of_the_zone_and_ends_now() {
        const END: &str = "2026-03-31T12:00:00+02:00";
        for (asked, from, until) in [
            (AskedRange::default(), "2026-03-02T00:00:00+01:00", END),
            (asked("30d"), "2026-03-02T00:00:00+01:00", END),
            (asked("1d"), "2026-03-31T00:00:00+02:00", END),
            (asked("today"), "2026-03-31T00:00:00+02:00", END),
            (asked("yesterday"), "2026-03-30T00:00:00+02:00", "2026-03-31T00:00:00+02:00"),
            (asked("week"), "2026-03-30T00:00:00+02:00", END),
            (asked("last_week"), "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            (asked("month"), "2026-03-01T00:00:00+01:00", END),
            (asked("last_month"), "2026-02-01T00:00:00+01:00", "2026-03-01T00:00:00+01:00"),
            (asked("1mo"), "2026-03-01T00:00:00+01:00", END),
            (asked("6mo"), "2025-10-01T00:00:00+02:00", END),
            (asked("year"), "2026-01-01T00:00:00+01:00", END),
            (asked("last_year"), "2025-01-01T00:00:00+01:00", "2026-01-01T00:00:00+01:00"),
            (asked("2026-03-29,2026-03-29"), "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
            (asked("2026-03-29,2026-04-29"), "2026-03-29T00:00:00+01:00", END),
            (between("2026-03-01", "2026-03-02"), "2026-03-01T00:00:00+01:00", "2026-03-02T00:00:00+01:00"),
            (between("2026-03-31T09:00Z", ""), "2026-03-31T11:00:00+02:00", END),
            (between("1774944000", "2099-01-01"), "2026-03-31T10:00:00+02:00", END),
        ] {
            assert_eq!(read(&asked), Ok(format!("{from} {until}")), "{asked:?}");
        }
    }

    #[test]
    fn all_begins_with_the_day_of_the_first_event_and_goes_back_ten_years_at_most() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        for (first, from) in [
            (Some("2026-03-28T22:59:59Z"), "2026-03-28T00:00:00+01:00"),
            (Some("2026-03-28T23:00:00Z"), "2026-03-29T00:00:00+01:00"),
            (Some("1970-01-01T00:00:00Z"), "2016-03-23T11:00:00+01:00"),
            (Some("2099-01-01T00:00:00Z"), "2026-03-31T00:00:00+02:00"),
            (None, "2026-03-31T00:00:00+02:00"),
        ] {
            let first = first.map(|first| first.parse().unwrap());
            let range = asked("all").read(&zone, NOW.parse().unwrap(), first).unwrap();
            assert_eq!(show(range, &zone), format!("{from} 2026-03-31T12:00:00+02:00"), "{first:?}");
        }
    }

    #[test]
    fn a_range_that_cannot_be_is_refused_in_words() {
        let both = AskedRange { date_range: Some("7d".into()), ..between("2026-03-01", "") };
        for (asked, words) in [
            (both, "give one of them"),
            (asked("0d"), "there is no date_range \"0d\": there is today"),
            (asked("fortnight"), "there is no date_range"),
            (asked("999999999999d"), "there is no date_range"),
            (asked("4294967295d"), "at most 3660 days"),
            (asked("4000d"), "at most 3660 days"),
            (asked("2026-03-02,2026-03-01"), "lies before"),
            (asked("2026-03-02,tomorrow"), "\"tomorrow\" is no day"),
            (between("", "2026-03-01"), "until needs from"),
            (between("2026-03-02", "2026-03-02"), "the range is empty"),
            (between("2026-04-02", "2026-04-03"), "lies in the future: it is 2026-03-31T11:59:30.500+02:00"),
            (between("yesterday", ""), "from: \"yesterday\""),
            (between("+262142-12-31", ""), "from: "),
            (asked("+262142-12-31,+262142-12-31"), "is no day"),
        ] {
            let refused = read(&asked).unwrap_err();
            assert!(refused.contains(words), "{asked:?}: {refused}");
        }
    }

    #[test]
    fn a_range_is_compared_with_one_of_the_same_days_and_times() {
        let zone = Zone::named("Europe/Berlin").unwrap();
        for (of, compare, from, until) in [
            // Thirty days until noon, across the short day.
            (asked("30d"), "previous_period", "2026-01-31T00:00:00+01:00", "2026-03-01T12:00:00+01:00"),
            (asked("today"), "previous_period", "2026-03-30T00:00:00+02:00", "2026-03-30T12:00:00+02:00"),
            (
                asked("2026-03-29,2026-03-29"),
                "previous_period",
                "2026-03-28T00:00:00+01:00",
                "2026-03-29T00:00:00+01:00",
            ),
            (asked("last_week"), "previous_period", "2026-03-16T00:00:00+01:00", "2026-03-23T00:00:00+01:00"),
            (
                between("2026-03-31T08:00Z", "2026-03-31T08:30Z"),
                "previous_period",
                "2026-03-31T09:30:00+02:00",
                "2026-03-31T10:00:00+02:00",
            ),
            (asked("last_month"), "previous_year", "2025-02-01T00:00:00+01:00", "2025-03-01T00:00:00+01:00"),
            (asked("today"), "previous_year", "2025-03-31T00:00:00+02:00", "2025-03-31T12:00:00+02:00"),
            (
                between("2024-02-29", "2024-03-01"),
                "2024-01-01,2024-01-31",
                "2024-01-01T00:00:00+01:00",
                "2024-02-01T00:00:00+01:00",
            ),
        ] {
            let range = of.read(&zone, NOW.parse().unwrap(), None).unwrap();
            let compared = compared(compare, range, &zone).map(|range| show(range, &zone));
            assert_eq!(compared, Ok(format!("{from} {until}")), "{of:?} {compare}");
        }
        let range = asked("today").read(&zone, NOW.parse().unwrap(), None).unwrap();
        assert!(compared("last_period", range, &zone).unwrap_err().contains("there is previous_period"));
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_a_range_or_refused_in_words(text in "\\PC{0,20}|[0-9]{1,12}(d|mo)|[-0-9]{8,12},[-0-9]{8,12}") {
            let _ = read(&asked(&text));
            let _ = read(&between(&text, ""));
        }
    }
}
