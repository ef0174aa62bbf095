//! Errors: why events were refused, by what the sender can do about it.

use serde::Serialize;

use crate::redaction::redact;

/// One event of a request that was refused. The others may have been accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The event's index in the request, from 0.
    pub index: usize,
    /// What is wrong with it, in words for the sender.
    pub reason: String,
    /// The event as it was sent, redacted, and truncated if it is long. It is for the quarantine and not sent back.
    #[serde(skip)]
    pub event: Box<str>,
}

/// The most that is kept of a refused event.
const REFUSED_BYTES_MAX: usize = 8 * 1024;

/// The most of it that is redacted: some events are refused for their size.
const READ_BYTES_MAX: usize = 64 * 1024;

impl Rejection {
    /// Rejects `event`, the text of the item as it was sent.
    pub(crate) fn new(index: usize, reason: String, event: &str) -> Self {
        // Redact before truncating: truncated text no longer parses as JSON and is only matched by pattern.
        let event = truncated(&redact(truncated(event, READ_BYTES_MAX)), REFUSED_BYTES_MAX).into();
        Self { index, reason: truncated(&reason, REASON_BYTES_MAX).to_owned(), event }
    }
}

/// The longest reason. Reasons quote what was sent, which may be long.
const REASON_BYTES_MAX: usize = 1_024;

/// The beginning of a text, at most `bytes_max` long, to quote what was sent.
pub fn truncated(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Why the events of a request were refused.
///
/// Each variant is one thing that the sender can do about it. With any of them, no event is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The request has no valid event. Sending it again will not help.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, in words for the sender.
        reason: String,
        /// The events one by one, if they could be told apart.
        rejected: Vec<Rejection>,
    },

    /// The sender is unknown. Send the events with a valid write key.
    #[error("{reason}")]
    Unauthorized {
        /// What was wrong with the key, and how to send one.
        reason: String,
    },

    /// The page may not send to the site. Send the events from a page that the site allows.
    #[error("{reason}")]
    Forbidden {
        /// What is not allowed, and who can allow it.
        reason: String,
    },

    /// The sender exceeds its rate limit. Send the events again after the pause.
    #[error("{reason}; send it again in {retry_after_s} s")]
    TooOften {
        /// Which limit was exceeded.
        reason: String,
        /// How long to wait, in seconds.
        retry_after_s: u64,
    },

    /// The body did not arrive in time. Send it again, over a better connection or in smaller pieces.
    #[error("the body did not arrive within {waited}; send it again")]
    Slow {
        /// How long the collector waited.
        waited: String,
    },

    /// The request is too large. Send it in smaller pieces.
    #[error("{reason}")]
    TooLarge {
        /// What is too large, and how large it may be.
        reason: String,
    },

    /// There is no memory for the request now. Nothing was stored; send it again after a pause.
    #[error("the collector is busy: {used_bytes} bytes are waiting; nothing was kept, send it again after a pause")]
    Full {
        /// The memory of the requests that wait already.
        used_bytes: usize,
    },

    /// The store did not confirm the events. Send them again with the same ids: if they were stored after all, they
    /// count once.
    #[error("the events could not be made durable; send them again with the same ids")]
    NotDurable,

    /// The store could not say whether the key is valid. Nothing was stored; send the events again after a pause.
    #[error("the write key could not be verified now; nothing was kept, send it again after a pause")]
    KeysUnavailable,

    /// The collector is shutting down. Nothing was stored; send the events again, to another collector.
    #[error("the collector is closing; nothing was kept, send it again")]
    Closing,
}

impl IngestError {
    /// An invalid body.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: truncated(&reason.into(), REASON_BYTES_MAX).to_owned(), rejected: vec![] }
    }

    /// A body or a batch that is too large.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::TooLarge { reason: reason.into() }
    }
}
