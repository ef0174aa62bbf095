//! Group commit: many requests, one file, one acknowledgement for all of them.
//!
//! While one put is in flight the next batch grows, so that a slow store makes files larger and not
//! requests slower by the length of the queue. Each lane is a task of its own; a request belongs to one lane
//! alone and is acknowledged when that lane's file is confirmed, and only then.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lake::{Event, Lake, Lane, LaneSettings};
use parking_lot::RwLock;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::Clock;
use crate::batch::{self, Accepted, Arrival, Batch};
use crate::budget::Budget;
use crate::counters;
use crate::error::IngestError;
use crate::settings::Settings;

/// The way to a durable event. Cheap to clone; clones share lanes and memory.
#[derive(Clone)]
pub struct Batcher {
    inner: Arc<Inner>,
}

struct Inner {
    /// Where each lane takes its events from; empty once closing.
    lanes: RwLock<Vec<UnboundedSender<Arrival>>>,
    turn: AtomicUsize,
    /// Bounds the queues of all lanes and their batches together.
    buffer: Arc<Budget>,
    tasks: TaskTracker,
}

impl Batcher {
    /// Starts the lanes. Must be called within a Tokio runtime.
    ///
    /// - `clock`: says in which hour's directory a file belongs.
    pub fn start(lake: &Lake, settings: &Settings, clock: Clock) -> Self {
        let tasks = TaskTracker::new();
        let lanes = (0..settings.lanes.get())
            .map(|_| {
                let (sender, arrivals) = mpsc::unbounded_channel();
                let writer = Writer {
                    lake: lake.clone(),
                    clock: clock.clone(),
                    lane: LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() },
                    flush_after: settings.flush_after(lake.url()),
                    flush_bytes: settings.flush_bytes,
                };
                tasks.spawn(writer.run(arrivals));
                sender
            })
            .collect();
        let buffer = Budget::new(settings.buffer_bytes, counters::BUFFER_BYTES);
        Self { inner: Arc::new(Inner { lanes: RwLock::new(lanes), turn: AtomicUsize::new(0), buffer, tasks }) }
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
        let sent = events.len();
        let (reply, outcome) = oneshot::channel();
        if let Err(error) = self.enqueue(events, reply) {
            counters::rejected("unavailable", sent);
            return Err(error);
        }
        // A lane that dies without an answer has not acknowledged anything.
        outcome.await.unwrap_or(Err(IngestError::NotDurable))
    }

    fn enqueue(
        &self,
        events: Vec<Event>,
        reply: oneshot::Sender<Result<Accepted, IngestError>>,
    ) -> Result<(), IngestError> {
        let lanes = self.inner.lanes.read();
        if lanes.is_empty() {
            return Err(IngestError::Closing);
        }
        let buffer = &self.inner.buffer;
        let memory = buffer
            .reserve(events.iter().map(batch::estimated_bytes).sum())
            .ok_or_else(|| IngestError::Full { used_bytes: buffer.used_bytes() })?;
        let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed) % lanes.len();
        let arrival = Arrival { events, reply, since: Instant::now(), memory };
        lanes[turn].send(arrival).map_err(|_| IngestError::Closing)
    }

    /// Takes no more events, writes those it has, and returns when all of them are acknowledged or refused.
    /// Takes as long as the store, and at most about twice the time after which a put is given up.
    pub async fn close(&self) {
        self.inner.lanes.write().clear();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }
}

/// A batch stops growing here even if the store hangs. Columns count their bytes in 32 bits; this is far
/// from it, and far above what the default buffer holds.
const BATCH_BYTES_MAX: usize = 512 * 1024 * 1024;

/// The task of one lane.
struct Writer {
    lake: Lake,
    clock: Clock,
    lane: LaneSettings,
    flush_after: Duration,
    flush_bytes: usize,
}

/// A put on its way. Gives the lane back, or none if the lane was abandoned.
type InFlight = JoinHandle<Option<Lane>>;

impl Writer {
    async fn run(self, mut arrivals: UnboundedReceiver<Arrival>) {
        let mut lane = Some(self.new_lane());
        let mut in_flight: Option<InFlight> = None;
        let mut batch = Batch::default();
        let mut open = true;
        loop {
            // Whatever is here already belongs into this file: after a pause of ours all of it is overdue, and
            // the first one would be written alone.
            while batch.columns.estimated_bytes() < self.flush_bytes
                && let Ok(arrival) = arrivals.try_recv()
            {
                batch.push(arrival);
            }
            if in_flight.is_none() && self.is_due(&batch, open) {
                let lane = lane.take().unwrap_or_else(|| self.new_lane());
                in_flight = Some(self.write(lane, std::mem::take(&mut batch)));
            }
            if !open && in_flight.is_none() {
                return;
            }
            let due = batch.opened.map(|opened| opened + self.flush_after);
            tokio::select! {
                biased;
                landed = landed(&mut in_flight), if in_flight.is_some() => {
                    in_flight = None;
                    lane = landed;
                }
                arrival = arrivals.recv(), if open && batch.columns.estimated_bytes() < BATCH_BYTES_MAX => match arrival {
                    Some(arrival) => batch.push(arrival),
                    None => open = false,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && in_flight.is_none() => {}
            }
        }
    }

    fn is_due(&self, batch: &Batch, open: bool) -> bool {
        let Some(opened) = batch.opened else { return false };
        !open || batch.columns.estimated_bytes() >= self.flush_bytes || opened.elapsed() >= self.flush_after
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
