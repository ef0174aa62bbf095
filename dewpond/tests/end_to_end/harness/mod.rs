//! What the tests run on: an installation in one process or in many, clients, and an S3 API.

pub mod bucket_policy;
pub mod clients;
pub mod role;
pub mod s3_server;
pub mod world;
