//! The whole line, from an HTTP request to the cached report: in one process, in many, on a local disk, on an
//! S3 API, with a real Memcached, with processes killed, and read by other engines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod bad_input;
mod balancer;
mod bucket_policy;
mod clients;
mod copies;
mod exactly_once;
mod hostile;
mod kill;
mod lake_check;
mod load;
mod memcached;
mod openapi;
mod other_engines;
mod permissions;
mod power_loss;
mod real_clients;
mod role;
mod s3_server;
mod trace;
mod visibility;
mod whole_life;
mod world;
