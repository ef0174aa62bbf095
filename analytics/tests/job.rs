//! The job: what a run reports and keeps.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings, Jobs, Past, PastDays, PastRuns, Report, latest_report};
use chrono::{DateTime, NaiveDate, Utc};
use engine::{Engine, EngineSettings, Engines};
use lake::{Lake, Lakes, SiteSettings};
use parking_lot::Mutex;
use serde_json::json;

fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn settings(queries: &Path) -> AnalyticsSettings {
    AnalyticsSettings {
        queries: queries.to_owned(),
        cron: "0 * * * * *".parse().unwrap(),
        memcached: None,
        memcached_login: None,
        memcached_timeout: Duration::from_secs(1),
        metric_timeout: Duration::from_secs(60),
        metric_rows_max: 10_000,
        alert_webhook: None,
        alert_secret: None,
    }
}

fn analytics(lake: &Lake, queries: &Path) -> Arc<Analytics> {
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    Analytics::new(engine, settings(queries), Arc::new(noon))
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
async fn a_lake_of_an_organisations_own_has_the_reports_of_its_sites_and_no_other_has_them() {
    let (main, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("events.sql"), "SELECT count(*) AS n FROM events").unwrap();
    let lakes = Lakes::from(main.clone());
    let engine = Engine::new(main.clone(), &EngineSettings::default()).unwrap();
    let job = Analytics::new(engine.clone(), settings(queries.path()), Arc::new(noon));
    let jobs = Jobs::new(job.clone(), Engines::new(engine, lakes.clone()));
    main.add_site("shop", noon()).await.unwrap();
    let own = lakes.set("acme", "memory:///", None).await.unwrap();
    // It has no site yet, and nothing to report.
    assert!(jobs.job(Some(&own)).await.unwrap().run().await.unwrap().metrics.is_empty());
    main.add_site_of("acme-shop", Some("acme"), SiteSettings::default(), noon()).await.unwrap();

    let whole = job.run().await.unwrap();
    assert_eq!(whole.metrics["events"].details.sites_elsewhere, Some(1));
    jobs.job(Some(&own)).await.unwrap().run().await.unwrap();
    let own = lakes.of_site("acme-shop").await.unwrap();
    for (lake, site, is_there) in [
        (&main, None, true),
        (&main, Some("shop"), true),
        (&main, Some("acme-shop"), false),
        (&own, None, false),
        (&own, Some("shop"), false),
        (&own, Some("acme-shop"), true),
    ] {
        assert_eq!(latest_report(lake, site).await.unwrap().is_some(), is_there, "{lake:?} {site:?}");
    }
    // Readers find each where it is.
    for site in [None, Some("shop"), Some("acme-shop")] {
        assert!(jobs.of_site(site).await.unwrap().latest(site).await.unwrap().is_some(), "{site:?}");
    }
    assert!(job.latest(Some("acme-shop")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_metric_that_takes_too_long_is_given_up_and_the_others_stay() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("slow.sql"), "SELECT sum(value) AS n FROM generate_series(1, 100000000000)")
        .unwrap();
    std::fs::write(queries.path().join("quick.sql"), "SELECT 1 AS n").unwrap();
    let settings = AnalyticsSettings { metric_timeout: Duration::from_millis(300), ..settings(queries.path()) };
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let report = Analytics::new(engine, settings, Arc::new(noon)).run().await.unwrap();
    assert_eq!(
        report.metrics["slow"].error.as_deref(),
        Some("slow.sql: gave up after 300ms: ask for less, such as fewer days, or raise --metric-timeout")
    );
    assert_eq!(report.metrics["quick"].value, Some(json!(1)));
}

#[tokio::test]
async fn a_metric_with_too_many_rows_is_reported_as_failed() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(queries.path().join("long.sql"), "SELECT value FROM generate_series(1, 10001)").unwrap();
    let report = analytics(&lake, queries.path()).run().await.unwrap();
    let error = report.metrics["long"].error.as_deref().unwrap();
    assert!(error.starts_with("long.sql: the answer has more than 10000 rows"), "{error}");
    assert!(error.ends_with("raise --metric-rows-max"), "{error}");
}

#[tokio::test]
async fn a_header_says_in_which_reports_a_metric_is_and_what_its_parameters_are() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, sql: &str| std::fs::write(queries.path().join(name), sql).unwrap();
    write("a.sql", "-- unit: days\n-- description: How many.\n-- param: days = 7\nSELECT $days AS days");
    write("of_lake.sql", "-- scope: lake\nSELECT 1 AS n");
    write("of_site.sql", "-- scope: site\nSELECT $site AS n");
    write("wrong.sql", "-- One.\n-- schedul: hourly\nSELECT 1 AS n");
    lake.add_site("shop", noon()).await.unwrap();
    let analytics = analytics(&lake, queries.path());
    let report = analytics.run().await.unwrap();
    assert_eq!(report.metrics.keys().collect::<Vec<_>>(), ["a", "of_lake", "wrong"]);
    assert_eq!(report.metrics["a"].value, Some(json!(7)));
    let written = serde_json::to_value(&report).unwrap();
    assert_eq!(
        (&written["metrics"]["a"]["unit"], &written["metrics"]["a"]["description"]),
        (&json!("days"), &json!("How many."))
    );
    assert_eq!(written["metrics"]["of_lake"].get("unit"), None);
    assert_eq!(
        report.metrics["wrong"].error.as_deref(),
        Some("wrong.sql: line 2: there is no setting \"schedul\"; did you mean \"schedule\"?")
    );
    let (of_site, _) = analytics.latest(Some("shop")).await.unwrap().unwrap();
    let of_site: Report = serde_json::from_slice(of_site.bytes()).unwrap();
    assert_eq!(of_site.metrics.keys().collect::<Vec<_>>(), ["a", "of_site", "wrong"]);
    // History has it all, for whoever starts next.
    assert_eq!(latest_report(&lake, None).await.unwrap(), Some(report));
}

