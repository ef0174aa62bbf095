//! What ends a query, and what is said then.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, EngineError, EngineSettings, QueryLimits, Scope, SqlSession, floors, params, to_json_rows};
use lake::{Change, EVENTS, Event, EventId, Lake, RawBatch, TableWriter};
use serde_json::Value as Json;

/// So many rows that it would take hours. A join makes them of few batches that it reads, and the sum takes them all.
const LONG_JOIN: &str =
    "SELECT sum(a.value * b.value) FROM generate_series(1, 10000000) AS a, generate_series(1, 10000000) AS b";

/// The same, and every row is thrown away.
const LONG_JOIN_WITHOUT_ROWS: &str = "SELECT count(*) FROM generate_series(1, 10000000) AS a, \
     generate_series(1, 10000000) AS b WHERE a.value * b.value + a.value = -7 - b.value";

/// Rows without end.
const LONG_ANSWER: &str = "SELECT value FROM generate_series(1, 1000000000000)";

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_ends_at_its_wall_clock_and_says_so() {
    ends_in_time(LONG_JOIN).await;
    ends_in_time(LONG_JOIN_WITHOUT_ROWS).await;
    ends_in_time(LONG_ANSWER).await;
}

#[tokio::test]
async fn one_thread_that_waits_is_enough_to_see_the_clock() {
    ends_in_time(LONG_JOIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_clock_holds_while_an_answer_is_read() {
    let mut rows = session().await.stream_within(LONG_ANSWER, &[], limits(500, None)).await.unwrap();
    let started = Instant::now();
    let mut batches = 0;
    let error = loop {
        match rows.next().await {
            Ok(Some(_)) => batches += 1,
            Ok(None) => panic!("it has an end"),
            Err(error) => break error,
        }
        // A reader that takes its time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(matches!(error, EngineError::Timeout { .. }), "{error:?}");
    assert!(batches > 0 && started.elapsed() < Duration::from_secs(5), "{batches} batches, {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_last_rows_there_are_none_however_often_and_late_they_are_asked_for() {
    let sql = "SELECT value FROM generate_series(1, 3)";
    let mut rows = session().await.stream_within(sql, &[], limits(2_000, None)).await.unwrap();
    assert_eq!(rows.next().await.unwrap().map(|batch| batch.num_rows()), Some(3));
    assert!(rows.next().await.unwrap().is_none());
    assert!(rows.next().await.unwrap().is_none());
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert!(rows.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_were_given_up_leave_room_for_others() {
    let session = session().await;
    let long: Vec<_> = (0..8)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.query_within(LONG_JOIN, &[], limits(300, None)).await.map(|_| ()) })
        })
        .collect();
    for long in long {
        assert!(matches!(long.await.unwrap(), Err(EngineError::Timeout { .. })));
    }
    let answer = session.query_within("SELECT count(*) FROM generate_series(1, 1000)", &[], limits(10_000, None)).await;
    assert_eq!(answer.unwrap().batches.len(), 1);
}

#[tokio::test]
async fn an_answer_has_at_most_so_many_rows() {
    let session = session().await;
    let query = async |rows, rows_max| {
        let sql = format!("SELECT value FROM generate_series(1, {rows})");
        let answer = session.query_within(&sql, &[], limits(60_000, Some(rows_max))).await;
        answer.map(|answer| answer.batches.iter().map(|batch| batch.num_rows()).sum::<usize>())
    };
    assert_eq!(query(20_000, 20_000).await.unwrap(), 20_000);
    let error = query(20_001, 20_000).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the answer has more than 20000 rows: count or group them, add a LIMIT, or raise --query-rows-max"
    );
}

#[tokio::test]
async fn within_its_limits_a_query_fails_as_it_does_without() {
    let session = session().await;
    for sql in ["SELECT no_such_column FROM events", "SELECT 1 / 0", "DROP TABLE events"] {
        let limited = session.query_within(sql, &[], limits(60_000, Some(10))).await.unwrap_err();
        assert_eq!(limited.to_string(), session.query(sql, &[]).await.unwrap_err().to_string(), "{sql}");
    }
}

#[test]
fn settings_that_no_query_could_run_with_are_refused() {
    #[derive(Debug, clap::Parser)]
    struct Flags {
        #[command(flatten)]
        engine: EngineSettings,
        #[command(flatten)]
        limits: QueryLimits,
    }
    let parse = |flag: &str| <Flags as clap::Parser>::try_parse_from(["test", flag]).map_err(|error| error.to_string());
    assert_eq!(parse("--memory-bytes=67108864").unwrap().engine.memory_bytes, 64 << 20);
    assert!(parse("--memory-bytes=67108863").unwrap_err().contains("at least 67108864 (64 MiB)"));
    assert_eq!(parse("--query-timeout=100ms").unwrap().limits.timeout, Duration::from_millis(100));
    assert!(parse("--query-timeout=99ms").unwrap_err().contains("no query ends"));
    assert!(parse("--query-rows-max=0").is_err());
    assert_eq!(parse("--query-rows-max=1").unwrap().limits.rows_max, Some(1));
}

/// What it keeps of each page and visitor is more than there is room for, so that it lies on disk.
#[tokio::test(flavor = "multi_thread")]
async fn every_metric_answers_within_the_least_memory_as_it_does_with_more() {
    let lake = lake_of_many_visitors().await;
    let least = EngineSettings { memory_bytes: floors::MEMORY_BYTES_MIN, query_threads: Some(2), ..Default::default() };
    let (least, more) = (Engine::new(lake.clone(), &least).unwrap(), EngineSettings::default());
    let more = Engine::new(lake, &more).unwrap();
    let queries = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
    let mut files: Vec<_> = std::fs::read_dir(queries).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    let mut views = Vec::new();
    for engine in [&least, &more] {
        views.push(Arc::new(engine.view().await.unwrap()));
    }
    for path in files {
        let sql = std::fs::read_to_string(&path).unwrap();
        let mut answers: Vec<Vec<Vec<Json>>> = Vec::new();
        for view in &views {
            let params = params::of_period(midnight() + TimeDelta::days(DAYS), None, "UTC");
            let query = view.recurring(&sql, &params).await.unwrap();
            for scope in [Scope::Lake, Scope::Site("site-1".into())] {
                let answer = query.answer(&scope).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                answers.push(to_json_rows(&answer.0).unwrap());
            }
        }
        assert_eq!(answers[..2], answers[2..], "{}", path.display());
    }
}

const DAYS: i64 = 6;

fn midnight() -> DateTime<Utc> {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

/// Six days of which every visitor of two sites looks at many pages; few sign in.
async fn lake_of_many_visitors() -> Lake {
    const VISITORS: i64 = 10_000;
    let lake = Lake::open("memory:///", []).unwrap();
    let table = lake.table(&EVENTS);
    let mut adds = Vec::new();
    for day in 0..DAYS {
        let begin = midnight() + TimeDelta::days(day);
        let mut writer = TableWriter::start(&table, begin.date_naive()).unwrap();
        for (number_of_site, site) in [(0, "site-0"), (1, "site-1")] {
            for visitors in (0..VISITORS).collect::<Vec<_>>().chunks(1_000) {
                let mut batch = RawBatch::default();
                for (visitor, number) in visitors.iter().flat_map(|visitor| (0..3).map(move |number| (visitor, number)))
                {
                    let at_us = (begin + TimeDelta::seconds(visitor % 3_600 + 600 * number)).timestamp_micros();
                    assert!(batch.push(&Event {
                        event_id: EventId::from_client(&format!("{day} {site} {visitor} {number}")),
                        site_id: site.into(),
                        name: "page_view".into(),
                        occurred_at_us: at_us,
                        received_at_us: at_us + 1,
                        visitor_id: Some(2 * *visitor + number_of_site),
                        anonymous_id: Some(format!("anonymous-{visitor}")),
                        user_id: (visitor % 20 == 0).then(|| format!("user-{visitor}")),
                        hostname: Some("shop.example".into()),
                        path: Some(format!("/products/{}", (visitor * 7 + number * 13 + day * 31) % 500)),
                        protocol: "native",
                        ..Event::default()
                    }));
                }
                writer.write(&batch.into_batch()).await.unwrap();
            }
        }
        adds.push(writer.finish().await.unwrap());
    }
    let change = Change::publish(adds, vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();
    lake
}

async fn session() -> Arc<SqlSession> {
    let engine = Engine::new(Lake::open("memory:///", []).unwrap(), &EngineSettings::default()).unwrap();
    Arc::new(engine.view().await.unwrap().session(&Scope::Lake).unwrap())
}

fn limits(timeout_ms: u64, rows_max: Option<u64>) -> QueryLimits {
    QueryLimits { timeout: Duration::from_millis(timeout_ms), rows_max, ..QueryLimits::default() }
}

async fn ends_in_time(sql: &str) {
    let session = session().await;
    let started = Instant::now();
    let error = session.query_within(sql, &[], limits(400, None)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "gave up after 400ms: ask for less, such as fewer days, or raise --query-timeout",
        "{sql}"
    );
    assert!(started.elapsed() < Duration::from_secs(5), "{sql}: {:?}", started.elapsed());
}
