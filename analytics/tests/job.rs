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

#[tokio::test]
async fn a_file_that_cannot_be_read_costs_only_its_metric() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let analytics = analytics(&lake, queries.path());
    let path = |name: &str| queries.path().join(name);
    std::fs::write(path("good.sql"), "SELECT 1 AS n").unwrap();
    std::fs::write(path("cafes.sql"), b"-- Caf\xe9s.\nSELECT 1 AS n").unwrap();
    std::os::unix::fs::symlink("/no/such/file", path("gone.sql")).unwrap();
    std::fs::write(path("empty.sql"), "").unwrap();
    lake.add_site("shop", noon()).await.unwrap();

    let report = analytics.run().await.unwrap();
    assert_eq!(report.metrics["good"].value, Some(json!(1)));
    for (name, error) in [
        ("cafes", "cafes.sql: a letter in line 1 is not in UTF-8: save the file in UTF-8"),
        ("gone", "gone.sql: the file is a link to one that does not exist"),
        ("empty", "empty.sql: the file has no query in it"),
    ] {
        assert_eq!(report.metrics[name].error.as_deref(), Some(error));
    }
    let (of_site, _) = analytics.latest(Some("shop")).await.unwrap().unwrap();
    let of_site: analytics::Report = serde_json::from_slice(&of_site).unwrap();
    assert_eq!(of_site.metrics["good"].value, Some(json!(1)));
    assert!(of_site.metrics["cafes"].error.is_some());

    // It is mended, one goes, and one comes.
    std::fs::write(path("cafes.sql"), "-- Caf\u{e9}s.\nSELECT 2 AS n").unwrap();
    std::fs::remove_file(path("gone.sql")).unwrap();
    std::fs::write(path("late.sql"), "SELECT 3 AS n").unwrap();
    let report = analytics.run().await.unwrap();
    assert_eq!((&report.metrics["cafes"].value, report.metrics.get("gone")), (&Some(json!(2)), None));
    assert_eq!(report.metrics["late"].value, Some(json!(3)));
}

#[tokio::test]
async fn a_run_that_makes_no_report_is_known_until_one_does() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let dir = queries.path().join("queries");
    let analytics = analytics(&lake, &dir);
    assert_eq!(analytics.trouble(), None);
    assert!(analytics.run().await.is_err());
    let trouble = analytics.trouble().unwrap();
    assert!(trouble.starts_with("the run of 2026-03-01T12:00:00Z failed: could not read"), "{trouble}");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("one.sql"), "SELECT 1 AS one").unwrap();
    analytics.run().await.unwrap();
    assert_eq!(analytics.trouble(), None);
}
