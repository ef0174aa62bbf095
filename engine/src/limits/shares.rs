//! What the holder of a read key may take of what all queries share, so that no one leaves nothing to the others.
//!
//! - **Memory:** no more than what is still free. One key gets half of it, each of two a third, and so on: whoever comes last
//!   finds as much as any of them has. A fixed part would be too little for one and too much for ten.
//! - **Turns:** so many queries at a time; its others wait, and beyond [`WAITING_MAX`] are refused.
//!
//! Whoever reads everything is bound by neither: he runs the server.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Queries of one key that may wait for their turn.
const WAITING_MAX: usize = 64;

/// The shares of keys of which somebody reads at the moment.
#[derive(Debug)]
pub(crate) struct Shares {
    of_keys: Mutex<HashMap<String, Weak<Share>>>,
    queries_max: NonZeroUsize,
}

/// What the holder of one read key may take.
pub struct Share {
    runtime: Arc<RuntimeEnv>,
    turns: Arc<Semaphore>,
    queries_max: usize,
    waiting: AtomicUsize,
}

/// One of the queries that a key may run at a time, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
    /// Whoever comes with the key while this one runs shares with it, although nobody else holds the share any more.
    _share: Arc<Share>,
}

/// As many queries of a key run, or wait, as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many queries of this key run as may: {0}")]
pub struct Busy(
    /// How many that is.
    pub usize,
);

impl Shares {
    /// - `queries_max`: how many queries of one key run at the same time.
    pub(crate) fn new(queries_max: NonZeroUsize) -> Self {
        Self { of_keys: Mutex::default(), queries_max }
    }

    /// The share of a key, which all have in common who read with it.
    pub(crate) fn of(&self, key: &str, runtime: &Arc<RuntimeEnv>) -> Arc<Share> {
        let mut of_keys = self.of_keys.lock();
        if let Some(share) = of_keys.get(key).and_then(Weak::upgrade) {
            return share;
        }
        of_keys.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Share::new(self.queries_max.get(), runtime));
        of_keys.insert(key.to_owned(), Arc::downgrade(&share));
        share
    }
}

impl Share {
    fn new(queries_max: usize, runtime: &Arc<RuntimeEnv>) -> Self {
        let mut of_key = (**runtime).clone();
        of_key.memory_pool = Arc::new(KeyMemory::new(runtime.memory_pool.clone()));
        Self {
            runtime: Arc::new(of_key),
            turns: Arc::new(Semaphore::new(queries_max)),
            queries_max,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A turn, if there is one at once.
    pub fn turn_at_once(self: &Arc<Self>) -> Option<Turn> {
        let permit = self.turns.clone().try_acquire_owned().ok()?;
        Some(Turn { _permit: permit, _share: self.clone() })
    }

    /// One of the key's turns, once there is one.
    ///
    /// - `held`: turns that whoever asks has himself, and gives back only after this one.
    /// - `within`: how long to wait for it.
    ///
    /// Fails if there is none by then, or never would be, or if too many wait already.
    pub async fn turn(self: &Arc<Self>, held: usize, within: Duration) -> std::result::Result<Turn, Busy> {
        let busy = Busy(self.queries_max);
        if let Some(turn) = self.turn_at_once() {
            return Ok(turn);
        }
        if held >= self.queries_max {
            return Err(busy);
        }
        let _waiting = Waiting::begin(&self.waiting).ok_or(busy)?;
        let permit = timeout(within, self.turns.clone().acquire_owned()).await.map_err(|_| busy)?;
        Ok(Turn { _permit: permit.expect("the turns are never closed"), _share: self.clone() })
    }

    /// The memory of the key's queries, whichever lake they read.
    pub(crate) fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.runtime.memory_pool
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("free_turns", &self.turns.available_permits()).finish_non_exhaustive()
    }
}

/// One of those who wait, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Option<Self> {
        let more = |now| (now < WAITING_MAX).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The memory of one key's queries, a part of that of all.
#[derive(Debug)]
struct KeyMemory {
    /// Divides the key's part among those of its consumers that can spill.
    own: FairSpillPool,
    all: Arc<dyn MemoryPool>,
    /// What the key takes of `all`: as one consumer, so that one with many sorts takes no more of what others may spill from.
    taken: MemoryReservation,
}

impl KeyMemory {
    fn new(all: Arc<dyn MemoryPool>) -> Self {
        let bytes = limit(&*all).map_or(usize::MAX, |bytes| bytes / 2);
        Self { own: FairSpillPool::new(bytes), taken: MemoryConsumer::new("read key").register(&all), all }
    }
}

fn limit(pool: &dyn MemoryPool) -> Option<usize> {
    match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => Some(bytes),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    }
}

/// Whether somebody who has `own` bytes may have `more` when `reserved` of `all` are taken by him and the others: afterwards
/// he has no more than what is free.
fn may_grow(own: usize, more: usize, reserved: usize, all: usize) -> bool {
    own.saturating_add(more) <= all.saturating_sub(reserved.saturating_add(more))
}

impl MemoryPool for KeyMemory {
    fn name(&self) -> &str {
        "read key"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.taken.grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.taken.shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if limit(&*self.all).is_some_and(|all| !may_grow(self.taken.size(), additional, self.all.reserved(), all)) {
            return Err(DataFusionError::ResourcesExhausted(format!(
                "{} needs {additional} bytes more, and queries of one key may have no more than what is free for others",
                reservation.consumer().name(),
            )));
        }
        self.own.try_grow(reservation, additional)?;
        self.taken.try_grow(additional).inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

impl fmt::Display for KeyMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.name(), self.taken.size())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::runtime_env::RuntimeEnvBuilder;
    use lake::Lake;

