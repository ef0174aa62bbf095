//! The queue of one lane: requests add their events to its open batch, and the lane's writer takes the batch.

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::open_batch::OpenBatch;

/// Where requests and one lane's writer meet.
///
/// Requests fill the batch's columns themselves, on their own threads: handing the events over would cost more.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) state: Mutex<QueueState>,
    /// Wakes the writer: a batch was opened or is full, or no more events will come.
    pub(super) changed: Notify,
}

/// The open batch, and whether the queue still takes events.
#[derive(Default)]
pub(super) struct QueueState {
    pub(super) batch: OpenBatch,
    pub(super) closing: bool,
}
