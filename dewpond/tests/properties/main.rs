//! Property tests: what must hold for all events, however they arrive and whatever the compactor does with them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod compaction;
mod events;
mod lake_state;
mod splits;

use proptest::test_runner::Config;

/// The number of cases in a test run; a campaign sets more with `PROPTEST_CASES`.
fn cases(few: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    Config { cases: asked.unwrap_or(few), max_shrink_iters: 200, failure_persistence: None, ..Config::default() }
}