    use super::*;
    use crate::error::EngineError;
    use crate::session::Engine;
    use crate::settings::EngineSettings;

    const MIB: usize = 1 << 20;

    fn shares(queries_max: usize) -> Shares {
        Shares::new(NonZeroUsize::new(queries_max).unwrap())
    }

    fn runtime(bytes: usize) -> Arc<RuntimeEnv> {
        RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(bytes))).build_arc().unwrap()
    }

    /// What somebody gets who takes all he can, a piece after the other.
    fn take_all(share: &Share) -> MemoryReservation {
        let taken = MemoryConsumer::new("hash table").register(&share.runtime.memory_pool);
        while taken.try_grow(MIB).is_ok() {}
        taken
    }

    #[test]
    fn a_key_has_no_more_memory_than_what_it_leaves() {
        let (shares, runtime) = (shares(4), runtime(120 * MIB));
        let (one, two) = (shares.of("one", &runtime), shares.of("two", &runtime));
        let of_one = take_all(&one);
        assert_eq!(of_one.size(), 60 * MIB);
        assert_eq!(take_all(&shares.of("one", &runtime)).size(), 0, "however many queries it has");
        let of_two = take_all(&two);
        assert_eq!(of_two.size(), 30 * MIB);
        // Whoever reads everything takes what is left, and all is given back.
        let rest = MemoryConsumer::new("report").register(&runtime.memory_pool);
        rest.try_grow(30 * MIB).unwrap();
        drop((of_one, of_two, rest));
        assert_eq!(runtime.memory_pool.reserved(), 0);
    }

    #[test]
    fn sorts_of_one_key_leave_the_sorts_of_others_their_part() {
        let (shares, runtime) = (shares(4), runtime(120 * MIB));
        let sort = |pool: &Arc<dyn MemoryPool>| MemoryConsumer::new("sort").with_can_spill(true).register(pool);
        let one = shares.of("one", &runtime);
        let many: Vec<_> = (0..50).map(|_| sort(&one.runtime.memory_pool)).collect();
        many[0].try_grow(MIB).unwrap();
        assert!(many[1].try_grow(10 * MIB).is_err(), "fifty sorts divide one key's part");
        let other = sort(&shares.of("two", &runtime).runtime.memory_pool);
        other.try_grow(50 * MIB).unwrap();
    }

    #[tokio::test]
    async fn queries_of_a_key_run_in_its_memory() {
        let settings = EngineSettings { memory_bytes: 128 * MIB, ..EngineSettings::default() };
        let engine = Engine::new(Lake::open("memory:///", []).unwrap(), &settings).unwrap();
        let (one, two) = (engine.share_of("one"), engine.share_of("two"));
        let _taken = take_all(&one);
        let view = engine.view().await.unwrap();
        // The rows of one side are kept in memory.
        let sql =
            "SELECT count(*) FROM generate_series(1, 100000) a JOIN generate_series(1, 100000) b ON a.value = b.value";
        for (share, is_answered) in [(Some(&*one), false), (Some(&*two), true), (None, true)] {
            let confined = view.confined_session(&["shop".into()], share).unwrap();
            for session in [confined, engine.blank_session(&[], share).unwrap()] {
                match session.query(sql, &[]).await {
                    Ok(_) => assert!(is_answered),
                    Err(error) => assert!(!is_answered && matches!(error, EngineError::Limit { .. }), "{error}"),
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_has_so_many_queries_at_a_time_and_so_many_that_wait() {
        let (shares, runtime) = (shares(2), runtime(MIB));
        let share = shares.of("one", &runtime);
        let wait = Duration::from_secs(1);
        let turns = [share.turn(0, wait).await.unwrap(), share.turn(1, wait).await.unwrap()];
        assert_eq!(share.turn(0, wait).await.unwrap_err(), Busy(2), "nobody is done within a second");
        shares.of("two", &runtime).turn(0, wait).await.unwrap();

        let forever = Duration::from_secs(1_000_000);
        assert!(share.turn(2, forever).await.is_err(), "he waits for himself");
        let waiting: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let share = share.clone();
                tokio::spawn(async move { share.turn(0, forever).await.is_ok() })
            })
            .collect();
        tokio::time::sleep(wait).await;
        assert!(share.turn(0, forever).await.is_err(), "too many wait");
        drop(turns);
        for done in waiting {
            assert!(done.await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_query_that_runs_keeps_its_share_although_whoever_asked_is_answered() {
        let (shares, runtime) = (shares(1), runtime(MIB));
        let turn = shares.of("one", &runtime).turn(0, Duration::ZERO).await.unwrap();
        assert!(shares.of("one", &runtime).turn(0, Duration::ZERO).await.is_err());
        drop(turn);
        shares.of("one", &runtime).turn(0, Duration::ZERO).await.unwrap();
    }

    #[test]
    fn shares_of_keys_that_nobody_reads_with_are_forgotten() {
        let (shares, runtime) = (shares(2), runtime(MIB));
        for key in 0..100 {
            drop(shares.of(&key.to_string(), &runtime));
        }
        let last = shares.of("last", &runtime);
        assert_eq!(shares.of_keys.lock().len(), 1);
        assert!(Arc::ptr_eq(&last, &shares.of("last", &runtime)));
    }
}
