//! Imports of other products' exports and of servers' logs: every column of what becomes of them, and what is refused.

#![allow(missing_docs, clippy::unwrap_used)]

mod formats;
mod harness;
mod packed;
mod refused;
