//! A bounded share of the simulation, and that it would notice a break of the protocol.
//!
//! `DEWPOND_SIMULATION_SEEDS` sets how many seeds, `DEWPOND_SIMULATION_FROM` the first.

use simulation::{Sabotage, run, run_all};

// As in the program: a run allocates all the time.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[test]
fn no_promise_is_broken() {
    let number = |name, default| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default);
    let (seeds, from) = (number("DEWPOND_SIMULATION_SEEDS", 500), number("DEWPOND_SIMULATION_FROM", 0));
    let runs = run_all(from..from + seeds, jobs(), None, |_| {});
    if let Some((seed, failure)) = runs.failure {
        panic!("seed {seed}: {}; run `simulation --from {seed} --seeds 1` to see it", failure.violation);
    }
    // A run in which nothing happens breaks no promise either.
    let total = runs.total;
    println!("{total:?}");
    assert!(
        total.reads > 4 * seeds
            && total.recurring_reads > seeds
            && total.checks > seeds
            && total.publishes > seeds
            && total.merges > seeds / 8
            && total.passes > seeds / 8
            && total.kills > seeds / 4
    );
    assert!(total.runs > seeds);
    assert!(total.erasures > seeds / 20 && total.removed > seeds / 2 && total.deleted > seeds);
}

#[test]
fn a_seed_is_one_run() {
    for seed in 0..6 {
        let (first, second) = (run(seed, None, false), run(seed, None, false));
        assert_eq!(first.map_err(|failure| failure.violation), second.map_err(|failure| failure.violation));
    }
}

#[test]
fn a_snapshot_loaded_before_the_listing_is_noticed() {
    // One seed in a hundred shows it. Begins near one, to be quick.
    check(Sabotage::LogBeforeListing, 300);
}

#[test]
fn a_commit_made_again_without_reading_back_is_noticed() {
    check(Sabotage::CommitWithoutReadingBack, 0);
}

#[test]
fn commits_without_the_conflict_rule_are_noticed() {
    check(Sabotage::NoConflictRule, 0);
}

#[test]
fn commits_that_do_not_see_an_erasure_are_noticed() {
    // As with the first: one seed in seventy.
    check(Sabotage::ErasuresUnseen, 60);
}

#[test]
fn log_entries_that_are_deleted_are_noticed() {
    check(Sabotage::LogCleanup, 0);
}

#[test]
fn runs_that_come_too_late_for_a_cleaned_log_are_noticed() {
    check(Sabotage::LateCommitsTrusted, 0);
}

#[track_caller]
fn check(sabotage: Sabotage, from: u64) {
    const SEEDS_MAX: u64 = 3_000;
    let runs = run_all(from..from + SEEDS_MAX, jobs(), Some(sabotage), |_| {});
    let (seed, failure) = runs.failure.expect("the sabotage must be noticed");
    println!("noticed at seed {seed}: {}", failure.violation);
}

fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}
