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

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate};
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, TryStreamExt, stream};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;

use crate::damaged::DamagedFile;
use crate::erasure::{ERASURE_COLUMNS, Erasures};
use crate::error::{LakeError, Result};
use crate::event::EventId;
use crate::file::{catch_damage, times_us};
use crate::layout::{LaneId, RawFile};
use crate::raw_rows::RawRows;
use crate::runtime::on_own_task;
use crate::store::Lake;
use crate::table::TableSnapshot;
use crate::table_file::TableFile;

/// How far the corrected times of two copies of one event may lie apart.
pub const CLIENT_TIMED_SLACK: Duration = Duration::from_secs(15 * 60);

/// For how long a client may go on sending one event: as long as its timestamp would be accepted.
pub const RETRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// Raw files have at least so many bytes a row, as a rule: an id and the times.
const ROW_BYTES_MIN: u64 = 16;

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

/// Where a copy of a pending event is: of several, the one with the smallest place stays. No file has two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was received, in microseconds since the epoch.
    pub received_at_us: i64,
    /// The lane of its file.
    pub lane: LaneId,
    /// The number of its file.
    pub seq: u64,
}

/// What a search for duplicates found, and where it looked.
#[derive(Clone, Debug, Default)]
pub struct Duplicates {
    /// Pending events to leave out: the table has a copy, or they are of somebody who was erased.
    pub keys: HashSet<EventKey>,
    /// Those of `keys` that were erased.
    pub erased: Vec<EventKey>,
    /// Raw files that cannot be read, and so have no part in the rest.
    pub damaged: Vec<DamagedFile>,
    /// A column that only a later release knows. Queries lose nothing by that; a publish would.
    pub unknown_column: Option<String>,
    /// Pending rows, all copies counted.
    pub rows: u64,
    /// The events that are pending in more than one copy, and which of the copies stays.
    pub repeated: HashMap<EventKey, Place>,
    /// The dates that were searched: new rows there void the result.
    pub read_dates: BTreeSet<NaiveDate>,
}

/// An event's key within one search: small, since there is one for each pending row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    /// The site's number among [`Sites`].
    site: u32,
    id: EventId,
}

/// The sites of a search.
#[derive(Default)]
struct Sites {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Sites {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (name, number) = (Arc::<str>::from(name), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    fn whole(&self, key: Key) -> EventKey {
        EventKey { site_id: self.names[key.site as usize].clone(), event_id: key.id }
    }
}

/// What is known of a pending event: the times (µs) at which a published copy may lie, and its smallest place.
struct Copies {
    times: (i64, i64),
    received_at_us: i64,
    /// The number of its file among those that are read.
    file: u32,
}

/// Pending events, each with the times (µs) at which a published copy may lie.
///
/// Two lists, since nearly all ranges are short: a single long one must not make every search go back days.
struct Candidates {
    short: SortedCandidates,
    long: SortedCandidates,
}

/// A candidate and the times at which a published copy of it may lie.
type TimedKey = ((i64, i64), Key);

/// What raw files hold.
#[derive(Default)]
struct PendingKeys {
    candidates: HashMap<Key, Copies, RandomState>,
    sites: Sites,
    /// Days, counted from the epoch, on which published copies may lie.
    days: BTreeSet<i64>,
    /// Those of the last event, which most often are those of the next one too.
    last_days: (i64, i64),
    repeated: HashSet<Key>,
    rows: u64,
    erased: HashSet<Key>,
    damaged: Vec<DamagedFile>,
    unknown_column: Option<String>,
}

impl Candidates {
    fn new(all: impl Iterator<Item = TimedKey>) -> Self {
        let is_short = |(times, _): &TimedKey| width_us(*times) <= 4 * CLIENT_TIMED_SLACK.as_micros() as i64;
        let (short, long) = all.partition(is_short);
        Self { short: SortedCandidates::new(short), long: SortedCandidates::new(long) }
    }

