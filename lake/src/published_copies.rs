//! Which pending events are in the published table already.
//!
//! An event is looked for in every file with events of the [times of its copies](crate::copy_times), on whichever date;
//! most files fall to their time range, the rest to their bloom filters, and only row groups that probably hold a copy
//! are read; small files read in whole are [kept in memory](crate::recent_ids). The cost follows what is pending, not how
//! much the dates hold. In the end each row's own time decides, so that it does not matter with which others a file holds it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::copy_times::CopyReach;
use crate::error::{LakeError, Result};
use crate::file::{catch_damage, times_us};
use crate::pending_rows::{Key, KeyIndex, PendingRow, PendingRows, RowPlace, timed_keys};
use crate::recent_ids::{FileIds, Search};
use crate::runtime::on_own_task;
use crate::store::Lake;
use crate::table::TableSnapshot;
use crate::table_file::TableFile;

/// Files looked into at the same time.
pub(crate) const CONCURRENT_FILES: usize = 16;

/// What is looked for: pending events.
pub(crate) struct Wanted {
    pub(crate) rows: Arc<PendingRows>,
    pub(crate) index: KeyIndex,
}

impl Wanted {
    /// The wanted events that are copies of those of a file.
    fn find_among(&self, ids: &FileIds) -> impl Iterator<Item = RowPlace> {
        let known = ids.by_site().filter_map(|(site, ids)| Some((self.rows.sites.get(site)?, ids)));
        self.find_copies(known.flat_map(|(site, ids)| ids.map(move |(id, at_us)| (Key { site, id }, at_us))))
    }

    /// The wanted events that are copies of published ones with these keys and times (µs).
    fn find_copies(&self, published: impl Iterator<Item = (Key, i64)>) -> impl Iterator<Item = RowPlace> {
        published.flat_map(|(key, at_us)| self.index.find_copies(&self.rows, key, at_us))
    }
}

/// Pending rows by the times at which a published copy may lie.
///
/// Two lists, since nearly all copies lie near: the far reach of a few must not make every search go back days.
struct Candidates {
    near: SortedCandidates,
    far: SortedCandidates,
}

impl Candidates {
    fn new(rows: &PendingRows) -> Self {
        let with_copies = rows.iter().filter(|(_, row)| !row.id_assigned);
        let (near, far) = with_copies.partition(|(_, row)| row.reach == CopyReach::Slack);
        Self {
            near: SortedCandidates::new(near, CopyReach::Slack),
            far: SortedCandidates::new(far, CopyReach::Retries),
        }
    }

    /// Those of which a file or row group with events of `held` times (µs) may have a copy.
    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        self.near.overlapping(held).chain(self.far.overlapping(held))
    }
}

/// Candidates of one reach.
struct SortedCandidates {
    /// By time (µs); by place too, so that the same candidates always come in the same order.
    sorted: Vec<(i64, RowPlace)>,
    reach: CopyReach,
}

impl SortedCandidates {
    fn new(rows: Vec<(RowPlace, &PendingRow)>, reach: CopyReach) -> Self {
        let mut sorted: Vec<_> = rows.into_iter().map(|(place, row)| (row.occurred_at_us, place)).collect();
        sorted.sort_unstable();
        Self { sorted, reach }
    }

    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        let (min, max) = held.unwrap_or((i64::MIN, i64::MAX));
        let ((first, _), (_, last)) = (self.reach.around(min), self.reach.around(max));
        let start = self.sorted.partition_point(|(at_us, _)| *at_us < first);
        let end = self.sorted.partition_point(|(at_us, _)| *at_us <= last).max(start);
        self.sorted[start..end].iter().map(|(_, place)| *place)
    }
}

impl Lake {
    /// Which of the wanted events are copies of those in the table; some perhaps twice.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since the snapshot: take a new one.
    pub(crate) async fn find_published(&self, wanted: &Arc<Wanted>, table: &TableSnapshot) -> Result<Vec<RowPlace>> {
        let Some((first, last)) = wanted.rows.times else { return Ok(vec![]) };
        let may_have_copies = |file: &&TableFile| match file.times_us("occurred_at") {
            Some((min, max)) => min <= last && max >= first,
            None => true,
        };
        let files: Vec<&TableFile> = table.files.iter().filter(may_have_copies).collect();
        if files.is_empty() {
            return Ok(vec![]);
        }
        let by_time = Arc::new(Candidates::new(&wanted.rows));
        let (search, mut searches) = (self.recent_ids().begin(), Vec::new());
        for file in files {
            if by_time.overlapping(file.times_us("occurred_at")).next().is_some() {
                let (lake, file, wanted, by_time) = (self.clone(), file.clone(), wanted.clone(), by_time.clone());
                searches.push(on_own_task(async move {
                    catch_damage(&file.path, lake.find_in(&file, &wanted, &by_time, search)).await
                }));
            }
        }
        stream::iter(searches).buffer_unordered(CONCURRENT_FILES).try_concat().await
    }

