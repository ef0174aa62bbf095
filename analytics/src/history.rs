//! The history of reports: a Delta table of the lake with one run in each slot of the job's schedule. The compactor thins
//! it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::TryStreamExt;
use lake::{Change, Lake, LakeError, REPORTS, TableFile, TableSnapshot, TableWriter, read_batches};
use schedule::Cron;
use serde_json::Value as Json;

use crate::report::{Details, Metric, Report};

/// Why the history could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The lake failed.
    #[error(transparent)]
    Lake(#[from] LakeError),

    /// The rows of a report do not fit the table; a defect of this program.
    #[error("a report does not fit its table")]
    Shape(#[from] arrow::error::ArrowError),
}

/// A cron may leave years between two ticks. Later in such a time nobody begins a run of it twice by chance.
const SLOT_MAX: TimeDelta = TimeDelta::days(400);

/// The time of one run: from a tick of the job's schedule to the next. History has at most one run of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) Range<DateTime<Utc>>);

impl Slot {
    /// The slot of a run that begins at `at`.
    pub(crate) fn of(cron: &Cron, at: DateTime<Utc>) -> Self {
        let begin = cron.last_until(at).unwrap_or(at);
        let end = cron.next_after(at).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Self(begin..end)
    }

    /// That of one run and nothing else.
    fn exactly(at: DateTime<Utc>) -> Self {
        Self(at..at + TimeDelta::microseconds(1))
    }

    fn has(&self, generated_at_us: i64) -> bool {
        (self.0.start.timestamp_micros()..self.0.end.timestamp_micros()).contains(&generated_at_us)
    }

    /// Whether a file may have a run of it, judging by the log.
    fn may_be_in(&self, file: &TableFile) -> bool {
        // Bounds are cut to milliseconds.
        let (from, until) = (self.0.start.timestamp_micros() - 1_000, self.0.end.timestamp_micros());
        file.times_us("generated_at").is_none_or(|(oldest, newest)| newest >= from && oldest < until)
    }

    /// The partitions that its runs may be in.
    fn dates(&self) -> BTreeSet<NaiveDate> {
        let end = self.0.end.min(self.0.start + SLOT_MAX);
        let last = (end - TimeDelta::microseconds(1)).date_naive();
        self.0.start.date_naive().iter_days().take_while(|date| *date <= last).collect()
    }
}

/// What to do if history has a run of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IfTaken {
    /// It stays, and the new one is not kept.
    Keep,
    /// The new one takes its place.
    Replace,
}

/// What became of a run.
#[derive(Debug, PartialEq)]
pub(crate) enum Recorded {
    /// History has it.
    Kept(Vec<Report>),
    /// History has another run of the slot.
    Taken,
}

/// How often a run is tried against competing commits.
const CONFLICT_TRIES: u32 = 8;

/// Keeps the reports of one run, in one commit: all of them or none.
///
/// Of any number of processes that record a run of one slot, one succeeds: a commit with new rows of the slot's dates voids
/// the others', which look again.
///
/// - `finish`: completes the reports before they are kept, given the newest run before them. Called again if another commit
///   comes first.
pub(crate) async fn record(
    lake: &Lake,
    slot: &Slot,
    if_taken: IfTaken,
    reports: &[Report],
    finish: impl Fn(&mut Vec<Report>, &[Report]),
    wants_newest: bool,
) -> Result<Recorded, HistoryError> {
    with_new_plans(|| async {
        let base = lake.table(&REPORTS).load().await?;
        let taken = files_with(lake, &base, slot).await?;
        if if_taken == IfTaken::Keep && !taken.is_empty() {
            return Ok(Recorded::Taken);
        }
        let newest = match wants_newest {
            true => newest_run(lake, &base).await?,
            false => vec![],
        };
        let mut reports = reports.to_vec();
        finish(&mut reports, &newest);
        replace(lake, base, slot, taken, &reports).await?;
        Ok(Recorded::Kept(reports))
    })
    .await
}

