//! The table `sessions` in the lake: sessions of days that are over, for engines that cannot make them.
//!
//! It holds what SQL's table of that name says of them, which is made of the events at each query and has all days. A day
//! is over once late events of it are hardly to be expected. Should there be some after all, or should a session change for
//! another reason (somebody signed in, a setting of the site, retention), the next day's pass finds the difference: every
//! pass makes all sessions, and writes a file only for days whose rows are not the ones that are there.
//!
//! Passes are in a row. Each sets the lane [`PASSES`] of the table, so of two that were planned on one version the second is
//! void. That is what makes an erasure sure: it makes a pass over a view without the person, and from its commit on no pass
//! of an older view gets in.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches, partition};
use arrow::datatypes::{Date32Type, SchemaRef};
use chrono::{DateTime, Days, NaiveDate, Utc};
use engine::{Engine, Param, Scope};
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lake::{
    Change, CommitKind, EVENTS, Lake, LakeError, LaneId, SESSIONS, Table, TableFile, TableSnapshot, TableWriter,
    read_batches,
};
use uuid::Uuid;

use crate::work::{WorkError, with_new_plans};

/// The lane that every pass sets, to a number larger than the last: the time when it began, in seconds since the epoch.
const PASSES: LaneId = LaneId(Uuid::from_u128(0x6465_7770_6f6e_6400_7365_7373_696f_6e73));

/// How many days after its end a day is over: collectors take events that are up to 72 hours late, and a session that began
/// on it goes on for a day at most.
const OVER_AFTER_DAYS: u64 = 4;

/// The rows in the order of the files.
const SQL: &str = "SELECT * FROM sessions WHERE date < $until ORDER BY date, site_id NULLS FIRST, visitor_id NULLS FIRST, \
                   started_at NULLS FIRST, session_id NULLS FIRST";

/// What a pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionsKept {
    /// Days whose sessions the table has now.
    pub days: usize,
    /// Days that were written, because their sessions were not there or were others.
    pub days_written: usize,
    /// Rows written.
    pub rows_written: u64,
}

/// The first day that is not over: the table `sessions` ends before it.
pub fn first_open_day(now: DateTime<Utc>) -> NaiveDate {
    now.date_naive().checked_sub_days(Days::new(OVER_AFTER_DAYS)).unwrap_or(NaiveDate::MIN)
}

/// Makes a pass if there has been none since another day was over.
pub(crate) async fn keep_sessions_of_today(
    engine: &Engine,
    now: DateTime<Utc>,
) -> Result<Option<SessionsKept>, WorkError> {
    let table = engine.lake().table(&SESSIONS);
    let last = last_pass(&table.load().await?).await?;
    let last = DateTime::from_timestamp(i64::try_from(last).unwrap_or(0), 0).unwrap_or_default();
    if first_open_day(last) >= first_open_day(now) || engine.lake().table(&EVENTS).load().await?.files.is_empty() {
        return Ok(None);
    }
    keep_sessions(engine, now).await.map(Some)
}

/// Makes a pass if the table is there, so that it has nobody who was erased before.
pub(crate) async fn leave_out_erased(engine: &Engine, now: DateTime<Utc>) -> Result<(), WorkError> {
    // Whoever makes the table does so before his first view, which then has nobody who was erased before now.
    if engine.lake().table(&SESSIONS).load().await?.version.is_some() {
        keep_sessions(engine, now).await?;
    }
    Ok(())
}

