//! A lake in a directory of any name.

use std::path::Path;

use serde_json::json;

use crate::harness::role::run_well;

/// Names in which somebody has to escape something, and what made them.
const NAMES: [&str; 12] = [
    // Tools that write addresses into names.
    "100%25",
    "a%20b",
    "%2e",
    // People.
    "50%",
    "my lake",
    "a+b",
    "bücher",
    // macOS, with the dots apart from their letter.
    "bu\u{308}cher",
    "日本",
    "lake#1",
    "what?&=;",
    // Hive.
    "date=2026-03-01",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_lies_in_a_directory_of_any_name() {
    let dir = tempfile::tempdir().unwrap();
    for name in NAMES {
        use_every_command(&dir.path().join(name)).await;
    }
}

async fn use_every_command(lake: &Path) {
    let name = lake.to_str().unwrap();
    let file = lake.parent().unwrap().join("events.ndjson");
    let count = async |more: &[&str]| {
        let args =
            [&["query", "-e", "SELECT count(*) AS n FROM events", "--lake", name, "--format", "csv"], more].concat();
        run_well(&args, &[]).await
    };
    for round in 1..=3 {
        let line =
            json!({"event_id": round.to_string(), "name": "a", "user_id": "ada", "timestamp": "2026-03-01T00:00:00Z"});
        std::fs::write(&file, line.to_string()).unwrap();
        run_well(&["import", "--lake", name, "--site", "shop", file.to_str().unwrap()], &[]).await;
        assert_eq!(count(&[]).await, format!("n\n{round}\n"), "{name}, pending");
        run_well(&["compactor", "--lake", name, "--once"], &[]).await;
        assert_eq!(count(&[]).await, format!("n\n{round}\n"), "{name}, published");
    }
    assert_eq!(count(&["--as-of", "1"]).await.lines().count(), 2, "{name}");
    let checked = run_well(&["lake", "check", "--lake", name], &[]).await;
    assert!(!checked.contains("error"), "{name}: {checked}");
    for command in ["stats", "history"] {
        run_well(&["lake", command, "--lake", name], &[]).await;
    }
    run_well(&["lake", "erase", "--lake", name, "--site", "shop", "--user", "ada"], &[]).await;
    run_well(&["compactor", "--lake", name, "--once"], &[]).await;
    assert_eq!(count(&[]).await, "n\n0\n", "{name}, erased");
}
