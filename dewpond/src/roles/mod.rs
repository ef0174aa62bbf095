//! The roles: what an installation runs as processes, and `up`, which runs all of them in one.

pub(crate) mod analytics;
pub(crate) mod collector;
pub(crate) mod compactor;
pub(crate) mod forward;
mod of_lakes;
mod sql;
pub(crate) mod up;
pub(crate) mod worker;