    /// Those of which a file or row group with events of `held` times may have a copy.
    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = Key> {
        self.short.overlapping(held).chain(self.long.overlapping(held))
    }
}

/// What is looked for in files of the table.
struct Wanted<'a> {
    by_time: Candidates,
    by_key: HashMap<Key, Copies, RandomState>,
    sites: &'a Sites,
}

/// Candidates by the beginning of their range, so that those of interest to a file are found without looking at
/// the others.
struct SortedCandidates {
    sorted: Vec<TimedKey>,
    widest_us: i64,
}

impl SortedCandidates {
    fn new(mut candidates: Vec<TimedKey>) -> Self {
        candidates.sort_unstable_by_key(|((start, _), _)| *start);
        let widest_us = candidates.iter().map(|(times, _)| width_us(*times)).max().unwrap_or(0);
        Self { sorted: candidates, widest_us }
    }

    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = Key> {
        let (min, max) = held.unwrap_or((i64::MIN, i64::MAX));
        let first = self.sorted.partition_point(|((start, _), _)| *start < min.saturating_sub(self.widest_us));
        let end = self.sorted.partition_point(|((start, _), _)| *start <= max).max(first);
        self.sorted[first..end].iter().filter(move |((_, end), _)| *end >= min).map(|(_, key)| *key)
    }
}

fn width_us((start, end): (i64, i64)) -> i64 {
    end.saturating_sub(start)
}

impl Duplicates {
    /// Which rows of a raw file stay: one copy of each event, and none that is published or erased. `None` if all do.
    ///
    /// - `rows`: with `site_id`, `event_id` and `received_at`.
    pub fn kept(&self, file: &RawFile, rows: &RecordBatch) -> Option<BooleanArray> {
        if self.keys.is_empty() && self.repeated.is_empty() {
            return None;
        }
        let mut sites = HashSet::new();
        let received = rows["received_at"].as_primitive::<TimestampMicrosecondType>();
        let place = |row| Place { received_at_us: received.value(row), lane: file.lane, seq: file.seq };
        let stays = |(row, key): (usize, EventKey)| {
            !self.keys.contains(&key) && self.repeated.get(&key).is_none_or(|first| *first == place(row))
        };
        Some(keys(rows, &mut sites).enumerate().map(|event| Some(stays(event))).collect())
    }
}

impl Lake {
    /// Finds the events of raw files that `table` has already, and those that were erased.
    ///
    /// - `raw`: by lane and sequence.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since the snapshot: take a new one.
    pub async fn find_duplicates(&self, raw: &[RawFile], table: &Arc<TableSnapshot>) -> Result<Duplicates> {
        let erasures = match raw {
            [] => Arc::default(),
            _ => self.erasures_of(table).await?,
        };
        let PendingKeys { candidates, sites, days, repeated, rows, erased, damaged, unknown_column, .. } =
            self.read_candidates(raw, &erasures).await?;
        let place = |key: &Key| {
            let copies = &candidates[key];
            let file = &raw[copies.file as usize];
            Place { received_at_us: copies.received_at_us, lane: file.lane, seq: file.seq }
        };
        let repeated = repeated.iter().map(|key| (sites.whole(*key), place(key))).collect();
        let read_dates = days.into_iter().filter_map(date_of).collect();

        let times = times_of(&candidates);
        let may_have_copies = |file: &&TableFile| match (file.times_us("occurred_at"), times) {
            (Some((min, max)), Some((first, last))) => min <= last && max >= first,
            (_, times) => times.is_some(),
        };
        let files: Vec<&TableFile> = table.files.iter().filter(may_have_copies).collect();
        let mut found = HashSet::new();
        if !files.is_empty() {
            let by_time = Candidates::new(candidates.iter().map(|(key, copies)| (copies.times, *key)));
            let wanted = Wanted { by_time, by_key: candidates, sites: &sites };
            // Boxed, since the compiler cannot see that a stream of borrowing futures may move between threads.
            let mut searches: Vec<BoxFuture<'_, Result<Vec<Key>>>> = Vec::new();
            for file in files {
                if wanted.by_time.overlapping(file.times_us("occurred_at")).next().is_some() {
                    searches.push(catch_damage(&file.path, self.search(file, &wanted)).boxed());
                }
            }
            let keys: Vec<Key> = stream::iter(searches).buffer_unordered(CONCURRENT_FILES).try_concat().await?;
            found.extend(keys.into_iter().map(|key| sites.whole(key)));
        }
        let erased: Vec<EventKey> = erased.into_iter().map(|key| sites.whole(key)).collect();
        found.extend(erased.iter().cloned());
        Ok(Duplicates { keys: found, erased, damaged, unknown_column, rows, repeated, read_dates })
    }

