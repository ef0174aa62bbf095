//! What the lake stands on: a store that keeps what it confirms, and the threads its code runs on.

pub(crate) mod beside;
pub(crate) mod kernel_engine;
pub(crate) mod remote;
pub(crate) mod runtime;
pub(crate) mod sabotage;
pub(crate) mod synced_local;
pub(crate) mod watched;
