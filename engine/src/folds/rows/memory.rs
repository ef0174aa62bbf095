//! Pieces and tallies kept between runs, within a bound. What nobody has used for long goes; of what is needed the largest pieces
//! move to disk. Each can be made again.

use std::collections::HashMap;
use std::collections::hash_map::Entry::Occupied;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;

use super::counted::Counted;
use super::identity_rows::IdentityRows;
use super::pass_rows::PassRows;
use super::piece::Piece;
use super::room::Room;
use crate::folds::fold_use::FoldUse;
use crate::limits::memory::{MovesToDisk, QueryMemory};

/// Names what a piece was made of: a hash of its definition, files and bounds.
pub(crate) type PieceKey = [u8; 16];

/// The pieces that are kept, and the memory of all.
#[derive(Debug)]
pub(crate) struct PieceMemory {
    bytes_max: usize,
    kept: Mutex<Kept>,
    room: Room,
    /// Has the disk that pieces move to.
    runtime: Arc<RuntimeEnv>,
    disk_bytes_max: u64,
    has_warned: AtomicBool,
}

/// Quarters of the room for all pieces that those may take which are kept.
const KEPT_QUARTERS: usize = 3;

/// The part of the temporary disk that kept pieces may take: one in so many. Queries need the rest.
const DISK_SHARE: u64 = 2;

/// An entry that so many runs of each lake did not ask for is not needed.
const UNUSED_RUNS: u64 = 2;

/// Which run asks: later ones have greater numbers.
pub(in crate::folds) type RunNumber = u64;

/// What was made for one view alone, each once.
#[derive(Debug, Default)]
pub(crate) struct ViewPieces {
    /// The number of the run that the view is of, once it asked for what is kept.
    run: OnceLock<RunNumber>,
    /// Of pending events.
    pub(in crate::folds) pending: tokio::sync::Mutex<HashMap<PieceKey, Arc<Piece>>>,
    /// What passes made.
    pub(in crate::folds) made: tokio::sync::Mutex<HashMap<PieceKey, PassRows>>,
    /// What passes read, where that was less than all events.
    pub(in crate::folds) passes: Mutex<HashMap<PieceKey, FoldUse>>,
    /// The rows of `identities`.
    pub(in crate::folds) identities: tokio::sync::OnceCell<Arc<IdentityRows>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Each with the run that used it last.
    entries: HashMap<PieceKey, (Entry, RunNumber)>,
    /// By their addresses: pieces are shared.
    held: HashMap<usize, Held>,
    bytes: usize,
    disk_bytes: u64,
    /// Of all lakes.
    runs: RunNumber,
    /// Lakes beside the main one, whose runs come in turn with its own.
    other_lakes: u64,
}

/// A piece that entries hold.
#[derive(Debug)]
struct Held {
    piece: Arc<Piece>,
    holders: usize,
    bytes: usize,
    disk_bytes: u64,
}

#[derive(Clone, Debug)]
enum Entry {
    Piece(Arc<Piece>),
    Tally(Arc<Counted>),
    Pass(PassRows),
}

impl PieceMemory {
    /// - `room_bytes`: what all pieces may take, those that are kept and those that are only made.
    /// - `memory`: that of all queries, out of which they take it.
    /// - `runtime`: has the disk that pieces move to.
    pub(crate) fn new(room_bytes: usize, memory: Arc<QueryMemory>, runtime: Arc<RuntimeEnv>) -> Self {
        let bytes_max = room_bytes / 4 * KEPT_QUARTERS;
        let disk_bytes_max = runtime.disk_manager.max_temp_directory_size() / DISK_SHARE;
        let (kept, room, has_warned) = (Mutex::default(), Room::new(room_bytes, memory), AtomicBool::new(false));
        Self { bytes_max, kept, room, runtime, disk_bytes_max, has_warned }
    }

    /// Counts one more lake whose runs keep pieces here.
    pub(crate) fn add_lake(&self) {
        self.kept.lock().other_lakes += 1;
    }

    /// The room for the rows of all pieces, kept or not.
    pub(in crate::folds) fn room(&self) -> &Room {
        &self.room
    }

