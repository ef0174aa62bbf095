//! A small lake of published and pending events, and the two ways in which a query is checked.

use std::collections::BTreeSet;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use engine::{Engine, EngineError, EngineSettings, Param, QueryResult, Scope, SqlSession};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter};

/// The day of most events, a Sunday.
const DAY: &str = "2026-03-01";

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

fn batch(rows: &[Row]) -> RawBatch {
    let mut events: Vec<Event> = rows.iter().map(event).collect();
    events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
    let mut batch = RawBatch::default();
    assert!(events.iter().all(|event| batch.push(event)));
    batch
}

/// A session over the events.
pub(crate) async fn session() -> SqlSession {
    let lake = Lake::open("memory:///", []).unwrap();
    let table = lake.table(&EVENTS);
    let (published, pending) = ROWS.split_at(ROWS.len() - PENDING);
    let mut writer = TableWriter::start(&table, DAY.parse().unwrap()).unwrap();
    writer.write(&batch(published).into_batch()).await.unwrap();
    let change = Change::publish(vec![writer.finish().await.unwrap()], vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch(pending).encode(), "2026-03-02T09:00:00Z".parse().unwrap()).await.unwrap();
    Engine::new(lake, &EngineSettings::default()).unwrap().view().await.unwrap().session(&Scope::Lake).unwrap()
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
    let options = FormatOptions::default().with_null("null");
    let mut rows = Vec::new();
    for batch in &answer.batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" "));
        }
    }
    rows.join("; ")
}
