//! One run: simulates a small installation under faults, from a seed.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::actors;
use crate::fault_store::World;
use crate::setup::{Failure, Sabotage, Setup, Summary};

/// Runs one seed to its end. The same seed always gives the same run.
///
/// - `keep_log`: whether a failure lists every operation.
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
    // More erasers, because a publish must be under way at the moment a person is erased.
    let erasers = if sabotage == Some(Sabotage::ErasuresUnseen) { 4 } else { erasers };
    let with_retention = rng.random_bool(0.3);
    let clock_error_max = Duration::from_secs([0, 2, 60][rng.random_range(0..3)]);
    // Drawn last, and not at all for the other sabotages, so that their seeds stay the same runs.
    let with_reports = match sabotage {
        None => rng.random_bool(0.4),
        Some(sabotage) => sabotage == Sabotage::LateCommitsTrusted,
    };
    let with_kept_sessions = sabotage.is_none() && rng.random_bool(0.3);
    // Just before midnight, so that the events of one batch fall on two dates.
    let began_at = "2026-03-01T23:59:50Z".parse().expect("it is a time");
    let world = World::new(rng.random(), began_at, fault_rate);
    if keep_log {
        world.keep_log();
    }
    let setup = Arc::new(Setup::new(world.clone(), rng, sabotage, with_retention, clock_error_max));

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
        others.push(tokio::spawn(actors::analyst(setup.clone(), crashes)));
    }
    others.push(tokio::spawn(actors::vacuum(setup.clone(), crashes)));
    if sabotage == Some(Sabotage::LogBeforeListing) {
        // It shows only if a file is published and deleted between the two steps: with one vacuum, in one seed of a thousand.
        others.extend((0..3).map(|_| tokio::spawn(actors::eager_vacuum(setup.clone()))));
    }
    if with_reports {
        others.extend((0..3).map(|_| tokio::spawn(actors::recorder(setup.clone(), crashes))));
        others.push(tokio::spawn(actors::log_vacuum(setup.clone(), crashes)));
    }
    if with_kept_sessions {
        others.extend((0..2).map(|_| tokio::spawn(actors::keeper(setup.clone(), crashes))));
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
        // Time for late puts and deletes to be applied while the other actors still run.
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

/// Ends when a promise is broken. Polls, because simulated time costs nothing.
async fn broken(setup: &Setup) {
    while setup.violation.lock().is_none() {
        sleep(Duration::from_millis(500)).await;
    }
}
