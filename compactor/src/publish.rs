//! Publishing: turns raw files into sorted files of the table `events`, each event once.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lake::{Change, DamagedFile, EVENTS, Lake, LakeError, PendingSurvey, RawFile, TableFile, TableWriter, on_own_task};

use crate::plan::{PublishPlan, plan_publish};
use crate::removal::require_listed;
use crate::sort::{FileRows, sort};
use crate::work::WorkError;

/// What a publish added to the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Raw files consumed.
    pub raw_files: usize,
    /// Rows in them.
    pub rows_consumed: u64,
    /// Rows added to the table.
    pub rows_published: u64,
    /// Files added.
    pub files_added: usize,
    /// Bytes added.
    pub bytes_added: u64,
}

impl Published {
    /// Rows left out because they were copies.
    pub fn duplicates(&self) -> u64 {
        self.rows_consumed - self.rows_published
    }
}

/// What one commit of a publish did.
pub(crate) struct PublishCommit {
    pub(crate) published: Published,
    /// Whether more raw files were ready when it was planned than one commit takes.
    pub(crate) more_ready: bool,
}

/// Publishes pending raw files in one commit; `None` if none is ready.
///
/// The rows are written to new files first. Only the commit makes those part of the table, and it also moves the
/// watermarks of their lanes.
pub(crate) async fn publish_next(
    lake: &Lake,
    raw_bytes_max: u64,
    file_bytes_max: u64,
    now: DateTime<Utc>,
) -> Result<Option<PublishCommit>, WorkError> {
    let snapshot = lake.snapshot().await?;
    let PublishPlan { files, lanes, more_ready } = plan_publish(&snapshot.pending, &snapshot.watermarks, raw_bytes_max);
    if files.is_empty() {
        return Ok(None);
    }
    let table = lake.table(&EVENTS);
    table.require_known_columns(&snapshot.events)?;
    let survey_pending =
        async |files: &[RawFile]| Ok::<_, LakeError>(Arc::new(lake.survey_pending(files, &snapshot.events).await?));
    let mut duplicates = survey_pending(&files).await?;
    if let Some(column) = &duplicates.unknown_column {
        let reason = format!(
            "a collector of a later release writes the column {column}, which this compactor does not know: update the \
             compactor; the events wait until then"
        );
        return Err(LakeError::Unusable { reason }.into());
    }
    if !duplicates.erased.is_empty() {
        let erasures = lake.erasures_of(&snapshot.events).await?;
        require_listed(lake, duplicates.erased.iter().cloned(), &erasures, now).await?;
    }
    let run_bytes = raw_bytes_max / RUNS_PER_COMMIT;
    let mut damaged = duplicates.damaged.clone();
    // Damage outside the key columns shows only here, and the Parquet decoder may panic on it.
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
            duplicates = survey_pending(&readable).await?;
            // The search for duplicates may find further damage and leave those files out: keep their bytes as well.
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
        metrics::counter!("dewpond_compactor_raw_files_damaged_total").increment(1);
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
    Ok(Some(PublishCommit { published, more_ready }))
}

/// About how many runs a commit's files are sorted in. Raw files are several times larger once decoded, so a run must be
/// much smaller than a commit.
const RUNS_PER_COMMIT: u64 = 8;

/// Decoded rows usually take about this many times their stored size. A file that compresses better than this counts as
/// larger than it is, because a run of such files would not fit into memory.
const DECODED_PER_RAW_BYTE: u64 = 8;

/// How many runs are sorted and written at the same time.
const CONCURRENT_RUNS: usize = 2;

/// How many files of a run are open at the same time.
const OPEN_FILES_MAX: usize = 8;

/// How many rows are encoded at a time.
const CHUNK_ROWS: usize = 16 * 1_024;

/// Writes the rows of raw files in the table's order, without copies.
async fn write_sorted(
    lake: &Lake,
    files: &[RawFile],
    duplicates: &Arc<PendingSurvey>,
    run_bytes: u64,
    file_bytes_max: u64,
) -> Result<Vec<TableFile>, WorkError> {
    let weight = |file: &RawFile| {
        let decoded_bytes = duplicates.decoded_bytes.get(&file.path).copied().unwrap_or(0);
        file.size_bytes.max(decoded_bytes / DECODED_PER_RAW_BYTE)
    };
    let mut runs = split(DamagedFile::leave_out(&duplicates.damaged, files), weight, run_bytes);
    if runs.len() < 2 {
        // Nearly all publishes have one run, which needs no task of its own.
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

/// Splits files into runs of about equal weight. The files stay in order of arrival, so that each run spans little time.
fn split(files: Vec<RawFile>, weight: impl Fn(&RawFile) -> u64, run_bytes: u64) -> Vec<Vec<RawFile>> {
    let total = files.iter().map(&weight).fold(0, u64::saturating_add);
    let mut count = total.div_ceil(run_bytes.max(1)).min(files.len() as u64).max(1);
    if count > 1 {
        // An even number of runs, so that none is written alone.
        count = count.next_multiple_of(CONCURRENT_RUNS as u64);
    }
    let mut runs: Vec<Vec<RawFile>> = Vec::new();
    let mut before: u64 = 0;
    for file in files {
        let number = u128::from(before) * u128::from(count) / u128::from(total.max(1));
        before = before.saturating_add(weight(&file));
        if runs.is_empty() || runs.len() as u128 <= number {
            runs.push(vec![]);
        }
        runs.last_mut().expect("there is one").push(file);
    }
    runs
}

async fn write_run(
    lake: Lake,
    files: Vec<RawFile>,
    duplicates: Arc<PendingSurvey>,
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
                none => none.insert(TableWriter::start(&lake.table(&EVENTS), group.date)?),
            };
            writer.write(&sorted.take(numbers)?).await?;
        }
        if let Some(writer) = writer {
            written.push(writer.finish().await?);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use lake::LaneId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn runs_are_of_about_one_weight_and_in_the_order_of_arrival() {
        check("a=3 b=3 c=3 d=3", 12, "abcd");
        check("a=3 b=3 c=3 d=3", 6, "ab cd");
        // An even number, so that none is written alone.
        check("a=3 b=3 c=3 d=3", 4, "a b c d");
        check("a=1 b=1 c=90 d=1 e=1 f=6", 50, "abc def");
    }

    #[test]
    fn a_file_of_any_weight_is_in_some_run() {
        check("a=18446744073709551615 b=18446744073709551615 c=1", 10, "a b c");
        check("a=0 b=0", 0, "ab");
    }

    /// Divides files written as `name=weight`; compares with the names in each run.
    #[track_caller]
    fn check(files: &str, run_bytes: u64, expected: &str) {
        let files: Vec<RawFile> = files.split_whitespace().map(file).collect();
        let weight = |file: &RawFile| file.path.extension().unwrap().parse().unwrap();
        let runs = split(files, weight, run_bytes);
        let names = |run: &Vec<RawFile>| run.iter().map(|file| &file.path.as_ref()[..1]).collect::<String>();
        assert_eq!(runs.iter().map(names).collect::<Vec<_>>().join(" "), expected);
    }

    fn file(text: &str) -> RawFile {
        RawFile {
            path: text.replace('=', ".").into(),
            lane: LaneId(Uuid::nil()),
            seq: 1,
            size_bytes: 0,
            modified_at: DateTime::UNIX_EPOCH,
        }
    }
}
