//! JSON bodies, read the same way whatever the protocol.

pub(crate) mod field;
pub(super) mod items;
pub(crate) mod object;
