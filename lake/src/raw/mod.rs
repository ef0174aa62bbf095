//! The raw tier: how a batch of events becomes one durable file, and how that file is read back.

pub(crate) mod batch;
pub(crate) mod damaged;
pub(crate) mod lane;
pub(crate) mod rows;
