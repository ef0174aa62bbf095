//! What a destination is sent at once.

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use serde_json::Value as Json;

/// Events for one request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The same whenever these events are sent again, so that a destination can tell.
    pub id: String,
    /// The events, as rows of `events`.
    pub rows: RecordBatch,
    /// The events, as the destination's own messages.
    pub messages: Vec<Json>,
    /// When it is sent.
    pub sent_at: DateTime<Utc>,
}

impl Batch {
    /// Its two halves, to find out which event a destination does not want. None of one event.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let (count, half) = (self.messages.len(), self.messages.len() / 2);
        let part = |name: &str, from: usize, until: usize| Self {
            id: format!("{}{name}", self.id),
            rows: self.rows.slice(from, until - from),
            messages: self.messages[from..until].to_vec(),
            sent_at: self.sent_at,
        };
        (half > 0).then(|| [part("a", 0, half), part("b", half, count)])
    }
}
