//! The API over HTTP: reports, their history, visits, SQL.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod accounts;
mod dashboard;
mod sql;
mod stats;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings};
use api::{Api, SqlSettings, router};
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, EngineSettings, QueryLimits};
use lake::{Change, EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch, TableWriter};
use object_store::ObjectStoreExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn page_views(site: &str, ids: std::ops::Range<u32>) -> RawBatch {
    let mut batch = RawBatch::default();
    for id in ids {
        batch.push(&Event {
            event_id: EventId::from_client(&id.to_string()),
            site_id: site.into(),
            name: "page_view".into(),
            occurred_at_us: noon().timestamp_micros() - 1,
            received_at_us: noon().timestamp_micros(),
            visitor_id: Some(i64::from(id)),
            url: Some("https://shop.example/".into()),
            protocol: "native",
            ..Event::default()
        });
    }
    batch
}

async fn append(lake: &Lake, site: &str, ids: std::ops::Range<u32>) {
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(page_views(site, ids).encode(), noon()).await.unwrap();
}

/// The job, and what serves its reports.
struct Server {
    analytics: Arc<Analytics>,
    api: Arc<Api>,
}

fn server(lake: &Lake, queries: &Path) -> Server {
    server_within(lake, queries, QueryLimits::default(), SqlSettings::default())
}

fn server_within(lake: &Lake, queries: &Path, limits: QueryLimits, sql: SqlSettings) -> Server {
    server_at(lake, queries, limits, sql, noon())
}

/// A server whose clock stands still.
fn server_at(lake: &Lake, queries: &Path, limits: QueryLimits, sql: SqlSettings, now: DateTime<Utc>) -> Server {
    let settings = analytics_settings(queries);
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let engine = engine.with_key_queries_max(sql.key_queries_max);
    let analytics = Analytics::new(engine.clone(), settings, Arc::new(move || now));
    Server { api: Api::new(analytics.clone(), engine, limits, sql, Arc::new(move || now)), analytics }
}

fn analytics_settings(queries: &Path) -> AnalyticsSettings {
    AnalyticsSettings {
        queries: queries.to_owned(),
        cron: "0 * * * * *".parse().unwrap(),
        memcached: None,
        memcached_login: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_secs(60),
        metric_rows_max: 100_000,
        alert_webhook: None,
        alert_secret: None,
    }
}

