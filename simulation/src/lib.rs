//! Deterministic simulation: runs the code that ships on a store that fails, with processes that die, in simulated time.
//! The same seed always gives the same run.
//!
//! The collector's batcher, the compactor, the vacuum and the readers run unchanged. Each process has its own view of one
//! faulty store ([`FaultStore`]). Clients retry until they are acknowledged. Every read is checked against what was
//! acknowledged before it began.
//!
//! A run is deterministic because one thread runs at a time (the kernel's blocking calls are coroutines), Tokio's time is
//! paused, DataFusion has one partition, and latencies, faults and deaths come from the seed.

mod actors;
mod coroutine;
mod fault_store;
mod history;
mod run;
mod seeds;
mod setup;

pub use fault_store::{FaultStore, Process, World};
pub use history::{Expectation, History, Id, Violation};
pub use run::run;
pub use seeds::{Runs, run_all};
pub use setup::{Failure, Sabotage, Summary};
