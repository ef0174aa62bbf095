//! Which pending events are in the published table already.
//!
//! An event is looked for in every file with events of the [times of its copies](crate::copy_times), on whichever date;
//! most files fall to their time range, the rest to their bloom filters, and only row groups that probably hold a copy
//! are read; small files read in whole are [kept in memory](crate::recent_ids). The cost follows what is pending, not how
//! much the dates hold.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::copy_times::CLIENT_TIMED_SLACK;
use crate::error::{LakeError, Result};
use crate::file::{catch_damage, times_us};
use crate::pending_rows::{Key, KeyIndex, PendingRows, RowPlace, keys};
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
    /// The wanted events among those of a file.
    fn find_among(&self, ids: &FileIds) -> impl Iterator<Item = RowPlace> {
        let known = ids.by_site().filter_map(|(site, ids)| Some((self.rows.sites.get(site)?, ids)));
        let keys = known.flat_map(|(site, ids)| ids.iter().map(move |id| Key { site, id: *id }));
        keys.filter_map(|key| self.index.find(&self.rows, key))
    }
}

/// Pending rows by the times (µs) at which a published copy may lie.
///
/// Two lists, since nearly all ranges are short: a single long one must not make every search go back days.
struct Candidates {
    short: SortedCandidates,
    long: SortedCandidates,
}

/// A row and the times at which a published copy of it may lie.
type TimedPlace = ((i64, i64), RowPlace);

impl Candidates {
    fn new(all: impl Iterator<Item = TimedPlace>) -> Self {
        let is_short = |(times, _): &TimedPlace| width_us(*times) <= 4 * CLIENT_TIMED_SLACK.as_micros() as i64;
        let (short, long) = all.partition(is_short);
        Self { short: SortedCandidates::new(short), long: SortedCandidates::new(long) }
    }

    /// Those of which a file or row group with events of `held` times may have a copy.
    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        self.short.overlapping(held).chain(self.long.overlapping(held))
    }
}

/// Candidates by the beginning of their range, so that those of interest to a file are found without looking at
/// the others.
struct SortedCandidates {
    sorted: Vec<TimedPlace>,
    widest_us: i64,
}

impl SortedCandidates {
    fn new(mut candidates: Vec<TimedPlace>) -> Self {
        // By place too, so that the same candidates always come in the same order.
        candidates.sort_unstable();
        let widest_us = candidates.iter().map(|(times, _)| width_us(*times)).max().unwrap_or(0);
        Self { sorted: candidates, widest_us }
    }

    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        let (min, max) = held.unwrap_or((i64::MIN, i64::MAX));
        let first = self.sorted.partition_point(|((start, _), _)| *start < min.saturating_sub(self.widest_us));
        let end = self.sorted.partition_point(|((start, _), _)| *start <= max).max(first);
        self.sorted[first..end].iter().filter(move |((_, end), _)| *end >= min).map(|(_, place)| *place)
    }
}

fn width_us((start, end): (i64, i64)) -> i64 {
    end.saturating_sub(start)
}

impl Lake {
    /// Which of the wanted events the table has already.
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
        let with_copies = wanted.rows.iter().filter(|(_, row)| !row.id_assigned);
        let candidates = with_copies.map(|(place, _)| (wanted.index.times(&wanted.rows, place), place));
        let by_time = Arc::new(Candidates::new(candidates));
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

    /// Which of the wanted events one file has.
    async fn find_in(
        &self,
        file: &TableFile,
        wanted: &Wanted,
        by_time: &Candidates,
        search: Search,
    ) -> Result<Vec<RowPlace>> {
        let mut found: Vec<RowPlace> = match self.recent_ids().get(&file.path, search) {
            Some(ids) => wanted.find_among(&ids).collect(),
            None => {
                let (found, ids) = self.read_ids(file, wanted, by_time, search).await?;
                if let Some(ids) = ids {
                    self.recent_ids().keep(&file.path, ids, search);
                }
                found
            }
        };
        let held = file.times_us("occurred_at").unwrap_or((i64::MIN, i64::MAX));
        found.retain(|place| {
            let times = wanted.index.times(&wanted.rows, *place);
            times.0 <= held.1 && times.1 >= held.0
        });
        Ok(found)
    }

    /// Reads the ids of the row groups of one file that probably have wanted events: which these are, and all ids of
    /// the file if it was read in whole and there is room to keep them.
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

        let mask = ProjectionMask::columns(builder.parquet_schema(), ["site_id", "event_id"]);
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_row_groups(row_groups)
            .build()
            .map_err(damaged)?;
        let mut found = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(damaged)? {
            let keys = keys(&batch, &wanted.rows.sites);
            found.extend(keys.filter_map(|key| wanted.index.find(&wanted.rows, key?)));
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

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn a_file_without_statistics_may_hold_anything() {
        check(None, &[1, 2, 3]);
    }

    #[test]
    fn only_ranges_that_meet_the_files_times_are_of_interest() {
        check(Some((10, 20)), &[1, 3]);
        check(Some((16, 20)), &[3]);
        check(Some((0, 4)), &[3]);
        check(Some((0, 5)), &[1, 3]);
        check(Some((200 * HOUR_US, 201 * HOUR_US)), &[]);
    }

    /// Candidates 1 at 5..=15, 2 at 30..=40 and, for a retry of days, 3 at 0..=100 h.
    #[track_caller]
    fn check(held: Option<(i64, i64)>, expected: &[u32]) {
        let place = |row| RowPlace { file: 0, row };
        let all = [((5, 15), place(1)), ((30, 40), place(2)), ((0, 100 * HOUR_US), place(3))];
        let candidates = Candidates::new(all.into_iter());
        let mut found: Vec<u32> = candidates.overlapping(held).map(|place| place.row).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