async fn get(server: &Server, uri: &str, header: Option<(&str, &str)>, token: Option<&str>) -> Response<Body> {
    let mut request = Request::get(uri);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let routes = router(server.api.clone(), token.map(str::to_owned));
    routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn body(response: Response<Body>) -> Json {
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn visits_are_page_views_by_page_and_time() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    append(&lake, "shop", 0..3).await;
    append(&lake, "blog", 10..11).await;
    let server = server(&lake, queries.path());
    for (query, timeframe, visits) in [
        ("", "2026-03-01T00:00:00Z", 4),
        ("?aggregation=hour&site=shop", "2026-03-01T11:00:00Z", 3),
        ("?aggregation=minute", "2026-03-01T11:59:00Z", 4),
        ("?aggregation=month&dateFrom=2026-01-01&dateTo=2026-04-01", "2026-03-01T00:00:00Z", 4),
    ] {
        let answer = body(get(&server, &format!("/visits{query}"), None, None).await).await;
        let expected = json!([{ "timeframe": timeframe, "visit_count": visits }]);
        assert_eq!(answer["data"]["https://shop.example/"], expected, "{query}: {answer}");
    }
    let none = body(get(&server, "/visits?dateTo=2026-03-01", None, None).await).await;
    assert_eq!(none, json!({"data": {}}));
    for query in ["?aggregation=week", "?dateFrom=yesterday"] {
        let refused = get(&server, &format!("/visits{query}"), None, None).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn there_is_a_report_of_the_lake_and_one_of_each_site() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    for site in ["shop", "blog"] {
        lake.add_site(site, noon()).await.unwrap();
    }
    append(&lake, "shop", 0..3).await;
    append(&lake, "blog", 10..11).await;
    std::fs::write(queries.path().join("events.sql"), "-- Events.\nSELECT count(*) AS events FROM events").unwrap();
    let server = server(&lake, queries.path());

    let none = get(&server, "/metrics", None, None).await;
    assert_eq!(none.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(none).await, json!({"message": "No data available"}));

    server.analytics.run().await.unwrap();
    for (uri, events) in [("/metrics", 4), ("/metrics?site=shop", 3), ("/metrics/?site=blog", 1)] {
        let response = get(&server, uri, None, None).await;
        assert_eq!((response.status(), response.headers()["x-cache"].as_bytes()), (StatusCode::OK, &b"hit"[..]));
        let report = body(response).await;
        assert_eq!(report["metrics"]["events"]["value"], events, "{uri}: {report}");
        assert_eq!(report["metrics"]["events"]["columns"], json!(["events"]));
        assert_eq!(report["metrics"]["events"]["title"], "Events");
        assert_eq!(report["complete_until"], "2026-03-01T12:00:00Z");
    }
    assert_eq!(get(&server, "/metrics?site=nobody", None, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&server, "/nothing", None, None).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reader_that_has_the_report_is_not_sent_it_again() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("one.sql"), "SELECT 1 AS one").unwrap();
    let server = server(&lake, queries.path());
    server.analytics.run().await.unwrap();
    let first = get(&server, "/metrics", None, None).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = get(&server, "/metrics", Some(("if-none-match", &etag)), None).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let other = get(&server, "/metrics", Some(("if-none-match", "\"other\"")), None).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_with_a_token_answers_only_those_who_send_it() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let server = server(&lake, queries.path());
    let status = async |header| get(&server, "/metrics", header, Some("secret")).await.status();
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(("authorization", "Bearer wrong"))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(("authorization", "Bearer secret"))).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_history_of_a_metric_is_served_oldest_first() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("events.sql"), "SELECT count(*) AS events FROM events").unwrap();
    let server = server(&lake, queries.path());
    for runs in 0..3 {
        append(&lake, "shop", runs..runs + 1).await;
        let minute = noon() - TimeDelta::minutes(3 - i64::from(runs));
        server.analytics.report_at(minute, false).await.unwrap();
    }
    let history = body(get(&server, "/metrics/history?metric=events&until=2026-03-02", None, None).await).await;
    let values: Vec<f64> =
        history["points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [1.0, 2.0, 3.0], "{history}");
    assert_eq!(get(&server, "/metrics/history", None, None).await.status(), StatusCode::BAD_REQUEST);
    let bad = get(&server, "/metrics/history?metric=events&from=yesterday", None, None).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_file_that_is_gone_asks_to_try_again_and_a_damaged_one_needs_a_person() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let mut writer = TableWriter::start(&lake.table(&EVENTS), noon().date_naive()).unwrap();
    writer.write(&page_views("shop", 0..3).into_batch()).await.unwrap();
    let (file, table) = (writer.finish().await.unwrap(), lake.table(&EVENTS));
    let change = Change::publish(vec![file.clone()], vec![], BTreeSet::new());
    table.commit(change, table.load().await.unwrap()).await.unwrap();

    // A server of its own for each state, since a server remembers the footers it has read.
    let visits = async || get(&server(&lake, queries.path()), "/visits", None, None).await;
    assert_eq!(visits().await.status(), StatusCode::OK);
    lake.store().delete(&file.path).await.unwrap();
    let gone = visits().await;
    assert_eq!(gone.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(gone).await, json!({"message": "the events cannot be read now; try again"}));
    lake.store().put(&file.path, vec![b'x'; file.size_bytes as usize].into()).await.unwrap();
    let damaged = visits().await;
    assert_eq!(damaged.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(body(damaged).await, json!({"message": "the events cannot be read; the server's log says why"}));
    lake.store().put(&file.path, vec![b'x'; 10].into()).await.unwrap();
    assert_eq!(visits().await.status(), StatusCode::INTERNAL_SERVER_ERROR, "a file that was cut short");
}

#[tokio::test]
async fn a_period_at_the_end_of_the_calendar_is_answered() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    append(&lake, "shop", 0..3).await;
    let server = server(&lake, queries.path());
    for query in ["dateTo=0001-01-02T00:00:00Z", "dateFrom=9999-12-31T00:00:00Z"] {
        let answer = get(&server, &format!("/visits?{query}"), None, None).await;
        assert_eq!((answer.status(), body(answer).await), (StatusCode::OK, json!({"data": {}})), "{query}");
    }
    for query in ["dateTo=-262143-01-02T00:00:00Z", "dateFrom=+262142-12-31T00:00:00Z"] {
        let answer = get(&server, &format!("/visits?{query}"), None, None).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{query}: a year has four digits");
    }
}

#[tokio::test]
async fn a_parameter_that_an_endpoint_does_not_have_is_refused() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("one.sql"), "SELECT 1 AS one").unwrap();
    let server = server(&lake, queries.path());
    server.analytics.run().await.unwrap();
    for (uri, words) in [
        ("/metrics?Site=shop", json!("there is no parameter \"Site\": write site")),
        ("/metrics/?site_id=shop", json!("there is no parameter \"site_id\": there is site")),
        ("/metrics?site=a&site=b", json!("the parameter site is there twice")),
        (
            "/metrics/history?metric=one&sinc=2026-01-01",
            json!("there is no parameter \"sinc\": there is metric, site, from, until"),
        ),
        ("/metrics/history?Metric=one", json!("there is no parameter \"Metric\": write metric")),
        ("/visits?datefrom=2026-03-01", json!(["there is no parameter \"datefrom\": write dateFrom"])),
        (
            "/visits/?format=csv",
            json!(["there is no parameter \"format\": there is aggregation, dateFrom, dateTo, site"]),
        ),
        ("/?site=shop", json!("there is no parameter \"site\": this address takes none")),
    ] {
        let refused = get(&server, uri, None, None).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{uri}");
        assert_eq!(body(refused).await["message"], words, "{uri}");
    }
    for uri in ["/", "/metrics", "/metrics?site=", "/visits?site="] {
        assert_eq!(get(&server, uri, None, None).await.status(), StatusCode::OK, "{uri}");
    }
}

