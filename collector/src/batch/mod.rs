//! Group commit: many requests, one file, one acknowledgement for all of them.
//!
//! While one put is in flight the next batch grows, so that a slow store makes files larger and not
//! requests slower by the length of the queue. Each lane is a task of its own; a request belongs to one lane
//! alone and is acknowledged when that lane's file is confirmed, and only then.

mod open_batch;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lake::{Event, Lake, Lane, LaneSettings};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

pub use open_batch::Accepted;
use open_batch::{Batch, Outcome, estimated_bytes};

use crate::Clock;
use crate::budget::Budget;
use crate::counters;
use crate::settings::Settings;
use intake::IngestError;

/// The way to a durable event. Cheap to clone; clones share lanes and memory.
#[derive(Clone)]
pub struct Batcher {
    inner: Arc<Inner>,
}

struct Inner {
    queues: Vec<Arc<Queue>>,
    turn: AtomicUsize,
    flush_bytes: usize,
    /// Bounds the batches of all lanes together.
    buffer: Arc<Budget>,
    tasks: TaskTracker,
}

/// Where requests leave their events and a lane takes them.
///
/// Requests fill the columns themselves, on their own thread: to hand over the events would cost more than that.
#[derive(Default)]
struct Queue {
    open: Mutex<Open>,
    /// The lane has something to look at: a batch was begun or is full, or no more will come.
    changed: Notify,
}

/// The batch that grows.
#[derive(Default)]
struct Open {
    batch: Batch,
    closing: bool,
}

impl Batcher {
    /// Starts the lanes. Must be called within a Tokio runtime.
    ///
    /// - `clock`: says in which hour's directory a file belongs.
    pub fn start(lake: &Lake, settings: &Settings, clock: Clock) -> Self {
        let tasks = TaskTracker::new();
        let queues = (0..settings.lanes.get())
            .map(|_| {
                let queue = Arc::new(Queue::default());
                let writer = Writer {
                    queue: queue.clone(),
                    lake: lake.clone(),
                    clock: clock.clone(),
                    lane: LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() },
                    flush_after: settings.flush_after(lake.url()),
                    flush_bytes: settings.flush_bytes,
                };
                tasks.spawn(writer.run());
                queue
            })
            .collect();
        let buffer = Budget::new(settings.buffer_bytes, counters::BUFFER_BYTES);
        Self {
            inner: Arc::new(Inner {
                queues,
                turn: AtomicUsize::new(0),
                flush_bytes: settings.flush_bytes,
                buffer,
                tasks,
            }),
        }
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
        let outcome = self.enqueue(&events).inspect_err(|_| counters::rejected("unavailable", events.len()))?;
        // Their memory goes back to the thread that it came from, and now.
        drop(events);
        // A lane that dies without an answer has not acknowledged anything.
        outcome.await.unwrap_or(Err(IngestError::NotDurable))
    }

    fn enqueue(&self, events: &[Event]) -> Result<Outcome, IngestError> {
        let Inner { queues, turn, flush_bytes, buffer, .. } = &*self.inner;
        let full = || IngestError::Full { used_bytes: buffer.used_bytes() };
        let memory = buffer.reserve(events.iter().map(estimated_bytes).sum()).ok_or_else(full)?;
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        // Another request may be filling columns: any lane will do.
        let free = (0..queues.len()).find_map(|next| {
            let queue = &queues[(turn + next) % queues.len()];
            Some((queue, queue.open.try_lock()?))
        });
        let (queue, mut open) = free.unwrap_or_else(|| {
            let queue = &queues[turn % queues.len()];
            (queue, queue.open.lock())
        });
        if open.closing {
            return Err(IngestError::Closing);
        }
        let bytes_before = open.batch.columns.estimated_bytes();
        if bytes_before >= BATCH_BYTES_MAX {
            return Err(full());
        }
        let is_first = open.batch.opened.is_none();
        let outcome = open.batch.push(events, memory);
        let bytes = open.batch.columns.estimated_bytes();
        drop(open);
        if is_first || (bytes_before < *flush_bytes && bytes >= *flush_bytes) {
            queue.changed.notify_one();
        }
        Ok(outcome)
    }

    /// Takes no more events, writes those it has, and returns when all of them are acknowledged or refused.
    /// Takes as long as the store, and at most about twice the time after which a put is given up.
    pub async fn close(&self) {
        for queue in &self.inner.queues {
            queue.open.lock().closing = true;
            queue.changed.notify_one();
        }
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

/// A batch stops growing here even if the store hangs. Columns count their bytes in 32 bits; this is far
/// from it, and far above what the default buffer holds.
const BATCH_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The task of one lane.
struct Writer {
    queue: Arc<Queue>,
    lake: Lake,
    clock: Clock,
    lane: LaneSettings,
    flush_after: Duration,
    flush_bytes: usize,
}

/// Closes a queue when its writer ends, however it does: what nobody will write must not wait for an answer.
struct CloseAtEnd(Arc<Queue>);

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        *self.0.open.lock() = Open { batch: Batch::default(), closing: true };
    }
}

