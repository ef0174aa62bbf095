//! Who sends events: SDKs and browsers, the load generator, a document's reader, and clients that mean no good.

mod hostile;
mod loadgen;
mod openapi;
mod real_clients;
