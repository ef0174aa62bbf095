//! Clients, which send each event until it is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use lake::{Event, EventId};
use rand::Rng;
use rand::seq::IndexedRandom;
use tokio::time::{sleep, timeout};

use super::collectors::Collectors;
use super::operators::RETENTION_SITE;
use super::pause;
use crate::history::{Id, user_of};
use crate::setup::Setup;

/// Where an event's time comes from. It makes copies of one event differ in time.
#[derive(Clone, Copy)]
enum Timing {
    /// The client's own time.
    Client,
    /// The time of arrival, because the event has none.
    Arrival,
    /// The client's time, corrected by its `sent_at`. A body that is sent again unchanged is corrected by the time since.
    SentAgain,
}

/// An event that a client sends.
#[derive(Clone)]
struct Draft {
    id: Id,
    timing: Timing,
    made_at_us: i64,
    /// Made days ago.
    is_old: bool,
}

impl Draft {
    /// The event as a collector would store it from this attempt.
    ///
    /// - `by_us`: the collector's correction of the client's clock.
    fn event(&self, now_us: i64, by_us: i64) -> Event {
        let (occurred_at_us, corrected_by_us) = match self.timing {
            Timing::Client => (self.made_at_us + by_us, Some(by_us)),
            Timing::Arrival => (now_us, None),
            Timing::SentAgain => (now_us, Some(now_us - self.made_at_us)),
        };
        Event {
            event_id: EventId::from_client(&self.id.name),
            site_id: self.id.site.as_str().into(),
            name: self.id.name.clone(),
            occurred_at_us,
            received_at_us: now_us,
            corrected_by_us,
            visitor_id: Some((self.id.name.len() % 3) as i64),
            user_id: Some(user_of(&self.id).to_owned()),
            protocol: "native",
            ..Event::default()
        }
    }
}

/// A client: sends each batch until it is acknowledged, and sometimes once more. A retry may go to another collector, and
/// may overtake the first attempt.
pub(crate) async fn client(setup: Arc<Setup>, collectors: Collectors, number: usize) {
    let mut rng = setup.rng();
    let mut left = rng.random_range(4..24);
    let mut made = 0;
    while left > 0 {
        let size = rng.random_range(1..4).min(left);
        left -= size;
        let drafts: Vec<Draft> = (0..size)
            .map(|_| {
                made += 1;
                let now_us = setup.world.now().timestamp_micros();
                // Some events are a week old: on such dates any two files are merged. Some expire at midnight.
                let [now, lately, long_ago] = [TimeDelta::zero(), TimeDelta::hours(3 * 24 + 1), TimeDelta::days(7)];
                let age = [now, now, now, lately, long_ago, long_ago][rng.random_range(0..6)];
                let timing = [Timing::Client, Timing::Client, Timing::Arrival, Timing::SentAgain];
                let timing = *timing.choose(&mut rng).expect("there are four");
                let is_old = matches!(timing, Timing::Client) && !age.is_zero();
                Draft {
                    id: Id {
                        site: ["one", "two"][rng.random_range(0..2)].to_owned(),
                        name: format!("event {made} of client {number}"),
                    },
                    timing,
                    made_at_us: if is_old { now_us - age.num_microseconds().unwrap_or(0) } else { now_us },
                    is_old,
                }
            })
            .collect();
        let ids = || drafts.iter().map(|draft| draft.id.clone());
        setup.history.lock().send(ids());
        let is_expired = |draft: &&Draft| setup.with_retention && draft.is_old && draft.id.site == RETENTION_SITE;
        setup.history.lock().expire(drafts.iter().filter(is_expired).map(|draft| draft.id.clone()));
        // An event from before the end of an erasure that is sent after its beginning may be left out.
        for erasure in &*setup.erasures.lock() {
            let until_us = erasure.until.map_or(i64::MAX, |until| until.timestamp_micros());
            let is_erased = |draft: &&Draft| erasure.is_of(&draft.id) && draft.made_at_us <= until_us;
            setup.history.lock().fade(drafts.iter().filter(is_erased).map(|draft| draft.id.clone()));
        }
        let mut again = if rng.random_bool(0.2) { 1 } else { 0 };
        loop {
            if let Some((process, batcher)) = collectors.choose(&mut rng) {
                let now_us = process.now(&setup.world).timestamp_micros();
                // Network delay and the collector's own clock change the correction.
                let by_us = rng.random_range(0..300_000_000) + now_us - setup.world.now().timestamp_micros();
                let events = drafts.iter().map(|draft| draft.event(now_us, by_us)).collect();
                let answer = process.while_alive(batcher.append(events));
                let patience = Duration::from_millis([50, 500, 60_000][rng.random_range(0..3)]);
                if let Ok(Some(Ok(_))) = timeout(patience, answer).await {
                    let mut history = setup.history.lock();
                    history.acknowledge(ids());
                    drop(history);
                    setup.world.note(|| format!("acknowledged {:?}", ids().map(|id| id.name).collect::<Vec<_>>()));
                    if again == 0 {
                        break;
                    }
                    again -= 1;
                }
            }
            sleep(pause(&mut rng)).await;
        }
        sleep(pause(&mut rng)).await;
    }
    setup.summary.lock().acknowledged += made;
}
