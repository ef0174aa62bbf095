//! Which pending events are in the published table already.
//!
//! A client that did not hear our acknowledgement sends again, perhaps after its first try was published.
//! The copy has the same site and id, and nearly the same time:
//!
//! - A client's own timestamp comes back the same, but for the clock correction, which moves with the
//!   network's delay: [`CLIENT_TIMED_SLACK`].
//! - An event without one takes its time of arrival, so its copy lies later by as long as the client kept
//!   trying: [`RETRY_WINDOW`].
//! - A body sent again as it is, with its old time of sending, looks like a clock that is late by as long
//!   as the client kept trying. So an event that was corrected by more than the slack is looked for as far
//!   as clients try, too.
//!
//! So an event is looked for in every file with events of that time, on whichever date; most files fall to
//! their time range, the rest to their bloom filters, and only row groups that probably hold a copy are read.
//! The cost follows what is pending, not how much the dates hold.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::error::{LakeError, Result};
use crate::file::{catch_damage, times_us};
use crate::pending_rows::{KeyIndex, PendingRows, RowPlace, keys};
use crate::runtime::on_own_task;
use crate::store::Lake;
use crate::table::TableSnapshot;
use crate::table_file::TableFile;

/// How far the corrected times of two copies of one event may lie apart.
pub const CLIENT_TIMED_SLACK: Duration = Duration::from_secs(15 * 60);

/// For how long a client may go on sending one event: as long as its timestamp would be accepted.
pub const RETRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// Files looked into at the same time.
const CONCURRENT_FILES: usize = 16;

/// What is looked for: pending events.
pub(crate) struct Wanted {
    pub(crate) rows: Arc<PendingRows>,
    pub(crate) index: KeyIndex,
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
        let candidates = wanted.rows.iter().filter(|(_, row)| !row.id_assigned).map(|(place, row)| (row.times, place));
        let by_time = Arc::new(Candidates::new(candidates));
        let mut searches = Vec::new();
        for file in files {
            if by_time.overlapping(file.times_us("occurred_at")).next().is_some() {
                let (lake, file, wanted, by_time) = (self.clone(), file.clone(), wanted.clone(), by_time.clone());
                searches.push(on_own_task(async move {
                    catch_damage(&file.path, lake.search(&file, &wanted, &by_time)).await
                }));
            }
        }
        stream::iter(searches).buffer_unordered(CONCURRENT_FILES).try_concat().await
    }

    async fn search(&self, file: &TableFile, wanted: &Wanted, by_time: &Candidates) -> Result<Vec<RowPlace>> {
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
            return Ok(vec![]);
        }

        let mask = ProjectionMask::columns(builder.parquet_schema(), ["site_id", "event_id"]);
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_row_groups(row_groups)
            .build()
            .map_err(damaged)?;
        let held = file.times_us("occurred_at").unwrap_or((i64::MIN, i64::MAX));
        let may_be_here = |place: &RowPlace| {
            let times = wanted.index.times(&wanted.rows, *place);
            times.0 <= held.1 && times.1 >= held.0
        };
        let mut found = Vec::new();
        while let Some(batch) = batches.try_next().await.map_err(damaged)? {
            let places = keys(&batch, &wanted.rows.sites).filter_map(|key| wanted.index.find(&wanted.rows, key?));
            found.extend(places.filter(may_be_here));
        }
        Ok(found)
    }
}

/// The times at which a published copy of a pending event may lie.
pub(crate) fn copy_times(
    occurred_at_us: i64,
    received_at_us: i64,
    corrected_by_us: Option<i64>,
) -> RangeInclusive<i64> {
    let (slack_us, retry_us) = (CLIENT_TIMED_SLACK.as_micros() as i64, RETRY_WINDOW.as_micros() as i64);
    let (before_us, after_us) = match corrected_by_us {
        Some(by_us) if by_us.saturating_abs() > slack_us => (retry_us, retry_us),
        None if occurred_at_us == received_at_us => (retry_us, slack_us),
        _ => (slack_us, slack_us),
    };
    occurred_at_us.saturating_sub(before_us)..=occurred_at_us.saturating_add(after_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn a_client_timed_copy_is_looked_for_near_its_time() {
        assert_eq!(copy_times(10 * HOUR_US, 10 * HOUR_US + 1, Some(HOUR_US / 8)), 39 * HOUR_US / 4..=41 * HOUR_US / 4);
    }

    #[test]
    fn an_arrival_timed_copy_is_looked_for_three_days_back() {
        assert_eq!(copy_times(100 * HOUR_US, 100 * HOUR_US, None), 28 * HOUR_US..=401 * HOUR_US / 4);
    }

    #[test]
    fn a_copy_with_a_clock_far_off_is_looked_for_three_days_around() {
        assert_eq!(copy_times(100 * HOUR_US, 101 * HOUR_US, Some(HOUR_US)), 28 * HOUR_US..=172 * HOUR_US);
    }

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