    /// The number of the run that a view is of.
    pub(in crate::folds) fn run_of(&self, view: &ViewPieces) -> RunNumber {
        *view.run.get_or_init(|| {
            let mut kept = self.kept.lock();
            kept.runs += 1;
            kept.runs
        })
    }

    pub(in crate::folds) fn get(&self, run: RunNumber, key: &PieceKey) -> Option<Arc<Piece>> {
        match self.kept.lock().used(run, key)? {
            Entry::Piece(piece) => Some(piece),
            Entry::Tally(_) | Entry::Pass(_) => None,
        }
    }

    pub(in crate::folds) fn tally(&self, run: RunNumber, key: &PieceKey) -> Option<Arc<Counted>> {
        match self.kept.lock().used(run, key)? {
            Entry::Tally(counted) => Some(counted),
            Entry::Piece(_) | Entry::Pass(_) => None,
        }
    }

    /// Keeps a piece if there is room.
    pub(in crate::folds) fn put(&self, run: RunNumber, key: PieceKey, piece: Arc<Piece>) {
        self.keep(run, key, Entry::Piece(piece));
    }

    /// Keeps a tally with the rows that it was made of, in the place of the one before.
    pub(in crate::folds) fn put_tally(&self, run: RunNumber, key: PieceKey, counted: Arc<Counted>) {
        self.keep(run, key, Entry::Tally(counted));
    }

    /// Takes note of what passes hold, so that it moves to disk where memory ends.
    pub(in crate::folds) fn put_pass(&self, run: RunNumber, key: PieceKey, rows: PassRows) {
        self.keep(run, key, Entry::Pass(rows));
    }

    fn keep(&self, run: RunNumber, key: PieceKey, entry: Entry) {
        let mut kept = self.kept.lock();
        kept.remove(&key);
        kept.insert(run, key, entry);
        while kept.bytes > self.bytes_max || kept.disk_bytes > self.disk_bytes_max {
            let oldest = kept.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, (_, used))| (*key, *used));
            let Some((oldest, used)) = oldest else { break };
            if used.saturating_add(UNUSED_RUNS * (1 + kept.other_lakes)) < kept.runs {
                kept.remove(&oldest);
                continue;
            }
            // If the oldest made room, each would be gone when its turn comes in the next run.
            let largest = kept.largest_in_memory().filter(|largest| {
                kept.bytes > self.bytes_max && kept.disk_bytes + largest.weight() as u64 <= self.disk_bytes_max
            });
            let Some(largest) = largest else {
                kept.remove(&key);
                self.warn_once("there is no room for them in memory nor on disk");
                break;
            };
            // Others go on while it is written.
            drop(kept);
            let moved = largest.move_to_disk(&self.runtime);
            kept = self.kept.lock();
            kept.weigh(&largest);
            if let Err(error) = moved {
                kept.remove(&key);
                self.warn_once(&error.to_string());
                break;
            }
        }
    }

    fn warn_once(&self, reason: &str) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                reason,
                "not all that recurring queries need is kept: give them more --memory-bytes or --spill-bytes"
            );
        }
    }

    /// Forgets what somebody has deleted from the disk, so that the next run makes it again.
    pub(in crate::folds) fn forget_lost(&self) {
        let mut kept = self.kept.lock();
        let is_lost = |entry: &Entry| entry.pieces().iter().any(|piece| piece.is_lost());
        let lost: Vec<PieceKey> =
            kept.entries.iter().filter(|(_, (entry, _))| is_lost(entry)).map(|(key, _)| *key).collect();
        for key in &lost {
            kept.remove(key);
        }
        if !lost.is_empty() {
            tracing::warn!(
                pieces = lost.len(),
                "files that recurring queries need are gone from the temporary disk; they are made again"
            );
        }
    }

    /// Forgets a piece that is part of a larger one now, or rows that no pass holds any more.
    pub(in crate::folds) fn remove(&self, key: &PieceKey) {
        self.kept.lock().remove(key);
    }
}

impl MovesToDisk for PieceMemory {
    fn movable_bytes(&self) -> usize {
        let kept = self.kept.lock();
        kept.held.values().map(|held| held.piece.claimed_bytes()).sum()
    }

