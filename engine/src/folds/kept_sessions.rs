//! What is kept of sessions that began long ago, but for the rows of folds, which lie in the memory for pieces.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::hash::hash_of;
use super::memory::{PieceKey, PieceMemory};
use super::piece::Piece;
use crate::sessions::Stitching;

/// What an engine keeps of sessions that began long ago.
#[derive(Debug, Default)]
pub(crate) struct ClosedSessions {
    pub(super) kept: Mutex<Option<KeptSessions>>,
}

/// What was made of the sessions of some files.
#[derive(Debug)]
pub(super) struct KeptSessions {
    /// A hash of the files, the rules and the horizon.
    pub(super) of: PieceKey,
    /// Who was who.
    pub(super) stitching: Arc<Stitching>,
    /// The visitors with a session.
    pub(super) visitors: HashSet<i64>,
    /// The name under which the lake keeps the rows of folds, as long as they are as they were made first.
    pub(super) name_in_lake: Option<String>,
    /// Folds of which there are rows, and in how many pieces.
    folds: HashMap<PieceKey, usize>,
}

impl KeptSessions {
    /// Without any rows.
    pub(super) fn new(of: PieceKey, stitching: Arc<Stitching>, visitors: HashSet<i64>) -> Self {
        Self { of, stitching, visitors, name_in_lake: None, folds: HashMap::new() }
    }

    /// The rows of a fold, if they are still in memory.
    pub(super) fn pieces(&self, memory: &PieceMemory, fold: &PieceKey) -> Option<Vec<Arc<Piece>>> {
        let parts = *self.folds.get(fold)?;
        (0..parts).map(|part| memory.get(&part_key(fold, part))).collect()
    }

    /// Keeps the rows of a fold.
    pub(super) fn put(&mut self, memory: &PieceMemory, fold: PieceKey, pieces: &[Arc<Piece>]) {
        self.folds.insert(fold, pieces.len());
        for (part, piece) in pieces.iter().enumerate() {
            memory.put(part_key(&fold, part), piece.clone());
        }
    }

    /// Forgets the rows of folds that are not among those asked for.
    pub(super) fn forget_others(&mut self, memory: &PieceMemory, asked: &[Option<PieceKey>]) {
        self.folds.retain(|fold, parts| {
            let is_asked = asked.contains(&Some(*fold));
            if !is_asked {
                (0..*parts).for_each(|part| memory.remove(&part_key(fold, part)));
            }
            is_asked
        });
    }
}

/// Names a piece of the rows that a fold has of closed sessions.
fn part_key(fold: &PieceKey, part: usize) -> PieceKey {
    hash_of([in_digits(fold), format!("closed {part}")])
}

/// A hash as text.
pub(super) fn in_digits(hash: &PieceKey) -> String {
    format!("{:032x}", u128::from_be_bytes(*hash))
}

/// The visitors whose closed sessions may be others: of each who moved, they and the users whom they were and are, if any of
/// them has a closed session. Pure.
///
/// - `moved`: an anonymous visitor, and whose their events were and are.
pub(super) fn joined(moved: &[[i64; 3]], visitors: &HashSet<i64>) -> HashSet<i64> {
    let of_closed = moved.iter().filter(|ids| ids.iter().any(|id| visitors.contains(id)));
    of_closed.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moved_is_made_again_with_those_whose_they_were_and_are() {
        let visitors = HashSet::from([1, 2, 3, 30]);
        assert_eq!(joined(&[[1, 1, 10], [4, 4, 20]], &visitors), HashSet::from([1, 10]));
        assert_eq!(joined(&[[5, 20, 30]], &visitors), HashSet::from([5, 20, 30]));
        assert_eq!(joined(&[[5, 20, 21]], &visitors), HashSet::new());
    }
}
