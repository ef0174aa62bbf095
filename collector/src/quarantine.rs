//! The quarantine: writes refused events to the lake, bounded per site and hour, many to a file. They are written
//! before the sender hears of the refusal, unless the store is slow.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::{Lake, LaneSettings, RefusedEvent, Site, encode_refused};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::Clock;
use crate::budget::{Part, Reservation};
use crate::counters;
use crate::settings::Settings;
use intake::Rejection;

/// The most requests whose refused events wait to be written. Beyond it, refused events are counted and dropped.
const QUEUE_MAX: usize = 1_000;

/// Once a file has this many refused events, no more requests are added to it.
const FILE_EVENTS_MAX: usize = 10_000;

/// The longest that a request waits for its refused events to be written: its good events are worth more.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The most memory of refused events that wait to be written.
pub(crate) const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Takes refused events and has them written.
pub(crate) struct Quarantine {
    events_per_hour_max: u32,
    /// For each site, the last hour with refused events and how many were taken in it.
    used: Mutex<HashMap<Arc<str>, (i64, u32)>>,
    memory: Arc<Part>,
    /// `None` once closing.
    queue: RwLock<Option<mpsc::Sender<Refusals>>>,
    tasks: TaskTracker,
}

/// The refused events of one request.
struct Refusals {
    events: Vec<RefusedEvent>,
    written: oneshot::Sender<()>,
    memory: Reservation,
}

impl Quarantine {
    pub(crate) fn start(lake: Lake, clock: Clock, settings: &Settings, memory: Arc<Part>) -> Arc<Self> {
        let (queue, refusals) = mpsc::channel(QUEUE_MAX);
        let tries = LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() };
        let tasks = TaskTracker::new();
        let gather = settings.flush_after(lake.url());
        tasks.spawn(write(lake, clock, tries, gather, refusals));
        Arc::new(Self {
            events_per_hour_max: settings.quarantine_events_per_hour_max,
            used: Mutex::default(),
            memory,
            queue: RwLock::new(Some(queue)),
            tasks,
        })
    }

    /// Takes no more events, and returns when all that were taken are written or given up.
    pub(crate) async fn close(&self) {
        self.queue.write().take();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Adds the refused events of a request, as far as the site's hourly allowance goes, and waits until they are
    /// written. Never fails: events that cannot be kept are counted, and their sender knows of them anyway.
    ///
    /// - `texts`: the events as they were sent, one for each of `rejected`; empty if they must not be kept.
    pub(crate) async fn add(
        &self,
        site: &Site,
        protocol: &'static str,
        received_at: DateTime<Utc>,
        rejected: &[Rejection],
        texts: Vec<Box<str>>,
    ) {
        if texts.is_empty() {
            return;
        }
        let allowed = self.take_allowance(&site.site_id, received_at, texts.len());
        counters::not_quarantined(texts.len() - allowed);
        let events: Vec<RefusedEvent> = rejected
            .iter()
            .zip(texts)
            .take(allowed)
            .map(|(rejected, text)| RefusedEvent {
                site_id: site.site_id.clone(),
                received_at_us: received_at.timestamp_micros(),
                protocol,
                reason: rejected.reason.clone(),
                event: text.into(),
            })
            .collect();
        if events.is_empty() {
            return;
        }
        let allowed = events.len();
        match self.enqueue(events) {
            // The writer reports a failure.
            Some(done) => drop(timeout(WAIT_MAX, done).await),
            None => counters::not_quarantined(allowed),
        }
    }

    fn enqueue(&self, events: Vec<RefusedEvent>) -> Option<oneshot::Receiver<()>> {
        let memory = self.memory.reserve(events.iter().map(|event| event.event.len() + event.reason.len()).sum())?;
        let (written, done) = oneshot::channel();
        let queue = self.queue.read();
        queue.as_ref()?.try_send(Refusals { events, written, memory }).ok()?;
        Some(done)
    }

    /// Takes up to `wanted` events from a site's allowance for the hour. Returns how many it got.
    fn take_allowance(&self, site_id: &Arc<str>, at: DateTime<Utc>, wanted: usize) -> usize {
        let hour = at.timestamp().div_euclid(3_600);
        let mut used = self.used.lock();
        let (of_hour, count) = used.entry(site_id.clone()).or_insert((hour, 0));
        // Only forward: a request that began in the last hour may finish after one that began in this hour.
        if hour > *of_hour {
            (*of_hour, *count) = (hour, 0);
        }
        let allowed = wanted.min((self.events_per_hour_max - *count) as usize);
        *count += allowed as u32;
        allowed
    }
}

/// Writes one file after another. Refused events gather before and during each put, so a sender that is refused
/// again and again causes few files.
async fn write(
    lake: Lake,
    clock: Clock,
    tries: LaneSettings,
    gather: Duration,
    mut refusals: mpsc::Receiver<Refusals>,
) {
    while let Some(first) = refusals.recv().await {
        sleep(gather).await;
        let (mut events, mut waiting, mut held) = (first.events, vec![first.written], vec![first.memory]);
        while events.len() < FILE_EVENTS_MAX
            && let Ok(more) = refusals.try_recv()
        {
            events.extend(more.events);
            waiting.push(more.written);
            held.push(more.memory);
        }
        let count = events.len();
        let put = async {
            let file = lake.run_aside(move || encode_refused(&events)).await?;
            lake.put_refused(file, clock(), tries).await.map_err(anyhow::Error::from)
        };
        match put.await {
            Ok(()) => counters::quarantined(count),
            Err(error) => {
                counters::not_quarantined(count);
                tracing::warn!(
                    events = count,
                    error = &*error as &dyn std::error::Error,
                    "could not write refused events to the quarantine"
                );
            }
        }
        for written in waiting {
            let _ = written.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[tokio::test]
    async fn a_site_has_an_hourly_allowance_of_refused_events() {
        let lake = Lake::open("memory:///", []).unwrap();
        let settings = Settings { quarantine_events_per_hour_max: 5, ..Settings::default() };
        let quarantine = Quarantine::start(lake, Arc::new(Utc::now), &settings, Budget::new(1, "test_bytes").part());
        let (shop, blog): (Arc<str>, Arc<str>) = ("shop".into(), "blog".into());
        let at = |s: i64| DateTime::from_timestamp(s, 0).unwrap();
        assert_eq!(quarantine.take_allowance(&shop, at(0), 3), 3);
        assert_eq!(quarantine.take_allowance(&shop, at(3_599), 3), 2);
        assert_eq!(quarantine.take_allowance(&shop, at(3_599), 3), 0);
        assert_eq!(quarantine.take_allowance(&blog, at(3_599), 3), 3);
        assert_eq!(quarantine.take_allowance(&shop, at(3_600), 3), 3);
        assert_eq!(quarantine.take_allowance(&shop, at(3_599), 3), 2, "of a request that began before the hour");
    }
}