/// A put on its way. Gives the lane back, or none if the lane was abandoned.
type InFlight = JoinHandle<Option<Lane>>;

impl Writer {
    async fn run(self) {
        let _closed = CloseAtEnd(self.queue.clone());
        let mut lane = Some(self.new_lane());
        let mut in_flight: Option<InFlight> = None;
        loop {
            let (due, is_open) = self.look();
            if in_flight.is_none() && due.is_some_and(|due| due <= Instant::now()) {
                let lane = lane.take().unwrap_or_else(|| self.new_lane());
                let batch = std::mem::take(&mut self.queue.open.lock().batch);
                in_flight = Some(self.write(lane, batch));
                continue;
            }
            if !is_open && in_flight.is_none() {
                return;
            }
            tokio::select! {
                biased;
                landed = landed(&mut in_flight), if in_flight.is_some() => {
                    in_flight = None;
                    lane = landed;
                }
                () = self.queue.changed.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && in_flight.is_none() => {}
            }
        }
    }

    /// When the batch is to be written, if it has anything, and whether more can come.
    fn look(&self) -> (Option<Instant>, bool) {
        let open = self.queue.open.lock();
        let is_full = open.batch.columns.estimated_bytes() >= self.flush_bytes;
        let wait = if open.closing || is_full { Duration::ZERO } else { self.flush_after };
        (open.batch.opened.map(|opened| opened + wait), !open.closing)
    }

    /// Writes a batch and answers the requests that wait for it.
    fn write(&self, lane: Lane, batch: Batch) -> InFlight {
        let (lake, clock, id) = (self.lake.clone(), self.clock.clone(), lane.id());
        tokio::spawn(async move {
            let Batch { columns, waiting, .. } = batch;
            let total = waiting.total();
            // Encoding takes longer than a request thread may be held.
            let file = match lake.run_aside(move || columns.encode()).await {
                Ok(file) => file,
                Err(error) => {
                    tracing::error!(lane = %id, error = &error as &dyn std::error::Error, "could not encode a batch");
                    counters::rejected("unavailable", total.new + total.duplicates);
                    waiting.refuse();
                    return Some(lane);
                }
            };
            let (file_bytes, started) = (file.len(), Instant::now());
            match lane.append(file, clock()).await {
                Ok((lane, _)) => {
                    counters::put(total.new, total.duplicates, file_bytes, started.elapsed());
                    waiting.acknowledge();
                    Some(lane)
                }
                Err(error) => {
                    tracing::error!(
                        lane = %id,
                        events = total.new,
                        error = &error as &dyn std::error::Error,
                        "events were refused because the store did not confirm them; starting another lane"
                    );
                    counters::rejected("unavailable", total.new + total.duplicates);
                    waiting.refuse();
                    None
                }
            }
        })
    }

    fn new_lane(&self) -> Lane {
        Lane::start(self.lake.clone(), self.lake.new_lane_id((self.clock)()), self.lane)
    }
}

/// Waits for the put on its way. A put that panicked takes its lane with it, like one that was abandoned:
/// nobody knows which number it used.
async fn landed(in_flight: &mut Option<InFlight>) -> Option<Lane> {
    match in_flight {
        Some(put) => put.await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a put died; starting another lane");
            None
        }),
        None => std::future::pending().await,
    }
}
