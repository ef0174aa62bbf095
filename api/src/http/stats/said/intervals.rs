//! The intervals of a series: each of a range, whether anything happened in it or not. Pure.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Timelike, Utc};

use super::names;
use super::range::Range;
use super::zone::Zone;

/// Points of a series.
const POINTS_MAX: i64 = 2_000;

/// What a series is divided by. Minutes and hours are spans of time, the others are of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Interval {
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

/// An interval as SQL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::stats) enum Start {
    Instant(DateTime<Utc>),
    Day(NaiveDate),
}

/// An interval of a range, cut to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::stats) struct Point {
    pub(in crate::http::stats) start: Start,
    pub(in crate::http::stats) range: Range,
}

impl Interval {
    pub(in crate::http::stats) const ALL: [Self; 5] = [Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month];

    pub(in crate::http::stats) fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The interval of a name, one of some. Fails with words for the sender.
    pub(in crate::http::stats) fn named(name: &str, of: &[Self]) -> Result<Self, String> {
        let known = of.iter().copied().find(|interval| interval.name() == name);
        known.ok_or_else(|| names::unknown("interval", name, of.iter().map(|interval| interval.name()), &[]))
    }

    /// What suits a range of which nobody says it.
    pub(in crate::http::stats) fn fitting(range: Range) -> Self {
        let length = range.until - range.from;
        match () {
            () if length <= TimeDelta::hours(3) => Self::Minute,
            () if length <= TimeDelta::days(2) => Self::Hour,
            () if length <= TimeDelta::days(100) => Self::Day,
            () if length <= TimeDelta::days(750) => Self::Week,
            () => Self::Month,
        }
    }

    /// How long it is, if all are of the same length.
    pub(in crate::http::stats) fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Minute => Some(TimeDelta::minutes(1)),
            Self::Hour => Some(TimeDelta::hours(1)),
            Self::Day | Self::Week | Self::Month => None,
        }
    }

    /// Where the first minute or hour of a range begins: where clocks show a whole one.
    pub(in crate::http::stats) fn origin(self, range: Range, zone: &Zone) -> DateTime<Utc> {
        let local = zone.local(range.from).time();
        let into = match self {
            Self::Minute => TimeDelta::zero(),
            _ => TimeDelta::minutes(i64::from(local.minute())),
        };
        let into = into + TimeDelta::seconds(i64::from(local.second()));
        range.from - into - TimeDelta::nanoseconds(i64::from(local.nanosecond()))
    }

    /// The same as a time of 1970, if all intervals are of one length: ranges that begin at other hours have it in common.
    pub(in crate::http::stats) fn bin_origin(self, range: Range, zone: &Zone) -> DateTime<Utc> {
        let origin = self.origin(range, zone);
        let length_us = self.length().and_then(|length| length.num_microseconds());
        length_us.map_or(origin, |length_us| {
            DateTime::UNIX_EPOCH + TimeDelta::microseconds(origin.timestamp_micros().rem_euclid(length_us))
        })
    }

    /// The first day of the one that a day lies in.
    fn first_day(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Week => day - Days::new(day.weekday().num_days_from_monday().into()),
            Self::Month => day.with_day(1).expect("every month has a first day"),
            _ => day,
        }
    }

    fn next_first_day(self, first: NaiveDate) -> NaiveDate {
        match self {
            Self::Week => first + Days::new(7),
            Self::Month => first + Months::new(1),
            _ => first + Days::new(1),
        }
    }

    /// The intervals of a range, in order. Fails with words for the sender if there are more than a series may have.
    pub(in crate::http::stats) fn points(self, range: Range, zone: &Zone) -> Result<Vec<Point>, String> {
        let length = range.until - range.from;
        // Some more or less, at the edges and where clocks are turned.
        let about = match self {
            Self::Minute => length.num_minutes(),
            Self::Hour => length.num_hours(),
            Self::Day => length.num_days(),
            Self::Week => length.num_days() / 7,
            Self::Month => length.num_days() / 31,
        };
        let starts: Vec<(Start, DateTime<Utc>)> = match self.length() {
            _ if about > POINTS_MAX => return Err(too_many(self, about)),
            Some(step) => {
                let origin = self.origin(range, zone);
                let starts = (0..).map(|n| origin + step * n).take_while(|start| *start < range.until);
                starts.map(|start| (Start::Instant(start), start)).collect()
            }
            None => {
                let first = self.first_day(zone.local(range.from).date());
                let days = std::iter::successors(Some(first), |day| Some(self.next_first_day(*day)));
                let starts = days.map(|day| (Start::Day(day), zone.begin_of(day)));
                starts.take_while(|(_, start)| *start < range.until).collect()
            }
        };
        let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([range.until]);
        let cut = |((start, at), end): (&(Start, DateTime<Utc>), DateTime<Utc>)| {
            let range = Range { from: range.from.max(*at), until: range.until.min(end) };
            // A day that a zone left out has no time.
            (range.from < range.until).then_some(Point { start: *start, range })
        };
        let points: Vec<Point> = starts.iter().zip(ends).filter_map(cut).collect();
        match points.len() as i64 {
            many if many > POINTS_MAX => Err(too_many(self, many)),
            _ => Ok(points),
        }
    }
}

