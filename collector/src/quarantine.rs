//! Refused events on their way to the quarantine: bounded per site, many to a file, and there before the sender
//! hears of the refusal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::{Lake, LaneSettings, RefusedEvent, Site, encode_refused};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::Clock;
use crate::counters;
use crate::error::Rejection;
use crate::protocol::Sender;
use crate::settings::Settings;

/// Requests whose refused events wait to be written. Beyond it they are counted and not kept.
const QUEUE_MAX: usize = 1_000;

/// A file has at most so many refused events.
const FILE_EVENTS_MAX: usize = 10_000;

/// A sender waits this long at most for its refusals to be kept: the good events of its request are worth more.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Where refused events go.
pub(crate) struct Quarantine {
    events_per_hour_max: u32,
    /// What each site has used of its hour.
    used: Mutex<HashMap<Arc<str>, (i64, u32)>>,
    queue: mpsc::Sender<Refusals>,
    _writing: AbortOnDropHandle<()>,
}

struct Refusals {
    events: Vec<RefusedEvent>,
    written: oneshot::Sender<()>,
}

impl Quarantine {
    pub(crate) fn start(lake: Lake, clock: Clock, settings: &Settings) -> Self {
        let (queue, refusals) = mpsc::channel(QUEUE_MAX);
        let tries = LaneSettings { give_up_after: settings.give_up_after, ..LaneSettings::default() };
        let writing = AbortOnDropHandle::new(tokio::spawn(write(lake, clock, tries, refusals)));
        Self {
            events_per_hour_max: settings.quarantine_events_per_hour_max,
            used: Mutex::default(),
            queue,
            _writing: writing,
        }
    }

    /// Keeps what was refused of a request, as far as the site's hour allows. Never fails: what cannot be kept is
    /// counted, and its sender knows of it anyway.
    pub(crate) async fn keep(
        &self,
        site: &Site,
        protocol: &'static str,
        received_at: DateTime<Utc>,
        rejected: &[Rejection],
        sender: &Sender,
    ) {
        if rejected.is_empty() {
            return;
        }
        let allowed = self.allow(&site.site_id, received_at, rejected.len());
        let events: Vec<RefusedEvent> = rejected[..allowed]
            .iter()
            .map(|rejected| RefusedEvent {
                site_id: site.site_id.clone(),
                received_at_us: received_at.timestamp_micros(),
                protocol,
                reason: rejected.reason.clone(),
                event: without_key(&rejected.event, sender),
            })
            .collect();
        counters::not_quarantined(rejected.len() - allowed);
        if events.is_empty() {
            return;
        }
        let (written, done) = oneshot::channel();
        let kept = events.len();
        if self.queue.try_send(Refusals { events, written }).is_err() {
            counters::not_quarantined(kept);
            return;
        }
        // Whether it is late or failed is the writer's to tell.
        let _ = timeout(WAIT_MAX, done).await;
    }

    /// How many of `wanted` events a site may still keep in this hour.
    fn allow(&self, site_id: &Arc<str>, at: DateTime<Utc>, wanted: usize) -> usize {
        let hour = at.timestamp().div_euclid(3_600);
        let mut used = self.used.lock();
        let (of_hour, count) = used.entry(site_id.clone()).or_insert((hour, 0));
        if *of_hour != hour {
            (*of_hour, *count) = (hour, 0);
        }
        let allowed = wanted.min((self.events_per_hour_max - *count) as usize);
        *count += allowed as u32;
        allowed
    }
}

/// An event as it was sent, but for a write key in it.
fn without_key(event: &str, sender: &Sender) -> String {
    match sender {
        Sender::Key(key) if !key.is_empty() => event.replace(key.as_str(), "[write key]"),
        _ => event.to_owned(),
    }
}

/// Writes one file after the other. While one is put, the next one's refusals gather.
async fn write(lake: Lake, clock: Clock, tries: LaneSettings, mut refusals: mpsc::Receiver<Refusals>) {
    while let Some(Refusals { mut events, written }) = refusals.recv().await {
        let mut waiting = vec![written];
        while events.len() < FILE_EVENTS_MAX
            && let Ok(more) = refusals.try_recv()
        {
            events.extend(more.events);
            waiting.push(more.written);
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
        assert_eq!(quarantine.allow(&shop, at(0), 3), 3);
        assert_eq!(quarantine.allow(&shop, at(3_599), 3), 2);
        assert_eq!(quarantine.allow(&shop, at(3_599), 3), 0);
        assert_eq!(quarantine.allow(&blog, at(3_599), 3), 3);
        assert_eq!(quarantine.allow(&shop, at(3_600), 3), 3);
    }

    #[test]
    fn a_write_key_is_not_kept() {
        let sender = Sender::Key("dpw_x".into());
        assert_eq!(without_key(r#"{"key":"dpw_x","name":7}"#, &sender), r#"{"key":"[write key]","name":7}"#);
    }
}
