//! The survey of pending files: which of their rows are left out, because they are copies or were erased.
//!
//! Queries and publishes both use the same survey, so a publish cannot change an answer.
//!
//! An event is a copy of one with the same site and id that came before it and lies within reach of its time; [`times`]
//! defines the reach. Pending rows are decided one after the other in the order in which they came, as if all rows
//! before them were published: a row is left out if it is a copy of a row in the table, or of a pending row that stays.
//! Each row is judged by its own time, never by what else its file holds. So which rows count depends neither on how
//! many files a publish takes nor on what a merge joins, even if clients use an id again. There are two exceptions.
//! Once somebody erased an id, no pending row with that id stays. And if a listing missed a file that came within the
//! same second, publishes may take files in another order, which can change the outcome for reused ids. Copies as
//! clients send them all reach each other and count once in any order.
//!
//! How the search goes:
//!
//! 1. [`pending`] reads the keys and times of all pending rows into plain lists.
//! 2. [`key_index`] sorts their hashes, on two threads if there are many, to find equal keys.
//! 3. [`candidates`] orders the rows by time, to tell which of them a published file may have copies of.
//! 4. [`published`] looks for the keys in every published file within reach, on whichever date. The log's time ranges rule out
//!    most files and bloom filters most of the rest. Small files that were read whole stay in memory ([`recent_ids`]).
//!
//! The dates of all ranges that were searched are the survey's `read_dates`: new rows there make a publish void.

pub(crate) mod candidates;
pub(crate) mod key_index;
pub(crate) mod pending;
pub(crate) mod published;
pub(crate) mod recent_ids;
pub(crate) mod times;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::NaiveDate;
use futures::{StreamExt, stream};
use object_store::path::Path;

use crate::copies::key_index::KeyIndex;
use crate::copies::pending::{PendingRows, RowPlace};
use crate::copies::published::{CONCURRENT_FILES, PendingIndex};
use crate::erasure::list::{ERASURE_COLUMNS, Erasures};
use crate::error::{LakeError, Result};
use crate::event::EventKey;
use crate::lake::Lake;
use crate::layout::{RawFile, in_order_of_arrival};
use crate::parquet::reader::catch_damage;
use crate::raw::damaged::DamagedFile;
use crate::raw::rows::RawRows;
use crate::store::runtime::on_own_task;
use crate::table::TableSnapshot;

/// Above this many rows the search uses two threads.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What a survey of pending files found, and where it looked.
#[derive(Clone, Debug, Default)]
pub struct PendingSurvey {
    /// Rows to leave out, by the path of their file: copies of earlier events, and events that were erased.
    pub left_out: HashMap<Path, LeftOut>,
    /// Events that were erased.
    pub erased: BTreeSet<EventKey>,
    /// Raw files that cannot be read. Nothing else in the survey includes them.
    pub damaged: Vec<DamagedFile>,
    /// A column that only a later release knows. A publish would lose it; queries lose nothing.
    pub unknown_column: Option<String>,
    /// Pending rows, copies included.
    pub rows: u64,
    /// The dates that were searched: new rows there make the survey void.
    pub read_dates: BTreeSet<NaiveDate>,
    /// About the memory that each readable raw file takes once all its rows are decoded, in bytes.
    pub decoded_bytes: HashMap<Path, u64>,
}

/// Rows of one file that are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Their numbers, from 0 on, ascending.
    pub rows: Vec<u32>,
    /// How many rows the file has.
    pub of: usize,
}

impl PendingSurvey {
    /// The rows of a file that are left out, if there are any.
    pub fn left_out_of(&self, file: &RawFile) -> Option<&LeftOut> {
        self.left_out.get(&file.path)
    }

    /// How many rows are left out of all files.
    pub fn rows_left_out(&self) -> usize {
        self.left_out.values().map(|left_out| left_out.rows.len()).sum()
    }
}

/// What raw files hold, as far as it can be read.
#[derive(Default)]
struct ReadFiles {
    rows: PendingRows,
    damaged: Vec<DamagedFile>,
    unknown_column: Option<String>,
    decoded_bytes: HashMap<Path, u64>,
}

