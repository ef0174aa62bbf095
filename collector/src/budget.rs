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
    parts: AtomicUsize,
}

/// One of several lakes whose events share a budget. It may hold no more than what is free, so that one whose store hangs
/// leaves the others something: alone it gets half, each of two gets a third. Where there is but one, it may hold all.
pub(crate) struct Part {
    budget: Arc<Budget>,
    used_bytes: AtomicUsize,
}

impl Budget {
    /// - `gauge`: the metric that shows how much is used.
    pub(crate) fn new(limit_bytes: usize, gauge: &'static str) -> Arc<Self> {
        let (used_bytes, changes, parts) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit_bytes, used_bytes, changes, gauge, parts })
    }

    /// An empty reservation, which may grow.
    pub(crate) fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0, part: None }
    }

    /// The part of one more lake.
    pub(crate) fn part(self: &Arc<Self>) -> Arc<Part> {
        self.parts.fetch_add(1, Ordering::Relaxed);
        Arc::new(Part { budget: self.clone(), used_bytes: AtomicUsize::new(0) })
    }

    /// Reserves `bytes`, or returns `None` if they are not available.
    #[cfg(test)]
    fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
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

impl Part {
    /// Reserves `bytes`, or returns `None` if they are not available to this part.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let Self { budget, used_bytes } = &**self;
        let (own, all) = (used_bytes.load(Ordering::Relaxed), budget.used_bytes());
        // Two that ask at the same moment may both be given the last of it. The budget as a whole is kept in any case.
        let is_alone = budget.parts.load(Ordering::Relaxed) == 1 || all == 0;
        if !is_alone && own + bytes > budget.limit_bytes.saturating_sub(all + bytes) {
            return None;
        }
        let mut reservation = budget.reservation();
        if !reservation.grow(bytes) {
            return None;
        }
        used_bytes.fetch_add(bytes, Ordering::Relaxed);
        reservation.part = Some(self.clone());
        Some(reservation)
    }

    /// The bytes that all holders of the budget have reserved.
    pub(crate) fn used_bytes(&self) -> usize {
        self.budget.used_bytes()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.budget.parts.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes reserved from a [`Budget`], returned when this is dropped.
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
    /// The part that they are of; it does not grow then.
    part: Option<Arc<Part>>,
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
            if let Some(part) = &self.part {
                part.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            }
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
    fn a_part_leaves_the_others_something_and_has_all_where_it_is_the_only_one() {
        let budget = Budget::new(100, "test_bytes");
        let main = budget.part();
        drop(main.reserve(100).unwrap());

        let (one, two) = (budget.part(), budget.part());
        let of_one = one.reserve(50).unwrap();
        assert!(one.reserve(1).is_none());
        let of_two = two.reserve(25).unwrap();
        assert!(two.reserve(1).is_none());
        assert!(main.reserve(12).is_some());
        drop(of_one);
        assert!(two.reserve(12).is_some(), "what one gives back is free for the others");
        drop((of_two, one, two));
        assert!(main.reserve(100).is_some());
    }

    #[test]
    fn a_sole_holder_is_never_refused() {
        let budget = Budget::new(10, "test_bytes");
        let mut sole = budget.reserve(100).unwrap();
        assert!(sole.grow(100));
        assert!(budget.reserve(1).is_none());
    }
}
