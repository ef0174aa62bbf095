//! Queries on more machines than one: parts of a plan run in workers, other processes that read the same lake.
//!
//! [`placement`] decides where a plan runs, and nothing else knows: to the engine it is a planner, and to a plan an operator
//! whose rows come from somewhere. Workers scan published files, which never change, and do what stands above such scans.
//! What is pending, what a read key is confined to, and whatever else would lose something on the way ([`wire`]) stays in the
//! coordinator, the process that was asked. A worker has nothing that an answer depends on: without it, its part is done by
//! others or by the coordinator.

mod channels;
mod connection;
mod distribution;
mod explained;
mod greeting;
mod placement;
mod planner;
mod tls;
mod wire;
mod worker;
mod workers;
mod workers_exec;

pub use placement::{Placement, in_one_partition, properties_of_source};
pub use planner::with_workers;
pub use tls::{ClusterTls, TlsError};
pub use wire::{Stays, Wire};
pub use worker::{Worker, WorkerError};
pub use workers::{WorkersError, WorkersFlags};

#[cfg(test)]
#[path = "../../engine/tests/stored/mod.rs"]
mod stored;
