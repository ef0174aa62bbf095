//! Runs many seeds in parallel until one fails.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use crate::run::run;
use crate::setup::{Failure, Sabotage, Summary};

/// The outcome of many runs.
#[derive(Debug, Default)]
pub struct Runs {
    /// The sums over all runs, without their traces.
    pub total: Summary,
    /// The first run that failed, with its seed. No further run was started after it.
    pub failure: Option<(u64, Failure)>,
}

/// Runs `seeds` on `jobs` threads.
///
/// Each job stays on one core, where the platform allows it. Only one thread of a simulation runs at a time, and handing
/// over to a thread on another core takes longer than most steps.
///
/// - `progress`: called after each run with the number of finished runs.
pub fn run_all(seeds: Range<u64>, jobs: usize, sabotage: Option<Sabotage>, progress: impl Fn(u64) + Sync) -> Runs {
    let (next, done) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let runs = Mutex::new(Runs::default());
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    thread::scope(|scope| {
        for job in 0..jobs {
            let core = cores.get(job % cores.len().max(1)).copied();
            let (next, done, runs, progress) = (&next, &done, &runs, &progress);
            scope.spawn(move || {
                // Not every platform can; the runs are the same, only slower.
                core.map(core_affinity::set_for_current);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || runs.lock().failure.is_some() {
                        return;
                    }
                    match run(seed, sabotage, false) {
                        Ok(summary) => runs.lock().total.add(summary),
                        Err(failure) => {
                            runs.lock().failure.get_or_insert((seed, failure));
                        }
                    }
                    progress(done.fetch_add(1, Ordering::Relaxed) + 1);
                }
            });
        }
    });
    runs.into_inner()
}

impl Summary {
    fn add(&mut self, one: Self) {
        self.operations += one.operations;
        self.reads += one.reads;
        self.recurring_reads += one.recurring_reads;
        self.checks += one.checks;
        self.publishes += one.publishes;
        self.merges += one.merges;
        self.passes += one.passes;
        self.deleted += one.deleted;
        self.runs += one.runs;
        self.erasures += one.erasures;
        self.removed += one.removed;
        self.kills += one.kills;
        self.acknowledged += one.acknowledged;
    }
}
