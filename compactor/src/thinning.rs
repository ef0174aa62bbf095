//! Decides which runs of the report leave history: it keeps every run for a while, then the last of each hour, then the
//! last of each day. Pure, but for remembering dates.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use futures::TryStreamExt;
use lake::{Lake, REPORTS, TableFile, read_batches};
use parking_lot::Mutex;

use crate::settings::ReportsKept;
use crate::work::WorkError;

const HOUR_US: i64 = 3_600_000_000;
const HOURS_A_DAY: i64 = 24;

/// Bounds in the log are cut to milliseconds.
const BOUND_US: i64 = 1_000;

/// The runs that leave history, by the microsecond at which they were generated, and the files that have no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Thinning {
    runs_us: BTreeSet<i64>,
    whole_files: HashSet<String>,
}

/// What was found of each date when it was last looked at, so that a history of years is not read every hour.
#[derive(Debug, Default)]
pub(crate) struct ThinnedDates(Mutex<BTreeMap<NaiveDate, ThinnedDate>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct ThinnedDate {
    stage: Stage,
    /// The log paths of its files.
    files: BTreeSet<String>,
}

/// How far a date is thinned at a time. The runs that leave it are the same as long as this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stage {
    /// Hours, from its first on, of which only the last run stays.
    hours: i64,
    /// Whether only the last run of the day stays.
    daily: bool,
    /// Whether none stays.
    gone: bool,
}

impl Stage {
    fn of(date: NaiveDate, kept: &ReportsKept, now: DateTime<Utc>) -> Self {
        let begin = date.and_time(NaiveTime::MIN).and_utc();
        let age = |for_how_long| TimeDelta::from_std(for_how_long).unwrap_or(TimeDelta::MAX);
        let before = |for_how_long| now.checked_sub_signed(age(for_how_long));
        // Whole hours and days only: what is the last of one that is not over is not known.
        let hours = before(kept.reports_every_run_for).map_or(0, |before| (before - begin).num_hours());
        let is_over = |before: Option<DateTime<Utc>>| before.is_some_and(|before| before - begin >= TimeDelta::days(1));
        let daily = is_over(before(kept.reports_hourly_for.max(kept.reports_every_run_for)));
        let gone = kept.reports_daily_for.is_some_and(|for_how_long| {
            is_over(before(for_how_long.max(kept.reports_hourly_for).max(kept.reports_every_run_for)))
        });
        Self { hours: hours.clamp(0, HOURS_A_DAY), daily, gone }
    }

    /// The runs of a date that leave.
    fn leaving(self, date: NaiveDate, runs_us: &BTreeSet<i64>) -> BTreeSet<i64> {
        let begin_us = date.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
        let hour_of = |run_us: i64| (run_us - begin_us).div_euclid(HOUR_US);
        let leaves = |run_us: i64, next_us: Option<i64>| {
            let is_last_of_day = next_us.is_none();
            let is_last_of_hour = next_us.is_none_or(|next_us| hour_of(next_us) != hour_of(run_us));
            self.gone || (self.daily && !is_last_of_day) || (hour_of(run_us) < self.hours && !is_last_of_hour)
        };
        let nexts = runs_us.iter().skip(1).copied().map(Some).chain([None]);
        runs_us
            .iter()
            .copied()
            .zip(nexts)
            .filter(|(run_us, next_us)| leaves(*run_us, *next_us))
            .map(|(run_us, _)| run_us)
            .collect()
    }
}

impl ThinnedDates {
    /// The runs that leave the newest version of the history; `None` if none does. Reads the times of the runs of each date
    /// that has changed, or gone a step further, since it was last looked at.
    ///
    /// The newest run of all stays however old it is: it is the latest report.
    pub(crate) async fn plan(
        &self,
        lake: &Lake,
        kept: &ReportsKept,
        now: DateTime<Utc>,
    ) -> Result<Option<Thinning>, WorkError> {
        let table = lake.table(&REPORTS).load().await?;
        let mut dates: BTreeMap<NaiveDate, Vec<&TableFile>> = BTreeMap::new();
        for file in &table.files {
            if let Some(date) = file.date {
                dates.entry(date).or_default().push(file);
            }
        }
        self.0.lock().retain(|date, _| dates.contains_key(date));
        let newest_date = dates.keys().next_back().copied();
        let mut thinning = Thinning::default();
        for (date, files) in dates {
            let stage = Stage::of(date, kept, now);
            let found = ThinnedDate { stage, files: files.iter().map(|file| file.log_path.clone()).collect() };
            if stage == Stage::default() || self.0.lock().get(&date) == Some(&found) {
                continue;
            }
            let mut runs_of_files = Vec::new();
            for file in files {
                runs_of_files.push((file, runs_of(lake, file).await?));
            }
            let runs_us: BTreeSet<i64> = runs_of_files.iter().flat_map(|(_, runs_us)| runs_us).copied().collect();
            let mut leaving = stage.leaving(date, &runs_us);
            if newest_date == Some(date)
                && let Some(newest) = runs_us.last()
            {
                leaving.remove(newest);
            }
            if leaving.is_empty() {
                self.0.lock().insert(date, found);
                continue;
            }
            let whole = runs_of_files.iter().filter(|(_, runs_us)| runs_us.is_subset(&leaving));
            thinning.whole_files.extend(whole.map(|(file, _)| file.log_path.clone()));
            thinning.runs_us.append(&mut leaving);
        }
        Ok((!thinning.runs_us.is_empty()).then_some(thinning))
    }
}

