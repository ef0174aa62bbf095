//! Sessions, visitors and identities as tables of SQL, and the metrics over them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod following;
#[path = "../sql/random.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod random;
mod report;
#[path = "../shown/mod.rs"]
mod shown;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use engine::{Engine, EngineSettings, Param, QueryResult, Scope, SqlSession};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter, visitor_id};

use shown::lines;

/// An event of a visitor of the site `shop`.
///
/// - `who`: a user id, an anonymous id behind `~`, both as `user~anonymous`, or nobody.
/// - `at`: a time as RFC 3339.
fn event(who: &str, at: &str, name: &str, path: &str) -> Event {
    let (user, anonymous) = who.split_once('~').unwrap_or((who, ""));
    let id = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (user_id, anonymous_id) = (id(user), id(anonymous));
    let at_us = at.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
    Event {
        event_id: EventId::from_client(&format!("{who} {at} {name}")),
        site_id: "shop".into(),
        name: name.into(),
        occurred_at_us: at_us,
        received_at_us: at_us + 1,
        visitor_id: user_id.as_ref().or(anonymous_id.as_ref()).map(|identity| visitor_id("shop", identity)),
        user_id,
        anonymous_id,
        hostname: Some("shop.example".into()),
        path: Some(path.into()),
        protocol: "native",
        ..Event::default()
    }
}

/// A lake with the site `shop`, of which some events are published, a file a date, and the others are pending.
async fn lake(published: &[Event], pending: &[Event], time_zone: &str) -> Lake {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap();
    lake.change_site("shop", |settings| settings.time_zone = time_zone.into()).await.unwrap();
    publish(&lake, published).await;
    pend(&lake, pending).await;
    lake
}

/// Adds events to the table, a file for each date.
async fn publish(lake: &Lake, events: &[Event]) {
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
async fn pend(lake: &Lake, events: &[Event]) {
    if events.is_empty() {
        return;
    }
    let mut batch = RawBatch::default();
    assert!(events.iter().all(|event| batch.push(event)));
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), "2026-03-01T00:00:00Z".parse().unwrap()).await.unwrap();
}

async fn session(lake: &Lake, scope: Scope) -> SqlSession {
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    engine.view().await.unwrap().session(&scope).unwrap()
}

/// The rows of an answer, a line each, their cells divided by spaces; nulls are `-`.
async fn rows(session: &SqlSession, sql: &str, params: &[(String, Param)]) -> Vec<String> {
    let answer: QueryResult =
        session.query(sql, params).await.unwrap_or_else(|error| panic!("{sql}\n{error}: {error:?}"));
    lines(&answer, "-")
}
