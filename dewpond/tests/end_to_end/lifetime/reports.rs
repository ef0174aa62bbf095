//! The history of reports: one run of each slot, whoever is killed, and fewer of them as they age.

use std::sync::Arc;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use compactor::Compactor;
use engine::{Engine, EngineSettings, Scope, to_json_rows};
use lake::{Lake, REPORTS};
use parking_lot::Mutex;
use rand::Rng;
use serde_json::Value as Json;

use crate::harness::role::{Role, run_well};
use crate::harness::world::compactor_settings;

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    analytics: AnalyticsSettings,
}

async fn rows(lake: &Lake, sql: &str) -> Vec<Vec<Json>> {
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    to_json_rows(&session.query(sql, &[]).await.unwrap()).unwrap()
}

async fn runs(lake: &Lake) -> Vec<String> {
    let sql = "SELECT DISTINCT to_char(generated_at, 'YYYY-MM-DD HH24:MI') AS run FROM reports ORDER BY run";
    rows(lake, sql).await.into_iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_leave_history_as_they_age_and_two_compactors_do_not_disturb_each_other() {
    let lake = Lake::open("memory:///", []).unwrap();
    lake.add_site("shop", Utc::now()).await.unwrap();
    let queries = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::write(queries.path().join(format!("{name}.sql")), "SELECT 1 AS n").unwrap();
    }
    let settings = Defaults::parse_from(["test", "--queries", queries.path().to_str().unwrap()]).analytics;
    let now = Utc::now();
    let at = Arc::new(Mutex::new(now));
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let clock = at.clone();
    let analytics = Analytics::new(engine.clone(), settings, Arc::new(move || *clock.lock()));
    // Two runs in each of two hours of three days: long ago, some days ago, and yesterday, which is younger than a day.
    let days =
        [200, 6, 0].map(|days| (now - TimeDelta::days(days)).date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc());
    let mut expected = Vec::new();
    for (day, kept) in days.into_iter().zip([&[75][..], &[10, 75], &[5, 10, 70, 75]]) {
        for minute in [5, 10, 70, 75] {
            let run = day + TimeDelta::minutes(minute);
            *at.lock() = run;
            analytics.run().await.unwrap();
            if kept.contains(&minute) {
                expected.push(run.format("%Y-%m-%d %H:%M").to_string());
            }
        }
    }
    let compactor = || Compactor::new(engine.clone(), compactor_settings(), Arc::new(Utc::now));
    let (one, other) = (compactor(), compactor());
    // The old days in one file each, as they are by then.
    one.merge().await.unwrap();
    assert!(lake.table(&REPORTS).load().await.unwrap().files.len() <= 6);
    let (thinned, also) = tokio::join!(one.thin_reports(), other.thin_reports());
    // A run is two metrics of the whole lake and of one site.
    assert_eq!(thinned.unwrap().rows + also.unwrap().rows, 4 * (3 + 2));
    assert_eq!(runs(&lake).await, expected);
    let count = "SELECT count(*) FROM reports";
    assert_eq!(rows(&lake, count).await[0][0], 4 * expected.len() as i64);
    for compactor in [&one, &other, &compactor()] {
        assert_eq!(compactor.thin_reports().await.unwrap().rows, 0);
    }
    one.vacuum().await.unwrap();
    assert_eq!(runs(&lake).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_analytics_processes_of_which_one_is_killed_report_each_slot_once_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (lake_dir, queries) = (dir.path().join("lake"), dir.path().join("queries"));
    std::fs::create_dir(&queries).unwrap();
    for name in ["a", "b", "c"] {
        std::fs::write(queries.join(format!("{name}.sql")), "SELECT count(*) AS n FROM events").unwrap();
    }
    let location = lake_dir.to_str().unwrap();
    run_well(&["site", "add", "shop", "--lake", location], &[]).await;
    let args = [
        "analytics",
        "--lake",
        location,
        "--queries",
        queries.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--cron",
        "* * * * * *",
    ];
    let start = async || Role::start(&args, &[], "analytics").await;
    let _steady = start().await;
    for _ in 0..4 {
        let killed = start().await;
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(1_500..3_500))).await;
        killed.kill().await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lake = Lake::open(location, []).unwrap();
    let twice = "SELECT date_trunc('second', generated_at), site_id, metric, count(*) FROM reports \
                 GROUP BY 1, 2, 3 HAVING count(*) > 1";
    assert_eq!(rows(&lake, twice).await, Vec::<Vec<Json>>::new());
    let torn = "SELECT generated_at, count(*) FROM reports GROUP BY 1 HAVING count(*) <> 6";
    assert_eq!(rows(&lake, torn).await, Vec::<Vec<Json>>::new());
    let all = &rows(&lake, "SELECT count(DISTINCT generated_at), max(generated_at) FROM reports").await[0];
    assert!(all[0].as_i64().unwrap() >= 6, "{all:?}");
    let newest: DateTime<Utc> = all[1].as_str().unwrap().parse().unwrap();
    assert!(Utc::now() - newest < TimeDelta::seconds(30), "{all:?}");
}
