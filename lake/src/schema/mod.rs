//! What is stored: the tables, their columns, and how their files are encoded.

pub(crate) mod encoding;
pub(crate) mod events;
pub(crate) mod tables;
