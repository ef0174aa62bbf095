//! Rows with a key and an interval of time, found by a key and a time within.

use ahash::HashMap;
use datafusion::arrow::array::{Array, ArrayRef, Int64Array};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::error::Result;

/// Both sides must hash alike.
const HASHING: RandomState = RandomState::with_seed(0);

/// Hashes of keys; none of a row that has a null in them, which is equal to nothing.
pub(super) fn hashes_of(keys: &[ArrayRef], rows: usize) -> Result<Vec<Option<u64>>> {
    let mut hashes = vec![0; rows];
    create_hashes(keys, &HASHING, &mut hashes)?;
    let nulls: Vec<_> = keys.iter().filter_map(|key| key.logical_nulls()).collect();
    let is_known = |row: usize| nulls.iter().all(|nulls| nulls.is_valid(row));
    Ok(hashes.into_iter().enumerate().map(|(row, hash)| is_known(row).then_some(hash)).collect())
}

/// The rows, by the hash of their key and the begin of their interval.
#[derive(Debug, Default)]
pub(super) struct Intervals {
    /// Those of a hash stand beside each other.
    entries: Vec<Entry>,
    /// Of each hash, its first entry and that behind its last.
    by_hash: HashMap<u64, (u32, u32)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    from: i64,
    /// The last time within this interval, or within one of the same hash that begins before it.
    latest: i64,
    until: i64,
    row: u32,
}

/// What was looked up last. Rows of a visitor often follow each other.
#[derive(Debug, Default)]
pub(super) struct Last<'a>(Option<(u64, &'a [Entry])>);

impl Intervals {
    /// - `from`, `until`: the first and the last time within each interval. A row without one of them is in none.
    pub(super) fn new(hashes: &[Option<u64>], from: &Int64Array, until: &Int64Array) -> Self {
        let known = |row: usize| hashes[row].filter(|_| from.is_valid(row) && until.is_valid(row));
        // How many rows each hash has, then where the next of them goes.
        let (mut by_hash, mut places) = (HashMap::<u64, u32>::default(), Vec::<u32>::new());
        let mut last: Option<(u64, u32)> = None;
        let of_rows: Vec<Option<u32>> = (0..hashes.len())
            .map(|row| {
                let hash = known(row)?;
                let group = match last {
                    Some((same, group)) if same == hash => group,
                    _ => *by_hash.entry(hash).or_insert_with(|| {
                        places.push(0);
                        places.len() as u32 - 1
                    }),
                };
                last = Some((hash, group));
                places[group as usize] += 1;
                Some(group)
            })
            .collect();
        let mut begin = 0;
        for place in &mut places {
            begin += std::mem::replace(place, begin);
        }
        let begins = places.clone();
        let mut entries = vec![Entry::default(); begin as usize];
        for (row, group) in of_rows.into_iter().enumerate() {
            let Some(group) = group else { continue };
            let place = &mut places[group as usize];
            let (from, until) = (from.value(row), until.value(row));
            entries[*place as usize] = Entry { from, latest: until, until, row: row as u32 };
            *place += 1;
        }
        let range = |group: u32| (begins[group as usize], places[group as usize]);
        for group in 0..begins.len() as u32 {
            let (begin, end) = range(group);
            let of_hash = &mut entries[begin as usize..end as usize];
            of_hash.sort_unstable_by_key(|entry| entry.from);
            for place in 1..of_hash.len() {
                of_hash[place].latest = of_hash[place].until.max(of_hash[place - 1].latest);
            }
        }
        Self { entries, by_hash: by_hash.into_iter().map(|(hash, group)| (hash, range(group))).collect() }
    }

    /// Shows the rows whose key has this hash and whose interval has this time in it.
    pub(super) fn each_at<'a>(&'a self, hash: u64, at: i64, last: &mut Last<'a>, mut show: impl FnMut(u32)) {
        let of_hash = match last.0 {
            Some((same, entries)) if same == hash => entries,
            _ => {
                let (begin, end) = self.by_hash.get(&hash).copied().unwrap_or_default();
                &self.entries[begin as usize..end as usize]
            }
        };
        last.0 = Some((hash, of_hash));
        let begun = of_hash.partition_point(|entry| entry.from <= at);
        for entry in of_hash[..begun].iter().rev().take_while(|entry| entry.latest >= at) {
            if entry.until >= at {
                show(entry.row);
            }
        }
    }

    /// The memory that a row takes, in bytes.
    pub(super) const ROW_BYTES: usize = 2 * size_of::<Entry>() + size_of::<(u64, (u32, u32))>() * 8 / 7;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_interval_around_a_time_is_found_once(
            rows in prop::collection::vec((0..4_i64, prop::option::of(-20..20_i64), 0..15_i64), 0..40),
            key in 0..5_i64,
            times in prop::collection::vec(-25..40_i64, 1..6),
        ) {
            let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
            let from: Int64Array = rows.iter().map(|row| row.1).collect();
            let until: Int64Array = rows.iter().map(|row| row.1.map(|from| from + row.2 - 2)).collect();
            let intervals = Intervals::new(&hashes_of(&[keys], rows.len()).unwrap(), &from, &until);
            let asked: ArrayRef = Arc::new(Int64Array::from(vec![key]));
            let hash = hashes_of(&[asked], 1).unwrap()[0].unwrap();
            let mut last = Last::default();
            for at in times {
                let mut found = Vec::new();
                intervals.each_at(hash, at, &mut last, |row| found.push(row as usize));
                found.sort_unstable();
                let is_around = |row: &(i64, Option<i64>, i64)| {
                    row.0 == key && row.1.is_some_and(|from| from <= at && at <= from + row.2 - 2)
                };
                let expected: Vec<usize> = (0..rows.len()).filter(|row| is_around(&rows[*row])).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_null_is_no_key() {
        let keys: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let hashes = hashes_of(&[keys.clone(), keys], 2).unwrap();
        assert!(hashes[0].is_some() && hashes[1].is_none());
    }
}
