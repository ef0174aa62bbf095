//! The actors of a run. Each one runs code that ships in a simulated process, and decides when it does what.

mod clients;
mod collectors;
mod compactors;
mod operators;
mod readers;
mod recorders;
mod settle;

use std::time::Duration;

use engine::{Engine, EngineSettings, StateSettings};
use lake::Lake;
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) use clients::client;
pub(crate) use collectors::Collectors;
pub(crate) use compactors::{compactor, eager_vacuum, janitor, keeper, log_cleanup, vacuum};
pub(crate) use operators::{add_site, eraser, set_retention};
pub(crate) use readers::{analyst, auditor, checker, reader};
pub(crate) use recorders::{log_vacuum, recorder};
pub(crate) use settle::settle;

fn dies_after(rng: &mut StdRng, crashes: Option<u64>) -> Option<u64> {
    crashes.map(|mean| rng.random_range(1..2 * mean))
}

/// Mostly short, sometimes long, so that actions that are usually far apart sometimes meet.
fn pause(rng: &mut StdRng) -> Duration {
    let longest_ms = [20, 300, 300, 2_000, 2_000, 15_000][rng.random_range(0..6)];
    Duration::from_millis(rng.random_range(1..longest_ms))
}

/// For actors that are busy all the time.
fn short_pause(rng: &mut StdRng) -> Duration {
    let longest_ms = [20, 200, 500, 1_500][rng.random_range(0..4)];
    Duration::from_millis(rng.random_range(1..longest_ms))
}

fn engine_of(lake: Lake) -> Engine {
    // A state of every file, however small.
    let states = StateSettings { state_file_bytes_min: 0, state_share_max: f64::MAX };
    let settings = EngineSettings { query_threads: Some(1), states, ..EngineSettings::default() };
    Engine::new(lake, &settings).expect("an engine without a spill directory needs nothing")
}
