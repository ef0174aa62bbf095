//! Group commit: many requests, one file, one acknowledgement for all of them.
//!
//! While one put is in flight the next batch grows, so a slow store makes files larger instead of making requests
//! wait for a longer queue. Each lane is a task of its own. A request belongs to one lane and is acknowledged when
//! that lane's file is confirmed, and only then.

mod lane_writer;
mod open_batch;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use intake::IngestError;
use lake::{Event, Lake, LaneSettings};
use tokio_util::task::TaskTracker;

use lane_writer::LaneWriter;
pub use open_batch::Accepted;
use open_batch::Outcome;
use queue::Queue;

use crate::Clock;
use crate::budget::{Budget, Part};
use crate::counters;
use crate::settings::Settings;

/// A batch stops growing here even if the store hangs. Columns count their bytes in 32 bits; this is far below that
/// limit, and far above what the default buffer holds.
const BATCH_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Makes events durable, in batches. Cheap to clone; clones share lanes and memory.
#[derive(Clone)]
pub struct Batcher {
    inner: Arc<Inner>,
}

struct Inner {
    queues: Vec<Arc<Queue>>,
    /// The next queue to try, modulo their number.
    next_queue: AtomicUsize,
    flush_bytes: usize,
    /// Bounds the batches of all lanes together.
    buffer: Arc<Part>,
    tasks: TaskTracker,
}

impl Batcher {
    /// Starts the lanes. Must be called within a Tokio runtime.
    ///
    /// - `clock`: chooses the hour's directory that a file belongs to.
    pub fn start(lake: &Lake, settings: &Settings, clock: Clock) -> Self {
        Self::start_within(lake, settings, clock, Budget::new(settings.buffer_bytes, counters::BUFFER_BYTES).part())
    }

    /// The same, with memory that it shares with other lakes' batchers.
    pub(crate) fn start_within(lake: &Lake, settings: &Settings, clock: Clock, buffer: Arc<Part>) -> Self {
        let tasks = TaskTracker::new();
        let queues = (0..settings.lanes.get())
            .map(|_| {
                let queue = Arc::new(Queue::default());
                let writer = LaneWriter {
                    queue: queue.clone(),
                    lake: lake.clone(),
                    clock: clock.clone(),
                    lane_settings: LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() },
                    flush_after: settings.flush_after(lake.url()),
                    flush_bytes: settings.flush_bytes,
                };
                tasks.spawn(writer.run());
                queue
            })
            .collect();
        let inner = Inner { queues, next_queue: AtomicUsize::new(0), flush_bytes: settings.flush_bytes, buffer, tasks };
        Self { inner: Arc::new(inner) }
    }

    /// Makes events durable. When this returns `Ok`, every one of them is in the lake, and every snapshot
    /// taken from now on has it.
    ///
    /// Dropping the future takes nothing back: the events are written all the same. Counts the events,
    /// accepted or not.
    ///
    /// Fails with [`IngestError::Full`], [`IngestError::NotDurable`] or [`IngestError::Closing`]; then none
    /// of the events is acknowledged, and sending them again with the same ids is safe.
    pub async fn append(&self, events: Vec<Event>) -> Result<Accepted, IngestError> {
        if events.is_empty() {
            return Ok(Accepted::default());
        }
        let outcome = self.enqueue(&events).inspect_err(|error| counters::refused(error, events.len()))?;
        // Frees their memory now, and on the thread that allocated it.
        drop(events);
        // A lane that dies without an answer has not acknowledged anything.
        outcome.await.unwrap_or(Err(IngestError::NotDurable))
    }

    fn enqueue(&self, events: &[Event]) -> Result<Outcome, IngestError> {
        let Inner { queues, next_queue, flush_bytes, buffer, .. } = &*self.inner;
        let full = || IngestError::Full { used_bytes: buffer.used_bytes() };
        let memory = buffer.reserve(events.iter().map(Event::memory_bytes).sum()).ok_or_else(full)?;
        let start = next_queue.fetch_add(1, Ordering::Relaxed);
        // Another request may be filling columns: any lane will do.
        let free = (0..queues.len()).find_map(|offset| {
            let queue = &queues[(start + offset) % queues.len()];
            Some((queue, queue.state.try_lock()?))
        });
        let (queue, mut state) = free.unwrap_or_else(|| {
            let queue = &queues[start % queues.len()];
            (queue, queue.state.lock())
        });
        if state.closing {
            return Err(IngestError::Closing);
        }
        let bytes_before = state.batch.columns.estimated_bytes();
        if bytes_before >= BATCH_BYTES_MAX {
            return Err(full());
        }
        let is_first = state.batch.opened_at.is_none();
        let outcome = state.batch.push(events, memory);
        let bytes = state.batch.columns.estimated_bytes();
        drop(state);
        if is_first || (bytes_before < *flush_bytes && bytes >= *flush_bytes) {
            queue.changed.notify_one();
        }
        Ok(outcome)
    }

    /// Takes no more events, writes those it has, and returns when all of them are acknowledged or refused.
    /// Takes as long as the store, and at most about twice the time after which a put is given up.
    pub async fn close(&self) {
        for queue in &self.inner.queues {
            queue.state.lock().closing = true;
            queue.changed.notify_one();
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}
