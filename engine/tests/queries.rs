//! SQL over a lake: what is read, in which order, within which limits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod shown;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, EngineError, EngineSettings, Param, QueryResult, Scope, SqlSession};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter};

use shown::lines;

const DAYS: i64 = 5;
const EVENTS_A_DAY: i64 = 1_000;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn event(number: i64, at: DateTime<Utc>) -> Event {
    Event {
        event_id: EventId::from_client(&number.to_string()),
        site_id: if number % 4 == 0 { "blog".into() } else { "shop".into() },
        name: "page_view".into(),
        occurred_at_us: at.timestamp_micros(),
        received_at_us: at.timestamp_micros() + 1,
        visitor_id: Some(number % 50),
        properties: Some(format!("{{\"number\":{number}}}")),
        protocol: "native",
        ..Event::default()
    }
}

/// Five days in one published file each, and one pending event on the fifth.
async fn lake() -> Lake {
    let lake = Lake::open("memory:///", []).unwrap();
    let table = lake.table(&EVENTS);
    let mut adds = Vec::new();
    for day in 0..DAYS {
        let mut events: Vec<Event> = (0..EVENTS_A_DAY)
            .map(|n| event(day * EVENTS_A_DAY + n, noon() + TimeDelta::days(day) + TimeDelta::seconds(n)))
            .collect();
        events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
        let mut batch = RawBatch::default();
        assert!(events.iter().all(|event| batch.push(event)));
        let mut writer =
            TableWriter::start(&lake.table(&EVENTS), (noon() + TimeDelta::days(day)).date_naive()).unwrap();
        writer.write(&batch.into_batch()).await.unwrap();
        adds.push(writer.finish().await.unwrap());
    }
    let change = Change::publish(adds, vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();

    let mut pending = RawBatch::default();
    pending.push(&event(DAYS * EVENTS_A_DAY, noon() + TimeDelta::days(DAYS - 1)));
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(pending.encode(), noon()).await.unwrap();
    lake
}

async fn session(settings: &EngineSettings, scope: Scope) -> SqlSession {
    Engine::new(lake().await, settings).unwrap().view().await.unwrap().session(&scope).unwrap()
}

async fn answer(session: &SqlSession, sql: &str, params: &[(String, Param)]) -> String {
    let answer = session.query(sql, params).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    text(&answer)
}

fn text(answer: &QueryResult) -> String {
    lines(answer, "").join("\n")
}

#[tokio::test]
async fn published_and_pending_events_are_one_table() {
    let session = session(&EngineSettings::default(), Scope::Lake).await;
    assert_eq!(answer(&session, "SELECT count(*) FROM events", &[]).await, "5001");
    assert_eq!(
        answer(&session, "SELECT date, count(*) FROM events GROUP BY date ORDER BY date DESC LIMIT 2", &[]).await,
        "2026-03-05 1001\n2026-03-04 1000"
    );
}

#[tokio::test]
async fn a_session_of_a_site_sees_no_other_sites_events() {
    let session = session(&EngineSettings::default(), Scope::Site("blog".into())).await;
    assert_eq!(
        answer(&session, "SELECT count(*), min(site_id), max(site_id) FROM events", &[]).await,
        "1251 blog blog"
    );
    assert_eq!(answer(&session, "SELECT count(*) FROM events WHERE site_id = 'shop' OR true", &[]).await, "1251");
}

#[tokio::test]
async fn files_of_other_dates_and_times_are_not_read() {
    let session = session(&EngineSettings::default(), Scope::Lake).await;
    let plan =
        async |filter: &str| answer(&session, &format!("EXPLAIN SELECT name FROM events WHERE {filter}"), &[]).await;
    let files = |plan: &str| plan.matches("events/date=").count();
    assert_eq!(files(&plan("date = '2026-03-02'").await), 1);
    assert_eq!(files(&plan("occurred_at >= '2026-03-04T00:00:00Z'").await), 2);
    assert_eq!(files(&plan("occurred_at >= '2026-03-02T12:00:00Z' AND occurred_at < '2026-03-02T12:01:00Z'").await), 1);
    assert_eq!(files(&plan("site_id = 'zoo'").await), 0);
    assert_eq!(files(&plan("name = 'page_view'").await), 5);
}

#[tokio::test]
async fn the_order_of_the_files_is_known_and_spares_a_sort() {
    let lake = lake().await;
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let files = lake.table(&EVENTS).load().await.unwrap().files.clone();
    let plan = engine.sorted_rows(&EVENTS, &files, 8_192).unwrap().create_physical_plan().await.unwrap();
    let plan = datafusion::physical_plan::displayable(plan.as_ref()).indent(false).to_string();
    assert!(plan.contains("SortPreservingMergeExec") && !plan.contains("SortExec:"), "{plan}");
}

#[tokio::test]
async fn parameters_are_bound_and_never_pasted() {
    let session = session(&EngineSettings::default(), Scope::Lake).await;
    let params = [
        ("from".to_owned(), Param::Time(noon() + TimeDelta::days(4))),
        ("site".to_owned(), Param::Text(Some("x' OR 'a'='a".into()))),
        ("unused".to_owned(), Param::Integer(1)),
    ];
    assert_eq!(answer(&session, "SELECT count(*) FROM events WHERE occurred_at >= $from", &params).await, "1001");
    assert_eq!(answer(&session, "SELECT count(*) FROM events WHERE site_id = $site", &params).await, "0");
}

#[tokio::test]
async fn properties_are_queried_as_json() {
    let session = session(&EngineSettings::default(), Scope::Lake).await;
    let sql = "SELECT max(json_get_int(properties, 'number')) FROM events";
    assert_eq!(answer(&session, sql, &[]).await, "5000");
}

#[tokio::test]
async fn a_query_beyond_its_memory_says_so_and_a_sort_spills_instead() {
    let small = EngineSettings { memory_bytes: 24 << 20, query_threads: Some(1), ..EngineSettings::default() };
    let session = session(&small, Scope::Lake).await;
    let rows = "SELECT e.*, f.event_id AS other FROM events e JOIN (SELECT * FROM events LIMIT 20) f ON true";
    let numbered = format!("SELECT *, row_number() OVER (ORDER BY properties, other) AS place FROM ({rows})");
    assert_eq!(answer(&session, &format!("SELECT max(place) FROM ({numbered})"), &[]).await, "100020");
    // The first rows of an order are kept in memory; there is no spilling them.
    let hoarding = format!("SELECT count(*) FROM (SELECT * FROM ({rows}) ORDER BY properties, other LIMIT 1000000)");
    match session.query(&hoarding, &[]).await {
        Err(EngineError::Limit { message }) => assert!(message.contains("pool"), "{message}"),
        other => panic!("{:?}", other.map(|answer| answer.batches.len())),
    }
}

#[tokio::test]
async fn a_view_of_a_version_has_what_was_published_then_and_nothing_pending() {
    let engine = Engine::new(lake().await, &EngineSettings::default()).unwrap();
    let count = async |version| {
        let session = engine.view_at(version).await.unwrap().session(&Scope::Lake).unwrap();
        answer(&session, "SELECT count(*) FROM events", &[]).await
    };
    assert_eq!(count(1).await, "5000");
    assert_eq!(count(0).await, "0");
    let blog = engine.view_at(1).await.unwrap().session(&Scope::Site("blog".into())).unwrap();
    assert_eq!(answer(&blog, "SELECT count(*), min(site_id) FROM events", &[]).await, "1250 blog");
    match engine.view_at(2).await.map(|_| ()) {
        Err(EngineError::Lake(lake::LakeError::NotFound { reason })) => assert!(reason.contains("0 to 1"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// Two sites in one published file and in one pending file. The address of every page of `blog` is no number.
async fn lake_of_two() -> Lake {
    let lake = Lake::open("memory:///", []).unwrap();
    let mut events: Vec<Event> = (0..40).map(|n| event(n, noon() + TimeDelta::seconds(n))).collect();
    for (n, event) in events.iter_mut().enumerate() {
        event.url = Some(if &*event.site_id == "blog" { "secret".into() } else { n.to_string() });
    }
    events.sort_by_key(|event| (event.site_id.clone(), event.visitor_id, event.occurred_at_us));
    let (published, pending): (Vec<_>, Vec<_>) = events.iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let mut batch = RawBatch::default();
    assert!(published.iter().all(|(_, event)| batch.push(event)));
    let table = lake.table(&EVENTS);
    let mut writer = TableWriter::start(&table, noon().date_naive()).unwrap();
    writer.write(&batch.into_batch()).await.unwrap();
    let change = Change::publish(vec![writer.finish().await.unwrap()], vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();
    let mut batch = RawBatch::default();
    assert!(pending.iter().all(|(_, event)| batch.push(event)));
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), noon()).await.unwrap();
    lake
}

#[tokio::test]
async fn whoever_is_confined_learns_nothing_of_other_sites() {
    let view = Engine::new(lake_of_two().await, &EngineSettings::default()).unwrap().view().await.unwrap();
    let shop = view.confined_session(&["shop".into()], None).unwrap();
    // Conditions that fail for the rows of the other site, wherever DataFusion would like to evaluate them.
    for (sql, expected) in [
        ("SELECT count(*) FROM events WHERE url::int >= 0", "30"),
        ("SELECT count(*) FROM events WHERE site_id = 'shop' AND url::int >= 0", "30"),
        ("SELECT count(*) FROM events WHERE site_id = 'blog' OR url::int >= 0", "30"),
        ("SELECT count(*) FROM events WHERE 1 / (CASE WHEN site_id = 'blog' THEN 0 ELSE 1 END) = 1", "30"),
        ("SELECT count(*) FROM (SELECT * FROM events LIMIT 1000) WHERE url::int >= 0", "30"),
        ("SELECT max(url::int) FROM events", "39"),
        ("SELECT url FROM events ORDER BY url::int LIMIT 1", "1"),
        ("SELECT count(*) FROM events e JOIN (VALUES (1), (2)) t (x) ON e.url::int = t.x", "2"),
        ("SELECT count(*) FROM events WHERE url::int IN (SELECT x FROM (VALUES (1), (4)) t (x))", "1"),
        ("SELECT count(*) FROM events e WHERE EXISTS (SELECT 1 FROM events o WHERE o.url::int = e.url::int + 1)", "20"),
        ("SELECT count(*) FROM events WHERE 'x' || url ~ '^x[0-9]+$'", "30"),
        ("SELECT DISTINCT site_id FROM events WHERE site_id <> 'shop' OR true", "shop"),
        ("SELECT count(*) FROM sessions WHERE site_id = 'blog'", "0"),
        ("SELECT string_agg(DISTINCT site_id, ' ') FROM sessions", "shop"),
        ("SELECT count(*) FROM visitors WHERE 1 / (CASE WHEN site_id = 'blog' THEN 0 ELSE 1 END) = 1", "30"),
        (
            "WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r JOIN events ON url::int = n WHERE n < 3) \
             SELECT max(n) FROM r",
            "3",
        ),
    ] {
        assert_eq!(answer(&shop, sql, &[]).await, expected, "{sql}");
    }
    let all = view.session(&Scope::Lake).unwrap();
    let failed = all.query("SELECT count(*) FROM events WHERE url::int >= 0", &[]).await.unwrap_err();
    assert!(failed.to_string().contains("secret"), "the fixture leaves something to be found: {failed}");

    for plan in ["EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT count(*) FROM events", "EXPLAIN VERBOSE SELECT 1"] {
        let refused = shop.query(plan, &[]).await.unwrap_err();
        assert!(matches!(refused, EngineError::ReadOnly { .. }), "{plan}: {refused}");
    }
    let both = view.confined_session(&["blog".into(), "shop".into()], None).unwrap();
    assert_eq!(answer(&both, "SELECT count(*), count(DISTINCT site_id) FROM events", &[]).await, "40 2");
    let none = view.confined_session(&["zoo".into()], None).unwrap();
    assert_eq!(answer(&none, "SELECT count(*) FROM events", &[]).await, "0");
}

#[tokio::test]
async fn an_answer_is_repeatable_if_it_follows_from_the_events_alone() {
    let session = session(&EngineSettings::default(), Scope::Lake).await;
    for (sql, expected) in [
        ("SELECT count(*) FROM events WHERE date > '2026-03-01'", true),
        ("WITH e AS (SELECT * FROM public.events) SELECT max(json_get_int(properties, 'number')) FROM e", true),
        ("SELECT 1", true),
        ("SELECT now()", false),
        ("SELECT count(*) FROM events WHERE occurred_at > now() - INTERVAL '1 day'", false),
        ("SELECT current_date", false),
        ("SELECT random()", false),
        ("SELECT name FROM events ORDER BY random() LIMIT 1", false),
        ("SELECT count(*) FROM events WHERE visitor_id IN (SELECT (random() * 10)::int)", false),
        ("SELECT count(*) FROM sessions", false),
        ("SELECT count(*) FROM reports", false),
        ("SELECT count(*) FROM events e JOIN quarantine q ON q.site_id = e.site_id", false),
        ("SELECT count(*) FROM information_schema.tables", false),
        ("EXPLAIN SELECT 1", false),
    ] {
        assert_eq!(session.plan_repeatable(sql, &[]).await.unwrap().1, expected, "{sql}");
    }
}
