//! What deduplication needs to know of pending events: who they are, and where else they may be.
//!
//! There may be millions, in each query and each publish, so they lie in plain lists, and are found by a sorted list
//! of hashes: a map that grows by random places costs several times as much.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate};
use futures::future::try_join_all;

use crate::copies::times::CopyReach;
use crate::erasure::Erasures;
use crate::event::{EventId, EventKey};
use crate::store::runtime::{LakeRuntime, Panicked};

/// An event's key within one search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The site's number among [`Sites`].
    pub(crate) site: u32,
    pub(crate) id: EventId,
}

/// The sites of a search.
#[derive(Default)]
pub(crate) struct Sites {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
}

/// One row of a raw file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRow {
    pub(crate) key: Key,
    /// Its id is our own, so that it has no copies.
    pub(crate) id_assigned: bool,
    /// It is of somebody who was erased.
    pub(crate) erased: bool,
    pub(crate) occurred_at_us: i64,
    /// How far from that an earlier event may lie of which it is a copy.
    pub(crate) reach: CopyReach,
}

impl PendingRow {
    /// The first and the last time (µs) at which an earlier event may lie of which this is a copy.
    pub(crate) fn copy_times(&self) -> (i64, i64) {
        self.reach.around(self.occurred_at_us)
    }
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowPlace {
    /// The number of its file among those that are read.
    pub(crate) file: u32,
    /// Its number within the file.
    pub(crate) row: u32,
}

/// The rows of some raw files.
#[derive(Default)]
pub(crate) struct PendingRows {
    pub(crate) sites: Sites,
    /// By file.
    files: Vec<Vec<PendingRow>>,
    /// From the first to the last time (µs) at which a copy in the table may lie.
    pub(crate) times: Option<(i64, i64)>,
    /// The days of these times, counted from the epoch.
    days: BTreeSet<i64>,
}

/// The rows with ids of their senders', by key.
pub(crate) struct KeyIndex {
    hasher: RandomState,
    filter: HashFilter,
    /// Each has the hashes with one remainder by their number.
    parts: Vec<IndexPart>,
}

/// Tells of most hashes that are in no part: so few bits that they stay near the core while millions are looked for.
struct HashFilter {
    bits: Vec<u64>,
    /// How many first bits of a hash choose its bit here.
    first_bits: u32,
}

/// A hash table that is filled once.
struct IndexPart {
    /// By hash.
    entries: Vec<(u64, RowPlace)>,
    /// Where the hashes begin that share their first bits.
    starts: Vec<u32>,
    first_bits: u32,
    /// Rows whose key others have too: key by key, and of one key in the order in which they came.
    repeated: Vec<RowPlace>,
    /// Rows that are erased, whether their ids are their senders' or not.
    erased: Vec<RowPlace>,
}

impl Sites {
    /// The number of a site, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    fn name(&self, number: u32) -> &Arc<str> {
        &self.names[number as usize]
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.get(name) {
            return number;
        }
        let (name, number) = (Arc::<str>::from(name), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

/// The keys of a batch with `site_id` and `event_id`; none for rows of sites that have no number.
pub(crate) fn keys<'a>(batch: &'a RecordBatch, sites: &'a Sites) -> impl Iterator<Item = Option<Key>> + 'a {
    let (site_ids, event_ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
    // Rows of one site often lie together.
    let mut last: Option<(&str, Option<u32>)> = None;
    (0..batch.num_rows()).map(move |row| {
        let name = site_ids.value(row);
        let number = match last {
            Some((last_name, number)) if last_name == name => number,
            _ => sites.get(name),
        };
        last = Some((name, number));
        number.map(|site| Key { site, id: EventId::of_bytes(event_ids.value(row)) })
    })
}

impl PendingRows {
    /// Reads the rows of one file, of whose sites only this knows the numbers.
    ///
    /// - `batches`: with the columns `site_id`, `event_id`, `occurred_at` and `received_at`, `corrected_by` and
    ///   `id_assigned` if the file has them, and those that `erasures` asks for if there are any.
    pub(crate) fn of_file(batches: &[RecordBatch], erasures: &Erasures) -> Self {
        let mut sites = Sites::default();
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in batches {
            let (site_ids, event_ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
            let occurred = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>();
            let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
            let corrected = batch.column_by_name("corrected_by").map(|column| column.as_primitive::<Int64Type>());
            let assigned = batch.column_by_name("id_assigned").map(|column| column.as_boolean());
            let erased = (!erasures.is_empty()).then(|| erasures.covered_rows(batch));
            rows.extend((0..batch.num_rows()).map(|row| {
                let corrected_by_us = corrected.filter(|column| column.is_valid(row)).map(|column| column.value(row));
                let occurred_at_us = occurred.value(row);
                PendingRow {
                    key: Key { site: sites.number(site_ids.value(row)), id: EventId::of_bytes(event_ids.value(row)) },
                    id_assigned: assigned.is_some_and(|assigned| assigned.value(row)),
                    erased: erased.as_ref().is_some_and(|erased| erased.value(row)),
                    occurred_at_us,
                    reach: CopyReach::of(occurred_at_us, received.value(row), corrected_by_us),
                }
            }));
        }
        Self::of_rows(sites, rows)
    }

    pub(crate) fn of_rows(sites: Sites, rows: Vec<PendingRow>) -> Self {
        let times = rows.iter().filter(|row| !row.id_assigned).map(PendingRow::copy_times);
        let (whole, days) = (times.clone().reduce(hull), days_of(times));
        Self { sites, times: whole, days, files: vec![rows] }
    }

    /// Adds the files of `other` after the own ones.
    pub(crate) fn append(&mut self, other: Self) {
        let numbers: Vec<u32> = other.sites.names.iter().map(|name| self.sites.number(name)).collect();
        for mut rows in other.files {
            rows.iter_mut().for_each(|row| row.key.site = numbers[row.key.site as usize]);
            self.files.push(rows);
        }
        self.times = self.times.into_iter().chain(other.times).reduce(hull);
        self.days.extend(other.days);
    }

    /// A key with its site's name.
    pub(crate) fn whole_key(&self, key: Key) -> EventKey {
        EventKey { site_id: self.sites.name(key.site).clone(), event_id: key.id }
    }

    pub(crate) fn row(&self, place: RowPlace) -> &PendingRow {
        &self.files[place.file as usize][place.row as usize]
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RowPlace, &PendingRow)> {
        self.files.iter().enumerate().flat_map(|(file, rows)| {
            rows.iter()
                .enumerate()
                .map(move |(row, pending)| (RowPlace { file: file as u32, row: row as u32 }, pending))
        })
    }

    /// Rows of the file with a number.
    pub(crate) fn count_in(&self, file: usize) -> usize {
        self.files[file].len()
    }

    /// Rows of all files.
    pub(crate) fn count(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }

    /// The dates on which copies in the table may lie.
    pub(crate) fn dates(&self) -> BTreeSet<NaiveDate> {
        let date = |day: &i64| DateTime::from_timestamp_micros(day.checked_mul(DAY_US)?).map(|time| time.date_naive());
        self.days.iter().filter_map(date).collect()
    }
}

/// From the beginning of the first to the end of the last of two ranges.
fn hull(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

impl KeyIndex {
    /// Sorts rows by their keys.
    ///
    /// - `count`: the threads to do it on.
    pub(crate) async fn build(rows: &Arc<PendingRows>, count: u64, runtime: &LakeRuntime) -> Result<Self, Panicked> {
        let hasher = RandomState::new();
        let build = |part| {
            let (rows, hasher) = (rows.clone(), hasher.clone());
            runtime.run(move || IndexPart::build(&rows, &hasher, part, count))
        };
        let parts = try_join_all((0..count).map(build)).await?;
        let filter = HashFilter::new(&parts);
        Ok(Self { hasher, filter, parts })
    }

    /// The rows with a key.
    fn find<'a>(&'a self, rows: &'a PendingRows, key: Key) -> impl Iterator<Item = RowPlace> + 'a {
        let hash = hash(&self.hasher, key);
        let alike = match self.filter.may_have(hash) {
            true => self.parts[(hash % self.parts.len() as u64) as usize].alike(hash),
            false => &[],
        };
        let same_hash = alike.iter().filter(move |(other, _)| *other == hash).map(|(_, place)| *place);
        same_hash.filter(move |place| rows.row(*place).key == key)
    }

    /// Whether any row has a key.
    pub(crate) fn has(&self, rows: &PendingRows, key: Key) -> bool {
        self.find(rows, key).next().is_some()
    }

    /// The rows that are copies of an event with a key and a time (µs) which came before them.
    pub(crate) fn find_copies<'a>(
        &'a self,
        rows: &'a PendingRows,
        key: Key,
        occurred_at_us: i64,
    ) -> impl Iterator<Item = RowPlace> + 'a {
        self.find(rows, key).filter(move |place| {
            let row = rows.row(*place);
            row.reach.joins(row.occurred_at_us, occurred_at_us)
        })
    }

    /// The rows that do not stay, ascending: those that are copies of an event in the table, or of a row before them that
    /// stays, and those that were erased, with all that have their keys.
    ///
    /// One row after the other is decided as if those before it were published, so it does not matter which of them are.
    ///
    /// - `published`: the rows that are copies of an event in the table.
    pub(crate) fn left_out(&self, rows: &PendingRows, mut published: Vec<RowPlace>) -> Vec<RowPlace> {
        published.sort_unstable();
        published.dedup();
        let mut left_out: Vec<RowPlace> = self.parts.iter().flat_map(|part| &part.erased).copied().collect();
        for same_key in self.parts.iter().flat_map(|part| part.same_keys(rows)) {
            if same_key.iter().any(|place| rows.row(*place).erased) {
                left_out.extend(same_key);
                continue;
            }
            let mut stay_at_us = BTreeSet::new();
            for place in same_key.iter().filter(|place| published.binary_search(place).is_err()) {
                let row = rows.row(*place);
                let (first, last) = row.copy_times();
                match stay_at_us.range(first..=last).next() {
                    Some(_) => left_out.push(*place),
                    None => _ = stay_at_us.insert(row.occurred_at_us),
                }
            }
        }
        left_out.extend(published);
        left_out.sort_unstable();
        left_out.dedup();
        left_out
    }
}

impl HashFilter {
    /// At most one of sixteen hashes that are in no part passes.
    fn new(parts: &[IndexPart]) -> Self {
        let count: usize = parts.iter().map(|part| part.entries.len()).sum();
        let first_bits = (count.max(4) * 8).next_power_of_two().ilog2() + 1;
        let mut bits = vec![0; 1 << (first_bits - u64::BITS.ilog2())];
        for (hash, _) in parts.iter().flat_map(|part| &part.entries) {
            let bit = first(*hash, first_bits);
            bits[bit / 64] |= 1 << (bit % 64);
        }
        Self { bits, first_bits }
    }

    fn may_have(&self, hash: u64) -> bool {
        let bit = first(hash, self.first_bits);
        self.bits[bit / 64] & (1 << (bit % 64)) != 0
    }
}

impl IndexPart {
    fn build(rows: &PendingRows, hasher: &RandomState, part: u64, parts: u64) -> Self {
        let share = rows.count() / parts as usize;
        let mut entries = Vec::with_capacity(share + share / 16);
        let mut erased = Vec::new();
        for (place, row) in rows.iter() {
            let hash = hash(hasher, row.key);
            if hash % parts == part {
                erased.extend(row.erased.then_some(place));
                entries.extend((!row.id_assigned).then_some((hash, place)));
            }
        }
        entries.sort_unstable();
        let mut repeated = Vec::new();
        for same_hash in entries.chunk_by(|a, b| a.0 == b.0) {
            // Nearly always. The row itself lies anywhere in memory and is not looked at.
            if same_hash.len() == 1 {
                continue;
            }
            let mut places: Vec<RowPlace> = same_hash.iter().map(|(_, place)| *place).collect();
            places.sort_unstable_by_key(|place| (rows.row(*place).key, *place));
            let same_keys = places.chunk_by(|a, b| rows.row(*a).key == rows.row(*b).key);
            repeated.extend(same_keys.filter(|same_key| same_key.len() > 1).flatten());
        }
        // Two entries for each start, so that a search looks at few.
        let first_bits = entries.len().max(2).ilog2() - 1;
        let mut starts = vec![0; (1 << first_bits) + 1];
        for (hash, _) in &entries {
            starts[first(*hash, first_bits) + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        Self { entries, starts, first_bits, repeated, erased }
    }

    /// The entries whose hashes have the first bits of this one.
    fn alike(&self, hash: u64) -> &[(u64, RowPlace)] {
        let first = first(hash, self.first_bits);
        &self.entries[self.starts[first] as usize..self.starts[first + 1] as usize]
    }

    /// Of each key that several rows have the places of these, in the order in which they came.
    fn same_keys<'a>(&'a self, rows: &'a PendingRows) -> impl Iterator<Item = &'a [RowPlace]> {
        self.repeated.chunk_by(|a, b| rows.row(*a).key == rows.row(*b).key)
    }
}

fn hash(hasher: &RandomState, key: Key) -> u64 {
    hasher.hash_one((u128::from_ne_bytes(key.id.0), key.site))
}

/// The first bits of a hash.
fn first(hash: u64, bits: u32) -> usize {
    match bits {
        0 => 0,
        bits => (hash >> (u64::BITS - bits)) as usize,
    }
}

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// The days on which times (µs) lie, counted from the epoch.
fn days_of(times: impl Iterator<Item = (i64, i64)>) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    // Those of the last event, which most often are those of the next one too.
    let mut last = None;
    for times in times {
        let ends = (times.0.div_euclid(DAY_US), times.1.div_euclid(DAY_US));
        if last != Some(ends) {
            days.extend(ends.0..=ends.1);
            last = Some(ends);
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::Lake;

    const MINUTE_US: i64 = 60_000_000;

    #[test]
    fn of_copies_the_one_in_the_first_file_stays() {
        check(&["a@2 b@1", "a@1 c@1", "a@1"], "a0 b0 c1");
    }

    #[test]
    fn of_what_was_erased_no_copy_stays() {
        check(&["a@1 b@1", "a@60!", "c@1!"], "b0");
    }

    #[test]
    fn an_id_of_our_own_has_no_copies() {
        check(&["a@1? a@1? b@1?!", "a@2"], "a0 a0 a1");
    }

    #[test]
    fn a_row_farther_away_than_copies_lie_is_none() {
        check(&["a@0", "a@15", "a@16", "a@31", "a@1"], "a0 a2");
        check(&["a@0", "a@60~", "a@4321~"], "a0 a2");
        check(&["a@60~", "a@0"], "a0 a1");
    }

    #[test]
    fn what_the_table_has_is_no_row_that_stays_of_which_others_are_copies() {
        check(&["a@10=", "a@20", "a@30 b@1="], "a1");
    }

    #[test]
    fn publishing_the_first_files_changes_nothing() {
        let files = ["a@0 b@5", "a@10~", "a@14", "b@20", "a@20 b@21", "a@31~", "b@4400~ a@5"];
        let stay = |files: &[&str], table: &[PendingRow]| {
            let rows = rows(files);
            let index = index(&rows, 1);
            let published =
                table.iter().flat_map(|row| index.find_copies(&rows, row.key, row.occurred_at_us)).collect();
            let left_out = index.left_out(&rows, published);
            let stay = rows.iter().filter(|(place, _)| !left_out.contains(place)).map(|(_, row)| *row);
            table.iter().copied().chain(stay).collect::<Vec<_>>()
        };
        let events = |rows: Vec<PendingRow>| rows.iter().map(|row| (row.key, row.occurred_at_us)).collect::<Vec<_>>();
        let at_once = events(stay(&files, &[]));
        for first in 1..files.len() {
            let table = stay(&files[..first], &[]);
            assert_eq!(events(stay(&files[first..], &table)), at_once, "{first} files published");
        }
    }

    #[test]
    fn each_of_many_keys_is_found_and_no_other() {
        for parts in [1, 2, 3] {
            let rows = rows(&[&(0..1_000).map(|id| format!("{id}@1")).collect::<Vec<_>>().join(" ")]);
            let index = index(&rows, parts);
            let find = |key, at_us| index.find_copies(&rows, key, at_us).collect::<Vec<_>>();
            for (place, row) in rows.iter() {
                assert_eq!(find(row.key, row.occurred_at_us), [place]);
                assert_eq!(find(Key { site: 1, ..row.key }, row.occurred_at_us), []);
                assert_eq!(find(row.key, row.occurred_at_us + 15 * MINUTE_US), [place]);
                assert_eq!(find(row.key, row.occurred_at_us + 15 * MINUTE_US + 1), []);
            }
        }
        let nothing = Arc::new(PendingRows::default());
        let key = Key { site: 0, id: EventId::from_client("1") };
        assert_eq!(index(&nothing, 1).find_copies(&nothing, key, 0).count(), 0);
    }

    /// Finds the copies of files whose rows are `id@minute`, with `!` if they are erased, `?` if the id is assigned, `~` if
    /// their copies may lie days away and `=` if the table has them. Those that stay are told by id and number of their file.
    #[track_caller]
    fn check(files: &[&str], expected: &str) {
        let rows = rows(files);
        let text = |place: RowPlace| files[place.file as usize].split(' ').nth(place.row as usize).unwrap();
        let places = || rows.iter().map(|(place, _)| place);
        let published: Vec<RowPlace> = places().filter(|place| text(*place).contains('=')).collect();
        for parts in [1, 2] {
            let left_out = index(&rows, parts).left_out(&rows, published.clone());
            let stay = places().filter(|place| !left_out.contains(place));
            let mut stay: Vec<String> = stay.map(|place| format!("{}{}", &text(place)[..1], place.file)).collect();
            stay.sort();
            assert_eq!(stay.join(" "), expected);
        }
    }

    fn index(rows: &Arc<PendingRows>, parts: u64) -> KeyIndex {
        let lake = Lake::open("memory:///", []).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(KeyIndex::build(rows, parts, lake.runtime())).unwrap()
    }

    fn rows(files: &[&str]) -> Arc<PendingRows> {
        let row = |text: &str| {
            let (id, rest) = text.split_once('@').unwrap();
            let minute: i64 = rest.trim_end_matches(['!', '?', '~', '=']).parse().unwrap();
            PendingRow {
                key: Key { site: 0, id: EventId::from_client(id) },
                id_assigned: rest.contains('?'),
                erased: rest.contains('!'),
                occurred_at_us: minute * MINUTE_US,
                reach: if rest.contains('~') { CopyReach::Retries } else { CopyReach::Slack },
            }
        };
        let mut all = PendingRows::default();
        for text in files {
            let mut sites = Sites::default();
            sites.number("shop");
            all.append(PendingRows::of_rows(sites, text.split(' ').map(row).collect()));
        }
        all.into()
    }
}
