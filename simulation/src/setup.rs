//! The simulated installation that all actors of a run share, and the outcome of a run.

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
use url::Url;

use crate::coroutine::Coroutines;
use crate::fault_store::{FaultStore, Process, World};
use crate::history::{Erasure, History, Violation};

/// A way to break the protocol, to show that the simulation notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Snapshots load the log before they list the raw tier, instead of after.
    LogBeforeListing,
    /// A commit whose put failed is tried again as the next version, without reading back what is there.
    CommitWithoutReadingBack,
    /// A commit ignores what others have committed since its plan.
    NoConflictRule,
    /// A commit stays valid although a new list of erasures was published since its plan.
    ErasuresUnseen,
    /// Log entries before the last checkpoint are deleted, as other engines do.
    LogCleanup,
    /// A commit to a log whose old entries are deleted believes that a version that it created is the next one.
    LateCommitsTrusted,
}

impl Sabotage {
    fn of_lake(self) -> Option<LakeSabotage> {
        match self {
            Self::LogBeforeListing => Some(LakeSabotage::LogBeforeListing),
            Self::CommitWithoutReadingBack => Some(LakeSabotage::CommitWithoutReadingBack),
            Self::NoConflictRule => Some(LakeSabotage::NoConflictRule),
            Self::ErasuresUnseen => Some(LakeSabotage::ErasuresUnseen),
            Self::LogCleanup => None,
            Self::LateCommitsTrusted => Some(LakeSabotage::LateCommitsTrusted),
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// A hash of all operations in their order: the same only for the same run.
    pub trace: u64,
    /// Store operations.
    pub operations: u64,
    /// Reads that were checked.
    pub reads: u64,
    /// Recurring queries that were checked.
    pub recurring_reads: u64,
    /// Checks of the whole lake beside everything else.
    pub checks: u64,
    /// Publishes that took events in.
    pub publishes: u64,
    /// Merges.
    pub merges: u64,
    /// Passes that wrote sessions of a day.
    pub passes: u64,
    /// Files that vacuums deleted.
    pub deleted: u64,
    /// Runs of the report that history kept.
    pub runs: u64,
    /// Persons erased.
    pub erasures: u64,
    /// Erased and expired rows that compactors removed.
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
    /// Which promise, and how.
    pub violation: Violation,
    /// The store's operations and other events of the run, one per line.
    pub log: Vec<String>,
}

/// The installation: what all actors of a run share.
pub(crate) struct Setup {
    pub(crate) world: Arc<World>,
    pub(crate) history: Mutex<History>,
    pub(crate) summary: Mutex<Summary>,
    pub(crate) violation: Mutex<Option<Violation>>,
    /// All erasures that have begun.
    pub(crate) erasures: Mutex<Vec<Erasure>>,
    /// Whether some sites keep their events only for some days.
    pub(crate) with_retention: bool,
    /// The compactor that removes expired events, alive from the beginning to the end.
    pub(crate) janitor: OnceLock<Compactor>,
    /// The largest error of a process's clock.
    pub(crate) clock_error_max: Duration,
    rng: Mutex<StdRng>,
    sabotage: Option<Sabotage>,
    checkpoint_every: u64,
    coroutines: Coroutines,
    next_process: Mutex<u64>,
}

impl Setup {
    /// An installation in which nothing has happened yet.
    ///
    /// - `rng`: the source of all random choices in the run.
    pub(crate) fn new(
        world: Arc<World>,
        mut rng: StdRng,
        sabotage: Option<Sabotage>,
        with_retention: bool,
        clock_error_max: Duration,
    ) -> Self {
        Self {
            world,
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
        }
    }

    /// A new random number generator for one actor, so that actors do not disturb each other's choices.
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
        // Few, so that a process that is stopped for a while finds its entries deleted.
        runtime.log_entries_kept = self.checkpoint_every;
        // Setting up forty compressors for a dozen rows would take a third of the whole time.
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
