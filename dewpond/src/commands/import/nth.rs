//! Which of several equal records one is. Pure.

use std::collections::HashMap;

use intake::history::Content;

/// How many contents are remembered at the least, and half as many as at the most. Records that are equal have the same
/// time, so they lie near each other in any file that was written as things happened.
const REMEMBERED: usize = 1_000_000;

/// Counts equal records of one file. Two that lie further apart than a million others count as one.
#[derive(Default)]
pub(super) struct Nth {
    newer: HashMap<[u8; 16], u32>,
    older: HashMap<[u8; 16], u32>,
}

impl Nth {
    /// The number of a record among its equals, from 1.
    pub(super) fn of(&mut self, content: &Content) -> u64 {
        let mut key = [0; 16];
        key.copy_from_slice(&content[..16]);
        if self.newer.len() >= REMEMBERED {
            self.older = std::mem::take(&mut self.newer);
        }
        let before = self.older.remove(&key).unwrap_or(0);
        let nth = self.newer.entry(key).or_insert(before);
        *nth += 1;
        u64::from(*nth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_records_are_numbered_and_others_are_not_forgotten_at_once() {
        let mut nth = Nth::default();
        let content = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
        assert_eq!([nth.of(&content(1)), nth.of(&content(1)), nth.of(&content(2))], [1, 2, 1]);
        for n in 3..REMEMBERED as u64 + 10 {
            nth.of(&content(n));
        }
        assert_eq!(nth.of(&content(1)), 3);
        assert!(nth.newer.len() + nth.older.len() <= 2 * REMEMBERED);
    }
}
