//! Queries on workers, as an operator runs them: real processes on loopback, of which some are killed, stopped or others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod admission;
mod answers;
mod commands;
mod failures;
mod nodes;
mod questions;
#[path = "../end_to_end/harness/role.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod role;
mod shop;
#[path = "../../../engine/tests/stored/mod.rs"]
mod stored;
