//! Making history anew after a query or a site's rules were changed: which runs, and which of them are done. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use lake::Site;
use sha2::{Digest, Sha256};

use crate::queries::QueryFile;

/// What to make of past days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastDays {
    /// The days, in UTC; the last is not among them.
    pub days: Range<NaiveDate>,
    /// Only the last run of each day.
    pub daily: bool,
    /// Also those that were made by the same queries and rules.
    pub replace: bool,
}

/// The runs of past days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastRuns {
    /// Those to be made, by their time, oldest first.
    pub to_make: Vec<DateTime<Utc>>,
    /// How many were made by these queries and rules already.
    pub made: usize,
}

/// By which queries and rules of sites reports are made, as a hash.
pub(crate) fn rules_hash<'a>(queries: &[QueryFile], sites: impl Iterator<Item = &'a Site>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    for query in queries {
        add(&query.name);
        add(query.sql.as_ref().map_or("", String::as_str));
    }
    for site in sites {
        let rules = &site.settings;
        add(&site.site_id);
        add(&format!("{} {} {}", rules.session_gap_s, rules.session_cap_s, rules.time_zone));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

impl PastRuns {
    /// - `known`: the runs that history has of the days, each with whether it was made by the present queries and rules.
    /// - `newest`: the newest run of all, if the job made it. It stays: the next run of the job comes in its place, and goes on with its alerts.
    pub(crate) fn new(
        past: &PastDays,
        known: &BTreeMap<DateTime<Utc>, bool>,
        newest: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut runs = Self::default();
        for day in past.days.start.iter_days().take_while(|day| *day < past.days.end) {
            let begin = day.and_time(NaiveTime::MIN).and_utc();
            let end = begin + TimeDelta::days(1);
            let of_day: Vec<(DateTime<Utc>, bool)> = known.range(begin..end).map(|(at, made)| (*at, *made)).collect();
            let of_day = match of_day.last() {
                None => vec![(end - TimeDelta::microseconds(1), false)],
                Some(last) if past.daily => vec![*last],
                Some(_) => of_day,
            };
            for (at, made) in of_day {
                if at > now || Some(at) == newest {
                    continue;
                }
                match made && !past.replace {
                    true => runs.made += 1,
                    false => runs.to_make.push(at),
                }
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_of_a_day_is_made_anew_and_one_of_a_day_without_any() {
        check("01T10:00 01T23:59 03T12:00", false, "01T10:00:00 01T23:59:00 02T23:59:59 03T12:00:00", 0);
        check("01T10:00 01T23:59 03T12:00", true, "01T23:59:00 02T23:59:59 03T12:00:00", 0);
    }

    #[test]
    fn what_is_made_already_is_left() {
        check("01T10:00+ 01T23:59 02T23:59+ 03T12:00", false, "01T23:59:00 03T12:00:00", 2);
        check("01T10:00 01T23:59+ 02T23:59+ 03T12:00+", true, "", 3);
    }

    #[test]
    fn the_newest_run_and_what_has_not_come_yet_are_left() {
        let past = past("01", "09", false, false);
        let known = known("05T10:00 05T11:00");
        let runs = PastRuns::new(&past, &known, Some(at("05T11:00")), at("05T11:00"));
        assert_eq!(shown(&runs), "01T23:59:59 02T23:59:59 03T23:59:59 04T23:59:59 05T10:00:00");
    }

    #[test]
    fn all_are_made_again_if_that_is_asked_for() {
        let runs = PastRuns::new(&past("01", "02", false, true), &known("01T10:00+"), None, at("05T00:00"));
        assert_eq!((shown(&runs).as_str(), runs.made), ("01T10:00:00", 0));
    }

    /// Plans the first three days of March on the fifth. `+` marks runs that were made by the present rules.
    #[track_caller]
    fn check(runs: &str, daily: bool, expected: &str, made: usize) {
        let runs = PastRuns::new(&past("01", "04", daily, false), &known(runs), None, at("05T00:00"));
        assert_eq!((shown(&runs).as_str(), runs.made), (expected, made));
    }

    fn shown(runs: &PastRuns) -> String {
        runs.to_make.iter().map(|at| at.format("%dT%H:%M:%S").to_string()).collect::<Vec<_>>().join(" ")
    }

    fn past(from: &str, until: &str, daily: bool, replace: bool) -> PastDays {
        let day = |day: &str| format!("2026-03-{day}").parse().unwrap();
        PastDays { days: day(from)..day(until), daily, replace }
    }

    fn known(runs: &str) -> BTreeMap<DateTime<Utc>, bool> {
        runs.split_whitespace().map(|run| (at(run.trim_end_matches('+')), run.ends_with('+'))).collect()
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }
}
