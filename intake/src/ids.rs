//! New ids, from a random generator that the caller passes in.

use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// Makes unique ids. Cheap to clone; clones share the generator.
#[derive(Clone, Debug)]
pub struct Ids(Arc<Mutex<StdRng>>);

impl Ids {
    /// Ids from this generator.
    pub fn new(rng: StdRng) -> Self {
        Self(Arc::new(Mutex::new(rng)))
    }

    /// The same ids for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::new(StdRng::seed_from_u64(seed))
    }

    /// A UUIDv7 (RFC 9562): a time, in microseconds since the epoch, and 74 random bits.
    pub fn at(&self, at_us: i64) -> Uuid {
        let random = self.0.lock().random();
        Builder::from_unix_timestamp_millis((at_us / 1_000).max(0) as u64, &random).into_uuid()
    }

    /// A UUIDv4: 122 random bits.
    pub fn random(&self) -> Uuid {
        Builder::from_random_bytes(self.0.lock().random()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_time_and_are_all_different() {
        let ids = Ids::seeded(1);
        let (first, second, same_time) = (ids.at(5_000), ids.at(6_000), ids.at(5_000));
        assert!(first < second && first != same_time && ids.random() != ids.random());
        assert_eq!((first.get_version_num(), ids.random().get_version_num()), (7, 4));
    }
}