    fn move_to_disk(&self, bytes: usize) -> usize {
        let mut moved_bytes = 0;
        while moved_bytes < bytes {
            let kept = self.kept.lock();
            let in_memory = kept.held.values().map(|held| (held.piece.claimed_bytes(), &held.piece));
            let Some((claimed_bytes, largest)) = in_memory.max_by_key(|(bytes, _)| *bytes) else { break };
            if claimed_bytes == 0 || kept.disk_bytes + largest.weight() as u64 > self.disk_bytes_max {
                break;
            }
            let largest = largest.clone();
            // Others go on while it is written.
            drop(kept);
            if let Err(error) = largest.move_to_disk(&self.runtime) {
                self.warn_once(&error.to_string());
                break;
            }
            self.kept.lock().weigh(&largest);
            moved_bytes += claimed_bytes;
        }
        moved_bytes
    }
}

impl Entry {
    fn pieces(&self) -> Vec<&Arc<Piece>> {
        match self {
            Self::Piece(piece) => vec![piece],
            Self::Tally(counted) => counted.pieces().collect(),
            Self::Pass(rows) => rows.base.iter().chain(&rows.changes).collect(),
        }
    }
}

impl Kept {
    fn used(&mut self, run: RunNumber, key: &PieceKey) -> Option<Entry> {
        let (entry, used) = self.entries.get_mut(key)?;
        *used = run.max(*used);
        Some(entry.clone())
    }

    fn insert(&mut self, run: RunNumber, key: PieceKey, entry: Entry) {
        for piece in entry.pieces() {
            let unheld = || Held { piece: piece.clone(), holders: 0, bytes: 0, disk_bytes: 0 };
            self.held.entry(address(piece)).or_insert_with(unheld).holders += 1;
            self.weigh(piece);
        }
        self.entries.insert(key, (entry, run));
    }

    fn remove(&mut self, key: &PieceKey) {
        let Some((entry, _)) = self.entries.remove(key) else { return };
        for piece in entry.pieces() {
            if let Occupied(mut held) = self.held.entry(address(piece)) {
                held.get_mut().holders -= 1;
                if held.get().holders == 0 {
                    let held = held.remove();
                    self.bytes -= held.bytes;
                    self.disk_bytes -= held.disk_bytes;
                }
            }
        }
    }

    /// The largest piece in memory: most often one of a month, which is only looked through for the visitors of whom something
    /// is new.
    fn largest_in_memory(&self) -> Option<Arc<Piece>> {
        let in_memory = self.held.values().filter(|held| held.piece.is_in_memory());
        in_memory.max_by_key(|held| held.bytes).map(|held| held.piece.clone())
    }

    /// Takes note of where a piece lies now, if somebody still holds it.
    fn weigh(&mut self, piece: &Arc<Piece>) {
        let Some(held) = self.held.get_mut(&address(piece)) else { return };
        self.bytes -= held.bytes;
        self.disk_bytes -= held.disk_bytes;
        (held.bytes, held.disk_bytes) = (piece.weight(), piece.disk_bytes());
        self.bytes += held.bytes;
        self.disk_bytes += held.disk_bytes;
    }
}

