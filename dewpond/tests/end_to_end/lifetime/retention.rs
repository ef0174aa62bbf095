//! Events are removed once they are older than their site's retention, and not before.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use compactor::Compactor;
use lake::{Lane, RawBatch};
use serde_json::json;

use super::old_event;
use crate::harness::role::{queries_dir, run, run_well};
use crate::harness::world::{World, compactor_settings};

#[tokio::test(flavor = "multi_thread")]
async fn events_older_than_their_site_keeps_leave_and_others_stay() {
    let world = World::start(1).await;
    world.lake.add_site("other", Utc::now()).await.unwrap();
    let mut lane = Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for (site, days) in [("shop", 500), ("shop", 10), ("other", 500), ("other", 10)] {
        let mut batch = RawBatch::default();
        batch.push(&old_event(site, days, 0));
        (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
    }
    world.compactor.publish().await.unwrap();
    assert_eq!(world.compactor.remove().await.unwrap().rows, 0, "without a retention all is kept");
    world.lake.set_retention("shop", Some(400)).await.unwrap();
    assert_eq!(world.compactor.remove().await.unwrap().rows, 1);
    assert_eq!(world.compactor.remove().await.unwrap().rows, 0);
    assert_eq!(world.number("SELECT count(*) FROM events WHERE site_id = 'shop'").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM events WHERE site_id = 'other'").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_archived_first_and_can_be_brought_back() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, archive, file) = (dir.path().join("lake"), dir.path().join("archive"), dir.path().join("events.ndjson"));
    let (lake, archive) = (lake.to_str().unwrap(), archive.to_str().unwrap());
    let event = |days: i64| {
        let at = Utc::now() - TimeDelta::days(days);
        json!({"event_id": format!("{days}"), "name": "a", "user_id": "ada", "timestamp": at}).to_string()
    };
    std::fs::write(&file, [1, 401, 500].map(event).join("\n")).unwrap();
    let count = async || {
        run_well(&["query", "--lake", lake, "--format", "csv", "-e", "SELECT count(*) AS n FROM events"], &[]).await
    };
    run_well(&["import", "--lake", lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
    run_well(&["compactor", "--lake", lake, "--once"], &[]).await;
    run_well(&["site", "set", "shop", "--lake", lake, "--retention", "400d"], &[]).await;
    let compact = ["compactor", "--lake", lake, "--once", "--archive", archive];
    run_well(&compact, &[]).await;
    assert_eq!(count().await, "n\n1\n");
    run_well(&["site", "set", "shop", "--lake", lake, "--retention", "forever"], &[]).await;
    let said = run_well(&["import", "--lake", lake, "--site", "shop", archive], &[]).await;
    assert!(said.contains("imported 2 events"), "{said}");
    assert_eq!(count().await, "n\n3\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_ahead_removes_no_event_before_its_time() {
    let world = World::start(0).await;
    let mut lane = Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for days in [500, 10] {
        let mut batch = RawBatch::default();
        batch.push(&old_event("shop", days, 0));
        (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
    }
    world.compactor.publish().await.unwrap();
    world.lake.set_retention("shop", Some(400)).await.unwrap();
    let clock = Arc::new(|| Utc::now() + TimeDelta::days(1_000));
    let ahead = Compactor::new(world.engine.clone(), compactor_settings(), clock);
    assert_eq!(ahead.remove().await.unwrap().rows, 1);
    assert_eq!(world.number("SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_set_to_keep_so_many_days_loses_older_events_and_no_report() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let (lake, file) = (lake.to_str().unwrap(), dir.path().join("events.ndjson"));
    run_well(&["site", "add", "shop", "--lake", lake], &[]).await;
    let lines: Vec<String> = [1, 399, 401, 500]
        .map(|days| json!({"event_id": format!("{days}"), "name": "page_view", "timestamp": Utc::now() - TimeDelta::days(days)}))
        .map(|event| event.to_string())
        .into();
    std::fs::write(&file, lines.join("\n")).unwrap();
    run_well(&["import", "--lake", lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
    let compact = ["compactor", "--lake", lake, "--once", "--raw-grace", "0s", "--replaced-grace", "0s"];
    run_well(&compact, &[]).await;
    let queries = queries_dir();
    run_well(&["analytics", "--lake", lake, "--once", "--queries", queries.to_str().unwrap()], &[]).await;
    let report = run_well(&["report", "--lake", lake], &[]).await;

    let (succeeded, _, told) = run(&["site", "set", "shop", "--lake", lake, "--retention", "36h"], &[]).await;
    assert!(!succeeded && told.contains("whole days, for example 400d"), "{told}");
    run_well(&["site", "set", "shop", "--lake", lake, "--retention", "400d"], &[]).await;
    let told = run_well(&compact, &[]).await;
    assert!(told.contains("removed 2 expired"), "{told}");
    let ids = [
        "query",
        "--lake",
        lake,
        "--format",
        "csv",
        "-e",
        "SELECT count(*) AS n, min(occurred_at) > now() - INTERVAL '400 days' AS young FROM events",
    ];
    assert_eq!(run_well(&ids, &[]).await.trim(), "n,young\n2,true");
    assert_eq!(run_well(&["report", "--lake", lake], &[]).await, report, "reports stay");
    let dates = std::fs::read_dir(dir.path().join("lake/events")).unwrap();
    let with_files = dates.filter(|date| std::fs::read_dir(date.as_ref().unwrap().path()).unwrap().next().is_some());
    assert_eq!(with_files.count(), 3, "two dates and the log: the bytes are gone, too");

    run_well(&["site", "set", "shop", "--lake", lake, "--retention", "forever"], &[]).await;
    assert!(run_well(&compact, &[]).await.contains("removed 0 expired"));
}
