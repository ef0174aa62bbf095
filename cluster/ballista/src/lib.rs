//! Queries of Dewpond on a cluster of [Ballista](https://datafusion.apache.org/ballista/): for those who run one already.
//!
//! The product's own workers need none of this. Here the same [placement](cluster::Placement) decides what leaves the
//! process that is asked, by the same rules: parts of plans that read published files alone, and arrive whole. Such a part is
//! submitted as a physical plan; the scheduler cuts it into stages, and executors run them. What is pending, and all that
//! Ballista does not do, stays here.
//!
//! Scheduler and executors are Ballista's, with the lake's functions and store: [`nodes`] makes their settings.

pub mod ballista_exec;
pub mod nodes;
pub mod planner;
