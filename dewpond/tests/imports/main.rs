//! Imports of other products' exports and of servers' logs: every column of what becomes of them, and what is refused. And
//! exports.

#![allow(missing_docs, clippy::unwrap_used)]

mod days;
mod exported;
mod formats;
mod harness;
mod packed;
mod refused;
