//! Events after they are published: damage, erasure, retention, sessions that are kept, other releases.

mod damage;
mod erasure;
mod kept_sessions;
mod other_releases;
mod reports;
mod retention;
mod round_trip;

use chrono::{TimeDelta, Utc};
use lake::{Event, EventId};
use serde_json::{Value as Json, json};

fn by(user: &str, id: &str) -> Json {
    json!({"event_id": id, "name": "page_view", "user_id": user, "timestamp": Utc::now()})
}

/// An event from this many days ago.
fn old_event(site: &str, days: i64, number: usize) -> Event {
    let occurred = Utc::now() - TimeDelta::days(days);
    Event {
        event_id: EventId::from_client(&format!("{site} {days} {number}")),
        site_id: site.into(),
        name: "page_view".into(),
        occurred_at_us: occurred.timestamp_micros(),
        received_at_us: occurred.timestamp_micros() + 1,
        protocol: "native",
        ..Event::default()
    }
}