    /// Which of the wanted events are copies of those in one file.
    async fn find_in(
        &self,
        file: &TableFile,
        wanted: &Wanted,
        by_time: &Candidates,
        search: Search,
    ) -> Result<Vec<RowPlace>> {
        if let Some(ids) = self.recent_ids().get(&file.path, search) {
            return Ok(wanted.find_among(&ids).collect());
        }
        let (found, ids) = self.read_ids(file, wanted, by_time, search).await?;
        if let Some(ids) = ids {
            self.recent_ids().keep(&file.path, ids, search);
        }
        Ok(found)
    }

    /// Reads the ids of the row groups of one file that probably have wanted events: which events are copies of these, and
    /// all ids of the file if it was read in whole and there is room to keep them.
    async fn read_ids(
        &self,
        file: &TableFile,
        wanted: &Wanted,
        by_time: &Candidates,
        search: Search,
    ) -> Result<(Vec<RowPlace>, Option<FileIds>)> {
        let damaged = |error| LakeError::parquet(&file.path, error);
        let (reader, metadata) = self.open_parquet(&file.path, file.size_bytes, ArrowReaderOptions::new()).await?;
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
        let schema = metadata.metadata().file_metadata().schema_descr();
        let column = |name: &str| schema.columns().iter().position(|column| column.name() == name);
        let (Some(id_column), Some(time_column)) = (column("event_id"), column("occurred_at")) else {
            return Err(LakeError::corrupt(file.path.to_string(), "it has no event_id or no occurred_at"));
        };

        let mut row_groups = Vec::new();
        for (index, row_group) in metadata.metadata().row_groups().iter().enumerate() {
            let times = times_us(row_group, time_column);
            let mut possible = by_time.overlapping(times);
            let filter = builder.get_row_group_column_bloom_filter(index, id_column).await.map_err(damaged)?;
            let probable = match filter {
                Some(filter) => possible.any(|place| filter.check(&wanted.rows.row(place).key.id.0[..])),
                None => possible.next().is_some(),
            };
            if probable {
                row_groups.push(index);
            }
        }
        if row_groups.is_empty() {
            return Ok((vec![], None));
        }
        let is_whole = row_groups.len() == metadata.metadata().num_row_groups();
        // By the file: another engine's entry may say nothing of it.
        let rows = usize::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(usize::MAX);
        let mut ids = is_whole.then(|| self.recent_ids().make_room(rows, search)).flatten();

        let mask = ProjectionMask::columns(builder.parquet_schema(), ["site_id", "event_id", "occurred_at"]);
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_row_groups(row_groups)
            .build()
            .map_err(damaged)?;
        let mut found = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(damaged)? {
            found.extend(wanted.find_copies(timed_keys(&batch, &wanted.rows.sites)));
            if let Some(ids) = &mut ids {
                ids.take(&batch);
            }
        }
        Ok((found, ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventId;
    use crate::pending_rows::Sites;

    const HOUR_US: i64 = 3_600_000_000;
    const MINUTE_US: i64 = HOUR_US / 60;

    #[test]
    fn a_file_without_statistics_may_hold_anything() {
        check(None, &[0, 1, 2]);
    }

    #[test]
    fn only_rows_of_which_a_copy_may_lie_among_the_files_times_are_of_interest() {
        check(Some((99 * HOUR_US, 100 * HOUR_US - 15 * MINUTE_US)), &[0, 2]);
        check(Some((99 * HOUR_US, 100 * HOUR_US - 15 * MINUTE_US - 1)), &[2]);
        check(Some((100 * HOUR_US + 15 * MINUTE_US, 101 * HOUR_US)), &[0, 1, 2]);
        check(Some((100 * HOUR_US + 15 * MINUTE_US + 1, 101 * HOUR_US - 15 * MINUTE_US - 1)), &[2]);
        check(Some((172 * HOUR_US, 180 * HOUR_US)), &[2]);
        check(Some((172 * HOUR_US + 1, 180 * HOUR_US)), &[]);
    }

    /// Candidates: 0 at 100 h and 1 at 101 h, timed by their clients, and 2 at 100 h, timed by its arrival.
    #[track_caller]
    fn check(held: Option<(i64, i64)>, expected: &[u32]) {
        let row = |hour: i64, reach| PendingRow {
            key: Key { site: 0, id: EventId([0; 16]) },
            id_assigned: false,
            erased: false,
            occurred_at_us: hour * HOUR_US,
            reach,
        };
        let rows = [row(100, CopyReach::Slack), row(101, CopyReach::Slack), row(100, CopyReach::Retries)];
        let candidates = Candidates::new(&PendingRows::of_rows(Sites::default(), rows.into()));
        let mut found: Vec<u32> = candidates.overlapping(held).map(|place| place.row).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
