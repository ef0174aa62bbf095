//! Types and values as the protocol writes them, in text and in binary.

pub(super) mod parameters;
pub(super) mod types;
pub(super) mod values;