    /// Finds the events of `chosen` raw files of which a smaller copy, by `(received_at, lane, seq)`, is in one of
    /// `rest`. When only some of the pending files are published, these must be left out: the copy that queries
    /// have shown so far is still pending, and its turn comes.
    pub async fn find_earlier_copies(&self, chosen: &[RawFile], rest: &[RawFile]) -> Result<HashSet<EventKey>> {
        let mut copies: HashMap<EventKey, Place> = HashMap::new();
        let mut sites = HashSet::new();
        for file in chosen {
            for (key, place) in self.read_places(file, &mut sites, i64::MAX).await? {
                copies.entry(key).and_modify(|known| *known = place.min(*known)).or_insert(place);
            }
        }
        // What came later is no earlier copy: of most other files, their statistics say so.
        let last_us = copies.values().map(|place| place.received_at_us).max().unwrap_or(i64::MIN);
        let mut found = HashSet::new();
        for file in rest {
            let places = self.read_places(file, &mut sites, last_us).await?;
            let earlier = places.into_iter().filter(|(key, place)| copies.get(key).is_some_and(|copy| place < copy));
            found.extend(earlier.map(|(key, _)| key));
        }
        Ok(found)
    }

    /// The events of a raw file, each with what decides between copies; none if the file is damaged, or if all of them
    /// came after `last_us`.
    async fn read_places(
        &self,
        file: &RawFile,
        sites: &mut HashSet<Arc<str>>,
        last_us: i64,
    ) -> Result<Vec<(EventKey, Place)>> {
        let columns = ["site_id", "event_id", "received_at"];
        let read = match catch_damage(&file.path, self.read_raw_received_until(file, &columns, last_us)).await {
            Ok(read) => read,
            Err(error) => return DamagedFile::of(file, error).map(|_| vec![]),
        };
        let mut places = Vec::new();
        for batch in &read.batches {
            let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
            let place = |row| Place { received_at_us: received.value(row), lane: file.lane, seq: file.seq };
            places.extend(keys(batch, sites).enumerate().map(|(row, key)| (key, place(row))));
        }
        Ok(places)
    }

    /// What raw files hold, as far as it can be read.
    async fn read_candidates(&self, raw: &[RawFile], erasures: &Erasures) -> Result<PendingKeys> {
        let mut pending = PendingKeys::default();
        let mut columns = vec!["site_id", "event_id", "occurred_at", "received_at", "corrected_by", "id_assigned"];
        if !erasures.is_empty() {
            columns.extend(ERASURE_COLUMNS);
        }
        let columns: Arc<[&str]> = columns.into();
        // Boxed, since the compiler cannot see that a stream of borrowing futures may move between threads.
        let mut reads: Vec<BoxFuture<'static, Result<RawRows>>> = Vec::new();
        for file in raw {
            let (lake, file, columns) = (self.clone(), file.clone(), columns.clone());
            let read = async move { catch_damage(&file.path, lake.read_raw(&file, &columns)).await };
            reads.push(on_own_task(read).boxed());
        }
        let bytes: u64 = raw.iter().map(|file| file.size_bytes).sum();
        let mut reads = stream::iter(reads).buffered(CONCURRENT_FILES).enumerate();
        while let Some((number, read)) = reads.next().await {
            if number == 1 {
                // As many as the first file had, by its size: to grow step by step would cost more than all the rest.
                let rows = pending.rows.saturating_mul(bytes) / raw[0].size_bytes.max(1);
                pending.candidates.reserve(rows.min(bytes / ROW_BYTES_MIN) as usize);
            }
            match read {
                Ok(read) => {
                    for batch in &read.batches {
                        pending.take(number as u32, batch, erasures);
                    }
                    pending.unknown_column = pending.unknown_column.or(read.unknown_column);
                }
                Err(error) => pending.damaged.push(DamagedFile::of(&raw[number], error)?),
            }
        }
        Ok(pending)
    }

