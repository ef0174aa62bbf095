//! One run: a small installation under faults, from a seed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use compactor::Compactor;
use delta_kernel_default_engine::DefaultEngineBuilder;
use lake::{Lake, LakeRuntime, Sabotage as LakeSabotage};
use parking_lot::Mutex;
use parquet::basic::Compression;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use url::Url;

use crate::actors::{self, Erasure};
use crate::coroutine::Coroutines;
use crate::fault_store::{FaultStore, Process, World};
use crate::history::{History, Violation};

/// A way to break the protocol, to see that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Snapshots load the log before they list the raw tier.
    LogBeforeListing,
    /// A commit whose put failed is made again as the next version, without a look at what is there.
    CommitWithoutReadingBack,
    /// A commit ignores what others committed since its plan.
    NoConflictRule,
    /// A commit is not void by a list of erasures that was named since its plan.
    ErasuresUnseen,
    /// Log entries before the last checkpoint are deleted, as other engines do.
    LogCleanup,
}

impl Sabotage {
    fn of_lake(self) -> Option<LakeSabotage> {
        match self {
            Self::LogBeforeListing => Some(LakeSabotage::LogBeforeListing),
            Self::CommitWithoutReadingBack => Some(LakeSabotage::CommitWithoutReadingBack),
            Self::NoConflictRule => Some(LakeSabotage::NoConflictRule),
            Self::ErasuresUnseen => Some(LakeSabotage::ErasuresUnseen),
            Self::LogCleanup => None,
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Two runs share it only if they did the same operations in the same order.
    pub trace: u64,
    /// Store operations.
    pub operations: u64,
    /// Reads that were checked.
    pub reads: u64,
    /// Checks of the whole lake beside everything else.
    pub checks: u64,
    /// Publishes that took events in.
    pub publishes: u64,
    /// Merges.
    pub merges: u64,
    /// Files that vacuums deleted.
    pub deleted: u64,
    /// Persons erased.
    pub erasures: u64,
    /// Rows that were erased or too old, and that the compactors removed.
    pub removed: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Events acknowledged.
    pub acknowledged: u64,
    /// The newest version of the table.
    pub version: u64,
}

/// A promise was broken.
#[derive(Clone, Debug)]
pub struct Failure {
    /// How.
    pub violation: Violation,
    /// The store's operations and other happenings, one a line.
    pub log: Vec<String>,
}

/// The installation: what all actors share.
pub(crate) struct Setup {
    pub(crate) world: Arc<World>,
    pub(crate) history: Mutex<History>,
    pub(crate) summary: Mutex<Summary>,
    pub(crate) violation: Mutex<Option<Violation>>,
    /// All that have begun.
    pub(crate) erasures: Mutex<Vec<Erasure>>,
    /// Whether sites keep their events for some days.
    pub(crate) with_retention: bool,
    /// The compactor that removes what is too old, from the first moment to the last.
    pub(crate) janitor: OnceLock<Compactor>,
    /// How far a process' clock may be off.
    pub(crate) clock_error_max: Duration,
    rng: Mutex<StdRng>,
    sabotage: Option<Sabotage>,
    checkpoint_every: u64,
    coroutines: Coroutines,
    next_process: Mutex<u64>,
}

impl Setup {
    /// A random number source of an actor's own, so that actors do not disturb each other's choices.
    pub(crate) fn rng(&self) -> StdRng {
        StdRng::seed_from_u64(self.rng.lock().random())
    }

    /// The clock of a process.
    pub(crate) fn clock_of(&self, process: &Arc<Process>) -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
        let (world, process) = (self.world.clone(), process.clone());
        Arc::new(move || process.now(&world))
    }

    /// A new process, and the lake as it sees it.
    pub(crate) fn start_process(&self, dies_after: Option<u64>) -> (Arc<Process>, Lake) {
        let number = {
            let mut next = self.next_process.lock();
            *next += 1;
            *next
        };
        let error_max_us = self.clock_error_max.as_micros() as i64;
        let clock_ahead = TimeDelta::microseconds(self.rng.lock().random_range(-error_max_us..=error_max_us));
        let process = Process::new(number, dies_after, clock_ahead);
        let store = Arc::new(FaultStore::new(self.world.clone(), process.clone()));
        let kernel = DefaultEngineBuilder::new(store.clone()).with_task_executor(Arc::new(self.coroutines.clone()));
        let mut runtime = LakeRuntime::new(Arc::new(kernel.build()), Arc::new(self.coroutines.clone()));
        runtime.checkpoint_every = self.checkpoint_every;
        // To set up forty compressors for a dozen rows would take a third of all the time.
        runtime.table_compression = Compression::UNCOMPRESSED;
        if let Some(sabotage) = self.sabotage.and_then(Sabotage::of_lake) {
            runtime = runtime.sabotaged(sabotage);
        }
        let url = Url::parse("memory:///lake").expect("it is a URL");
        let lake = Lake::with_runtime(store, &url, self.rng(), runtime).expect("any store can hold a lake");
        (process, lake)
    }

    /// The first broken promise ends the run.
    pub(crate) fn report(&self, violation: Violation) {
        self.world.note(|| format!("VIOLATION {violation}"));
        self.violation.lock().get_or_insert(violation);
    }
}

/// Runs one seed to its end. The same seed does the same, always.
///
/// - `keep_log`: whether a failure tells every operation.
pub fn run(seed: u64, sabotage: Option<Sabotage>, keep_log: bool) -> Result<Summary, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing");
    runtime.block_on(simulate(seed, sabotage, keep_log))
}