/// Runs whose time the test sets.
struct Clock(Arc<Mutex<DateTime<Utc>>>);

impl Clock {
    fn at(text: &str) -> Self {
        Self(Arc::new(Mutex::new(time(text))))
    }

    fn set(&self, text: &str) {
        *self.0.lock() = time(text);
    }

    fn analytics(&self, lake: &Lake, settings: AnalyticsSettings) -> Arc<Analytics> {
        let (engine, now) = (Engine::new(lake.clone(), &EngineSettings::default()).unwrap(), self.0.clone());
        Analytics::new(engine, settings, Arc::new(move || *now.lock()))
    }
}

fn time(text: &str) -> DateTime<Utc> {
    format!("2026-03-01T{text}Z").parse().unwrap()
}

#[tokio::test]
async fn a_metric_with_a_schedule_keeps_its_last_answer_between_its_ticks() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let write = |sql: &str| std::fs::write(queries.path().join("hourly.sql"), sql).unwrap();
    let clock = Clock::at("11:58:00");
    let mut process = clock.analytics(&lake, settings(queries.path()));
    let run = async |process: &Analytics, at: &str| {
        clock.set(at);
        let metric = process.run().await.unwrap().metrics["hourly"].clone();
        (metric.rows.unwrap()[0][0].clone(), metric.details.as_of.unwrap())
    };
    write("-- schedule: 0 0 * * * *\nSELECT $now AS ran_at");
    let (first, as_of) = run(&process, "11:58:00").await;
    assert_eq!(as_of, time("11:58:00"), "it has never run");
    assert_eq!(run(&process, "11:59:00").await, (first.clone(), as_of));
    // Another process goes on with what history has.
    process = clock.analytics(&lake, settings(queries.path()));
    assert_eq!(run(&process, "11:59:30").await, (first.clone(), as_of));
    let (second, as_of) = run(&process, "12:00:01").await;
    assert_eq!(as_of, time("12:00:01"));
    assert_ne!(first, second);
    assert_eq!(run(&process, "12:59:59").await, (second, as_of));
    write("-- schedule: 0 0 * * * *\nSELECT $now AS ran_at, 1 AS another");
    assert_eq!(run(&process, "12:59:59.5").await.1, time("12:59:59.5"));
}

