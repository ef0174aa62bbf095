//! A batch: events on their way to one file, with the requests that wait for it.

use std::mem::size_of;

use lake::{Event, RawBatch};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::budget::Reservation;
use crate::counters;
use intake::IngestError;

/// What became of a request's events: all of them are durable now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Events that were written.
    pub new: usize,
    /// Events of which the same file has a copy, from this request or another.
    pub duplicates: usize,
}

/// What becomes of a request's events, once it is known.
pub(crate) type Outcome = oneshot::Receiver<Result<Accepted, IngestError>>;

/// Events that grow together until they are written together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) columns: RawBatch,
    pub(crate) waiting: Waiting,
    /// When the first event came.
    pub(crate) opened: Option<Instant>,
}

/// The requests of one batch.
#[derive(Default)]
pub(crate) struct Waiting(Vec<Waiter>);

struct Waiter {
    accepted: Accepted,
    reply: oneshot::Sender<Result<Accepted, IngestError>>,
    since: Instant,
    _memory: Reservation,
}

impl Batch {
    /// Adds a request's events. The answer tells when they are durable.
    ///
    /// - `memory`: what the events take, held until they are acknowledged.
    pub(crate) fn push(&mut self, events: &[Event], memory: Reservation) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let since = Instant::now();
        let new = events.iter().filter(|event| self.columns.push(event)).count();
        let accepted = Accepted { new, duplicates: events.len() - new };
        self.opened.get_or_insert(since);
        self.waiting.0.push(Waiter { accepted, reply, since, _memory: memory });
        outcome
    }
}

impl Waiting {
    /// Events of all requests together.
    pub(crate) fn total(&self) -> Accepted {
        self.0.iter().fold(Accepted::default(), |sum, waiter| Accepted {
            new: sum.new + waiter.accepted.new,
            duplicates: sum.duplicates + waiter.accepted.duplicates,
        })
    }

    /// Tells every request that its events are durable. Whoever hung up does not hear it, and that is all.
    pub(crate) fn acknowledge(self) {
        let waited = counters::acknowledgements();
        for waiter in self.0 {
            waited.record(waiter.since.elapsed());
            let _ = waiter.reply.send(Ok(waiter.accepted));
        }
    }

    /// Tells every request that its events are not durable.
    pub(crate) fn refuse(self) {
        for waiter in self.0 {
            let _ = waiter.reply.send(Err(IngestError::NotDurable));
        }
    }
}

/// About how much memory an event takes while it waits: its texts, and for everything else as much as it takes on its
/// own, which leaves room for columns that grow by doubling.
pub(crate) fn estimated_bytes(event: &Event) -> usize {
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
