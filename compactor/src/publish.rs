//! Publishing: raw files in, deduplicated, sorted files of the table `events` out.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use chrono::NaiveDate;
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, not, partition};
use datafusion::arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use datafusion::logical_expr::col;
use engine::{Engine, PendingEvents};
use futures::{FutureExt, TryStreamExt};
use lake::{CLIENT_TIMED_SLACK, Change, Duplicates, EVENTS, Lake, LakeError, RawFile, TableFile, TableWriter};

use crate::compactor::WorkError;
use crate::plan::{PublishPlan, plan_publish};

/// What a publish brought into the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Raw files consumed.
    pub raw_files: usize,
    /// Rows in them.
    pub rows_consumed: u64,
    /// Rows that are now in the table.
    pub rows_published: u64,
    /// Files added.
    pub files_added: usize,
    /// Bytes added.
    pub bytes_added: u64,
}

impl Published {
    /// Rows that were copies of others.
    pub fn duplicates(&self) -> u64 {
        self.rows_consumed - self.rows_published
    }
}

/// Publishes some of what is pending; `None` if nothing is.
///
/// The sort runs within the engine's memory limit and spills. Files are written aside; only the commit makes
/// them part of the table, together with the lanes they came from.
pub(crate) async fn publish_some(
    engine: &Engine,
    raw_bytes_max: u64,
    file_bytes_max: u64,
) -> Result<Option<Published>, WorkError> {
    let lake = engine.lake();
    let snapshot = lake.snapshot().await?;
    let PublishPlan { files, lanes } = plan_publish(&snapshot.pending, &snapshot.watermarks, raw_bytes_max);
    if files.is_empty() {
        return Ok(None);
    }
    let taken: HashSet<_> = files.iter().map(|file| &file.path).collect();
    let rest: Vec<RawFile> = snapshot.pending.iter().filter(|file| !taken.contains(&file.path)).cloned().collect();
    let earlier_copies = match rest.is_empty() {
        true => vec![],
        false => lake.find_earlier_copies(&files, &rest).await?,
    };
    let find_duplicates = async |files: &[RawFile]| {
        let mut found = lake.find_duplicates(files, &snapshot.events).await?;
        found.keys.extend(earlier_copies.iter().cloned());
        Ok::<_, LakeError>(Arc::new(found))
    };
    let mut duplicates = find_duplicates(&files).await?;
    if let Some(column) = &duplicates.unknown_column {
        let reason = format!(
            "a collector of a later release writes a column {column}, which this compactor would lose: update the \
             compactor; nothing is lost meanwhile"
        );
        return Err(LakeError::Refused { reason }.into());
    }
    let mut damaged = duplicates.damaged.clone();
    // The Parquet decoder may panic over damage that the keys do not show.
    let written = AssertUnwindSafe(write_sorted(engine, &files, &duplicates, file_bytes_max)).catch_unwind().await;
    let adds = match written {
        Ok(Ok(adds)) => adds,
        Ok(Err(error)) if error.wants_new_plan() => return Err(error),
        failed => {
            damaged = lake.find_damaged(&files).await?;
            if damaged.is_empty() {
                return failed.unwrap_or_else(|panic| resume_unwind(panic)).map(|_| None);
            }
            let readable: Vec<RawFile> =
                files.iter().filter(|file| !damaged.iter().any(|damaged| damaged.file == **file)).cloned().collect();
            duplicates = find_duplicates(&readable).await?;
            write_sorted(engine, &readable, &duplicates, file_bytes_max).await?
        }
    };
    for damaged in &damaged {
        lake.put_aside(damaged).await?;
        metrics::counter!("compactor_raw_files_damaged_total").increment(1);
    }
    let published = Published {
        raw_files: files.len(),
        rows_consumed: duplicates.rows,
        rows_published: adds.iter().map(|file| file.rows).sum(),
        files_added: adds.len(),
        bytes_added: adds.iter().map(|file| file.size_bytes).sum(),
    };
    let read_dates = duplicates.read_dates.clone();
    let change = Change::publish(adds, lanes, read_dates);
    lake.table(&EVENTS).commit(change, snapshot.events).await?;
    Ok(Some(published))
}

/// Writes the rows of raw files, each event once and none that the table has, in the table's order.
async fn write_sorted(
    engine: &Engine,
    files: &[RawFile],
    duplicates: &Arc<Duplicates>,
    file_bytes_max: u64,
) -> Result<Vec<TableFile>, WorkError> {
    let pending = PendingEvents::new(files, duplicates);
    let order = ["date"].iter().chain(EVENTS.sort).map(|name| col(*name).sort(true, true)).collect();
    let mut rows = engine.pending_rows(&pending)?.sort(order)?.execute_stream().await?;
    let mut writer =
        DateWriter { lake: engine.lake(), file_bytes_max, date: None, fresh: None, late: None, done: vec![] };
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch).await?;
    }
    writer.finish().await
}

/// Writes rows in order of date to two files a date, or more if they grow beyond `file_bytes_max`: one of the
/// events that happened just before they came, one of those that came late. A single late event would make a file
/// span the day, and every publish after it would have to look for duplicates there.
struct DateWriter<'a> {
    lake: &'a Lake,
    file_bytes_max: u64,
    date: Option<NaiveDate>,
    fresh: Option<TableWriter>,
    late: Option<TableWriter>,
    done: Vec<TableFile>,
}

impl DateWriter<'_> {
    async fn write(&mut self, batch: &RecordBatch) -> Result<(), WorkError> {
        let dates = &batch["date"];
        for rows in partition(std::slice::from_ref(dates))?.ranges() {
            let date = dates.as_primitive::<Date32Type>().value_as_date(rows.start).ok_or_else(|| {
                WorkError::Lake(LakeError::Refused { reason: "an event lies outside the calendar".into() })
            })?;
            if self.date != Some(date) {
                self.close().await?;
                self.date = Some(date);
            }
            let rows = batch.slice(rows.start, rows.len());
            let late = came_late(&rows);
            let (fresh_rows, late_rows) =
                (filter_record_batch(&rows, &not(&late)?)?, filter_record_batch(&rows, &late)?);
            for (writer, rows) in [(&mut self.fresh, fresh_rows), (&mut self.late, late_rows)] {
                if rows.num_rows() == 0 {
                    continue;
                }
                if let Some(full) = writer.take_if(|writer| writer.size_bytes() >= self.file_bytes_max) {
                    self.done.push(full.finish().await?);
                }
                let writer = match writer {
                    Some(writer) => writer,
                    none => none.insert(TableWriter::start(self.lake, &EVENTS, date)?),
                };
                writer.write(&rows).await?;
            }
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), WorkError> {
        for writer in [self.fresh.take(), self.late.take()].into_iter().flatten() {
            self.done.push(writer.finish().await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<TableFile>, WorkError> {
        self.close().await?;
        Ok(self.done)
    }
}

/// Which events happened longer before they came than a copy's time may differ.
fn came_late(rows: &RecordBatch) -> BooleanArray {
    let time = |name: &str| rows[name].as_primitive::<TimestampMicrosecondType>();
    let slack_us = CLIENT_TIMED_SLACK.as_micros() as i64;
    let late = |(occurred, received): (&i64, &i64)| Some(received.saturating_sub(*occurred) > slack_us);
    time("occurred_at").values().iter().zip(time("received_at").values()).map(late).collect()
}