/// Changes the newest run, where `change` says that it did.
pub(crate) async fn amend_newest(lake: &Lake, change: impl Fn(&mut Report) -> bool) -> Result<(), HistoryError> {
    with_new_plans(|| async {
        let base = lake.table(&REPORTS).load().await?;
        let mut reports = newest_run(lake, &base).await?;
        let changed = reports.iter_mut().filter_map(|report| change(report).then_some(())).count();
        let Some(at) = reports.first().map(|report| report.generated_at).filter(|_| changed > 0) else { return Ok(()) };
        let slot = Slot::exactly(at);
        let taken = files_with(lake, &base, &slot).await?;
        replace(lake, base, &slot, taken, &reports).await
    })
    .await
}

/// The newest run, if it is in history.
pub(crate) async fn newest(lake: &Lake) -> Result<Vec<Report>, HistoryError> {
    newest_run(lake, &*lake.table(&REPORTS).load().await?).await
}

/// The run of a slot; empty if history has none.
pub(crate) async fn run_of(lake: &Lake, slot: &Slot) -> Result<Vec<Report>, HistoryError> {
    let base = lake.table(&REPORTS).load().await?;
    let mut reports = Vec::new();
    for file in base.files.iter().filter(|file| slot.may_be_in(file)) {
        let found = from_rows(&read(lake, file, &all_columns()).await?, |_| true);
        reports.extend(found.into_iter().filter(|report| slot.has(report.generated_at.timestamp_micros())));
    }
    Ok(reports)
}

/// The runs between two times, each with whether all of it was made by some queries and rules.
pub(crate) async fn runs_between(
    lake: &Lake,
    times: &Range<DateTime<Utc>>,
    rules_hash: &str,
) -> Result<BTreeMap<DateTime<Utc>, bool>, HistoryError> {
    let table = lake.table(&REPORTS).load().await?;
    let within = Slot(times.clone());
    let mut runs = BTreeMap::new();
    for file in table.files.iter().filter(|file| within.may_be_in(file)) {
        for batch in read(lake, file, &["generated_at", "details"]).await? {
            // Files of earlier releases lack the column.
            let details = batch.column_by_name("details").map(|column| column.as_string::<i32>());
            for (row, at_us) in times_of(&batch).enumerate().filter(|(_, at_us)| within.has(*at_us)) {
                let details = details.filter(|details| details.is_valid(row)).map(|details| details.value(row));
                let details: Details = details.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                let at = DateTime::from_timestamp_micros(at_us).unwrap_or_default();
                *runs.entry(at).or_insert(true) &= details.rules_hash.as_deref() == Some(rules_hash);
            }
        }
    }
    Ok(runs)
}

async fn with_new_plans<T, F>(work: impl Fn() -> F) -> Result<T, HistoryError>
where
    F: Future<Output = Result<T, HistoryError>>,
{
    let mut tries = 1;
    loop {
        match work().await {
            Err(HistoryError::Lake(LakeError::Conflict { .. } | LakeError::Gone { .. })) if tries < CONFLICT_TRIES => {
                tries += 1
            }
            done => return done,
        }
    }
}

/// The files that have rows of a slot.
async fn files_with(lake: &Lake, table: &TableSnapshot, slot: &Slot) -> Result<Vec<TableFile>, HistoryError> {
    let mut found = Vec::new();
    for file in table.files.iter().filter(|file| slot.may_be_in(file)) {
        let batches = read(lake, file, &["generated_at"]).await?;
        if batches.iter().flat_map(times_of).any(|at| slot.has(at)) {
            found.push(file.clone());
        }
    }
    Ok(found)
}

/// Puts reports in the place of a slot's rows, in one commit.
///
/// - `taken`: the files that have such rows.
async fn replace(
    lake: &Lake,
    base: Arc<TableSnapshot>,
    slot: &Slot,
    taken: Vec<TableFile>,
    reports: &[Report],
) -> Result<(), HistoryError> {
    let table = lake.table(&REPORTS);
    table.require_known_columns(&base)?;
    let Some(first) = reports.first() else { return Ok(()) };
    let mut adds = Vec::new();
    let written = async {
        for file in &taken {
            adds.extend(write_without(lake, file, slot).await?);
        }
        let mut writer = TableWriter::start(&table, first.generated_at.date_naive())?;
        writer.write(&to_rows(reports)?).await?;
        adds.push(writer.finish().await?);
        Ok(())
    };
    if let Err(error) = written.await {
        table.discard(&adds).await;
        return Err(error);
    }
    let removes = taken.into_iter().map(|file| file.log_path).collect();
    let change = Change { removes, ..Change::publish(adds, vec![], slot.dates()) };
    table.commit(change, base).await?;
    Ok(())
}

