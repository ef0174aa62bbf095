//! Publishing: raw files in, deduplicated, sorted files of the table `events` out.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lake::{Change, DamagedFile, Duplicates, EVENTS, Lake, LakeError, RawFile, TableFile, TableWriter, on_own_task};

use crate::compactor::WorkError;
use crate::plan::{PublishPlan, plan_publish};
use crate::removal::require_listed;
use crate::sort::{FileRows, sort};

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

/// Publishes some of what is pending, and says whether more was when it began; `None` if nothing was.
///
/// Files are written aside; only the commit makes them part of the table, together with the lanes they came from.
pub(crate) async fn publish_some(
    lake: &Lake,
    raw_bytes_max: u64,
    file_bytes_max: u64,
    now: DateTime<Utc>,
) -> Result<Option<(Published, bool)>, WorkError> {
    let snapshot = lake.snapshot().await?;
    let PublishPlan { files, lanes, leaves_some } =
        plan_publish(&snapshot.pending, &snapshot.watermarks, raw_bytes_max);
    if files.is_empty() {
        return Ok(None);
    }
    let table = lake.table(&EVENTS);
    table.require_known_columns(&snapshot.events)?;
    let find_duplicates =
        async |files: &[RawFile]| Ok::<_, LakeError>(Arc::new(lake.find_duplicates(files, &snapshot.events).await?));
    let mut duplicates = find_duplicates(&files).await?;
    if let Some(column) = &duplicates.unknown_column {
        let reason = format!(
            "a collector of a later release writes a column {column}, which this compactor would lose: update the \
             compactor; nothing is lost meanwhile"
        );
        return Err(LakeError::Refused { reason }.into());
    }
    if !duplicates.erased.is_empty() {
        let erasures = lake.erasures_of(&snapshot.events).await?;
        require_listed(lake, duplicates.erased.iter().cloned(), &erasures, now).await?;
    }
    let run_bytes = raw_bytes_max / RUNS_PER_COMMIT;
    let mut damaged = duplicates.damaged.clone();
    // The Parquet decoder may panic over damage that the keys do not show.
    let written =
        AssertUnwindSafe(write_sorted(lake, &files, &duplicates, run_bytes, file_bytes_max)).catch_unwind().await;
    let adds = match written {
        Ok(Ok(adds)) => adds,
        Ok(Err(error)) if error.wants_new_plan() => return Err(error),
        failed => {
            damaged = lake.find_damaged(&files).await?;
            if damaged.is_empty() {
                return failed.unwrap_or_else(|panic| resume_unwind(panic)).map(|_| None);
            }
            let readable = DamagedFile::leave_out(&damaged, &files);
            duplicates = find_duplicates(&readable).await?;
            // What only the search for duplicates could not read is left out, too: its bytes must be kept.
            for found in &duplicates.damaged {
                if !damaged.contains(found) {
                    damaged.push(found.clone());
                }
            }
            write_sorted(lake, &readable, &duplicates, run_bytes, file_bytes_max).await?
        }
    };
    for damaged in &damaged {
        if let Err(error) = lake.put_aside(damaged).await {
            table.discard(&adds).await;
            return Err(error.into());
        }
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
    table.commit(change, snapshot.events).await?;
    Ok(Some((published, leaves_some)))
}

/// A commit's files are sorted in about so many runs: decoded, raw files are several times as large.
const RUNS_PER_COMMIT: u64 = 8;

/// Runs that are sorted and written at the same time.
const CONCURRENT_RUNS: usize = 2;

/// Files of a run that are opened at the same time.
const OPEN_FILES_MAX: usize = 8;

/// Rows that are encoded at a time.
const CHUNK_ROWS: usize = 16 * 1_024;

/// Writes the rows of raw files, each event once and none that the table has, in the table's order.
async fn write_sorted(
    lake: &Lake,
    files: &[RawFile],
    duplicates: &Arc<Duplicates>,
    run_bytes: u64,
    file_bytes_max: u64,
) -> Result<Vec<TableFile>, WorkError> {
    let mut runs = split(DamagedFile::leave_out(&duplicates.damaged, files), run_bytes);
    if runs.len() < 2 {
        // On this task: it is what nearly all publishes do.
        return write_run(lake.clone(), runs.pop().unwrap_or_default(), duplicates.clone(), file_bytes_max).await;
    }
    let writes =
        runs.into_iter().map(|files| on_own_task(write_run(lake.clone(), files, duplicates.clone(), file_bytes_max)));
    let written: Vec<_> = stream::iter(writes).buffer_unordered(CONCURRENT_RUNS).collect().await;
    let (mut adds, mut failed) = (Vec::new(), None);
    for run in written {
        match run {
            Ok(files) => adds.extend(files),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None => Ok(adds),
        Some(error) => {
            lake.table(&EVENTS).discard(&adds).await;
            Err(error)
        }
    }
}

/// Divides files, in the order in which they came, into runs of about one size, so that the files that runs become span
/// little time.
fn split(files: Vec<RawFile>, run_bytes: u64) -> Vec<Vec<RawFile>> {
    let total: u64 = files.iter().map(|file| file.size_bytes).sum();
    let mut count = total.div_ceil(run_bytes.max(1)).max(1);
    if count > 1 {
        // So that none is left to be written alone.
        count = count.next_multiple_of(CONCURRENT_RUNS as u64);
    }
    let mut runs: Vec<Vec<RawFile>> = Vec::new();
    let mut before = 0;
    for file in files {
        let number = before * count / total.max(1);
        before += file.size_bytes;
        if runs.is_empty() || runs.len() as u64 <= number {
            runs.push(vec![]);
        }
        runs.last_mut().expect("there is one").push(file);
    }
    runs
}

async fn write_run(
    lake: Lake,
    files: Vec<RawFile>,
    duplicates: Arc<Duplicates>,
    file_bytes_max: u64,
) -> Result<Vec<TableFile>, WorkError> {
    let reads = files.into_iter().map(|file| {
        let lake = lake.clone();
        async move {
            let batches = lake.read_raw_rows(&file).await?;
            Ok::<_, WorkError>(FileRows { file, batches })
        }
    });
    let rows: Vec<FileRows> = stream::iter(reads).buffered(OPEN_FILES_MAX).try_collect().await?;
    if rows.iter().all(|file| file.batches.is_empty()) {
        return Ok(vec![]);
    }
    let sorted = lake.run_aside(move || sort(rows, &duplicates)).await.map_err(|_| WorkError::Stopped)??;
    let mut written = Vec::new();
    for (group, numbers) in &sorted.groups {
        let mut writer: Option<TableWriter> = None;
        for numbers in numbers.chunks(CHUNK_ROWS) {
            if let Some(full) = writer.take_if(|writer| writer.size_bytes() >= file_bytes_max) {
                written.push(full.finish().await?);
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(TableWriter::start(&lake, &EVENTS, group.date)?),
            };
            writer.write(&sorted.take(numbers)?).await?;
        }
        if let Some(writer) = writer {
            written.push(writer.finish().await?);
        }
    }
    Ok(written)
}
