//! The open batch: events that will become one file, with the requests that wait for it.

use lake::{Event, RawBatch};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::budget::Reservation;
use crate::counters;
use intake::IngestError;

/// The events of a request that were made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Events that were written.
    pub new: usize,
    /// Events that the same file has already, from this request or another.
    pub duplicates: usize,
}

/// Tells a request what became of its events.
pub(super) type Outcome = oneshot::Receiver<Result<Accepted, IngestError>>;

/// The batch that requests add their events to, until it is written.
#[derive(Default)]
pub(super) struct OpenBatch {
    pub(super) columns: RawBatch,
    pub(super) requests: WaitingRequests,
    /// When the first event came.
    pub(super) opened_at: Option<Instant>,
}

/// The requests of one batch.
#[derive(Default)]
pub(super) struct WaitingRequests(Vec<WaitingRequest>);

struct WaitingRequest {
    accepted: Accepted,
    reply: oneshot::Sender<Result<Accepted, IngestError>>,
    since: Instant,
    _memory: Reservation,
}

impl OpenBatch {
    /// Adds a request's events. The outcome arrives once they are durable or refused.
    ///
    /// - `memory`: the memory of the events, held until then.
    pub(super) fn push(&mut self, events: &[Event], memory: Reservation) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let since = Instant::now();
        let new = events.iter().filter(|event| self.columns.push(event)).count();
        let accepted = Accepted { new, duplicates: events.len() - new };
        self.opened_at.get_or_insert(since);
        self.requests.0.push(WaitingRequest { accepted, reply, since, _memory: memory });
        outcome
    }
}

impl WaitingRequests {
    /// Events of all requests together.
    pub(super) fn total(&self) -> Accepted {
        self.0.iter().fold(Accepted::default(), |sum, request| Accepted {
            new: sum.new + request.accepted.new,
            duplicates: sum.duplicates + request.accepted.duplicates,
        })
    }

    /// Tells every request that its events are durable. Senders that hung up are skipped.
    pub(super) fn acknowledge(self) {
        let waited = counters::acknowledgements();
        for request in self.0 {
            waited.record(request.since.elapsed());
            let _ = request.reply.send(Ok(request.accepted));
        }
    }

    /// Tells every request that its events are not durable.
    pub(super) fn refuse(self) {
        for request in self.0 {
            let _ = request.reply.send(Err(IngestError::NotDurable));
        }
    }
}
