//! Forwarding: what reaches a destination when the forwarder, the destination or the lake under it does not stand still.

#![allow(missing_docs, clippy::unwrap_used)]

mod ads;
mod behind;
mod delivery;
mod ga4;
mod harness;
mod kafka;
mod kill;
mod postgres;