#[tokio::test]
async fn the_report_of_a_past_time_is_made_once_and_kept_under_that_time() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(
        queries.path().join("n.sql"),
        "-- alert: value > 0\nSELECT count(*) AS n FROM events WHERE occurred_at < $until",
    )
    .unwrap();
    std::fs::write(queries.path().join("at.sql"), "SELECT $until AS at").unwrap();
    let analytics = analytics(&lake, queries.path());
    let now = analytics.run().await.unwrap();
    let past: DateTime<Utc> = "2026-02-01T23:59:59Z".parse().unwrap();
    let made = |past: Past| match past {
        Past::Made(reports) => (true, reports[0].clone()),
        Past::InHistory(reports) => (false, reports[0].clone()),
    };
    let (is_new, first) = made(analytics.report_at(past, false).await.unwrap());
    assert!(is_new);
    assert_eq!(first.generated_at, past);
    assert_eq!(first.metrics["at"].rows, Some(vec![vec![json!("2026-02-01T23:59:59Z")]]));
    assert_eq!(first.metrics["n"].details.alert, None);
    std::fs::write(queries.path().join("n.sql"), "SELECT 7 AS n").unwrap();
    assert_eq!(made(analytics.report_at(past, false).await.unwrap()), (false, first.clone()));
    let (is_new, second) = made(analytics.report_at(past, true).await.unwrap());
    assert_eq!((is_new, &second.metrics["n"].value), (true, &Some(json!(7))));
    assert_eq!(made(analytics.report_at(past, false).await.unwrap()), (false, second));
    // The latest stays the latest.
    assert_eq!(latest_report(&lake, None).await.unwrap(), Some(now));
    let future = analytics.report_at("2026-03-01T12:00:01Z".parse().unwrap(), false).await.unwrap_err();
    assert!(future.to_string().contains("has not come yet"), "{future}");
}

#[tokio::test]
async fn past_runs_are_made_anew_once_for_each_change_of_a_query_or_a_rule() {
    let (lake, queries) = (Lake::open("memory:///", []).unwrap(), tempfile::tempdir().unwrap());
    let write = |n: i64| std::fs::write(queries.path().join("n.sql"), format!("SELECT {n} AS n")).unwrap();
    lake.add_site("shop", noon()).await.unwrap();
    write(1);
    let clock = Clock::at("10:00:00");
    let analytics = clock.analytics(&lake, settings(queries.path()));
    for at in ["10:00:00", "11:00:00", "12:00:00"] {
        clock.set(at);
        analytics.run().await.unwrap();
    }
    write(2);
    let days = "2026-02-28".parse().unwrap()..NaiveDate::from_ymd_opt(2026, 3, 3).unwrap();
    let past = PastDays { days, daily: false, replace: false };
    // One of the day without any, and not the newest.
    let expected = ["2026-02-28T23:59:59.999999Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"];
    let expected: Vec<DateTime<Utc>> = expected.iter().map(|at| at.parse().unwrap()).collect();
    let runs = analytics.past_runs(&past).await.unwrap();
    assert_eq!(runs, PastRuns { to_make: expected.clone(), made: 0 });
    // It ends after the first, and goes on.
    analytics.report_at(expected[0], true).await.unwrap();
    let runs = analytics.past_runs(&past).await.unwrap();
    assert_eq!(runs, PastRuns { to_make: expected[1..].to_vec(), made: 1 });
    for at in &runs.to_make {
        analytics.report_at(*at, true).await.unwrap();
    }
    assert_eq!(analytics.past_runs(&past).await.unwrap(), PastRuns { to_make: vec![], made: 3 });
    for at in &expected {
        let Past::InHistory(reports) = analytics.report_at(*at, false).await.unwrap() else { panic!("it is there") };
        assert_eq!(
            reports.iter().map(|report| report.metrics["n"].value.clone()).collect::<Vec<_>>(),
            [Some(json!(2)), Some(json!(2))]
        );
    }
    let left = async || analytics.past_runs(&past).await.unwrap().to_make.len();
    lake.change_site("shop", |settings| settings.session_gap_s = 600).await.unwrap();
    assert_eq!(left().await, 3);
    lake.change_site("shop", |settings| settings.session_gap_s = 1_800).await.unwrap();
    assert_eq!(left().await, 0);
    write(3);
    assert_eq!(left().await, 3);
    write(2);
    let again = PastDays { replace: true, ..past.clone() };
    assert_eq!(analytics.past_runs(&again).await.unwrap().to_make, expected);
    // The latest is as the job made it.
    let latest = latest_report(&lake, None).await.unwrap().unwrap();
    assert_eq!((latest.generated_at, &latest.metrics["n"].value), (time("12:00:00"), &Some(json!(1))));
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
    let of_site: analytics::Report = serde_json::from_slice(of_site.bytes()).unwrap();
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