#[tokio::test]
async fn a_metric_or_a_site_that_is_not_there_is_not_found() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let file = |name: &str| queries.path().join(name);
    lake.add_site("shop", noon()).await.unwrap();
    std::fs::write(file("old.sql"), "SELECT 1 AS n").unwrap();
    let server = server(&lake, queries.path());
    server.analytics.run().await.unwrap();
    std::fs::rename(file("old.sql"), file("new.sql")).unwrap();

    let answer = async |uri: &str| {
        let answer = get(&server, uri, None, None).await;
        (answer.status().as_u16(), body(answer).await)
    };
    for uri in [
        "/metrics/history?metric=old",
        // No longer a metric, and not yet one.
        "/metrics/history?metric=old&until=2020-01-01",
        "/metrics/history?metric=new",
        "/metrics/history?metric=new&site=shop",
        "/visits?site=shop",
    ] {
        assert_eq!(answer(uri).await.0, 200, "{uri}");
    }
    for (uri, words) in [
        ("/metrics/history?metric=evnts", "there is no metric evnts: there is new, old"),
        ("/metrics/history?metric=Old", "there is no metric Old: there is new, old"),
        ("/metrics/history?metric=old.sql", "there is no metric old.sql: there is new, old"),
        ("/metrics/history?metric=old&site=shpo", "there is no site shpo"),
        ("/visits?site=shpo", "there is no site shpo"),
        ("/visits?site=Shop&dateFrom=2026-01-01", "there is no site Shop"),
        ("/metrics?site=shpo", "there is no site shpo"),
    ] {
        assert_eq!(answer(uri).await, (404, json!({ "message": words })), "{uri}");
    }
}

#[tokio::test]
async fn a_report_that_no_run_renews_says_so() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("one.sql"), "SELECT 1 AS one").unwrap();
    let server = server(&lake, queries.path());
    server.analytics.run().await.unwrap();
    assert!(!get(&server, "/metrics", None, None).await.headers().contains_key("x-report-trouble"));
    let moved = queries.path().with_extension("moved");
    std::fs::rename(queries.path(), &moved).unwrap();
    assert!(server.analytics.run().await.is_err());
    let old = get(&server, "/metrics", None, None).await;
    let trouble = old.headers()["x-report-trouble"].to_str().unwrap();
    assert!(trouble.starts_with("the run of 2026-03-01T12:00:00Z failed: could not read"), "{trouble}");
    std::fs::rename(&moved, queries.path()).unwrap();
    server.analytics.run().await.unwrap();
    assert!(!get(&server, "/metrics", None, None).await.headers().contains_key("x-report-trouble"));
}
