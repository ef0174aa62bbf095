//! An object store that fails as real ones do, driven by a seed.
//!
//! One [`World`] holds the objects. Each simulated process reaches it through its own [`FaultStore`], so that a killed process
//! sends nothing more. A put may
//!
//! - fail before it is applied;
//! - be applied and still fail;
//! - be applied without an answer, or much later;
//! - as a create, report "already exists" although nothing was written (S3's 409), or because the create itself was (a retry
//!   inside the client);
//! - be slow.
//!
//! Reads fail or are slow, and deletes fail. A listing comes in pages, each taken at a different moment.

use std::cell::Cell;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};

thread_local! {
    /// Set while time must stand still: inside a kernel call that waits for another.
    static ATOMIC: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with store operations that take no time and do not fail.
pub(crate) fn atomically<T>(work: impl FnOnce() -> T) -> T {
    let before = ATOMIC.replace(true);
    let done = work();
    ATOMIC.set(before);
    done
}

/// How long a client of a store waits for an answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(30);

/// The objects in the store, the simulated time, and what goes wrong.
pub struct World {
    objects: InMemory,
    state: Mutex<State>,
    began: Instant,
    began_at: DateTime<Utc>,
    calm: AtomicBool,
}

struct State {
    rng: StdRng,
    /// The share of operations that go wrong.
    fault_rate: f64,
    modified_at: std::collections::HashMap<Path, DateTime<Utc>>,
    trace: DefaultHasher,
    operations: u64,
    log: Option<Vec<String>>,
}

/// What goes wrong with an operation that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fault {
    None,
    FailsBefore,
    AppliedThenFails,
    AppliedThenTimesOut,
    AppliedMuchLater,
    ExistsThoughNothingLanded,
    ExistsBecauseItLanded,
    Slow,
}

impl World {
    /// An empty store. Must be created within a Tokio runtime whose time is paused.
    ///
    /// - `fault_rate`: the share of operations that go wrong, from 0 to 1.
    pub fn new(seed: u64, began_at: DateTime<Utc>, fault_rate: f64) -> Arc<Self> {
        Arc::new(Self {
            objects: InMemory::new(),
            state: Mutex::new(State {
                rng: StdRng::seed_from_u64(seed),
                fault_rate,
                modified_at: std::collections::HashMap::new(),
                trace: DefaultHasher::new(),
                operations: 0,
                log: None,
            }),
            began: Instant::now(),
            began_at,
            calm: AtomicBool::new(false),
        })
    }

    /// The simulated time.
    pub fn now(&self) -> DateTime<Utc> {
        self.began_at + TimeDelta::from_std(self.began.elapsed()).unwrap_or(TimeDelta::MAX)
    }

    /// Ends all faults.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Records every operation for [`log`](Self::log).
    pub fn keep_log(&self) {
        self.state.lock().log = Some(vec![]);
    }

    /// The operations so far, one per line, if they are recorded.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().log.clone().unwrap_or_default()
    }

    /// Adds a line to the recorded operations.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let now = self.now();
        let mut state = self.state.lock();
        if let Some(log) = &mut state.log {
            log.push(format!("{} {}", now.format("%dT%H:%M:%S%.6f"), line()));
        }
    }

    /// A hash of all operations in their order, and how many there were.
    pub fn trace(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.trace.finish(), state.operations)
    }

    fn record(&self, process: u64, operation: &str, path: &Path, outcome: Fault) {
        let now = self.now();
        {
            let mut state = self.state.lock();
            state.operations += 1;
            (process, operation, path.as_ref(), outcome, now.timestamp_micros()).hash(&mut state.trace);
        }
        self.note(|| format!("process {process} {operation} {path} {outcome:?}"));
    }

    /// How long the next operation takes before it has an effect.
    fn latency(&self) -> Duration {
        Duration::from_micros(self.state.lock().rng.random_range(100..20_000))
    }

    fn is_atomic(&self) -> bool {
        ATOMIC.get()
    }

    fn roll(&self, faults: &[Fault]) -> Fault {
        let mut state = self.state.lock();
        let rate = state.fault_rate;
        if self.calm.load(Ordering::Relaxed) || ATOMIC.get() || !state.rng.random_bool(rate) {
            return Fault::None;
        }
        faults[state.rng.random_range(0..faults.len())]
    }

    fn pause_of(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.state.lock().rng.random())
    }

    async fn apply_put(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = self.objects.put_opts(path, payload, options).await?;
        self.state.lock().modified_at.insert(path.clone(), self.now());
        Ok(put)
    }

    fn dated(&self, meta: ObjectMeta) -> ObjectMeta {
        let modified_at = self.state.lock().modified_at.get(&meta.location).copied();
        ObjectMeta { last_modified: modified_at.unwrap_or(self.began_at), ..meta }
    }
}

