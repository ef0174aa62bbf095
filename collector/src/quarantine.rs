//! Refused events on their way to the quarantine: bounded per site, many to a file, and there before the sender
//! hears of the refusal unless the store is slow.

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
use crate::budget::{Budget, Reservation};
use crate::counters;
use crate::settings::Settings;
use intake::Rejection;

/// Requests whose refused events wait to be written. Beyond it they are counted and not kept.
const QUEUE_MAX: usize = 1_000;

/// A file has at most so many refused events.
const FILE_EVENTS_MAX: usize = 10_000;

/// A sender waits this long at most for its refusals to be kept: the good events of its request are worth more.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Memory of refused events that wait to be written.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where refused events go.
pub(crate) struct Quarantine {
    events_per_hour_max: u32,
    /// What each site has used of its hour.
    used: Mutex<HashMap<Arc<str>, (i64, u32)>>,
    memory: Arc<Budget>,
    /// None once closing.
    queue: RwLock<Option<mpsc::Sender<Refusals>>>,
    tasks: TaskTracker,
}

struct Refusals {
    events: Vec<RefusedEvent>,
    written: oneshot::Sender<()>,
    memory: Reservation,
}

impl Quarantine {
    pub(crate) fn start(lake: Lake, clock: Clock, settings: &Settings) -> Arc<Self> {
        let (queue, refusals) = mpsc::channel(QUEUE_MAX);
        let tries = LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() };
        let tasks = TaskTracker::new();
        let gather = settings.flush_after(lake.url());
        tasks.spawn(write(lake, clock, tries, gather, refusals));
        Arc::new(Self {
            events_per_hour_max: settings.quarantine_events_per_hour_max,
            used: Mutex::default(),
            memory: Budget::new(WAITING_BYTES_MAX, counters::QUARANTINE_BYTES),
            queue: RwLock::new(Some(queue)),
            tasks,
        })
    }

    /// Takes no more, and returns when all that was taken is written or given up.
    pub(crate) async fn close(&self) {
        self.queue.write().take();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Keeps what was refused of a request, as far as the site's hour allows. Never fails: what cannot be kept is
    /// counted, and its sender knows of it anyway.
    ///
    /// - `texts`: the events as they were sent, one for each of `rejected`; fewer if they are not to be kept.
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
        let kept = events.len();
        match self.enqueue(events) {
            // Whether it is late or failed is the writer's to tell.
            Some(done) => drop(timeout(WAIT_MAX, done).await),
            None => counters::not_quarantined(kept),
        }
    }

    fn enqueue(&self, events: Vec<RefusedEvent>) -> Option<oneshot::Receiver<()>> {
        let memory = self.memory.reserve(events.iter().map(|event| event.event.len() + event.reason.len()).sum())?;
        let (written, done) = oneshot::channel();
        let queue = self.queue.read();
        queue.as_ref()?.try_send(Refusals { events, written, memory }).ok()?;
        Some(done)
    }

    /// How many of `wanted` events a site may still keep in this hour.
    fn take_allowance(&self, site_id: &Arc<str>, at: DateTime<Utc>, wanted: usize) -> usize {
        let hour = at.timestamp().div_euclid(3_600);
        let mut used = self.used.lock();
        let (of_hour, count) = used.entry(site_id.clone()).or_insert((hour, 0));
        // Only forward: requests that began before the hour may come to their end after others.
        if hour > *of_hour {
            (*of_hour, *count) = (hour, 0);
        }
        let allowed = wanted.min((self.events_per_hour_max - *count) as usize);
        *count += allowed as u32;
        allowed
    }
}

/// Writes one file after the other. While one is put, and for a moment before, the next one's refusals gather: a sender
/// that is refused again and again makes few files.
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
                    "refused events could not be kept in quarantine"
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

    #[tokio::test]
    async fn a_site_keeps_so_many_refusals_an_hour_and_no_more() {
        let lake = Lake::open("memory:///", []).unwrap();
        let settings = Settings { quarantine_events_per_hour_max: 5, ..Settings::default() };
        let quarantine = Quarantine::start(lake, Arc::new(Utc::now), &settings);
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