/// Writes the rows of a file that are not of a slot; `None` if there are none.
async fn write_without(lake: &Lake, file: &TableFile, slot: &Slot) -> Result<Option<TableFile>, HistoryError> {
    let mut writer = None;
    for batch in read(lake, file, &all_columns()).await? {
        let stays: BooleanArray = times_of(&batch).map(|at| Some(!slot.has(at))).collect();
        let staying = filter_record_batch(&batch, &stays)?;
        if staying.num_rows() == 0 {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::start(&lake.table(&REPORTS), file.date.unwrap_or_default())?),
        };
        writer.write(&staying).await?;
    }
    match writer {
        Some(writer) => Ok(Some(writer.finish().await?)),
        None => Ok(None),
    }
}

fn times_of(batch: &RecordBatch) -> impl Iterator<Item = i64> + '_ {
    batch["generated_at"].as_primitive::<TimestampMicrosecondType>().values().iter().copied()
}

fn all_columns() -> Vec<&'static str> {
    REPORTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect()
}

async fn read(lake: &Lake, file: &TableFile, columns: &[&str]) -> Result<Vec<RecordBatch>, LakeError> {
    read_batches(lake.store(), &file.path, file.size_bytes, columns).await?.try_collect().await
}

/// The reports of the newest run. Reads as many files as may have it: one, as a rule.
async fn newest_run(lake: &Lake, table: &TableSnapshot) -> Result<Vec<Report>, HistoryError> {
    let mut newest: Vec<Report> = vec![];
    for file in newest_first(table) {
        let known = newest.first().map(|report| report.generated_at);
        if let (Some(known), Some((_, bound))) = (known, file.times_us("generated_at"))
            && known.timestamp_micros() > bound + 1_000
        {
            break;
        }
        for report in from_rows(&read(lake, file, &all_columns()).await?, |_| true) {
            match newest.first().map(|first| first.generated_at.cmp(&report.generated_at)) {
                Some(Ordering::Greater) => {}
                Some(Ordering::Equal) => newest.push(report),
                Some(Ordering::Less) | None => newest = vec![report],
            }
        }
    }
    Ok(newest)
}

fn newest_first(table: &TableSnapshot) -> Vec<&TableFile> {
    let mut files: Vec<&TableFile> = table.files.iter().collect();
    files.sort_by_key(|file| Reverse(file.times_us("generated_at").map(|(_, newest)| newest)));
    files
}

/// The newest report of a site, or of the whole lake for `None`; `None` if there is none.
///
/// Reads the newest files first and ends at the first that has it: the cost does not grow with the history.
pub async fn latest_report(lake: &Lake, site: Option<&str>) -> Result<Option<Report>, HistoryError> {
    let table = lake.table(&REPORTS).load().await?;
    let newest = |file: &TableFile| file.times_us("generated_at").map(|(_, newest)| newest);
    let mut best: Option<Report> = None;
    for file in newest_first(&table) {
        // Bounds are cut to milliseconds, so an equal one may still be newer.
        if let (Some(best), Some(newest)) = (&best, newest(file))
            && best.generated_at.timestamp_micros() > newest
        {
            break;
        }
        for report in from_rows(&read(lake, file, &all_columns()).await?, |of| of == site) {
            if best.as_ref().is_none_or(|best| best.generated_at < report.generated_at) {
                best = Some(report);
            }
        }
    }
    Ok(best)
}

/// A row of the table: a metric, its name, and the report it is in.
type Row<'a> = (&'a Report, &'a String, &'a Metric);

