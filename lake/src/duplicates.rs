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

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate};
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::batch::raw_schema;
use crate::damaged::DamagedFile;
use crate::erasure::{ERASURE_COLUMNS, Erasures};
use crate::error::{LakeError, Result};
use crate::event::EventId;
use crate::file::{catch_damage, schema_problem};
use crate::layout::{LaneId, RawFile};
use crate::object_reader::ObjectReader;
use crate::store::Lake;
use crate::table::TableSnapshot;
use crate::table_file::TableFile;

/// How far the corrected times of two copies of one event may lie apart.
pub const CLIENT_TIMED_SLACK: Duration = Duration::from_secs(15 * 60);

/// For how long a client may go on sending one event: as long as its timestamp would be accepted.
pub const RETRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// Files looked into at the same time.
const CONCURRENT_FILES: usize = 16;

/// What makes an event itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKey {
    /// The tenant.
    pub site_id: Arc<str>,
    /// The id within the tenant.
    pub event_id: EventId,
}

/// What a search for duplicates found, and where it looked.
#[derive(Clone, Debug, Default)]
pub struct Duplicates {
    /// Pending events to leave out: the table has a copy, or they are of somebody who was erased.
    pub keys: Vec<EventKey>,
    /// Those of `keys` that were erased.
    pub erased: Vec<EventKey>,
    /// Raw files that cannot be read, and so have no part in the rest.
    pub damaged: Vec<DamagedFile>,
    /// A column that only a later release knows. Queries lose nothing by that; a publish would.
    pub unknown_column: Option<String>,
    /// Pending rows, all copies counted.
    pub rows: u64,
    /// Whether some event is pending in more than one copy.
    pub repeated: bool,
    /// The dates that were searched: new rows there void the result.
    pub read_dates: BTreeSet<NaiveDate>,
}

/// Pending events, each with the times (µs) at which a published copy may lie.
///
/// Two lists, since nearly all ranges are short: a single long one must not make every search go back days.
struct Candidates {
    short: SortedCandidates,
    long: SortedCandidates,
}

type TimedKey = (RangeInclusive<i64>, EventKey);

/// Some columns of a raw file.
pub(crate) struct RawRows {
    batches: Vec<RecordBatch>,
    unknown_column: Option<String>,
}

/// What raw files hold.
#[derive(Default)]
struct PendingKeys {
    /// Events, each with the times at which a published copy may lie.
    candidates: HashMap<EventKey, RangeInclusive<i64>>,
    rows: u64,
    repeated: bool,
    erased: HashSet<EventKey>,
    damaged: Vec<DamagedFile>,
    unknown_column: Option<String>,
}

impl Candidates {
    fn new(all: HashMap<EventKey, RangeInclusive<i64>>) -> Self {
        let is_short = |(times, _): &TimedKey| width_us(times) <= 4 * CLIENT_TIMED_SLACK.as_micros() as i64;
        let (short, long) = all.into_iter().map(|(key, times)| (times, key)).partition(is_short);
        Self { short: SortedCandidates::new(short), long: SortedCandidates::new(long) }
    }

    /// Those of which a file or row group with events of `held` times may have a copy.
    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = &EventKey> {
        self.short.overlapping(held).chain(self.long.overlapping(held))
    }
}

/// Candidates by the beginning of their range, so that those of interest to a file are found without looking at
/// the others.
struct SortedCandidates {
    sorted: Vec<TimedKey>,
    widest_us: i64,
}

impl SortedCandidates {
    fn new(mut candidates: Vec<TimedKey>) -> Self {
        candidates.sort_unstable_by_key(|(times, _)| *times.start());
        let widest_us = candidates.iter().map(|(times, _)| width_us(times)).max().unwrap_or(0);
        Self { sorted: candidates, widest_us }
    }

    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = &EventKey> {
        let (min, max) = held.unwrap_or((i64::MIN, i64::MAX));
        let first = self.sorted.partition_point(|(times, _)| *times.start() < min.saturating_sub(self.widest_us));
        let end = self.sorted.partition_point(|(times, _)| *times.start() <= max).max(first);
        self.sorted[first..end].iter().filter(move |(times, _)| *times.end() >= min).map(|(_, key)| key)
    }
}

fn width_us(times: &RangeInclusive<i64>) -> i64 {
    times.end().saturating_sub(*times.start())
}

impl Lake {
    /// Finds the events of raw files that `table` has already, and those that were erased.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since the snapshot: take a new one.
    pub async fn find_duplicates(&self, raw: &[RawFile], table: &Arc<TableSnapshot>) -> Result<Duplicates> {
        let erasures = match raw {
            [] => Arc::default(),
            _ => self.erasures_of(table).await?,
        };
        let PendingKeys { candidates, rows, repeated, erased, damaged, unknown_column } =
            self.read_candidates(raw, &erasures).await?;
        let read_dates = candidates.values().flat_map(dates).collect();
        let candidates = Candidates::new(candidates);
        // Boxed, since the compiler cannot see that a stream of borrowing futures may move between threads.
        let mut searches: Vec<BoxFuture<'_, Result<Vec<EventKey>>>> = Vec::new();
        for file in &table.files {
            if candidates.overlapping(file.times_us("occurred_at")).next().is_some() {
                searches.push(catch_damage(&file.path, self.search(file, &candidates)).boxed());
            }
        }
        let found: HashSet<EventKey> =
            stream::iter(searches).buffer_unordered(CONCURRENT_FILES).try_concat().await?.into_iter().collect();
        let erased: Vec<EventKey> = erased.into_iter().collect();
        let keys = found.into_iter().chain(erased.iter().cloned()).collect();
        Ok(Duplicates { keys, erased, damaged, unknown_column, rows, repeated, read_dates })
    }

