//! The task of one lane: waits until its batch is due, puts it as a file, and answers the requests of that file.

use std::sync::Arc;
use std::time::Duration;

use intake::IngestError;
use lake::{Lake, Lane, LaneSettings};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::open_batch::OpenBatch;
use super::queue::{Queue, QueueState};
use crate::Clock;
use crate::counters;

pub(super) struct LaneWriter {
    pub(super) queue: Arc<Queue>,
    pub(super) lake: Lake,
    pub(super) clock: Clock,
    pub(super) lane_settings: LaneSettings,
    pub(super) flush_after: Duration,
    pub(super) flush_bytes: usize,
}

/// Closes a queue when its writer ends, even by a panic: requests must not wait for an answer that nobody will give.
struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        *self.0.state.lock() = QueueState { batch: OpenBatch::default(), closing: true };
    }
}

/// A put in flight. Gives the lane back, or `None` if the lane was abandoned.
type Put = JoinHandle<Option<Lane>>;

impl LaneWriter {
    pub(super) async fn run(self) {
        let _close = CloseOnDrop(self.queue.clone());
        let mut lane = Some(self.new_lane());
        let mut in_flight: Option<Put> = None;
        loop {
            let (due, is_open) = self.next_flush();
            if in_flight.is_none() && due.is_some_and(|due| due <= Instant::now()) {
                let lane = lane.take().unwrap_or_else(|| self.new_lane());
                let batch = std::mem::take(&mut self.queue.state.lock().batch);
                in_flight = Some(self.write(lane, batch));
                continue;
            }
            if !is_open && in_flight.is_none() {
                return;
            }
            tokio::select! {
                biased;
                finished = lane_of(&mut in_flight), if in_flight.is_some() => {
                    in_flight = None;
                    lane = finished;
                }
                () = self.queue.changed.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && in_flight.is_none() => {}
            }
        }
    }

    /// When the open batch is due, if it has events, and whether more can come.
    fn next_flush(&self) -> (Option<Instant>, bool) {
        let state = self.queue.state.lock();
        let is_full = state.batch.columns.estimated_bytes() >= self.flush_bytes;
        let wait = if state.closing || is_full { Duration::ZERO } else { self.flush_after };
        (state.batch.opened_at.map(|opened_at| opened_at + wait), !state.closing)
    }

    /// Writes a batch and answers the requests that wait for it.
    fn write(&self, lane: Lane, batch: OpenBatch) -> Put {
        let (lake, clock, id) = (self.lake.clone(), self.clock.clone(), lane.id());
        tokio::spawn(async move {
            let OpenBatch { columns, requests, .. } = batch;
            let total = requests.total();
            // Encoding takes longer than a request thread may be held.
            let file = match lake.run_aside(move || columns.encode()).await {
                Ok(file) => file,
                Err(error) => {
                    tracing::error!(lane = %id, error = &error as &dyn std::error::Error, "could not encode a batch");
                    counters::refused(&IngestError::NotDurable, total.new + total.duplicates);
                    requests.refuse();
                    return Some(lane);
                }
            };
            let (file_bytes, started) = (file.len(), Instant::now());
            match lane.append(file, clock()).await {
                Ok((lane, _)) => {
                    counters::put(total.new, total.duplicates, file_bytes, started.elapsed());
                    requests.acknowledge();
                    Some(lane)
                }
                Err(error) => {
                    tracing::error!(
                        lane = %id,
                        events = total.new,
                        error = &error as &dyn std::error::Error,
                        "events were refused because the store did not confirm them; starting another lane"
                    );
                    counters::refused(&IngestError::NotDurable, total.new + total.duplicates);
                    requests.refuse();
                    None
                }
            }
        })
    }

    fn new_lane(&self) -> Lane {
        Lane::start(self.lake.clone(), self.lake.new_lane_id((self.clock)()), self.lane_settings)
    }
}

/// Waits for the put in flight and returns its lane. A put that panicked takes its lane with it, like one that was
/// abandoned: nobody knows which number it used.
async fn lane_of(in_flight: &mut Option<Put>) -> Option<Lane> {
    match in_flight {
        Some(put) => put.await.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "a put died; starting another lane");
            None
        }),
        None => std::future::pending().await,
    }
}