fn to_rows(reports: &[Report]) -> Result<RecordBatch, HistoryError> {
    // The table's order: site (the whole lake first), metric, time.
    let mut rows: Vec<Row<'_>> = reports
        .iter()
        .flat_map(|report| report.metrics.iter().map(move |(name, metric)| (report, name, metric)))
        .collect();
    rows.sort_by_key(|(report, name, _)| (report.site.as_deref(), *name, report.generated_at));
    let text =
        |of: fn(&Row<'_>) -> Option<String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let time = |of: fn(&Report) -> DateTime<Utc>| -> ArrayRef {
        let times = rows.iter().map(|(report, _, _)| of(report).timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        time(|report| report.generated_at),
        time(|report| report.complete_until),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(report, _, _)| report.lake_version))),
        text(|(report, _, _)| report.site.clone()),
        text(|(_, name, _)| Some((*name).clone())),
        text(|(_, _, metric)| metric.title.clone()),
        text(|(_, _, metric)| metric.columns.as_ref().map(to_json)),
        text(|(_, _, metric)| metric.rows.as_ref().map(to_json)),
        Arc::new(rows.iter().map(|(_, _, metric)| metric.value.as_ref().and_then(double)).collect::<Float64Array>()),
        text(|(_, _, metric)| metric.error.clone()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, _, metric)| metric.duration_ms))),
        text(|(_, _, metric)| (metric.details != Details::default()).then(|| to_json(&metric.details))),
    ];
    Ok(RecordBatch::try_new(REPORTS.file_schema.clone(), columns)?)
}

/// The number as near as a double comes; `rows` has it exactly.
fn double(number: &Json) -> Option<f64> {
    number.as_f64().or_else(|| number.as_str()?.parse().ok())
}

fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and JSON values are plain data")
}

