//! Intake: turns the body of a request, in any of the supported protocols, into complete [`Event`](lake::Event)s.
//!
//! A [`protocol`] parses the body into drafts. Completing a draft corrects its time ([`occurred_at_us`]), splits its
//! addresses, reads its user agent, derives its channel and location, and identifies its visitor ([`Client`]).
//!
//! Everything here is a function of its arguments. This crate opens no socket, knows no store and no sites, and reads
//! no clock: the collector, the importers and the fuzz targets pass in what it needs as a [`Context`].

mod address;
pub mod agent;
mod channel;
mod client;
mod context;
mod draft;
mod error;
mod event_time;
mod geography;
pub mod history;
mod ids;
mod json;
mod money;
pub mod protocol;
mod redaction;

pub use channel::channel_of;
pub use client::Client;
pub use context::Context;
pub use error::{IngestError, Rejection, truncated};
pub use event_time::{Window, occurred_at_us};
pub use geography::Geography;
pub use ids::Ids;
