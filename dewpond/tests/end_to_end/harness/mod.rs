//! What the tests run on: an installation in one process or in many, clients, an S3 API, and stores of others.

pub mod bucket_policy;
pub mod clients;
pub mod real_stores;
pub mod role;
pub mod s3_server;
pub mod world;