/// Makes the sessions of all days that are over, and writes those that the table does not have as they are.
pub(crate) async fn keep_sessions(engine: &Engine, now: DateTime<Utc>) -> Result<SessionsKept, WorkError> {
    let table = engine.lake().table(&SESSIONS);
    let found = table.load().await?;
    if found.version.is_none() {
        // The table is there before the view is made: see `leave_out_erased`.
        match table.commit(pass(1, vec![], vec![]), found).await {
            Ok(_) | Err(LakeError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    with_new_plans(|| pass_over(engine, &table, now)).await
}

async fn pass_over(engine: &Engine, table: &Arc<Table>, now: DateTime<Utc>) -> Result<SessionsKept, WorkError> {
    let base = table.load().await?;
    table.require_known_columns(&base)?;
    let number = (last_pass(&base).await? + 1).max(u64::try_from(now.timestamp()).unwrap_or(0));
    let mut writing = Writing::new(engine.lake(), table.clone(), &base);
    match write_days(engine, &mut writing, first_open_day(now)).await {
        Ok(days) => {
            let rows_written = writing.adds.iter().map(|file| file.rows).sum();
            let kept = SessionsKept { days, days_written: writing.adds.len(), rows_written };
            // What nobody made again is of days without sessions now.
            let removes = writing.removes.into_iter().chain(writing.live.into_values().flatten());
            table.commit(pass(number, writing.adds, removes.map(|file| file.log_path).collect()), base).await?;
            Ok(kept)
        }
        Err(error) => {
            table.discard(&writing.adds).await;
            Err(error)
        }
    }
}

/// A commit that nothing but one other pass makes void.
fn pass(number: u64, adds: Vec<TableFile>, removes: Vec<String>) -> Change {
    let lanes = vec![(PASSES, number)];
    Change { kind: CommitKind::Publish, adds, removes, lanes, read_dates: Default::default(), erasures: None }
}

/// The number of the last pass; 0 if there was none.
async fn last_pass(table: &Arc<TableSnapshot>) -> Result<u64, LakeError> {
    Ok(table.consumed(vec![PASSES]).await?.first().map_or(0, |(_, number)| *number))
}

/// Returns how many days there are.
async fn write_days(engine: &Engine, writing: &mut Writing, until: NaiveDate) -> Result<usize, WorkError> {
    let session = engine.view().await?.session(&Scope::Lake)?;
    let mut rows = session.stream(SQL, &[("until".to_owned(), Param::Date(until))]).await?;
    let (mut days, mut current) = (0, None::<Day>);
    while let Some(batch) = rows.try_next().await? {
        let dates = batch["date"].clone();
        let plain = as_in_files(&batch)?;
        for range in partition(std::slice::from_ref(&dates))?.ranges() {
            let date = dates.as_primitive::<Date32Type>().value_as_date(range.start).unwrap_or_default();
            let part = plain.slice(range.start, range.len());
            let day = match current.take_if(|day| day.date == date) {
                Some(day) => day,
                None => {
                    if let Some(ended) = current.take() {
                        ended.end(writing).await?;
                    }
                    days += 1;
                    Day::begin(date, writing).await?
                }
            };
            current = Some(day.take(part, writing).await?);
        }
    }
    if let Some(ended) = current {
        ended.end(writing).await?;
    }
    Ok(days)
}

/// The rows with the columns of the table's files.
fn as_in_files(batch: &RecordBatch) -> Result<RecordBatch, WorkError> {
    let columns =
        SESSIONS.file_schema.fields().iter().map(|field| cast(&batch[field.name().as_str()], field.data_type()));
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
    Ok(RecordBatch::try_new(SESSIONS.file_schema.clone(), columns)?)
}

/// The files that a pass replaces and adds.
struct Writing {
    lake: Lake,
    table: Arc<Table>,
    /// The files of days that the pass has not come to.
    live: HashMap<Option<NaiveDate>, Vec<TableFile>>,
    adds: Vec<TableFile>,
    removes: Vec<TableFile>,
}

impl Writing {
    fn new(lake: &Lake, table: Arc<Table>, base: &TableSnapshot) -> Self {
        let mut live: HashMap<Option<NaiveDate>, Vec<TableFile>> = HashMap::new();
        for file in &base.files {
            live.entry(file.date).or_default().push(file.clone());
        }
        Self { lake: lake.clone(), table, live, adds: vec![], removes: vec![] }
    }
}

/// One day's sessions as they come, beside those that the table has of it.
struct Day {
    date: NaiveDate,
    rows: Rows,
}

enum Rows {
    /// As many as came are the same as those of the file.
    Same { file: TableFile, count: usize, rest: LiveRows },
    /// They are others, or the table has none of them.
    Other(Box<TableWriter>),
}

impl Day {
    async fn begin(date: NaiveDate, writing: &mut Writing) -> Result<Self, WorkError> {
        let mut live = writing.live.remove(&Some(date)).unwrap_or_default();
        if let [file] = &live[..]
            && let Some(rest) = unless_damaged(LiveRows::of(&writing.lake, file).await)?
        {
            return Ok(Self { date, rows: Rows::Same { file: file.clone(), count: 0, rest } });
        }
        writing.removes.append(&mut live);
        Ok(Self { date, rows: Rows::Other(Box::new(TableWriter::start(&writing.table, date)?)) })
    }

    async fn take(self, batch: RecordBatch, writing: &mut Writing) -> Result<Self, WorkError> {
        let date = self.date;
        let rows = match self.rows {
            Rows::Other(mut writer) => {
                writer.write(&batch).await?;
                Rows::Other(writer)
            }
            Rows::Same { file, count, mut rest } => {
                match unless_damaged(rest.next(batch.num_rows()).await)?.flatten() {
                    Some(theirs) if theirs.columns() == batch.columns() => {
                        Rows::Same { file, count: count + batch.num_rows(), rest }
                    }
                    _ => {
                        let mut writer = begin_other(date, file, count, writing).await?;
                        writer.write(&batch).await?;
                        Rows::Other(Box::new(writer))
                    }
                }
            }
        };
        Ok(Self { date, rows })
    }

    async fn end(self, writing: &mut Writing) -> Result<(), WorkError> {
        let writer = match self.rows {
            Rows::Other(writer) => *writer,
            Rows::Same { file, count, mut rest } => match rest.next(1).await? {
                None => return Ok(()),
                Some(_) => begin_other(self.date, file, count, writing).await?,
            },
        };
        writing.adds.push(writer.finish().await?);
        Ok(())
    }
}

/// Begins a file that takes the place of one, with its first rows.
async fn begin_other(
    date: NaiveDate,
    file: TableFile,
    count: usize,
    writing: &mut Writing,
) -> Result<TableWriter, WorkError> {
    let mut writer = TableWriter::start(&writing.table, date)?;
    let (mut same, mut left) = (LiveRows::of(&writing.lake, &file).await?, count);
    while left > 0 {
        let Some(rows) = same.next(left.min(ROWS_COPIED)).await? else { break };
        left -= rows.num_rows();
        writer.write(&rows).await?;
    }
    writing.removes.push(file);
    Ok(writer)
}

/// What was read of a file of the table; `None` if it is damaged, and is made again.
fn unless_damaged<T>(read: Result<T, LakeError>) -> Result<Option<T>, LakeError> {
    match read {
        Err(LakeError::Corrupt { .. }) => Ok(None),
        read => read.map(Some),
    }
}

/// Rows that are copied at a time.
const ROWS_COPIED: usize = 8_192;

/// The rows of a file, in pieces of any length.
struct LiveRows {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, LakeError>>,
    begun: Option<RecordBatch>,
}

impl LiveRows {
    async fn of(lake: &Lake, file: &TableFile) -> Result<Self, LakeError> {
        let columns: Vec<&str> = SESSIONS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
        let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
        Ok(Self { schema: SESSIONS.file_schema.clone(), batches: Box::pin(batches), begun: None })
    }

    /// The next rows; `None` if there are not as many.
    async fn next(&mut self, count: usize) -> Result<Option<RecordBatch>, LakeError> {
        let (mut pieces, mut left) = (Vec::new(), count);
        while left > 0 {
            let batch = match self.begun.take() {
                Some(batch) => batch,
                None => match self.batches.try_next().await? {
                    Some(batch) => batch,
                    None => return Ok(None),
                },
            };
            let taken = left.min(batch.num_rows());
            if taken < batch.num_rows() {
                self.begun = Some(batch.slice(taken, batch.num_rows() - taken));
            }
            left -= taken;
            pieces.push(batch.slice(0, taken));
        }
        Ok(Some(concat_batches(&self.schema, &pieces).expect("the pieces have the schema of the table")))
    }
}

#[cfg(test)]
mod tests {
    use engine::EngineSettings;

    use super::*;

    #[test]
    fn a_day_is_over_when_late_events_of_its_sessions_have_come() {
        let first_open_day = |now: &str| first_open_day(now.parse().unwrap()).to_string();
        assert_eq!(first_open_day("2026-03-09T00:00:00Z"), "2026-03-05");
        assert_eq!(first_open_day("2026-03-09T23:59:59Z"), "2026-03-05");
    }

    #[tokio::test]
    async fn of_two_passes_that_were_planned_together_the_second_is_void() {
        let lake = Lake::open("memory:///", []).unwrap();
        let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
        let now = "2026-03-09T00:00:00Z".parse().unwrap();
        // Without a table there is nothing that an erased person could be in.
        leave_out_erased(&engine, now).await.unwrap();
        let table = lake.table(&SESSIONS);
        assert_eq!(table.load().await.unwrap().version, None);
        keep_sessions(&engine, now).await.unwrap();
        let base = table.load().await.unwrap();
        leave_out_erased(&engine, now).await.unwrap();
        let number = last_pass(&table.load().await.unwrap()).await.unwrap();
        assert!(number > last_pass(&base).await.unwrap());
        let late = table.commit(pass(number + 1, vec![], vec![]), base).await.unwrap_err();
        assert!(matches!(late, LakeError::Conflict { .. }), "{late}");
    }
}
