//! The open batch: events that will become one file, with the requests that wait for it.

use std::mem::size_of;

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

/// Roughly the memory that an event takes while it waits: its texts, plus the size of [`Event`] for everything else,
/// which leaves room for columns that grow by doubling.
pub(super) fn estimated_bytes(event: &Event) -> usize {
    let texts = [
        &event.user_id,
        &event.anonymous_id,
        &event.session_id,
        &event.url,
        &event.hostname,
        &event.path,
        &event.query,
        &event.title,
        &event.referrer,
        &event.referrer_host,
        &event.channel,
        &event.utm_source,
        &event.utm_medium,
        &event.utm_campaign,
        &event.utm_term,
        &event.utm_content,
        &event.browser,
        &event.browser_version,
        &event.os,
        &event.os_version,
        &event.device,
        &event.country,
        &event.region,
        &event.city,
        &event.language,
        &event.screen,
        &event.viewport,
        &event.object,
        &event.currency,
        &event.properties,
        &event.sdk,
    ];
    size_of::<Event>() + event.name.len() + texts.into_iter().flatten().map(String::len).sum::<usize>()
}
