//! Forwards events to other systems: to an address of one's own, to Google Analytics, Meta, PostgreSQL, Kafka, to files of a
//! partner.
//!
//! A [`Forwarder`] follows the log of `events` for each destination in the registry. It sends the rows that are new in a
//! version, in order, and moves the destination's cursor once the destination has answered: nothing is lost, and after a
//! crash at most one batch is sent again. There is no queue and no other state: the lake has the events.
//!
//! Erased people's events are not sent, even if they wait already. What a destination refuses for good is kept in the table
//! `quarantine`, with `forward` as its protocol.
//!
//! A [`Destination`] of one's own is a type with two functions; `docs/DESTINATIONS.md` shows one.

mod batch;
mod destination;
mod feed;
mod follower;
mod forwarder;
mod message;
mod selection;
mod settings;

pub use batch::Batch;
pub use destination::{Destination, Limits, SendError};
pub use forwarder::Forwarder;
pub use message::{Event, segment_call};
pub use selection::Selection;
pub use settings::ForwardSettings;
