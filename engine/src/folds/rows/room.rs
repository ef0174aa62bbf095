//! How much memory the rows of all pieces may take. What is beyond it lies on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Room for rows in memory.
#[derive(Debug)]
pub(in crate::folds) struct Room {
    bytes_max: usize,
    claimed: Arc<AtomicUsize>,
}

/// Memory that a piece takes, given back when it goes.
#[derive(Debug)]
pub(in crate::folds) struct Claim {
    bytes: usize,
    claimed: Arc<AtomicUsize>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claimed.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Room {
    pub(in crate::folds) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, claimed: Arc::default() }
    }

    /// A claim of nothing yet.
    pub(in crate::folds) fn claim(&self) -> Claim {
        Claim { bytes: 0, claimed: self.claimed.clone() }
    }

    /// Makes a claim larger. Says whether there was room; if not, the claim is as it was.
    pub(in crate::folds) fn grow(&self, claim: &mut Claim, bytes: usize) -> bool {
        let more = bytes.saturating_sub(claim.bytes);
        let fits = |claimed: usize| Some(claimed + more).filter(|all| *all <= self.bytes_max);
        let has_room = self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok();
        if has_room {
            claim.bytes += more;
        }
        has_room
    }
}

impl Claim {
    /// Makes it smaller.
    pub(in crate::folds) fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.claimed.fetch_sub(less, Ordering::Relaxed);
        self.bytes -= less;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_again_when_a_claim_goes_or_shrinks() {
        let room = Room::new(10);
        let (mut first, mut second) = (room.claim(), room.claim());
        assert!(room.grow(&mut first, 6) && room.grow(&mut first, 4) && room.grow(&mut second, 4));
        assert!(!room.grow(&mut second, 5), "there is no room for one more");
        first.shrink(5);
        assert!(room.grow(&mut second, 5));
        drop(first);
        assert!(room.grow(&mut second, 10) && !room.grow(&mut second, 11));
        drop(second);
        assert!(room.grow(&mut room.claim(), 10));
    }
}
