//! The memory of all queries, in which rows of sites are kept for as long as no query needs it.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::kept::KeptRows;

/// The part of all memory that kept rows may take: one in so many.
const KEPT_SHARE: usize = 2;

/// The part of it that no query takes from them that can do with less: one in so many. A sort spills before it makes a
/// dashboard slow.
const KEPT_FLOOR_SHARE: usize = 4;

/// Memory of a size, divided fairly among queries that can spill. Kept rows go before a query fails.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    /// Kept rows take from here as queries do.
    pool: Arc<dyn MemoryPool>,
    bytes: usize,
    kept: Arc<KeptRows>,
    kept_floor_bytes: usize,
}

impl QueryMemory {
    pub(crate) fn new(bytes: usize) -> Self {
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(bytes));
        let kept = Arc::new(KeptRows::new(bytes / KEPT_SHARE, &pool));
        Self { pool, bytes, kept, kept_floor_bytes: bytes / KEPT_FLOOR_SHARE }
    }

    /// The rows that are kept in it.
    pub(crate) fn kept(&self) -> &Arc<KeptRows> {
        &self.kept
    }

    /// Takes as much memory from kept rows as a query needs, unless they have not that much. Whether there is more now.
    fn takes_back(&self, reservation: &MemoryReservation, additional: usize) -> bool {
        if reservation.consumer().can_spill() {
            return self.kept.shrink_to(self.kept_floor_bytes);
        }
        let missing = (self.pool.reserved() + additional).saturating_sub(self.bytes);
        missing > 0 && missing <= self.kept.bytes() && self.kept.shrink_by(missing)
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

    /// What queries have. Kept rows count as free.
    fn reserved(&self) -> usize {
        self.pool.reserved().saturating_sub(self.kept.bytes())
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
}
