//! The job: what a run reports, keeps and hands to its readers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings, router};
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use chrono::{DateTime, Utc};
use engine::{Engine, EngineSettings};
use lake::{Event, EventId, Lake, Lane, LaneId, LaneSettings, RawBatch};
use serde_json::{Value as Json, json};
use tower::ServiceExt;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

async fn append(lake: &Lake, site: &str, ids: std::ops::Range<u32>) {
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
    let lane = Lane::start(lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default());
    lane.append(batch.encode(), noon()).await.unwrap();
}

fn analytics(lake: &Lake, queries: &Path) -> Arc<Analytics> {
    let settings = AnalyticsSettings {
        queries: queries.to_owned(),
        cron: "0 * * * * *".into(),
        memcached: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_secs(60),
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    Analytics::new(engine, settings, Arc::new(noon))
}

async fn get(
    analytics: &Arc<Analytics>,
    uri: &str,
    header: Option<(&str, &str)>,
    token: Option<&str>,
) -> Response<Body> {
    let mut request = Request::get(uri);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let routes = router(analytics.clone(), token.map(str::to_owned));
    routes.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn body(response: Response<Body>) -> Json {
    serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_new_file_is_a_new_metric_at_the_next_run() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let analytics = analytics(&lake, queries.path());
    std::fs::write(queries.path().join("one.sql"), "-- One.\nSELECT 1 AS one").unwrap();
    assert_eq!(analytics.run().await.unwrap().metrics.len(), 1);
    std::fs::write(queries.path().join("two.sql"), "SELECT count(*) AS two FROM events WHERE occurred_at < $until")
        .unwrap();
    let report = analytics.run().await.unwrap();
    assert_eq!(report.metrics["two"].value, Some(json!(0)));
}

#[tokio::test]
async fn visits_are_page_views_by_page_and_time() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    append(&lake, "shop", 0..3).await;
    append(&lake, "blog", 10..11).await;
    let analytics = analytics(&lake, queries.path());
    for (query, timeframe, visits) in [
        ("", "2026-03-01T00:00:00Z", 4),
        ("?aggregation=hour&site=shop", "2026-03-01T11:00:00Z", 3),
        ("?aggregation=minute", "2026-03-01T11:59:00Z", 4),
        ("?aggregation=month&dateFrom=2026-01-01&dateTo=2026-04-01", "2026-03-01T00:00:00Z", 4),
    ] {
        let answer = body(get(&analytics, &format!("/visits{query}"), None, None).await).await;
        let expected = json!([{ "timeframe": timeframe, "visit_count": visits }]);
        assert_eq!(answer["data"]["https://shop.example/"], expected, "{query}: {answer}");
    }
    let none = body(get(&analytics, "/visits?dateTo=2026-03-01", None, None).await).await;
    assert_eq!(none, json!({"data": {}}));
    for query in ["?aggregation=week", "?dateFrom=yesterday"] {
        let refused = get(&analytics, &format!("/visits{query}"), None, None).await;
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
    let analytics = analytics(&lake, queries.path());

    let none = get(&analytics, "/metrics", None, None).await;
    assert_eq!(none.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body(none).await, json!({"message": "No data available"}));

    analytics.run().await.unwrap();
    for (uri, events) in [("/metrics", 4), ("/metrics?site=shop", 3), ("/metrics/?site=blog", 1)] {
        let response = get(&analytics, uri, None, None).await;
        assert_eq!((response.status(), response.headers()["x-cache"].as_bytes()), (StatusCode::OK, &b"hit"[..]));
        let report = body(response).await;
        assert_eq!(report["metrics"]["events"]["value"], events, "{uri}: {report}");
        assert_eq!(report["metrics"]["events"]["columns"], json!(["events"]));
        assert_eq!(report["metrics"]["events"]["title"], "Events");
        assert_eq!(report["complete_until"], "2026-03-01T12:00:00Z");
    }
    assert_eq!(get(&analytics, "/metrics?site=nobody", None, None).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get(&analytics, "/nothing", None, None).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reader_that_has_the_report_is_not_sent_it_again() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("one.sql"), "SELECT 1 AS one").unwrap();
    let analytics = analytics(&lake, queries.path());
    analytics.run().await.unwrap();
    let first = get(&analytics, "/metrics", None, None).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let again = get(&analytics, "/metrics", Some(("if-none-match", &etag)), None).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let other = get(&analytics, "/metrics", Some(("if-none-match", "\"other\"")), None).await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_with_a_token_answers_only_those_who_send_it() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let analytics = analytics(&lake, queries.path());
    let status = async |header| get(&analytics, "/metrics", header, Some("secret")).await.status();
    assert_eq!(status(None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(("authorization", "Bearer wrong"))).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Some(("authorization", "Bearer secret"))).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn the_history_of_a_metric_is_served_oldest_first() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("events.sql"), "SELECT count(*) AS events FROM events").unwrap();
    let analytics = analytics(&lake, queries.path());
    for runs in 0..3 {
        append(&lake, "shop", runs..runs + 1).await;
        analytics.run().await.unwrap();
    }
    let history = body(get(&analytics, "/metrics/history?metric=events&until=2026-03-02", None, None).await).await;
    let mut values: Vec<f64> =
        history["points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [1.0, 2.0, 3.0], "{history}");
    assert_eq!(get(&analytics, "/metrics/history", None, None).await.status(), StatusCode::BAD_REQUEST);
    let bad = get(&analytics, "/metrics/history?metric=events&from=yesterday", None, None).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_metric_that_takes_too_long_is_given_up_and_the_others_stay() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("slow.sql"), "SELECT sum(value) AS n FROM generate_series(1, 100000000000)")
        .unwrap();
    std::fs::write(queries.path().join("quick.sql"), "SELECT 1 AS n").unwrap();
    let settings = AnalyticsSettings {
        queries: queries.path().to_owned(),
        cron: "0 * * * * *".into(),
        memcached: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_millis(300),
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let report = Analytics::new(engine, settings, Arc::new(noon)).run().await.unwrap();
    assert_eq!(report.metrics["slow"].error.as_deref(), Some("slow.sql: gave up after 300ms"));
    assert_eq!(report.metrics["quick"].value, Some(json!(1)));
}
