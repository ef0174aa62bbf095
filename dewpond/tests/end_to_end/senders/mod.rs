//! Senders of events: SDKs and browsers, the load generator, requests generated from the OpenAPI document, hostile clients.

mod browser_sdks;
mod hostile;
mod loadgen;
mod openapi;
mod real_clients;