/// Tells pieces apart that somebody holds.
pub(in crate::folds) fn address(piece: &Arc<Piece>) -> usize {
    Arc::as_ptr(piece) as usize
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
    use datafusion::execution::disk_manager::DiskManagerBuilder;
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;

    use super::*;

    /// A piece of so many bytes, about: random numbers take eight each.
    fn piece(bytes: usize) -> Arc<Piece> {
        let rows = bytes / 8;
        let sites: ArrayRef = Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n("shop", rows)));
        let numbers = (0..rows as i64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64));
        let columns = [("site", sites), ("k0", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Piece::new(&batch.schema(), &[batch]).unwrap()
    }

    fn queries() -> Arc<QueryMemory> {
        Arc::new(QueryMemory::new(64 << 20))
    }

    fn memory_of(room_bytes: usize) -> PieceMemory {
        PieceMemory::new(room_bytes, queries(), Arc::default())
    }

    fn key(number: u8) -> PieceKey {
        [number; 16]
    }

    #[test]
    fn what_each_run_needs_is_kept_on_disk_where_memory_ends() {
        let memory = memory_of(4 << 20);
        let sizes = [100 << 10, 2 << 20, 300 << 10, 4 << 20, 1 << 20, 200 << 10, 2 << 20];
        let pieces: Vec<Arc<Piece>> = sizes.into_iter().map(piece).collect();
        let all: Vec<RecordBatch> = pieces.iter().map(|piece| piece.all_rows().unwrap()).collect();
        for run in 1..=4 {
            for number in 0..sizes.len() {
                let kept = memory.get(run, &key(number as u8));
                assert_eq!(kept.is_some(), run > 1, "{number} in run {run}");
                let piece = kept.unwrap_or_else(|| pieces[number].clone());
                assert_eq!(piece.all_rows().unwrap(), all[number], "{number} in run {run}");
                // What is asked for in vain uses nothing up.
                assert!(memory.get(run, &key(200)).is_none());
                memory.put(run, key(number as u8), piece);
            }
            assert!(memory.kept.lock().bytes <= 3 << 20);
            let in_memory: Vec<bool> = pieces.iter().map(|piece| piece.is_in_memory()).collect();
            assert_eq!(in_memory, [true, false, true, false, true, true, false], "the largest are on disk");
        }
    }

    #[test]
    fn what_two_runs_did_not_ask_for_makes_room_and_what_does_not_fit_anywhere_is_not_kept() {
        let view = ViewPieces::default;
        let memory = memory_of(4 << 20);
        let [first, second, third, fourth] = [view(), view(), view(), view()];
        let run = memory.run_of(&first);
        assert_eq!((run, memory.run_of(&first), memory.run_of(&second)), (1, 1, 2));
        memory.put(1, key(1), piece(2 << 20));
        memory.put(1, key(2), piece(500 << 10));
        memory.put(2, key(2), piece(500 << 10));
        assert_eq!(memory.run_of(&third), 3);
        memory.put(3, key(3), piece(1 << 20));
        assert!(memory.get(1, &key(1)).is_some_and(|old| !old.is_in_memory()), "it is needed, so it is on disk");
        memory.put(3, key(2), piece(500 << 10));
        for later in [view(), fourth] {
            memory.run_of(&later);
        }
        let run = memory.run_of(&view());
        memory.put(run, key(2), piece(500 << 10));
        memory.put(run, key(4), piece(2 << 20));
        let kept = [1, 2, 3, 4].map(|number| memory.get(run, &key(number)).is_some());
        assert_eq!(kept, [false, true, false, true]);

        // A run of one lake is not that of another.
        let lakes = memory_of(4 << 20);
        lakes.add_lake();
        lakes.put(1, key(1), piece(500 << 10));
        let runs = [view(), view(), view(), view(), view()].map(|view| lakes.run_of(&view));
        assert_eq!(runs, [1, 2, 3, 4, 5]);
        lakes.put(5, key(2), piece(4 << 20));
        assert!(lakes.get(1, &key(1)).is_some(), "two runs of each lake did not ask for it");
        assert_eq!(lakes.run_of(&view()), 6);
        lakes.put(6, key(3), piece(4 << 20));
        assert!(lakes.get(1, &key(1)).is_none());

        // What somebody deletes is made again.
        let gone = lakes.get(6, &key(3)).unwrap();
        lakes.forget_lost();
        assert!(lakes.get(6, &key(3)).is_some());
        gone.delete_file();
        assert!(gone.all_rows().is_err());
        lakes.forget_lost();
        assert_eq!([2, 3].map(|number| lakes.get(6, &key(number)).is_some()), [true, false]);

        let nowhere = memory_of(0);
        nowhere.put(1, key(1), piece(100 << 10));
        assert!(nowhere.get(1, &key(1)).is_none());
        let kept = nowhere.kept.lock();
        assert_eq!((kept.bytes, kept.disk_bytes), (0, 0));

        // Half of the disk is for queries.
        let disk = DiskManagerBuilder::default().with_max_temp_directory_size(3 << 20);
        let runtime = RuntimeEnvBuilder::new().with_disk_manager_builder(disk).build_arc().unwrap();
        let small = PieceMemory::new(1 << 20, queries(), runtime);
        (1..=6).for_each(|number| small.put(1, key(number), piece(500 << 10)));
        let kept = (1..=6).filter(|number| small.get(1, &key(*number)).is_some()).count();
        assert!(small.kept.lock().disk_bytes <= 3 << 19);
        assert_eq!(kept, 3, "one in memory and two on disk");
    }
}
