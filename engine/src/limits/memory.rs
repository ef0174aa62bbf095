//! The memory of all queries, in which rows of sites, and those of recurring queries, are kept for as long as no query needs it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::kept::KeptRows;

/// The part of all memory that kept rows may take: one in so many.
const KEPT_SHARE: usize = 2;

/// The part of it that no query takes from them that can do with less: one in so many. A sort spills before it makes a
/// dashboard slow.
const KEPT_FLOOR_SHARE: usize = 4;

/// Something that has memory of queries and can do without it.
pub(crate) trait MovesToDisk: fmt::Debug + Send + Sync {
    /// How much it can give back.
    fn movable_bytes(&self) -> usize;

    /// Gives back so much, or more, if it can. Returns how much it gave back.
    fn move_to_disk(&self, bytes: usize) -> usize;
}

/// Memory of a size, divided fairly among queries that can spill. Before a query fails, kept rows go, and then what
/// recurring queries keep moves to disk.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    /// Kept rows take from here as queries do.
    pool: Arc<dyn MemoryPool>,
    bytes: usize,
    kept: Arc<KeptRows>,
    kept_floor_bytes: usize,
    recurring: OnceLock<Weak<dyn MovesToDisk>>,
    /// What all recurring queries keep.
    recurring_bytes: AtomicUsize,
}

