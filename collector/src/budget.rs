//! Memory budgets: bytes are reserved before they are used, so a slow store or a flood ends in "come back later"
//! instead of a killed process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limited number of bytes that several holders share.
pub(crate) struct Budget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    changes: AtomicUsize,
    gauge: &'static str,
}

impl Budget {
    /// - `gauge`: the metric that shows how much is used.
    pub(crate) fn new(limit_bytes: usize, gauge: &'static str) -> Arc<Self> {
        Arc::new(Self { limit_bytes, used_bytes: AtomicUsize::new(0), changes: AtomicUsize::new(0), gauge })
    }

    /// An empty reservation, which may grow.
    pub(crate) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }

    /// Reserves `bytes`, or returns `None` if they are not available.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let mut reservation = self.reservation();
        reservation.grow(bytes).then_some(reservation)
    }

    /// The bytes that all holders have reserved.
    pub(crate) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Updates the gauge after some of the changes: after every change it would cost each request as much as finding
    /// its key.
    fn show(&self) {
        const EVERY: usize = 64;
        let used_bytes = self.used_bytes();
        if used_bytes == 0 || self.changes.fetch_add(1, Ordering::Relaxed).is_multiple_of(EVERY) {
            metrics::gauge!(self.gauge).set(used_bytes as f64);
        }
    }
}

/// Bytes reserved from a [`Budget`], returned when this is dropped.
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// The bytes that all holders of the budget have reserved.
    pub(crate) fn used_bytes(&self) -> usize {
        self.budget.used_bytes()
    }

    /// Reserves `bytes` more. Returns whether they were available; if not, the reservation is unchanged.
    ///
    /// A sole holder is never refused: other limits bound a single request, and a retry would be refused again.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let budget = &self.budget;
        let grown = budget.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let more = used + bytes;
            (more <= budget.limit_bytes || used == self.bytes).then_some(more)
        });
        if grown.is_err() {
            return false;
        }
        self.bytes += bytes;
        budget.show();
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            self.budget.show();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_given_back() {
        let budget = Budget::new(10, "test_bytes");
        let first = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none());
        let second = budget.reserve(4).unwrap();
        drop(first);
        assert_eq!(budget.used_bytes(), 4);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_sole_holder_is_never_refused() {
        let budget = Budget::new(10, "test_bytes");
        let mut sole = budget.reserve(100).unwrap();
        assert!(sole.grow(100));
        assert!(budget.reserve(1).is_none());
    }
}