/// The reports among rows of the sites that are `wanted`, one for each run and site.
fn from_rows(batches: &[RecordBatch], wanted: impl Fn(Option<&str>) -> bool) -> Vec<Report> {
    let mut reports: BTreeMap<(i64, Option<String>), Report> = BTreeMap::new();
    for batch in batches {
        // Files of earlier releases lack the last column.
        let text = |name: &str, row: usize| -> Option<&str> {
            let column = batch.column_by_name(name)?.as_string::<i32>();
            column.is_valid(row).then(|| column.value(row))
        };
        let integer = |name: &str, row: usize| batch[name].as_primitive::<Int64Type>().value(row);
        let time = |name: &str, row: usize| batch[name].as_primitive::<TimestampMicrosecondType>().value(row);
        for row in (0..batch.num_rows()).filter(|&row| wanted(text("site_id", row))) {
            let generated_at_us = time("generated_at", row);
            let site = text("site_id", row);
            let report = reports.entry((generated_at_us, site.map(str::to_owned))).or_insert_with(|| Report {
                generated_at: DateTime::from_timestamp_micros(generated_at_us).unwrap_or_default(),
                complete_until: DateTime::from_timestamp_micros(time("complete_until", row)).unwrap_or_default(),
                lake_version: integer("lake_version", row),
                site: site.map(str::to_owned),
                metrics: BTreeMap::new(),
            });
            let Some(name) = text("metric", row) else { continue };
            let owned = |name: &str| text(name, row).map(str::to_owned);
            let duration_ms = integer("duration_ms", row);
            let parsed = (
                text("columns", row).and_then(|json| serde_json::from_str(json).ok()),
                text("rows", row).and_then(|json| serde_json::from_str(json).ok()),
            );
            let mut metric = match parsed {
                (Some(columns), Some(rows)) => Metric::answered(owned("title"), columns, rows, duration_ms),
                _ => Metric { title: owned("title"), error: owned("error"), duration_ms, ..Metric::default() },
            };
            let details = text("details", row).and_then(|json| serde_json::from_str(json).ok());
            metric.details = details.unwrap_or_default();
            report.metrics.insert(name.to_owned(), metric);
        }
    }
    reports.into_values().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::MadeHow;

    fn report(minute: i64, site: Option<&str>, events: i64) -> Report {
        let at = DateTime::from_timestamp(1_700_000_040 + 60 * minute, 0).unwrap();
        let answered = Metric::answered(Some("Events".into()), vec!["events".into()], vec![vec![json!(events)]], 3);
        let how = MadeHow { incremental: true, files: Some(3), ..MadeHow::default() };
        let answered = Metric { details: Details { how: Some(how), ..Details::default() }, ..answered };
        let failed = Metric::failed(None, "broken.sql:1: no such table".into(), 1);
        Report {
            generated_at: at,
            complete_until: at,
            lake_version: minute,
            site: site.map(str::to_owned),
            metrics: [("events".to_owned(), answered), ("broken".to_owned(), failed)].into(),
        }
    }

    #[tokio::test]
    async fn the_newest_report_of_a_site_reads_back_as_it_was() {
        let lake = Lake::open("memory:///", []).unwrap();
        assert_eq!(latest_report(&lake, None).await.unwrap(), None);
        for minute in 0..3 {
            keep(&lake, vec![report(minute, None, 10 + minute), report(minute, Some("shop"), minute)]).await;
        }
        keep(&lake, vec![report(3, None, 99)]).await;
        assert_eq!(latest_report(&lake, None).await.unwrap(), Some(report(3, None, 99)));
        assert_eq!(latest_report(&lake, Some("shop")).await.unwrap(), Some(report(2, Some("shop"), 2)));
        assert_eq!(latest_report(&lake, Some("other")).await.unwrap(), None);
        assert_eq!(newest(&lake).await.unwrap(), [report(3, None, 99)]);
        let slot = slot(&report(1, None, 0));
        assert_eq!(run_of(&lake, &slot).await.unwrap(), [report(1, None, 11), report(1, Some("shop"), 1)]);
    }

    #[tokio::test]
    async fn a_slot_is_in_history_once() {
        let lake = Lake::open("memory:///", []).unwrap();
        let (first, other) = (report(0, None, 1), report(0, None, 2));
        assert_eq!(record_one(&lake, &first, IfTaken::Keep).await, Recorded::Kept(vec![first.clone()]));
        assert_eq!(record_one(&lake, &other, IfTaken::Keep).await, Recorded::Taken);
        // Half a minute later it is the same slot.
        let later = Report { generated_at: first.generated_at + TimeDelta::seconds(30), ..other.clone() };
        assert_eq!(record_one(&lake, &later, IfTaken::Keep).await, Recorded::Taken);
        assert_eq!(run_of(&lake, &slot(&first)).await.unwrap(), std::slice::from_ref(&first));
        assert_eq!(record_one(&lake, &later, IfTaken::Replace).await, Recorded::Kept(vec![later.clone()]));
        assert_eq!(run_of(&lake, &slot(&first)).await.unwrap(), [later]);
        // Beside runs of other slots in one file.
        keep(&lake, vec![report(1, None, 7)]).await;
        assert_eq!(lake.table(&REPORTS).load().await.unwrap().files.len(), 2);
    }

    #[tokio::test]
    async fn of_two_processes_one_keeps_its_run() {
        let lake = Lake::open("memory:///", []).unwrap();
        for minute in 0..5 {
            let (a, b) = (report(minute, None, 1), report(minute, None, 2));
            let both = tokio::join!(record_one(&lake, &a, IfTaken::Keep), record_one(&lake, &b, IfTaken::Keep));
            assert!(
                matches!(both, (Recorded::Kept(_), Recorded::Taken) | (Recorded::Taken, Recorded::Kept(_))),
                "{both:?}"
            );
            assert_eq!(run_of(&lake, &slot(&a)).await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn the_other_runs_of_a_file_stay_when_one_is_replaced() {
        let lake = Lake::open("memory:///", []).unwrap();
        // Two runs in one file, as a merge leaves them.
        let both = [report(0, None, 1), report(1, None, 2)];
        let whole = Slot(both[0].generated_at..both[1].generated_at + TimeDelta::minutes(1));
        record(&lake, &whole, IfTaken::Keep, &both, |_, _| {}, false).await.unwrap();
        let another = report(1, None, 3);
        record_one(&lake, &another, IfTaken::Replace).await;
        assert_eq!(run_of(&lake, &whole).await.unwrap().len(), 2);
        assert_eq!(run_of(&lake, &slot(&another)).await.unwrap(), [another]);
        assert_eq!(run_of(&lake, &slot(&both[0])).await.unwrap(), both[..1]);
    }

    fn slot(report: &Report) -> Slot {
        Slot::of(&"0 * * * * *".parse().unwrap(), report.generated_at)
    }

    async fn record_one(lake: &Lake, report: &Report, if_taken: IfTaken) -> Recorded {
        record(lake, &slot(report), if_taken, std::slice::from_ref(report), |_, _| {}, false).await.unwrap()
    }

    async fn keep(lake: &Lake, reports: Vec<Report>) {
        let kept = record(lake, &slot(&reports[0]), IfTaken::Keep, &reports, |_, _| {}, false).await.unwrap();
        assert_eq!(kept, Recorded::Kept(reports));
    }
}