async fn simulate(seed: u64, sabotage: Option<Sabotage>, keep_log: bool) -> Result<Summary, Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let fault_rate = [0.0, 0.05, 0.2][rng.random_range(0..3)];
    let crashes = [None, Some(200), Some(60)][rng.random_range(0..3)];
    let erasers = [0, 0, 0, 1, 2][rng.random_range(0..5)];
    // A publish must be under way just when a person is erased.
    let erasers = if sabotage == Some(Sabotage::ErasuresUnseen) { 4 } else { erasers };
    let with_retention = rng.random_bool(0.3);
    let clock_error_max = Duration::from_secs([0, 2, 60][rng.random_range(0..3)]);
    // Just before midnight, so that events of one batch lie on two dates.
    let began_at = "2026-03-01T23:59:50Z".parse().expect("it is a time");
    let world = World::new(rng.random(), began_at, fault_rate);
    if keep_log {
        world.keep_log();
    }
    let setup = Arc::new(Setup {
        world: world.clone(),
        history: Mutex::default(),
        summary: Mutex::default(),
        violation: Mutex::default(),
        erasures: Mutex::default(),
        with_retention,
        janitor: OnceLock::new(),
        clock_error_max,
        sabotage,
        checkpoint_every: rng.random_range(2..8),
        coroutines: Coroutines::new(),
        next_process: Mutex::new(0),
        rng: Mutex::new(rng),
    });

    let mut others: Vec<JoinHandle<()>> = Vec::new();
    actors::add_site(&setup).await;
    if setup.with_retention {
        actors::set_retention(&setup).await;
        others.push(tokio::spawn(actors::janitor(setup.clone())));
    }
    let collectors = actors::Collectors::start(&setup, crashes, &mut others);
    for _ in 0..2 {
        others.push(tokio::spawn(actors::compactor(setup.clone(), crashes)));
        others.push(tokio::spawn(actors::reader(setup.clone())));
    }
    others.push(tokio::spawn(actors::vacuum(setup.clone(), crashes)));
    if sabotage == Some(Sabotage::LogBeforeListing) {
        // It shows if a file is published and deleted between the two: with one vacuum, in one seed of a thousand.
        others.extend((0..3).map(|_| tokio::spawn(actors::eager_vacuum(setup.clone()))));
    }
    others.push(tokio::spawn(actors::auditor(setup.clone())));
    others.push(tokio::spawn(actors::checker(setup.clone())));
    for _ in 0..erasers {
        others.push(tokio::spawn(actors::eraser(setup.clone(), crashes)));
    }
    if sabotage == Some(Sabotage::LogCleanup) {
        others.push(tokio::spawn(actors::log_cleanup(setup.clone())));
    }
    let clients: Vec<_> =
        (0..2).map(|client| tokio::spawn(actors::client(setup.clone(), collectors.clone(), client))).collect();
    let all_acknowledged = async {
        for client in clients {
            client.await.expect("a client does not panic");
        }
        // Late puts and deletes land, and the others meet them.
        sleep(Duration::from_secs(5)).await;
    };
    tokio::select! {
        biased;
        () = all_acknowledged => {}
        () = broken(&setup) => {}
    }
    for other in others {
        other.abort();
    }
    if setup.violation.lock().is_none() {
        world.calm_down();
        sleep(Duration::from_secs(200)).await;
        if let Err(violation) = actors::settle(&setup).await {
            setup.report(violation);
        }
    }
    let violation = setup.violation.lock().take();
    match violation {
        Some(violation) => Err(Failure { violation, log: world.log() }),
        None => {
            let mut summary = *setup.summary.lock();
            (summary.trace, summary.operations) = world.trace();
            Ok(summary)
        }
    }
}

/// Ends when a promise is broken; looks now and then, since everything is paused in between.
async fn broken(setup: &Setup) {
    while setup.violation.lock().is_none() {
        sleep(Duration::from_millis(500)).await;
    }
}
