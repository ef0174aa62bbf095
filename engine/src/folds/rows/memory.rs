//! Pieces and tallies kept between runs, within a bound. The least recently used go first; each can be made again.

use std::collections::HashMap;
use std::collections::hash_map::Entry::Occupied;
use std::sync::Arc;

use parking_lot::Mutex;

use super::counted::Counted;
use super::piece::Piece;
use super::room::Room;
use crate::folds::fold_use::FoldUse;

/// Names what a piece was made of: a hash of its definition, files and bounds.
pub(crate) type PieceKey = [u8; 16];

/// The pieces that are kept, and the memory of all.
#[derive(Debug)]
pub(crate) struct PieceMemory {
    bytes_max: usize,
    kept: Mutex<Kept>,
    room: Room,
}

/// Quarters of the room for all pieces that those may take which are kept.
const KEPT_QUARTERS: usize = 3;

/// An entry that was not used while all of them were, so many times over, is not needed.
const UNUSED_TURNS: u64 = 2;

/// Pieces made for one view alone, each once.
#[derive(Debug, Default)]
pub(crate) struct ViewPieces {
    pub(in crate::folds) made: tokio::sync::Mutex<HashMap<PieceKey, Arc<Piece>>>,
    /// What passes read, where that was less than all events.
    pub(in crate::folds) passes: Mutex<HashMap<PieceKey, FoldUse>>,
    /// The rows of `identities`.
    pub(in crate::folds) identities: tokio::sync::OnceCell<Arc<Piece>>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<PieceKey, (Entry, u64)>,
    /// How many entries hold a piece, and its bytes: pieces are shared.
    held: HashMap<usize, (usize, usize)>,
    bytes: usize,
    uses: u64,
}

#[derive(Clone, Debug)]
enum Entry {
    Piece(Arc<Piece>),
    Tally(Arc<Counted>),
}

impl PieceMemory {
    /// - `room_bytes`: what all pieces may take, those that are kept and those that are only made.
    pub(crate) fn new(room_bytes: usize) -> Self {
        let bytes_max = room_bytes / 4 * KEPT_QUARTERS;
        Self { bytes_max, kept: Mutex::default(), room: Room::new(room_bytes) }
    }

    /// The room for the rows of all pieces, kept or not.
    pub(in crate::folds) fn room(&self) -> &Room {
        &self.room
    }

    pub(in crate::folds) fn get(&self, key: &PieceKey) -> Option<Arc<Piece>> {
        match self.kept.lock().used(key)? {
            Entry::Piece(piece) => Some(piece),
            Entry::Tally(_) => None,
        }
    }

    pub(in crate::folds) fn tally(&self, key: &PieceKey) -> Option<Arc<Counted>> {
        match self.kept.lock().used(key)? {
            Entry::Tally(counted) => Some(counted),
            Entry::Piece(_) => None,
        }
    }

    /// Keeps a piece if there is room.
    pub(in crate::folds) fn put(&self, key: PieceKey, piece: Arc<Piece>) {
        self.keep(key, Entry::Piece(piece));
    }

    /// Keeps a tally with the rows that it was made of, in the place of the one before.
    pub(in crate::folds) fn put_tally(&self, key: PieceKey, counted: Arc<Counted>) {
        self.keep(key, Entry::Tally(counted));
    }

    fn keep(&self, key: PieceKey, entry: Entry) {
        let mut kept = self.kept.lock();
        kept.remove(&key);
        if entry.pieces().iter().map(|piece| piece.weight()).sum::<usize>() > self.bytes_max {
            return;
        }
        kept.insert(key, entry);
        while kept.bytes > self.bytes_max {
            let oldest = kept.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, (_, used))| (*key, *used));
            let Some((oldest, used)) = oldest else { break };
            // Runs ask for all entries in turn. If the oldest made room, each would be gone when its turn comes.
            let is_needed = kept.uses - used < UNUSED_TURNS * kept.entries.len() as u64;
            if is_needed {
                kept.remove(&key);
                break;
            }
            kept.remove(&oldest);
        }
    }

    /// Forgets a piece that is part of a larger one now.
    pub(in crate::folds) fn remove(&self, key: &PieceKey) {
        self.kept.lock().remove(key);
    }
}

impl Entry {
    fn pieces(&self) -> Vec<&Arc<Piece>> {
        match self {
            Self::Piece(piece) => vec![piece],
            Self::Tally(counted) => counted.pieces().collect(),
        }
    }
}

impl Kept {
    fn used(&mut self, key: &PieceKey) -> Option<Entry> {
        self.uses += 1;
        let (entry, used) = self.entries.get_mut(key)?;
        *used = self.uses;
        Some(entry.clone())
    }

    fn insert(&mut self, key: PieceKey, entry: Entry) {
        for piece in entry.pieces() {
            let (holders, bytes) = self.held.entry(address(piece)).or_insert((0, piece.weight()));
            *holders += 1;
            if *holders == 1 {
                self.bytes += *bytes;
            }
        }
        self.uses += 1;
        self.entries.insert(key, (entry, self.uses));
    }

    fn remove(&mut self, key: &PieceKey) {
        let Some((entry, _)) = self.entries.remove(key) else { return };
        for piece in entry.pieces() {
            if let Occupied(mut held) = self.held.entry(address(piece)) {
                held.get_mut().0 -= 1;
                if held.get().0 == 0 {
                    self.bytes -= held.remove().1;
                }
            }
        }
    }
}

/// Tells pieces apart that somebody holds.
pub(in crate::folds) fn address(piece: &Arc<Piece>) -> usize {
    Arc::as_ptr(piece) as usize
}
