//! What a request says: its parameters, read and checked. Pure.

pub(super) mod comparison;
pub(super) mod dimension;
pub(super) mod filter;
pub(super) mod goal;
pub(super) mod intervals;
pub(super) mod metric;
pub(super) mod names;
pub(super) mod parameters;
pub(super) mod range;
pub(super) mod request;
pub(super) mod zone;
