//! End-to-end tests, from an HTTP request to the cached report: in one process and in many, on a local disk and on an S3 API,
//! with a real Memcached, with killed processes, and read by other engines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod answers;
mod failures;
mod harness;
mod lifetime;
mod operation;
mod senders;
