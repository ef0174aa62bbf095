//! Which rows of raw files are left out: copies of each other and of published events, and what was erased.
//!
//! Queries and publishes both take it from here, so that a publish cannot change an answer.

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

/// So many rows are searched for copies on one thread, more on two.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What a search for duplicates found, and where it looked.
#[derive(Clone, Debug, Default)]
pub struct PendingSurvey {
    /// Rows to leave out, by the path of their file: copies of an event that came before, and events of somebody who was
    /// erased.
    pub left_out: HashMap<Path, LeftOut>,
    /// Events that were erased.
    pub erased: BTreeSet<EventKey>,
    /// Raw files that cannot be read, and so have no part in the rest.
    pub damaged: Vec<DamagedFile>,
    /// A column that only a later release knows. Queries lose nothing by that; a publish would.
    pub unknown_column: Option<String>,
    /// Pending rows, all copies counted.
    pub rows: u64,
    /// The dates that were searched: new rows there void the result.
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

    /// How many rows are left out.
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
    /// Finds copies among the events of raw files, those that `table` has already, and those that were erased.
    ///
    /// Of copies in `raw` the one stays that [came first](in_order_of_arrival). Events with one id that lie
    /// farther apart than [copies](crate::copies::times) all stay, whether they are published or not.
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

    /// What decides over copies in some raw files.
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