    async fn search(&self, file: &TableFile, wanted: &Wanted<'_>) -> Result<Vec<Key>> {
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
            let mut possible = wanted.by_time.overlapping(times);
            let filter = builder.get_row_group_column_bloom_filter(index, id_column).await.map_err(damaged)?;
            let probable = match filter {
                Some(filter) => possible.any(|key| filter.check(&key.id.0[..])),
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
        let held = file.times_us("occurred_at").unwrap_or((i64::MIN, i64::MAX));
        let may_be_here = |copies: &Copies| copies.times.0 <= held.1 && copies.times.1 >= held.0;
        let mut found = Vec::new();
        while let Some(batch) = rows.try_next().await.map_err(damaged)? {
            let (sites, ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
            // Rows lie by site.
            let mut last: Option<(&str, Option<u32>)> = None;
            for row in 0..batch.num_rows() {
                let name = sites.value(row);
                let number = match last {
                    Some((last_name, number)) if last_name == name => number,
                    _ => wanted.sites.numbers.get(name).copied(),
                };
                last = Some((name, number));
                let Some(site) = number else { continue };
                let key = Key { site, id: event_id(ids.value(row)) };
                if wanted.by_key.get(&key).is_some_and(may_be_here) {
                    found.push(key);
                }
            }
        }
        Ok(found)
    }
}

impl PendingKeys {
    /// Adds rows of the raw file with a number.
    fn take(&mut self, file: u32, rows: &RecordBatch, erasures: &Erasures) {
        self.rows += rows.num_rows() as u64;
        let (sites, ids) = (rows["site_id"].as_string::<i32>(), rows["event_id"].as_binary::<i32>());
        let occurred = rows["occurred_at"].as_primitive::<TimestampMicrosecondType>();
        let received = rows["received_at"].as_primitive::<TimestampMicrosecondType>();
        let corrected = rows.column_by_name("corrected_by").map(|column| column.as_primitive::<Int64Type>());
        let assigned = rows.column_by_name("id_assigned").map(|column| column.as_boolean());
        let erased = (!erasures.is_empty()).then(|| erasures.covered_rows(rows));
        for row in 0..rows.num_rows() {
            let key = Key { site: self.sites.number(sites.value(row)), id: event_id(ids.value(row)) };
            if erased.as_ref().is_some_and(|erased| erased.value(row)) {
                self.erased.insert(key);
            }
            if assigned.is_some_and(|assigned| assigned.value(row)) {
                continue;
            }
            let corrected_by_us = corrected.filter(|column| column.is_valid(row)).map(|column| column.value(row));
            let (occurred_at_us, received_at_us) = (occurred.value(row), received.value(row));
            let times = copy_times(occurred_at_us, received_at_us, corrected_by_us).into_inner();
            let days = (times.0.div_euclid(DAY_US), times.1.div_euclid(DAY_US));
            if days != self.last_days || self.days.is_empty() {
                self.days.extend(days.0..=days.1);
                self.last_days = days;
            }
            match self.candidates.entry(key) {
                Entry::Vacant(entry) => drop(entry.insert(Copies { times, received_at_us, file })),
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    known.times = (known.times.0.min(times.0), known.times.1.max(times.1));
                    // Files come by lane and number, so of two received at once the first stays.
                    if received_at_us < known.received_at_us {
                        (known.received_at_us, known.file) = (received_at_us, file);
                    }
                    self.repeated.insert(key);
                }
            }
        }
    }
}

/// From the first to the last time at which a copy of any candidate may lie.
fn times_of(candidates: &HashMap<Key, Copies, RandomState>) -> Option<(i64, i64)> {
    candidates.values().map(|copies| copies.times).reduce(|whole, one| (whole.0.min(one.0), whole.1.max(one.1)))
}

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

fn date_of(day: i64) -> Option<NaiveDate> {
    DateTime::from_timestamp_micros(day.checked_mul(DAY_US)?).map(|time| time.date_naive())
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
        let key = |n: u8| Key { site: 0, id: EventId([n; 16]) };
        let all = [((5, 15), key(1)), ((30, 40), key(2)), ((0, 100 * HOUR_US), key(3))];
        let candidates = Candidates::new(all.into_iter());
        let mut found: Vec<u8> = candidates.overlapping(held).map(|key| key.id.0[0]).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