impl QueryMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(bytes));
        let kept = Arc::new(KeptRows::new(bytes / KEPT_SHARE, &pool));
        let (recurring, recurring_bytes) = (OnceLock::new(), AtomicUsize::new(0));
        Self { pool, bytes, kept, kept_floor_bytes: bytes / KEPT_FLOOR_SHARE, recurring, recurring_bytes }
    }

    /// Takes memory back from what recurring queries keep, too, from now on.
    pub(crate) fn take_back_from(&self, recurring: Weak<dyn MovesToDisk>) {
        // There is one for all engines that share this memory.
        let _ = self.recurring.set(recurring);
    }

    /// Memory for what recurring queries keep.
    pub(crate) fn reserve_for_recurring(&self) -> MemoryReservation {
        MemoryConsumer::new("rows of recurring queries").register(&self.pool)
    }

    /// Enlarges memory for what recurring queries keep, where kept rows of sites may go. Returns whether there was enough.
    ///
    /// - `bytes_max`: what all that they keep may take.
    pub(crate) fn try_grow_recurring(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
        bytes_max: usize,
    ) -> bool {
        let fits = |bytes: usize| Some(bytes + additional).filter(|all| *all <= bytes_max);
        if self.recurring_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        while reservation.try_grow(additional).is_err() {
            let missing = self.missing(additional);
            if missing == 0 || missing > self.kept.bytes() || !self.kept.shrink_by(missing) {
                self.recurring_bytes.fetch_sub(additional, Ordering::Relaxed);
                return false;
            }
        }
        true
    }

    /// Gives back some of it.
    pub(crate) fn shrink_recurring(&self, reservation: &MemoryReservation, bytes: usize) {
        reservation.shrink(bytes);
        self.recurring_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn missing(&self, additional: usize) -> usize {
        (self.pool.reserved() + additional).saturating_sub(self.bytes)
    }

    /// The rows that are kept in it.
    pub(crate) fn kept(&self) -> &Arc<KeptRows> {
        &self.kept
    }

    /// Takes as much memory from kept rows as a query needs, and the rest from what recurring queries keep, unless they have
    /// not that much. Whether there is more now.
    fn takes_back(&self, reservation: &MemoryReservation, additional: usize) -> bool {
        let recurring = self.recurring.get().and_then(Weak::upgrade);
        let movable_bytes = || recurring.as_ref().map_or(0, |recurring| recurring.movable_bytes());
        let move_to_disk = |bytes| recurring.as_ref().map_or(0, |recurring| recurring.move_to_disk(bytes));
        if reservation.consumer().can_spill() {
            // All that is kept has the floor together.
            let of_recurring = movable_bytes();
            let left = self.kept_floor_bytes.saturating_sub(of_recurring);
            let too_much = of_recurring.saturating_sub(self.kept_floor_bytes);
            return self.kept.shrink_to(left) || too_much > 0 && move_to_disk(too_much) > 0;
        }
        let missing = self.missing(additional);
        let of_sites = self.kept.bytes();
        if missing <= of_sites {
            return missing > 0 && self.kept.shrink_by(missing);
        }
        let rest = missing - of_sites;
        if rest > movable_bytes() {
            return false;
        }
        let moved = move_to_disk(rest);
        if moved >= rest {
            self.kept.shrink_by(of_sites);
        }
        // Another query may have made room meanwhile.
        moved > 0 || self.missing(additional) < missing
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.pool.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.pool.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        loop {
            match self.pool.try_grow(reservation, additional) {
                Err(_) if self.takes_back(reservation, additional) => {}
                grown => return grown,
            }
        }
    }

    /// What queries have. Kept rows count as free, those of recurring queries too.
    fn reserved(&self) -> usize {
        self.pool
            .reserved()
            .saturating_sub(self.kept.bytes())
            .saturating_sub(self.recurring_bytes.load(Ordering::Relaxed))
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.pool.memory_limit()
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = 800;

    /// With 100 bytes of four files each.
    fn memory() -> Arc<QueryMemory> {
        let memory = Arc::new(QueryMemory::new(ALL));
        for file in ["a", "b", "c", "d"] {
            memory.kept.keep_for_test(file, 100);
        }
        assert_eq!((memory.kept.bytes(), memory.reserved()), (400, 0));
        memory
    }

    fn consumer(memory: &Arc<QueryMemory>, can_spill: bool) -> MemoryReservation {
        let pool: Arc<dyn MemoryPool> = memory.clone();
        MemoryConsumer::new("a query").with_can_spill(can_spill).register(&pool)
    }

    #[test]
    fn rows_go_before_a_query_fails() {
        let memory = memory();
        let query = consumer(&memory, false);
        query.try_grow(400).unwrap();
        assert_eq!(memory.kept.bytes(), 400, "there was enough");
        assert!(query.try_grow(401).is_err());
        assert_eq!(memory.kept.bytes(), 400, "there would never be enough");
        query.try_grow(50).unwrap();
        assert_eq!((memory.kept.bytes(), memory.reserved()), (300, 450));
        query.try_grow(350).unwrap();
        assert_eq!((memory.kept.bytes(), memory.reserved()), (0, ALL));
        assert!(query.try_grow(1).is_err());
    }

    #[test]
    fn a_sort_spills_before_it_takes_the_last_rows() {
        let memory = memory();
        let sort = consumer(&memory, true);
        sort.try_grow(600).unwrap();
        assert_eq!(memory.kept.bytes(), 200);
        assert!(sort.try_grow(1).is_err());
        assert_eq!(memory.kept.bytes(), 200);
    }

    /// Rows of a recurring query: in memory, then on disk.
    #[derive(Debug)]
    struct Recurring(parking_lot::Mutex<MemoryReservation>, Arc<QueryMemory>);

    impl MovesToDisk for Recurring {
        fn movable_bytes(&self) -> usize {
            self.0.lock().size()
        }

        fn move_to_disk(&self, bytes: usize) -> usize {
            let (memory, reservation) = (&self.1, self.0.lock());
            memory.shrink_recurring(&reservation, bytes);
            bytes
        }
    }

    #[test]
    fn what_recurring_queries_keep_moves_to_disk_before_a_query_fails() {
        let memory = memory();
        let reservation = memory.reserve_for_recurring();
        assert!(memory.try_grow_recurring(&reservation, 350, ALL));
        assert!(memory.try_grow_recurring(&reservation, 150, ALL), "rows of sites make room for them");
        assert_eq!((memory.kept.bytes(), memory.pool.reserved(), memory.reserved()), (300, 800, 0));
        assert!(!memory.try_grow_recurring(&reservation, 301, 2 * ALL), "there would never be enough");
        let recurring = Arc::new(Recurring(parking_lot::Mutex::new(reservation), memory.clone()));
        let weak: Weak<dyn MovesToDisk> = Arc::downgrade(&(recurring.clone() as Arc<dyn MovesToDisk>));
        memory.take_back_from(weak);
        let query = consumer(&memory, false);
        query.try_grow(200).unwrap();
        assert_eq!((memory.kept.bytes(), recurring.movable_bytes()), (100, 500), "rows of sites go first");
        query.try_grow(150).unwrap();
        assert_eq!((memory.kept.bytes(), recurring.movable_bytes()), (0, 450));
        assert!(query.try_grow(451).is_err());
        assert_eq!(recurring.movable_bytes(), 450, "there would never be enough");
        // A sort spills before it takes the last quarter.
        let sort = consumer(&memory, true);
        sort.try_grow(1).unwrap();
        assert_eq!(recurring.movable_bytes(), 200);
        sort.free();
        query.try_grow(450).unwrap();
        assert_eq!((recurring.movable_bytes(), memory.reserved()), (0, ALL));
    }
}
