//! How much memory the rows of all pieces may take, out of that of all queries. What is beyond it lies on disk.

use std::sync::Arc;

use datafusion::execution::memory_pool::MemoryReservation;

use crate::limits::memory::QueryMemory;

/// Room for rows in memory.
#[derive(Debug)]
pub(in crate::folds) struct Room {
    bytes_max: usize,
    memory: Arc<QueryMemory>,
    /// Of nothing: all claims are of its consumer.
    reservation: MemoryReservation,
}

/// Memory that a piece takes, given back when it goes.
#[derive(Debug)]
pub(in crate::folds) struct Claim {
    reservation: MemoryReservation,
    memory: Arc<QueryMemory>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

impl Room {
    pub(in crate::folds) fn new(bytes_max: usize, memory: Arc<QueryMemory>) -> Self {
        let reservation = memory.reserve_for_recurring();
        Self { bytes_max, memory, reservation }
    }

    /// A claim of nothing yet.
    pub(in crate::folds) fn claim(&self) -> Claim {
        Claim { reservation: self.reservation.new_empty(), memory: self.memory.clone() }
    }

    /// Makes a claim larger. Says whether there was room; if not, the claim is as it was.
    pub(in crate::folds) fn grow(&self, claim: &mut Claim, bytes: usize) -> bool {
        let more = bytes.saturating_sub(claim.reservation.size());
        self.memory.try_grow_recurring(&claim.reservation, more, self.bytes_max)
    }
}

impl Claim {
    pub(in crate::folds) fn bytes(&self) -> usize {
        self.reservation.size()
    }

    /// Makes it smaller.
    pub(in crate::folds) fn shrink(&mut self, bytes: usize) {
        let less = self.reservation.size().saturating_sub(bytes);
        self.memory.shrink_recurring(&self.reservation, less);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::MemoryConsumer;
    use datafusion::execution::memory_pool::MemoryPool;

    use super::*;

    #[test]
    fn there_is_room_again_when_a_claim_goes_or_shrinks() {
        let memory = Arc::new(QueryMemory::new(20));
        let room = Room::new(10, memory.clone());
        let (mut first, mut second) = (room.claim(), room.claim());
        assert!(room.grow(&mut first, 6) && room.grow(&mut first, 4) && room.grow(&mut second, 4));
        assert!(!room.grow(&mut second, 5), "there is no room for one more");
        first.shrink(5);
        assert!(room.grow(&mut second, 5));
        assert_eq!(memory.reserved(), 0, "queries can have it back");
        drop(first);
        assert!(room.grow(&mut second, 10) && !room.grow(&mut second, 11));
        drop(second);
        assert_eq!(memory.reserved(), 0);
        assert!(room.grow(&mut room.claim(), 10));
    }

    #[test]
    fn there_is_no_room_in_memory_that_queries_have() {
        let memory = Arc::new(QueryMemory::new(20));
        let pool: Arc<dyn MemoryPool> = memory.clone();
        let query = MemoryConsumer::new("a query").register(&pool);
        query.try_grow(15).unwrap();
        let room = Room::new(10, memory);
        let mut claim = room.claim();
        assert!(!room.grow(&mut claim, 6));
        assert!(room.grow(&mut claim, 5));
        query.free();
        assert!(room.grow(&mut claim, 10));
    }
}
