//! The job: what a run reports and keeps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings};
use chrono::{DateTime, Utc};
use engine::{Engine, EngineSettings};
use lake::Lake;
use serde_json::json;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn analytics(lake: &Lake, queries: &Path) -> Arc<Analytics> {
    let settings = AnalyticsSettings {
        queries: queries.to_owned(),
        cron: "0 * * * * *".parse().unwrap(),
        memcached: None,
        memcached_login: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_secs(60),
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    Analytics::new(engine, settings, Arc::new(noon))
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
async fn a_metric_that_takes_too_long_is_given_up_and_the_others_stay() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("slow.sql"), "SELECT sum(value) AS n FROM generate_series(1, 100000000000)")
        .unwrap();
    std::fs::write(queries.path().join("quick.sql"), "SELECT 1 AS n").unwrap();
    let settings = AnalyticsSettings {
        queries: queries.path().to_owned(),
        cron: "0 * * * * *".parse().unwrap(),
        memcached: None,
        memcached_login: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_millis(300),
    };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let report = Analytics::new(engine, settings, Arc::new(noon)).run().await.unwrap();
    assert_eq!(report.metrics["slow"].error.as_deref(), Some("slow.sql: gave up after 300ms"));
    assert_eq!(report.metrics["quick"].value, Some(json!(1)));
}