impl Lake {
    /// Surveys raw files: finds copies among their events, events that `table` has already, and events that were erased.
    ///
    /// Of copies within `raw`, the one that [came first](in_order_of_arrival) stays. Events with the same id that lie
    /// farther apart than [copies](crate::copies::times) all stay, published or not.
    ///
    /// Fails with [`LakeError::Gone`](crate::LakeError::Gone) if a file vanished since the snapshot: take a new one.
    pub async fn survey_pending(&self, raw: &[RawFile], table: &Arc<TableSnapshot>) -> Result<PendingSurvey> {
        if raw.is_empty() {
            return Ok(PendingSurvey::default());
        }
        let raw = in_order_of_arrival(raw.iter().cloned());
        let erasures = self.erasures_of(table).await?;
        let ReadFiles { rows, damaged, unknown_column, decoded_bytes } = self.read_pending(&raw, &erasures).await?;
        let erased = match erasures.is_empty() {
            true => BTreeSet::new(),
            false => rows.iter().filter(|(_, row)| row.erased).map(|(_, row)| rows.whole_key(row.key)).collect(),
        };
        let (count, rows) = (rows.count(), Arc::new(rows));
        let threads = if count > ROWS_PER_THREAD { 2 } else { 1 };
        let index = KeyIndex::build(&rows, threads, self.runtime()).await;
        let index = index.map_err(|error| LakeError::unavailable("sort the ids of pending events", error))?;
        let read_dates = rows.dates();
        let pending = Arc::new(PendingIndex { rows, index });

        let published = self.find_published(&pending, table).await?;
        let decide = {
            let pending = pending.clone();
            move || pending.index.left_out(&pending.rows, published)
        };
        let left_out = self.runtime().run(decide).await;
        let left_out = left_out.map_err(|error| LakeError::unavailable("tell copies of pending events", error))?;
        let of_file = |places: &[RowPlace]| {
            let number = places[0].file as usize;
            let left_out =
                LeftOut { rows: places.iter().map(|place| place.row).collect(), of: pending.rows.count_in(number) };
            (raw[number].path.clone(), left_out)
        };
        let left_out = left_out.chunk_by(|a, b| a.file == b.file).map(of_file).collect();
        Ok(PendingSurvey { left_out, erased, damaged, unknown_column, rows: count as u64, read_dates, decoded_bytes })
    }

    /// Reads the columns that decide about copies.
    async fn read_pending(&self, files: &[RawFile], erasures: &Arc<Erasures>) -> Result<ReadFiles> {
        let mut columns = vec!["site_id", "event_id", "occurred_at", "received_at", "corrected_by", "id_assigned"];
        if !erasures.is_empty() {
            columns.extend(ERASURE_COLUMNS);
        }
        let columns: Arc<[&str]> = columns.into();
        let mut reads = Vec::new();
        for file in files {
            let (lake, file, columns, erasures) = (self.clone(), file.clone(), columns.clone(), erasures.clone());
            let read = async move {
                // Only the reading: a panic of our own is no damage of the file.
                let read = catch_damage(&file.path, lake.read_raw(&file, &columns)).await;
                let rows = |read: &RawRows| PendingRows::of_file(&read.batches, &erasures);
                read.map(|read| (rows(&read), read.unknown_column, read.decoded_bytes))
            };
            reads.push(on_own_task(read));
        }
        let mut all = ReadFiles::default();
        let mut reads = stream::iter(reads).buffered(CONCURRENT_FILES).enumerate();
        while let Some((number, read)) = reads.next().await {
            let (rows, unknown_column) = match read {
                Ok((rows, unknown_column, decoded_bytes)) => {
                    all.decoded_bytes.insert(files[number].path.clone(), decoded_bytes);
                    (rows, unknown_column)
                }
                Err(error) => {
                    all.damaged.push(DamagedFile::of(&files[number], error)?);
                    (PendingRows::of_file(&[], erasures), None)
                }
            };
            all.rows.append(rows);
            all.unknown_column = all.unknown_column.or(unknown_column);
        }
        Ok(all)
    }
}
