//! `dewpond loadgen` against a collector and a busy compactor: every event that it reports as acknowledged is there once.

use std::collections::HashSet;

use serde_json::Value as Json;

use crate::harness::role::{Role, add_site, run_well};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_the_load_generator_calls_acknowledged_is_counted_once() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, ids) = (dir.path().join("lake"), dir.path().join("ids"));
    let (lake, ids) = (lake.to_str().unwrap(), ids.to_str().unwrap());
    let mut keys = Vec::new();
    for site in ["one", "two", "three"] {
        keys.push(add_site(lake, site).await);
    }
    let args = ["collector", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let collector = Role::start(&args, &[], "collector").await;
    let compactor = ["compactor", "--lake", lake, "--admin-listen", "127.0.0.1:0", "--publish-cron", "* * * * * *"];
    let compactor = Role::start(&compactor, &[], "compactor").await;
    let (url, keys) = (collector.url("collector"), keys.join(","));
    let flags = ["--rate", "500", "--duration", "4s", "--duplicates", "0.2", "--batch", "3", "--acknowledged", ids];
    let args = [&["loadgen", "--collector", &url, "--key", &keys, "--json"], &flags[..]].concat();
    let result: Json = serde_json::from_str(&run_well(&args, &[]).await).unwrap();
    compactor.stop().await;
    collector.stop().await;

    let acknowledged: HashSet<String> =
        std::fs::read_to_string(ids).unwrap().lines().map(|id| id.replace('-', "")).collect();
    assert_eq!(result["acknowledged"], acknowledged.len());
    assert!(acknowledged.len() > 1_500, "{result}");
    assert!(result["resent"].as_u64() > Some(100), "{result}");
    assert!(result["latency_ms"]["p99"].as_f64() > Some(0.0), "{result}");
    let sql = "SELECT encode(event_id, 'hex') AS id, site_id FROM events";
    let stored = run_well(&["query", "--lake", lake, "--format", "ndjson", "-e", sql], &[]).await;
    let stored: Vec<Json> = stored.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(stored.len(), acknowledged.len());
    assert!(stored.iter().all(|row| acknowledged.contains(row["id"].as_str().unwrap())));
    let sites: HashSet<_> = stored.iter().filter_map(|row| row["site_id"].as_str()).collect();
    assert_eq!(sites.len(), 3);
}
