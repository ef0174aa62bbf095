//! What the lake stands on: an object store that keeps what it confirmed, and what its code runs on.

pub(crate) mod kernel_engine;
pub(crate) mod runtime;
pub(crate) mod sabotage;
pub(crate) mod synced_local;
