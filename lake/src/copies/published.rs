//! Finding the pending events that the table has already.
//!
//! An event is looked for in every file with events [within its reach](crate::copies::times), on whichever date. Time
//! ranges rule out most files and bloom filters most of the rest, and only row groups that probably hold a copy are
//! read. Small files that were read whole [stay in memory](crate::copies::recent_ids). So the cost follows the number
//! of pending events, not the size of the dates. At the end each row's own time decides, so it does not matter which
//! other rows a file holds.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;

use crate::copies::candidates::Candidates;
use crate::copies::key_index::KeyIndex;
use crate::copies::pending::{Key, PendingRows, RowPlace, keys};
use crate::copies::recent_ids::{FileIds, Search};
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::parquet::object_reader::{ObjectReader, open_parquet};
use crate::parquet::reader::{catch_damage, times_us};
use crate::store::runtime::on_own_task;
use crate::table::TableSnapshot;
use crate::table::file::TableFile;

/// Files looked into at the same time.
pub(crate) const CONCURRENT_FILES: usize = 16;

/// A row group's bloom filter is used for at most this many events. Beyond that, false positives nearly always let the row
/// group through and the filter is not worth reading.
const FILTERED_MAX: usize = 200;

/// The pending events that are looked for, by key.
pub(crate) struct PendingIndex {
    pub(crate) rows: Arc<PendingRows>,
    pub(crate) index: KeyIndex,
}

impl PendingIndex {
    /// The rows of a file with keys that are pending.
    fn hits_among(&self, ids: &FileIds) -> Vec<Hit> {
        let known = ids.by_site().filter_map(|(site, first, ids)| Some((self.rows.sites.get(site)?, first, ids)));
        let hits = known.flat_map(|(site, first, ids)| {
            (first..).zip(ids).map(move |(row, id)| Hit { row, key: Key { site, id: *id } })
        });
        hits.filter(|hit| self.index.has(&self.rows, hit.key)).collect()
    }

    /// The pending events that are copies of hits.
    ///
    /// - `times_us`: the times of all rows read, by row number.
    fn copies_of(&self, hits: &[Hit], times_us: &[i64]) -> Vec<RowPlace> {
        hits.iter().flat_map(|hit| self.index.find_copies(&self.rows, hit.key, times_us[hit.row])).collect()
    }
}

/// A row of a table file whose key is pending.
struct Hit {
    /// Its number among those that were read.
    row: usize,
    key: Key,
}

impl Lake {
    /// Which pending events are copies of events in the table. Some may be listed twice.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since the snapshot: take a new one.
    pub(crate) async fn find_published(
        &self,
        pending: &Arc<PendingIndex>,
        table: &TableSnapshot,
    ) -> Result<Vec<RowPlace>> {
        let Some((first, last)) = pending.rows.times else { return Ok(vec![]) };
        let may_have_copies = |file: &&TableFile| match file.times_us("occurred_at") {
            Some((min, max)) => min <= last && max >= first,
            None => true,
        };
        let files: Vec<&TableFile> = table.files.iter().filter(may_have_copies).collect();
        if files.is_empty() {
            return Ok(vec![]);
        }
        let by_time = Arc::new(Candidates::new(&pending.rows));
        let (search, mut searches) = (self.recent_ids().begin(), Vec::new());
        for file in files {
            if by_time.overlapping(file.times_us("occurred_at")).next().is_some() {
                let (lake, file, pending, by_time) = (self.clone(), file.clone(), pending.clone(), by_time.clone());
                searches.push(on_own_task(async move {
                    catch_damage(&file.path, lake.find_in(&file, &pending, &by_time, search)).await
                }));
            }
        }
        stream::iter(searches).buffer_unordered(CONCURRENT_FILES).try_concat().await
    }

    /// Which pending events are copies of events in one file.
    async fn find_in(
        &self,
        file: &TableFile,
        pending: &PendingIndex,
        by_time: &Candidates,
        search: Search,
    ) -> Result<Vec<RowPlace>> {
        let Some(ids) = self.recent_ids().get(&file.path, search) else {
            return self.read_ids(file, pending, by_time, search).await;
        };
        let hits = pending.hits_among(&ids);
        if hits.is_empty() {
            return Ok(vec![]);
        }
        let times_us = match ids.occurred_at_us() {
            Some(times_us) => times_us,
            None => {
                let open = OpenFile::open(self, file).await?;
                ids.set_times(open.read_times(&open.row_groups()).await?)
            }
        };
        Ok(pending.copies_of(&hits, times_us))
    }

