//! Events of visitors, and how they come into a lake.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter, visitor_id};

/// An event of a visitor of a site.
///
/// - `who`: a user id, an anonymous id behind `~`, both as `user~anonymous`, or nobody.
/// - `at`: a time as RFC 3339.
pub fn event_of(site: &str, who: &str, at: &str, name: &str, path: &str) -> Event {
    let (user, anonymous) = who.split_once('~').unwrap_or((who, ""));
    let id = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (user_id, anonymous_id) = (id(user), id(anonymous));
    let at_us = at.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
    Event {
        event_id: EventId::from_client(&format!("{who} {at} {name}")),
        site_id: site.into(),
        name: name.into(),
        occurred_at_us: at_us,
        received_at_us: at_us + 1,
        visitor_id: user_id.as_ref().or(anonymous_id.as_ref()).map(|identity| visitor_id(site, identity)),
        user_id,
        anonymous_id,
        hostname: Some(format!("{site}.example")),
        path: Some(path.into()),
        protocol: "native",
        ..Event::default()
    }
}

/// Adds events to the table, a file for each date.
pub async fn publish(lake: &Lake, events: &[Event]) {
    let mut dates: BTreeMap<NaiveDate, Vec<&Event>> = BTreeMap::new();
    for event in events {
        let date = DateTime::from_timestamp_micros(event.occurred_at_us).unwrap().date_naive();
        dates.entry(date).or_default().push(event);
    }
    let table = lake.table(&EVENTS);
    let mut adds = Vec::new();
    for (date, mut events) in dates {
        events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
        let mut batch = RawBatch::default();
        assert!(events.iter().all(|event| batch.push(event)));
        let mut writer = TableWriter::start(&table, date).unwrap();
        writer.write(&batch.into_batch()).await.unwrap();
        adds.push(writer.finish().await.unwrap());
    }
    if !adds.is_empty() {
        let change = Change::publish(adds, vec![], BTreeSet::new());
        table.commit(change, table.load().await.unwrap()).await.unwrap();
    }
}

/// Makes events pending.
pub async fn pend(lake: &Lake, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let mut batch = RawBatch::default();
    assert!(events.iter().all(|event| batch.push(event)));
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), "2026-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
}