fn too_many(interval: Interval, points: i64) -> String {
    let name = interval.name();
    format!(
        "a series has at most {POINTS_MAX} points, and this one {points}: ask for a longer interval than {name}, or a shorter range"
    )
}

impl Start {
    /// As an answer of SQL has it: a time, or a date.
    pub(in crate::http::stats) fn read(text: &str) -> Option<Self> {
        match text.parse::<NaiveDate>() {
            Ok(day) => Some(Self::Day(day)),
            Err(_) => DateTime::parse_from_rfc3339(text).ok().map(|at| Self::Instant(at.to_utc())),
        }
    }

    /// The first day, of an interval of the calendar.
    pub(in crate::http::stats) fn day(self) -> Option<NaiveDate> {
        match self {
            Self::Day(day) => Some(day),
            Self::Instant(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, until: &str) -> Range {
        Range { from: from.parse().unwrap(), until: until.parse().unwrap() }
    }

    #[track_caller]
    fn check(interval: Interval, zone: &str, (from, until): (&str, &str), expected: &[&str]) {
        let zone = Zone::named(zone).unwrap();
        let points = interval.points(range(from, until), &zone).unwrap();
        let shown: Vec<String> = points.iter().map(|point| zone.show(point.range.from)).collect();
        assert_eq!(shown, expected);
        assert_eq!(points.last().unwrap().range.until, until.parse::<DateTime<Utc>>().unwrap());
        assert!(points.windows(2).all(|two| two[0].range.until == two[1].range.from), "without gaps");
    }

    #[test]
    fn hours_of_the_short_and_of_the_long_day_are_hours() {
        let short = ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"];
        check(Interval::Hour, "Europe/Berlin", ("2026-03-29T00:00:00Z", "2026-03-29T02:30:00Z"), &short);
        let long = ["2026-10-25T01:30:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"];
        check(Interval::Hour, "Europe/Berlin", ("2026-10-24T23:30:00Z", "2026-10-25T02:00:00Z"), &long);
        let half = ["2026-03-01T05:30:00+05:30", "2026-03-01T06:00:00+05:30", "2026-03-01T07:00:00+05:30"];
        check(Interval::Hour, "Asia/Kolkata", ("2026-03-01T00:00:00Z", "2026-03-01T02:00:00Z"), &half);
    }

    #[test]
    fn days_weeks_and_months_are_those_of_the_zone() {
        let days = ["2026-03-28T12:00:00+01:00", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"];
        check(Interval::Day, "Europe/Berlin", ("2026-03-28T11:00:00Z", "2026-03-30T10:00:00Z"), &days);
        let weeks = ["2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00", "2026-03-09T00:00:00+00:00"];
        check(Interval::Week, "UTC", ("2026-03-01T00:00:00Z", "2026-03-10T00:00:00Z"), &weeks);
        let months = ["2026-01-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"];
        check(Interval::Month, "UTC", ("2026-01-31T00:00:00Z", "2026-03-31T10:00:00Z"), &months);
        let minutes = ["2026-03-01T00:00:30+00:00", "2026-03-01T00:01:00+00:00"];
        check(Interval::Minute, "UTC", ("2026-03-01T00:00:30Z", "2026-03-01T00:02:00Z"), &minutes);
        // Samoa left out the thirtieth.
        let samoa = ["2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"];
        check(Interval::Day, "Pacific/Apia", ("2011-12-29T10:00:00Z", "2011-12-31T10:00:00Z"), &samoa);
    }

    #[test]
    fn a_series_that_is_too_long_is_refused_and_names_the_bound() {
        let (zone, range) = (Zone::named("UTC").unwrap(), range("2016-03-01T00:00:00Z", "2026-03-01T00:00:00Z"));
        let refused = Interval::Minute.points(range, &zone).unwrap_err();
        assert!(refused.starts_with("a series has at most 2000 points, and this one 5258880"), "{refused}");
        assert!(Interval::Day.points(range, &zone).is_err());
        assert_eq!(Interval::Week.points(range, &zone).unwrap().len(), 522);
        assert!(Interval::named("hours", &Interval::ALL).unwrap_err().ends_with("did you mean hour?"));
    }

    proptest::proptest! {
        #[test]
        fn a_fitting_interval_has_few_enough_points(from in 0_i64..2_000_000_000, length in 60_i64..316_000_000) {
            let at = |s| DateTime::from_timestamp(s, 0).unwrap();
            let range = Range { from: at(from), until: at(from + length) };
            let interval = Interval::fitting(range);
            for zone in ["UTC", "America/Sao_Paulo", "Australia/Lord_Howe"] {
                let points = interval.points(range, &Zone::named(zone).unwrap()).unwrap();
                proptest::prop_assert!(points.len() <= 200, "{}", points.len());
                proptest::prop_assert_eq!(points[0].range.from, range.from);
                proptest::prop_assert!(points.windows(2).all(|two| two[0].range.until == two[1].range.from));
            }
        }
    }
}
