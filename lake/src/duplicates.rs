//! Which rows of raw files are left out: copies of each other and of published events, and what was erased.
//!
//! Queries and publishes both take it from here, so that a publish cannot change an answer.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::NaiveDate;
use futures::{StreamExt, stream};
use object_store::path::Path;

use crate::damaged::DamagedFile;
use crate::erasure::{ERASURE_COLUMNS, Erasures};
use crate::error::{LakeError, Result};
use crate::event::EventKey;
use crate::file::catch_damage;
use crate::layout::RawFile;
use crate::pending_rows::{KeyIndex, PendingRows, RowPlace, keys};
use crate::published_copies::{CONCURRENT_FILES, Wanted};
use crate::raw_rows::RawRows;
use crate::runtime::on_own_task;
use crate::store::Lake;
use crate::table::TableSnapshot;

/// So many rows are searched for copies on one thread, more on two.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What a search for duplicates found, and where it looked.
#[derive(Clone, Debug, Default)]
pub struct Duplicates {
    /// Rows to leave out, by the path of their file: all copies of a pending event but the first one
    /// received, events that the table has, and events of somebody who was erased.
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
}

/// Rows of one file that are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Their numbers, from 0 on, ascending.
    pub rows: Vec<u32>,
    /// How many rows the file has.
    pub of: usize,
}

impl Duplicates {
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
}

impl Lake {
    /// Finds copies among the events of raw files, those that `table` has already, and those that were erased.
    ///
    /// - `raw`: by lane and sequence.
    ///
    /// Fails with [`LakeError::Gone`](crate::LakeError::Gone) if a file vanished since the snapshot: take a new one.
    pub async fn find_duplicates(&self, raw: &[RawFile], table: &Arc<TableSnapshot>) -> Result<Duplicates> {
        self.find_duplicates_in_part(raw, &[], table).await
    }

    /// The same for only some of the pending files. An event that was received earlier in one of `rest` is left out too:
    /// that copy is what queries have shown so far, and its turn comes. (Unless its file turns out to be damaged where
    /// keys are not: then the event is in what is put aside.)
    pub async fn find_duplicates_in_part(
        &self,
        part: &[RawFile],
        rest: &[RawFile],
        table: &Arc<TableSnapshot>,
    ) -> Result<Duplicates> {
        if part.is_empty() {
            return Ok(Duplicates::default());
        }
        let erasures = self.erasures_of(table).await?;
        let ReadFiles { rows, damaged, unknown_column } = self.read_pending(part, &erasures).await?;
        let erased = match erasures.is_empty() {
            true => BTreeSet::new(),
            false => rows.iter().filter(|(_, row)| row.erased).map(|(_, row)| rows.whole_key(row.key)).collect(),
        };
        let (count, rows) = (rows.count(), Arc::new(rows));
        let threads = if count > ROWS_PER_THREAD { 2 } else { 1 };
        let index = KeyIndex::build(&rows, threads, self.runtime()).await;
        let index = index.map_err(|error| LakeError::unavailable("sort the ids of pending events", error))?;
        let read_dates = index.dates(&rows);
        let wanted = Arc::new(Wanted { rows, index });

        let mut left_out: Vec<RowPlace> = wanted.index.left_out().collect();
        left_out.extend(self.find_earlier(part, rest, &wanted).await?);
        left_out.extend(self.find_published(&wanted, table).await?);
        left_out.sort_unstable();
        left_out.dedup();
        let of_file = |places: &[RowPlace]| {
            let number = places[0].file as usize;
            let left_out =
                LeftOut { rows: places.iter().map(|place| place.row).collect(), of: wanted.rows.count_in(number) };
            (part[number].path.clone(), left_out)
        };
        let left_out = left_out.chunk_by(|a, b| a.file == b.file).map(of_file).collect();
        Ok(Duplicates { left_out, erased, damaged, unknown_column, rows: count as u64, read_dates })
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
                read.map(|read| (PendingRows::of_file(&read.batches, &erasures), read.unknown_column))
            };
            reads.push(on_own_task(read));
        }
        let mut all = ReadFiles::default();
        let mut reads = stream::iter(reads).buffered(CONCURRENT_FILES).enumerate();
        while let Some((number, read)) = reads.next().await {
            let (rows, unknown_column) = match read {
                Ok(read) => read,
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

    /// The wanted rows of which one of `rest` has a smaller copy, by time of arrival, lane and sequence number.
    async fn find_earlier(&self, part: &[RawFile], rest: &[RawFile], wanted: &Arc<Wanted>) -> Result<Vec<RowPlace>> {
        // What came later is no earlier copy: of most other files, their statistics say so.
        let Some(last_us) = wanted.rows.last_received_us else { return Ok(vec![]) };
        let mut reads = Vec::new();
        for file in rest {
            let (lake, file, wanted) = (self.clone(), file.clone(), wanted.clone());
            let read = async move {
                let columns = ["site_id", "event_id", "received_at"];
                let read = lake.read_raw_received_until(&file, &columns, last_us);
                let read = catch_damage(&file.path, read).await;
                let mut copies = Vec::new();
                for batch in read.or_else(|error| DamagedFile::of(&file, error).map(|_| RawRows::default()))?.batches {
                    let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
                    for (row, key) in keys(&batch, &wanted.rows.sites).enumerate() {
                        let place = key.and_then(|key| wanted.index.find(&wanted.rows, key));
                        copies.extend(place.map(|place| (place, received.value(row))));
                    }
                }
                Ok(copies)
            };
            reads.push(on_own_task(read));
        }
        let mut earlier = Vec::new();
        let mut reads = stream::iter(reads).buffered(CONCURRENT_FILES).enumerate();
        while let Some((number, copies)) = reads.next().await {
            let rank = |received_at_us: i64, file: &RawFile| (received_at_us, file.lane, file.seq);
            for (place, received_at_us) in copies? {
                let own = rank(wanted.rows.row(place).received_at_us, &part[place.file as usize]);
                if rank(received_at_us, &rest[number]) < own {
                    earlier.push(place);
                }
            }
        }
        Ok(earlier)
    }
}
