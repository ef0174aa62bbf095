//! Why events were not taken, by what the sender can do about it.

use serde::Serialize;

use crate::redaction::redact;

/// One event of a request that was not taken. The others of the request may have been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The event's place in the request, from 0.
    pub index: usize,
    /// What is wrong with it, in words for the sender.
    pub reason: String,
    /// The event as it was sent, without what is never stored and cut off if it is long. The sender has it; the
    /// quarantine keeps it.
    #[serde(skip)]
    pub event: Box<str>,
}

/// What is kept of an event that was refused.
const REFUSED_BYTES_MAX: usize = 8 * 1024;

/// What is read of it for that: some are refused for their size.
const READ_BYTES_MAX: usize = 64 * 1024;

impl Rejection {
    /// The refusal of `event`, which is the text of the item as it was sent.
    pub(crate) fn new(index: usize, reason: String, event: &str) -> Self {
        // Redacted before it is as short as it stays, since what was cut off is no JSON any more and is redacted by its looks.
        let event = truncated(&redact(truncated(event, READ_BYTES_MAX)), REFUSED_BYTES_MAX).into();
        Self { index, reason: truncated(&reason, REASON_BYTES_MAX).to_owned(), event }
    }
}

/// Reasons quote what was sent. Nobody is to make us send back more than that.
const REASON_BYTES_MAX: usize = 1_024;

/// The beginning of a text, at most `bytes_max` long: for texts of others that are quoted.
pub fn truncated(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Why a request's events were not taken.
///
/// Each variant is one thing the sender can do about it, and nothing else. In none of them is any event
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// There is no event in it. Sending it again will not help.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, in words for the sender.
        reason: String,
        /// The events one by one, if they could be told apart.
        rejected: Vec<Rejection>,
    },

    /// Nobody we know sent it. Send it with a valid write key.
    #[error("{reason}")]
    Unauthorized {
        /// What was wrong with the key, and how to send one.
        reason: String,
    },

    /// It may not come from there. Send it from a page that the site allows.
    #[error("{reason}")]
    Forbidden {
        /// What is not allowed, and who can allow it.
        reason: String,
    },

    /// It is too often. Send it again after the pause.
    #[error("{reason}; send it again in {retry_after_s} s")]
    TooOften {
        /// Whose limit was passed.
        reason: String,
        /// How long to wait, in seconds.
        retry_after_s: u64,
    },

    /// The body did not arrive in time. Send it again, over a better line or in smaller pieces.
    #[error("the body did not arrive within {waited}; send it again")]
    Slow {
        /// How long we waited.
        waited: String,
    },

    /// It is too much at once. Send it in smaller pieces.
    #[error("{reason}")]
    TooLarge {
        /// What is too large, and how large it may be.
        reason: String,
    },

    /// There is no memory for it now. Nothing was kept; send it again after a pause.
    #[error("the collector is busy: {used_bytes} bytes are waiting; nothing was kept, send it again after a pause")]
    Full {
        /// What waits already.
        used_bytes: usize,
    },

    /// The store did not confirm the events. Send them again with the same ids: should they have landed
    /// after all, they count once.
    #[error("the events could not be made durable; send them again with the same ids")]
    NotDurable,

    /// The store could not say whether the key is valid. Nothing was kept; send it again after a pause.
    #[error("the write key could not be verified now; nothing was kept, send it again after a pause")]
    KeysUnavailable,

    /// The collector is shutting down. Nothing was kept; send it again, to another one.
    #[error("the collector is closing; nothing was kept, send it again")]
    Closing,
}

impl IngestError {
    /// An error of the whole body.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: truncated(&reason.into(), REASON_BYTES_MAX).to_owned(), rejected: vec![] }
    }

    /// An error of a body, an event or a batch that is too large.
    pub fn too_large(reason: impl Into<String>) -> Self {
        Self::TooLarge { reason: reason.into() }
    }
}
