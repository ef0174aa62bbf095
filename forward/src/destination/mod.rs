//! What a destination is: how an event looks to it, and how a batch is sent.

mod answer;
pub(crate) mod data_manager;
pub(crate) mod files;
pub(crate) mod ga4;
mod google_token;
pub(crate) mod kafka;
pub(crate) mod meta;
pub(crate) mod postgres;
mod postgres_tls;
mod tls;
pub(crate) mod webhook;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value as Json;

use crate::batch::Batch;
use crate::message::Event;

/// What a destination takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events.
    pub events_max: usize,
    /// Bytes of their messages as JSON.
    pub bytes_max: usize,
}

/// Why a batch was not taken, by what is to be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may be taken later: send it again.
    #[error("{reason}")]
    Later {
        /// What the destination says.
        reason: String,
        /// When to send it again, if the destination says so.
        after: Option<Duration>,
    },

    /// It, or one of its events, will never be taken. Sending it again will not help.
    #[error("{reason}")]
    Never {
        /// What the destination says.
        reason: String,
    },
}

/// A system that events are forwarded to.
///
/// One follower at a time calls these, one after the other.
#[async_trait]
pub trait Destination: Send + Sync {
    /// What it takes at once.
    fn limits(&self) -> Limits;

    /// An event as the destination reads it. Pure.
    ///
    /// Fails with the reason if it cannot have the event. The event is kept in `quarantine` then, and the next one sent.
    fn message(&self, event: &Event) -> Result<Json, String>;

    /// Whether two messages may be in one batch. All may, unless a request has something of all its events in common.
    fn share_a_batch(&self, one: &Json, other: &Json) -> bool {
        let _ = (one, other);
        true
    }

    /// Sends a batch. It is delivered when this returns `Ok`, and only then.
    async fn send(&self, batch: &Batch) -> Result<(), SendError>;
}