    /// Finds the events of `chosen` raw files of which a smaller copy, by `(received_at, lane, seq)`, is in one of
    /// `rest`. When only some of the pending files are published, these must be left out: the copy that queries
    /// have shown so far is still pending, and its turn comes.
    pub async fn find_earlier_copies(&self, chosen: &[RawFile], rest: &[RawFile]) -> Result<Vec<EventKey>> {
        let mut copies: HashMap<EventKey, (i64, LaneId, u64)> = HashMap::new();
        let mut sites = HashSet::new();
        for file in chosen {
            for (key, place) in self.read_places(file, &mut sites).await? {
                copies.entry(key).and_modify(|known| *known = place.min(*known)).or_insert(place);
            }
        }
        let mut found = HashSet::new();
        for file in rest {
            let places = self.read_places(file, &mut sites).await?;
            found.extend(places.into_iter().filter(|(key, place)| copies.get(key).is_some_and(|copy| place < copy)));
        }
        Ok(found.into_iter().map(|(key, _)| key).collect())
    }

    /// The events of a raw file, each with what decides between copies; none if the file is damaged.
    async fn read_places(
        &self,
        file: &RawFile,
        sites: &mut HashSet<Arc<str>>,
    ) -> Result<Vec<(EventKey, (i64, LaneId, u64))>> {
        let columns = ["site_id", "event_id", "received_at"];
        let read = match catch_damage(&file.path, self.read_raw(file, &columns)).await {
            Ok(read) => read,
            Err(error) => return DamagedFile::of(file, error).map(|_| vec![]),
        };
        let mut places = Vec::new();
        for batch in &read.batches {
            let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
            let place = |row| (received.value(row), file.lane, file.seq);
            places.extend(keys(batch, sites).enumerate().map(|(row, key)| (key, place(row))));
        }
        Ok(places)
    }

    /// What raw files hold, as far as it can be read.
    async fn read_candidates(&self, raw: &[RawFile], erasures: &Erasures) -> Result<PendingKeys> {
        let mut pending = PendingKeys::default();
        let mut sites: HashSet<Arc<str>> = HashSet::new();
        let mut columns = vec!["site_id", "event_id", "occurred_at", "received_at", "corrected_by", "id_assigned"];
        if !erasures.is_empty() {
            columns.extend(ERASURE_COLUMNS);
        }
        let mut reads: Vec<BoxFuture<'_, (&RawFile, Result<RawRows>)>> = Vec::new();
        for file in raw {
            let columns = columns.as_slice();
            reads.push(async move { (file, catch_damage(&file.path, self.read_raw(file, columns)).await) }.boxed());
        }
        let mut reads = stream::iter(reads).buffered(CONCURRENT_FILES);
        while let Some((file, read)) = reads.next().await {
            let batches = match read {
                Ok(read) => {
                    pending.unknown_column = pending.unknown_column.or(read.unknown_column);
                    read.batches
                }
                Err(error) => {
                    pending.damaged.push(DamagedFile::of(file, error)?);
                    continue;
                }
            };
            for batch in batches {
                pending.rows += batch.num_rows() as u64;
                let occurred = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>();
                let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
                let corrected = batch.column_by_name("corrected_by").map(|column| column.as_primitive::<Int64Type>());
                let assigned = batch.column_by_name("id_assigned").map(|column| column.as_boolean());
                let erased = match erasures.is_empty() {
                    true => None,
                    false => Some(erasures.covered_rows(&batch)),
                };
                for (row, key) in keys(&batch, &mut sites).enumerate() {
                    let occurred_at_us = occurred.value(row);
                    if erased.as_ref().is_some_and(|erased| erased.value(row)) {
                        pending.erased.insert(key.clone());
                    }
                    if assigned.is_some_and(|assigned| assigned.value(row)) {
                        continue;
                    }
                    let corrected_by_us =
                        corrected.filter(|column| column.is_valid(row)).map(|column| column.value(row));
                    let times = copy_times(occurred_at_us, received.value(row), corrected_by_us);
                    pending
                        .candidates
                        .entry(key)
                        .and_modify(|known| {
                            *known = *known.start().min(times.start())..=*known.end().max(times.end());
                            pending.repeated = true;
                        })
                        .or_insert(times);
                }
            }
        }
        Ok(pending)
    }

