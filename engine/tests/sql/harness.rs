//! A small lake of published and pending events, and the two ways in which a query is checked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate};
use engine::{Engine, EngineError, EngineSettings, Param, QueryResult, Scope, SqlSession, View};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter};

use crate::generated::random::Random;
use crate::shown::lines;

struct Row {
    id: &'static str,
    name: &'static str,
    at: &'static str,
    user: Option<&'static str>,
    visitor: Option<i64>,
    path: &'static str,
    revenue_e4: Option<i128>,
    properties: Option<&'static str>,
}

/// The events. The last three are pending, the others published.
const ROWS: &[Row] = &[
    row(
        "1",
        "signup",
        "2026-03-01T09:00:00Z",
        Some("007"),
        1,
        "/",
        None,
        r#"{"plan":"pro","items":3,"a":{"b":["x","y"]}}"#,
    ),
    row("2", "purchase", "2026-03-01T10:30:00Z", Some("007"), 1, "/buy", Some(99_900), r#"{"plan":"pro","items":2}"#),
    row("3", "signup", "2026-03-01T22:30:00Z", Some("7"), 2, "/", None, r#"{"plan":"free","items":0}"#),
    row("4", "page_view", "2026-03-01T23:30:00.25Z", Some("2026"), 3, "/docs", None, "{}"),
    row("5", "page_view", "2026-03-01T23:45:00Z", None, 3, "/docs/sql", None, "{\"plan\":null}"),
    row("6", "purchase", "2026-03-01T12:00:00Z", Some("Ann"), 2, "/buy", Some(10_000), r#"{"plan":"team","items":7}"#),
    row("7", "page_view", "2026-03-02T00:15:00Z", Some("ann"), 4, "/", None, r#"{"plan":"pro"}"#),
    row("8", "signup", "2026-03-02T08:00:00Z", None, 4, "/docs", None, r#"{"plan":"free","items":1}"#),
];

const PENDING: usize = 3;

#[allow(clippy::too_many_arguments, reason = "a line of the table above")]
const fn row(
    id: &'static str,
    name: &'static str,
    at: &'static str,
    user: Option<&'static str>,
    visitor: i64,
    path: &'static str,
    revenue_e4: Option<i128>,
    properties: &'static str,
) -> Row {
    Row { id, name, at, user, visitor: Some(visitor), path, revenue_e4, properties: Some(properties) }
}

fn event(row: &Row) -> Event {
    let at: chrono::DateTime<chrono::Utc> = row.at.parse().unwrap();
    Event {
        event_id: EventId::from_client(&format!("00000000-0000-4000-8000-00000000000{}", row.id)),
        site_id: "shop".into(),
        name: row.name.into(),
        occurred_at_us: at.timestamp_micros(),
        received_at_us: at.timestamp_micros(),
        visitor_id: row.visitor,
        user_id: row.user.map(str::to_owned),
        path: Some(row.path.into()),
        revenue_e4: row.revenue_e4,
        properties: row.properties.map(str::to_owned),
        protocol: "native",
        ..Event::default()
    }
}

pub(crate) fn batch(mut events: Vec<Event>) -> RawBatch {
    events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
    let mut batch = RawBatch::default();
    assert!(events.iter().all(|event| batch.push(event)));
    batch
}

/// A session over the events.
pub(crate) async fn session() -> SqlSession {
    let events: Vec<Event> = ROWS.iter().map(event).collect();
    let (published, pending) = events.split_at(events.len() - PENDING);
    session_over(published, pending).await
}

/// A session over some events that follow from the seed: people who come back around midnight, some of them without a
/// name, and about a quarter of the events pending.
pub(crate) async fn session_of(random: &mut Random) -> SqlSession {
    view_of(random, "shop", &EngineSettings::default()).await.session(&Scope::Lake).unwrap()
}

/// Where the visitor ids of a site begin: no visitor is on two sites.
fn visitors_of(site: &str) -> i64 {
    if site == "shop" { 0 } else { 100 }
}

/// A view of such events.
///
/// - `sites`: the sites that they are of, between blanks.
pub(crate) async fn view_of(random: &mut Random, sites: &str, settings: &EngineSettings) -> View {
    let sites: Vec<&str> = sites.split(' ').collect();
    let start = chrono::DateTime::parse_from_rfc3339("2026-02-27T20:00:00Z").unwrap().timestamp_micros();
    let mut id = 0;
    let mut events = |count: u64, random: &mut Random| -> Vec<Event> {
        (0..count)
            .map(|_| {
                id += 1;
                let at_us = start + 900_000_000 * random.below(500) as i64;
                let plan = random.choose(&[r#""pro""#, r#""free""#, "null"]);
                let site = *random.choose(&sites);
                Event {
                    event_id: EventId::from_client(&id.to_string()),
                    site_id: site.into(),
                    name: (*random.choose(&["signup", "page_view", "page_view", "purchase"])).into(),
                    occurred_at_us: at_us,
                    received_at_us: at_us,
                    visitor_id: (random.below(8) > 0).then(|| random.below(6) as i64 + visitors_of(site)),
                    user_id: (random.below(3) > 0).then(|| format!("u{}", random.below(4))),
                    path: (random.below(8) > 0).then(|| (*random.choose(&["/", "/docs", "/buy"])).into()),
                    revenue_e4: (random.below(3) == 0).then(|| 2_500 * random.below(40) as i128),
                    properties: (random.below(4) > 0)
                        .then(|| format!(r#"{{"plan":{plan},"items":{},"a":{{"b":"c"}}}}"#, random.below(5))),
                    protocol: "native",
                    ..Event::default()
                }
            })
            .collect()
    };
    let published = events(10 + random.below(40), random);
    let pending = events(1 + random.below(12), random);
    view_over(&published, &pending, 1 + random.below(3) as usize, settings).await
}

pub(crate) async fn session_over(published: &[Event], pending: &[Event]) -> SqlSession {
    view_over(published, pending, 1, &EngineSettings::default()).await.session(&Scope::Lake).unwrap()
}

async fn view_over(published: &[Event], pending: &[Event], files_a_day: usize, settings: &EngineSettings) -> View {
    let lake = Lake::open("memory:///", []).unwrap();
    let table = lake.table(&EVENTS);
    let mut days: BTreeMap<(NaiveDate, usize), Vec<Event>> = BTreeMap::new();
    for (number, event) in published.iter().enumerate() {
        let at = DateTime::from_timestamp_micros(event.occurred_at_us).unwrap();
        days.entry((at.date_naive(), number % files_a_day)).or_default().push(event.clone());
    }
    let mut files = Vec::new();
    for ((day, _), events) in days {
        let mut writer = TableWriter::start(&table, day).unwrap();
        writer.write(&batch(events).into_batch()).await.unwrap();
        files.push(writer.finish().await.unwrap());
    }
    let change = Change::publish(files, vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch(pending.to_vec()).encode(), "2026-03-05T09:00:00Z".parse().unwrap()).await.unwrap();
    Engine::new(lake, settings).unwrap().view().await.unwrap()
}

/// Asks each query and compares its answer, rows between semicolons and values between blanks.
pub(crate) async fn check(cases: &[(&str, &str)]) {
    let session = session().await;
    let mut wrong = String::new();
    for (sql, expected) in cases {
        match session.query(sql, &[]).await {
            Ok(answer) if text(&answer) == *expected => {}
            Ok(answer) => wrong += &format!("\n{sql}\n  is {}\n  not {expected}", text(&answer)),
            Err(error) => wrong += &format!("\n{sql}\n  is refused: {error}"),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Asks each query, which must be refused with words in which each of the expected parts stands.
pub(crate) async fn check_refused(cases: &[(&str, &[&str])]) {
    let session = session().await;
    let mut wrong = String::new();
    for (sql, parts) in cases {
        match session.query(sql, &[]).await {
            Err(EngineError::Query { message, .. }) if parts.iter().all(|part| message.contains(part)) => {}
            Err(error) => wrong += &format!("\n{sql}\n  says {error:?}\n  and not {parts:?}"),
            Ok(answer) => wrong += &format!("\n{sql}\n  is answered: {}", text(&answer)),
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Asks one query with parameters as somebody typed them: `name=value`.
pub(crate) async fn ask(session: &SqlSession, sql: &str, params: &[&str]) -> Result<String, EngineError> {
    let params: Vec<(String, Param)> = params
        .iter()
        .map(|param| param.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), Param::Written(value.to_owned())))
        .collect();
    session.query(sql, &params).await.map(|answer| text(&answer))
}

pub(crate) fn text(answer: &QueryResult) -> String {
    lines(answer, "null").join("; ")
}