    /// Reads the ids of the row groups of one file that probably hold pending events. Caches the ids if the whole file was
    /// read and there is room. Returns which pending events are copies.
    async fn read_ids(
        &self,
        file: &TableFile,
        pending: &PendingIndex,
        by_time: &Candidates,
        search: Search,
    ) -> Result<Vec<RowPlace>> {
        let open = OpenFile::open(self, file).await?;
        let row_groups = open.probable_row_groups(pending, by_time).await?;
        if row_groups.is_empty() {
            return Ok(vec![]);
        }
        let mut ids = match row_groups == open.row_groups() {
            true => self.recent_ids().reserve(open.rows(), search),
            false => None,
        };
        let (mut hits, mut rows_before) = (Vec::new(), 0);
        let mut batches = open.read(&["site_id", "event_id"], &row_groups)?;
        while let Some(batch) = batches.try_next().await.map_err(|error| open.damaged(error))? {
            for (row, key) in keys(&batch, &pending.rows.sites).enumerate() {
                let hit = key.filter(|key| pending.index.has(&pending.rows, *key));
                hits.extend(hit.map(|key| Hit { row: rows_before + row, key }));
            }
            rows_before += batch.num_rows();
            if let Some(ids) = &mut ids {
                ids.take(&batch);
            }
        }
        let mut found = Vec::new();
        if !hits.is_empty() {
            let times_us = open.read_times(&row_groups).await?;
            found = pending.copies_of(&hits, &times_us);
            if let Some(ids) = &ids {
                ids.set_times(times_us);
            }
        }
        if let Some(ids) = ids {
            self.recent_ids().insert(&file.path, ids, search);
        }
        Ok(found)
    }
}

/// A table file with its footer.
struct OpenFile<'a> {
    file: &'a TableFile,
    reader: ObjectReader,
    metadata: ArrowReaderMetadata,
}

impl<'a> OpenFile<'a> {
    async fn open(lake: &Lake, file: &'a TableFile) -> Result<Self> {
        let (reader, metadata) =
            open_parquet(lake.store(), &file.path, file.size_bytes, ArrowReaderOptions::new()).await?;
        Ok(Self { file, reader, metadata })
    }

    fn damaged(&self, error: ParquetError) -> LakeError {
        LakeError::parquet(&self.file.path, error)
    }

    /// Rows by the file's footer, because another engine's log entry may not say.
    fn rows(&self) -> usize {
        usize::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX)
    }

    /// The numbers of all row groups.
    fn row_groups(&self) -> Vec<usize> {
        (0..self.metadata.metadata().num_row_groups()).collect()
    }

    /// The numbers of the row groups that probably hold pending events.
    async fn probable_row_groups(&self, pending: &PendingIndex, by_time: &Candidates) -> Result<Vec<usize>> {
        let schema = self.metadata.metadata().file_metadata().schema_descr();
        let column = |name: &str| schema.columns().iter().position(|column| column.name() == name);
        let (Some(id_column), Some(time_column)) = (column("event_id"), column("occurred_at")) else {
            return Err(LakeError::corrupt(self.file.path.to_string(), "it has no event_id or no occurred_at"));
        };
        let mut builder =
            ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader.clone(), self.metadata.clone());
        let mut probable = Vec::new();
        for (index, row_group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let possible = || by_time.overlapping(times_us(row_group, time_column));
            let is_probable = match possible().nth(FILTERED_MAX) {
                Some(_) => true,
                None => {
                    let filter = builder.get_row_group_column_bloom_filter(index, id_column).await;
                    match filter.map_err(|error| self.damaged(error))? {
                        Some(filter) => possible().any(|place| filter.check(&pending.rows.row(place).key.id.0[..])),
                        None => possible().next().is_some(),
                    }
                }
            };
            probable.extend(is_probable.then_some(index));
        }
        Ok(probable)
    }

    fn read(&self, columns: &[&str], row_groups: &[usize]) -> Result<ParquetRecordBatchStream<ObjectReader>> {
        let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(self.reader.clone(), self.metadata.clone());
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let read = builder.with_projection(mask).with_row_groups(row_groups.to_vec()).build();
        read.map_err(|error| self.damaged(error))
    }

    /// When the events of some row groups happened, in microseconds.
    async fn read_times(&self, row_groups: &[usize]) -> Result<Vec<i64>> {
        let mut times_us = Vec::new();
        let mut batches = self.read(&["occurred_at"], row_groups)?;
        while let Some(batch) = batches.try_next().await.map_err(|error| self.damaged(error))? {
            // Another engine's file may have another unit.
            let times = cast(&batch["occurred_at"], &DataType::Timestamp(TimeUnit::Microsecond, None));
            let times = times.map_err(|error| LakeError::corrupt(self.file.path.to_string(), error))?;
            times_us.extend(times.as_primitive::<TimestampMicrosecondType>().values());
        }
        Ok(times_us)
    }
}