    /// Some columns of a raw file, checked to be all there and of their types.
    pub(crate) async fn read_raw(&self, file: &RawFile, columns: &[&str]) -> Result<RawRows> {
        let damaged = |error| LakeError::parquet(&file.path, error);
        let reader = ObjectReader { store: self.store(), path: file.path.clone(), size_bytes: file.size_bytes };
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(damaged)?;
        if let Some(problem) = schema_problem(builder.schema(), &raw_schema()) {
            return Err(LakeError::corrupt(file.path.to_string(), problem));
        }
        let is_known = |name: &str| raw_schema().field_with_name(name).is_ok();
        let unknown_column = builder.schema().fields().iter().map(|field| field.name()).find(|name| !is_known(name));
        let unknown_column = unknown_column.cloned();
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        let rows = builder.with_projection(mask).build().map_err(damaged)?;
        Ok(RawRows { batches: rows.try_collect().await.map_err(damaged)?, unknown_column })
    }

    async fn search(&self, file: &TableFile, candidates: &Candidates) -> Result<Vec<EventKey>> {
        let damaged = |error| LakeError::parquet(&file.path, error);
        let mut reader = ObjectReader { store: self.store(), path: file.path.clone(), size_bytes: file.size_bytes };
        let metadata =
            ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await.map_err(damaged)?;
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader.clone(), metadata.clone());
        let schema = metadata.metadata().file_metadata().schema_descr();
        let column = |name: &str| schema.columns().iter().position(|column| column.name() == name);
        let (Some(id_column), Some(time_column)) = (column("event_id"), column("occurred_at")) else {
            return Err(LakeError::corrupt(file.path.to_string(), "it has no event_id or no occurred_at"));
        };

        let mut row_groups = Vec::new();
        for (index, row_group) in metadata.metadata().row_groups().iter().enumerate() {
            let times = times_us(row_group, time_column);
            let mut possible = candidates.overlapping(times);
            let filter = builder.get_row_group_column_bloom_filter(index, id_column).await.map_err(damaged)?;
            let probable = match filter {
                Some(filter) => possible.any(|key| filter.check(&key.event_id.0[..])),
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
        let mut rows = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_projection(mask)
            .with_row_groups(row_groups)
            .build()
            .map_err(damaged)?;
        let wanted: HashMap<EventId, Vec<&EventKey>> =
            candidates.overlapping(file.times_us("occurred_at")).fold(HashMap::new(), |mut wanted, key| {
                wanted.entry(key.event_id).or_default().push(key);
                wanted
            });
        let mut found = Vec::new();
        while let Some(batch) = rows.try_next().await.map_err(damaged)? {
            let (sites, ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
            for (row, id) in ids.iter().flatten().enumerate() {
                let same_id = wanted.get(&event_id(id)).into_iter().flatten();
                found.extend(same_id.filter(|key| *key.site_id == *sites.value(row)).map(|&key| key.clone()));
            }
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

/// The dates that a range of times touches. A range is a few days long at the most.
fn dates(times_us: &RangeInclusive<i64>) -> impl Iterator<Item = NaiveDate> + use<> {
    let date = |us: i64| DateTime::from_timestamp_micros(us).map(|time| time.date_naive());
    let (first, last) = (date(*times_us.start()), date(*times_us.end()));
    first.into_iter().flat_map(|first| first.iter_days()).take_while(move |date| Some(*date) <= last)
}

fn times_us(row_group: &RowGroupMetaData, column: usize) -> Option<(i64, i64)> {
    match row_group.column(column).statistics() {
        Some(Statistics::Int64(times)) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}

/// The keys of a batch with `site_id` and `event_id`; equal sites share one allocation through `sites`.
pub(crate) fn keys<'a>(
    batch: &'a RecordBatch,
    sites: &'a mut HashSet<Arc<str>>,
) -> impl Iterator<Item = EventKey> + 'a {
    let site_ids = batch["site_id"].as_string::<i32>();
    let event_ids = batch["event_id"].as_binary::<i32>();
    (0..batch.num_rows()).map(move |row| {
        let site_id = match sites.get(site_ids.value(row)) {
            Some(site_id) => site_id.clone(),
            None => {
                let site_id: Arc<str> = site_ids.value(row).into();
                sites.insert(site_id.clone());
                site_id
            }
        };
        EventKey { site_id, event_id: event_id(event_ids.value(row)) }
    })
}

/// The id of so many bytes: 16, unless another engine wrote the file.
fn event_id(bytes: &[u8]) -> EventId {
    let mut id = [0; 16];
    let length = bytes.len().min(16);
    id[..length].copy_from_slice(&bytes[..length]);
    EventId(id)
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
    fn a_range_over_midnight_touches_both_dates() {
        let days: Vec<String> = dates(&(23 * HOUR_US..=25 * HOUR_US)).map(|date| date.to_string()).collect();
        assert_eq!(days, ["1970-01-01", "1970-01-02"]);
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
    fn check(held: Option<(i64, i64)>, expected: &[u8]) {
        let key = |n: u8| EventKey { site_id: "s".into(), event_id: EventId([n; 16]) };
        let candidates = Candidates::new([(key(1), 5..=15), (key(2), 30..=40), (key(3), 0..=100 * HOUR_US)].into());
        let mut found: Vec<u8> = candidates.overlapping(held).map(|key| key.event_id.0[0]).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
