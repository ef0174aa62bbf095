//! SQL as people type it: every query here answers as PostgreSQL does, or is refused in words that say what to write.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod conditions;
mod cookbook;
mod functions;
mod generated;
mod groups;
mod harness;
mod ignored;
mod intervals;
mod lengths;
mod messages;
mod numbers;
mod operators;
mod params;
mod published;
#[path = "../shown/mod.rs"]
mod shown;
mod unread;
mod zones;