/// A simulated process, as far as the store is concerned.
pub struct Process {
    number: u64,
    /// How far its clock is ahead.
    clock_ahead: TimeDelta,
    dead: AtomicBool,
    operations_left: AtomicU64,
    died: tokio::sync::Notify,
}

impl Process {
    /// A process that dies after `dies_after` store operations, unless it is killed earlier.
    pub fn new(number: u64, dies_after: Option<u64>, clock_ahead: TimeDelta) -> Arc<Self> {
        Arc::new(Self {
            number,
            clock_ahead,
            dead: AtomicBool::new(false),
            operations_left: AtomicU64::new(dies_after.unwrap_or(u64::MAX)),
            died: tokio::sync::Notify::new(),
        })
    }

    /// The time by its clock.
    pub fn now(&self, world: &World) -> DateTime<Utc> {
        world.now() + self.clock_ahead
    }

    /// Kills it: nothing more reaches the store, and none of its operations ever ends.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.died.notify_waiters();
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Ends when it dies.
    pub async fn death(&self) {
        let died = self.died.notified();
        if !self.is_dead() {
            died.await;
        }
    }

    /// Does `work` unless the process dies first.
    pub async fn while_alive<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.death() => None,
            done = work => Some(done),
        }
    }

    /// A point at which the process may die. If it is dead, this never returns.
    async fn live_on(&self) {
        let left = self.operations_left.load(Ordering::Relaxed);
        if left == 0 {
            self.kill();
        } else if left != u64::MAX {
            self.operations_left.store(left - 1, Ordering::Relaxed);
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}

/// The store as one process sees it.
pub struct FaultStore {
    world: Arc<World>,
    process: Arc<Process>,
}

impl FaultStore {
    /// The store as `process` sees it.
    pub fn new(world: Arc<World>, process: Arc<Process>) -> Self {
        Self { world, process }
    }

    /// Before an operation takes effect.
    async fn begin(&self) {
        if !self.world.is_atomic() {
            sleep(self.world.latency()).await;
            self.process.live_on().await;
        }
    }

    /// After an operation took effect, before the process gets the answer.
    async fn end(&self) {
        if !self.world.is_atomic() {
            sleep(self.world.latency()).await;
            self.process.live_on().await;
        }
    }

    async fn check_read(&self, operation: &str, path: &Path) -> Result<()> {
        self.begin().await;
        let fault = self.world.roll(&[Fault::FailsBefore, Fault::Slow, Fault::Slow]);
        self.world.record(self.process.number, operation, path, fault);
        match fault {
            Fault::FailsBefore => Err(failure("the read failed")),
            Fault::Slow => {
                sleep(self.world.pause_of(Duration::from_secs(5))).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn failure(why: &'static str) -> Error {
    Error::Generic { store: "FaultStore", source: why.into() }
}

fn exists(path: &Path) -> Error {
    Error::AlreadyExists { path: path.to_string(), source: "409 Conflict".into() }
}

const PUT_FAULTS: &[Fault] =
    &[Fault::FailsBefore, Fault::AppliedThenFails, Fault::AppliedThenTimesOut, Fault::AppliedMuchLater, Fault::Slow];
const CREATE_FAULTS: &[Fault] = &[
    Fault::FailsBefore,
    Fault::AppliedThenFails,
    Fault::AppliedThenTimesOut,
    Fault::AppliedMuchLater,
    Fault::ExistsThoughNothingLanded,
    Fault::ExistsBecauseItLanded,
    Fault::Slow,
];

#[async_trait::async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (world, process) = (&self.world, &self.process);
        let create = options.mode == PutMode::Create;
        let fault = world.roll(if create { CREATE_FAULTS } else { PUT_FAULTS });
        let operation = if create { "create" } else { "put" };
        self.begin().await;
        if fault == Fault::Slow {
            sleep(world.pause_of(Duration::from_secs(20))).await;
        }
        world.record(process.number, operation, path, fault);
        let outcome = match fault {
            Fault::None | Fault::Slow => world.apply_put(path, payload, options).await,
            Fault::FailsBefore => Err(failure("nothing was written")),
            Fault::AppliedThenFails => {
                world.apply_put(path, payload, options).await.and(Err(failure("it was written, and then it failed")))
            }
            Fault::AppliedThenTimesOut => {
                let written = world.apply_put(path, payload, options).await;
                sleep(STORE_TIMEOUT).await;
                written.and(Err(failure("it was written, and then it timed out")))
            }
            Fault::AppliedMuchLater => {
                let (world, path) = (world.clone(), path.clone());
                let delay = world.pause_of(Duration::from_secs(90));
                tokio::spawn(async move {
                    sleep(delay).await;
                    let landed = world.apply_put(&path, payload, options).await.is_ok();
                    world.note(|| format!("a late put of {path} lands: {landed}"));
                });
                sleep(self.world.pause_of(STORE_TIMEOUT)).await;
                Err(failure("nobody knows what became of it"))
            }
            Fault::ExistsThoughNothingLanded => Err(exists(path)),
            Fault::ExistsBecauseItLanded => {
                world.apply_put(path, payload, options).await.and_then(|_| Err(exists(path)))
            }
        };
        self.end().await;
        outcome
    }

    async fn put_multipart_opts(&self, path: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotImplemented { operation: format!("a multipart put of {path}"), implementer: self.to_string() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.check_read("get", path).await?;
        let found = self.world.objects.get_opts(path, options).await;
        self.end().await;
        found.map(|found| GetResult { meta: self.world.dated(found.meta.clone()), ..found })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = Self { world: self.world.clone(), process: self.process.clone() };
        let this = Arc::new(this);
        paths
            .then(move |path| {
                let this = this.clone();
                async move {
                    let path = path?;
                    let fault =
                        this.world.roll(&[Fault::FailsBefore, Fault::AppliedThenFails, Fault::AppliedMuchLater]);
                    this.begin().await;
                    this.world.record(this.process.number, "delete", &path, fault);
                    let outcome = match fault {
                        Fault::FailsBefore => Err(failure("nothing was deleted")),
                        Fault::AppliedThenFails => {
                            this.world.apply_delete(&path).await.and(Err(failure("it was deleted, and then it failed")))
                        }
                        Fault::AppliedMuchLater => {
                            let (world, path) = (this.world.clone(), path.clone());
                            let delay = world.pause_of(Duration::from_secs(90));
                            tokio::spawn(async move {
                                sleep(delay).await;
                                let gone = world.apply_delete(&path).await.is_ok();
                                world.note(|| format!("a late delete of {path} lands: {gone}"));
                            });
                            Err(failure("nobody knows what became of it"))
                        }
                        _ => this.world.apply_delete(&path).await,
                    };
                    this.end().await;
                    outcome.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.pages(prefix, Some(offset.clone()))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check_read("list directory", prefix.unwrap_or(&Path::default())).await?;
        let mut found = self.world.objects.list_with_delimiter(prefix).await?;
        found.objects = found.objects.into_iter().map(|meta| self.world.dated(meta)).collect();
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check_read("copy", from).await?;
        self.world.objects.copy_opts(from, to, options).await?;
        self.world.state.lock().modified_at.insert(to.clone(), self.world.now());
        self.end().await;
        Ok(())
    }
}

impl World {
    /// Like S3, deleting a missing object succeeds.
    async fn apply_delete(&self, path: &Path) -> Result<()> {
        use object_store::ObjectStoreExt;
        match self.objects.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl FaultStore {
    /// A listing in pages, each taken at a different moment.
    fn pages(&self, prefix: Option<&Path>, offset: Option<Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let this = Arc::new(Self { world: self.world.clone(), process: self.process.clone() });
        let prefix = prefix.cloned();
        let pages = futures::stream::try_unfold(Some(offset), move |offset| {
            let (this, prefix) = (this.clone(), prefix.clone());
            async move {
                let Some(offset) = offset else { return Ok(None) };
                this.check_read("list", prefix.as_ref().unwrap_or(&Path::default())).await?;
                let length = match this.world.is_atomic() {
                    true => usize::MAX,
                    false => this.world.state.lock().rng.random_range(1..12),
                };
                let objects = &this.world.objects;
                let found = match &offset {
                    Some(offset) => objects.list_with_offset(prefix.as_ref(), offset),
                    None => objects.list(prefix.as_ref()),
                };
                let page: Vec<ObjectMeta> = found.take(length).try_collect().await?;
                let next = (page.len() == length).then(|| page.last().map(|last| last.location.clone()));
                let page: Vec<_> = page.into_iter().map(|meta| Ok(this.world.dated(meta))).collect();
                Ok::<_, Error>(Some((futures::stream::iter(page), next)))
            }
        });
        pages.try_flatten().boxed()
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore of process {}", self.process.number)
    }
}

impl fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use object_store::ObjectStoreExt;

    use super::*;

    /// How an operation ended: the answer, whether the object was there then, and whether it was there a while later.
    type Seen = (&'static str, bool, bool);

    const LONG_AFTER: Duration = Duration::from_secs(600);

    fn store(fault_rate: f64) -> (Arc<World>, FaultStore) {
        let world = World::new(1, DateTime::UNIX_EPOCH, fault_rate);
        let process = Process::new(0, None, TimeDelta::zero());
        (world.clone(), FaultStore::new(world, process))
    }

    async fn is_there(world: &World, path: &Path) -> bool {
        world.objects.head(path).await.is_ok()
    }

    fn answer<T>(result: &Result<T>) -> &'static str {
        match result {
            Ok(_) => "done",
            Err(Error::AlreadyExists { .. }) => "exists",
            Err(Error::NotFound { .. }) => "not found",
            Err(_) => "failed",
        }
    }

    /// The distinct outcomes of many operations of one kind, each on an object of its own.
    async fn see(world: &World, operation: impl AsyncFn(&Path) -> &'static str) -> HashSet<Seen> {
        let mut seen = HashSet::new();
        for number in 0..300 {
            let path = Path::from(format!("{number}"));
            let answer = operation(&path).await;
            let at_once = is_there(world, &path).await;
            sleep(LONG_AFTER).await;
            seen.insert((answer, at_once, is_there(world, &path).await));
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_may_end_in_every_way_that_a_real_one_may() {
        let (world, faulty) = store(0.9);
        let create =
            async |path: &Path| answer(&faulty.put_opts(path, "x".into(), PutOptions::from(PutMode::Create)).await);
        let expected = [
            ("done", true, true),
            ("failed", false, false),
            ("failed", true, true),
            ("failed", false, true),
            ("exists", false, false),
            ("exists", true, true),
        ];
        assert_eq!(see(&world, create).await, HashSet::from(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_put_and_a_delete_may_fail_before_and_after_they_took_effect_and_take_it_later() {
        let (world, faulty) = store(0.9);
        let put = async |path: &Path| answer(&faulty.put(path, "x".into()).await);
        let expected =
            [("done", true, true), ("failed", false, false), ("failed", true, true), ("failed", false, true)];
        assert_eq!(see(&world, put).await, HashSet::from(expected));
        let delete = async |path: &Path| {
            world.objects.put(path, "x".into()).await.unwrap();
            answer(&faulty.delete(path).await)
        };
        let expected =
            [("done", false, false), ("failed", true, true), ("failed", false, false), ("failed", true, false)];
        assert_eq!(see(&world, delete).await, HashSet::from(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_is_not_of_one_moment() {
        let (world, store) = store(0.0);
        let put = async |name: &str| world.objects.put(&Path::from(name), "x".into()).await.unwrap();
        for number in 0..50 {
            put(&format!("m{number:02}")).await;
        }
        let mut listing = store.list(None);
        listing.next().await.unwrap().unwrap();
        // One before what has been listed, one after it.
        put("a").await;
        put("z").await;
        let names: Vec<String> = listing.map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
        assert!(!names.contains(&"a".to_owned()) && names.contains(&"z".to_owned()), "{names:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_is_not_found_and_a_dead_process_does_nothing() {
        let (world, store) = store(0.0);
        let path = Path::from("x");
        store.put(&path, "x".into()).await.unwrap();
        store.delete(&path).await.unwrap();
        assert_eq!(answer(&store.get(&path).await), "not found");
        store.delete(&path).await.expect("as of S3, a second delete is no error");
        store.process.kill();
        let put = tokio::time::timeout(LONG_AFTER, store.put(&path, "x".into())).await;
        assert!(put.is_err() && !is_there(&world, &path).await);
    }
}
