//! Pending rows by key: a sorted list of hashes, with a filter in front that rules out most keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::RandomState;
use futures::future::try_join_all;

use super::pending::{Key, PendingRows, RowPlace};
use crate::store::runtime::{LakeRuntime, Panicked};

/// Rows by key. Only rows whose ids their senders gave: ids that we assigned have no copies.
pub(crate) struct KeyIndex {
    hasher: RandomState,
    filter: HashFilter,
    /// Part *n* holds the hashes that leave remainder *n*, divided by the number of parts.
    parts: Vec<IndexPart>,
}

/// Rules out most hashes that are in no part. Small enough to stay in the processor's cache while millions are looked up.
struct HashFilter {
    bits: Vec<u64>,
    /// How many leading bits of a hash choose its bit here.
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
            row.reach.spans(row.occurred_at_us, occurred_at_us)
        })
    }

    /// The rows to leave out, ascending: copies of an event in the table or of an earlier row that stays, and erased rows
    /// together with all rows that have their keys.
    ///
    /// Rows are decided in order, each as if all rows before it were published, so it does not matter which of them are.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::pending::{PendingRow, Sites};
    use crate::copies::times::CopyReach;
    use crate::event::EventId;
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