async fn runs_of(lake: &Lake, file: &TableFile) -> Result<BTreeSet<i64>, WorkError> {
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &["generated_at"]).await?;
    let mut runs_us = BTreeSet::new();
    while let Some(batch) = batches.try_next().await? {
        runs_us.extend(times_of(&batch));
    }
    Ok(runs_us)
}

fn times_of(batch: &RecordBatch) -> impl Iterator<Item = i64> + '_ {
    batch["generated_at"].as_primitive::<TimestampMicrosecondType>().values().iter().copied()
}

impl Thinning {
    /// Whether a file may have a run that leaves, judging by the log.
    pub(crate) fn may_match(&self, file: &TableFile) -> bool {
        match file.times_us("generated_at") {
            Some((oldest, newest)) => self.runs_us.range(oldest - BOUND_US..=newest + BOUND_US).next().is_some(),
            None => true,
        }
    }

    /// Whether every run of a file leaves.
    pub(crate) fn matches_whole(&self, file: &TableFile) -> bool {
        self.whole_files.contains(&file.log_path)
    }

    /// Which rows of a batch leave.
    pub(crate) fn matching_rows(&self, batch: &RecordBatch) -> BooleanArray {
        times_of(batch).map(|run_us| Some(self.runs_us.contains(&run_us))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_run_stays_for_a_day() {
        check("02T10:00", "01T10:00 01T10:01 01T11:00", "01T10:00 01T10:01 01T11:00");
    }

    #[test]
    fn then_the_last_of_each_hour_that_is_over() {
        check("02T11:00", "01T10:00 01T10:01 01T11:00 01T11:01", "01T10:01 01T11:00 01T11:01");
        check("02T11:59", "01T10:00 01T10:01 01T11:00 01T11:01", "01T10:01 01T11:00 01T11:01");
        check("02T12:00", "01T10:00 01T10:01 01T11:00 01T11:01", "01T10:01 01T11:01");
    }

    #[test]
    fn then_the_last_of_each_day() {
        check("04T23:59", "01T10:01 01T23:59", "01T10:01 01T23:59");
        check("05T00:00", "01T10:01 01T23:58 01T23:59", "01T23:59");
        check("05T00:00", "01T10:01", "01T10:01");
    }

    #[test]
    fn and_in_the_end_none() {
        check("11T23:59", "01T10:01", "01T10:01");
        check("12T00:00", "01T10:01", "");
    }

    #[test]
    fn a_longer_time_for_more_runs_wins() {
        let kept = ReportsKept {
            reports_every_run_for: days(3),
            reports_hourly_for: days(1),
            reports_daily_for: Some(days(2)),
        };
        let stage = |now| Stage::of(date(1), &kept, at(now));
        assert_eq!(stage("03T23:59"), Stage::default());
        assert_eq!(stage("05T00:00"), Stage { hours: 24, daily: true, gone: true });
    }

    proptest::proptest! {
        #[test]
        fn thinning_step_by_step_ends_where_thinning_at_once_does(
            minutes in proptest::collection::btree_set(0_i64..1_440, 0..40),
            steps in proptest::collection::vec(0_i64..20_000, 0..6),
        ) {
            let begin = date(1).and_time(NaiveTime::MIN).and_utc();
            let runs: BTreeSet<i64> = minutes.iter().map(|minute| (begin + TimeDelta::minutes(*minute)).timestamp_micros()).collect();
            let thinned = |runs: &BTreeSet<i64>, minute: i64| -> BTreeSet<i64> {
                let stage = Stage::of(date(1), &kept(), begin + TimeDelta::minutes(minute));
                runs - &stage.leaving(date(1), runs)
            };
            let mut steps = steps;
            steps.sort_unstable();
            let at_once = thinned(&runs, steps.last().copied().unwrap_or(0));
            let one_by_one = steps.iter().fold(thinned(&runs, 0), |runs, minute| thinned(&runs, *minute));
            proptest::prop_assert_eq!(one_by_one, at_once);
        }
    }

    /// Thins the runs of the first of March at a time, all in that month.
    #[track_caller]
    fn check(now: &str, runs: &str, expected: &str) {
        let runs: BTreeSet<i64> = runs.split_whitespace().map(|run| at(run).timestamp_micros()).collect();
        let leaving = Stage::of(date(1), &kept(), at(now)).leaving(date(1), &runs);
        let staying: Vec<String> = (&runs - &leaving)
            .iter()
            .map(|run| DateTime::from_timestamp_micros(*run).unwrap().format("%dT%H:%M").to_string())
            .collect();
        assert_eq!(staying.join(" "), expected);
    }

    fn kept() -> ReportsKept {
        ReportsKept { reports_every_run_for: days(1), reports_hourly_for: days(3), reports_daily_for: Some(days(10)) }
    }

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 86_400)
    }

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }
}
