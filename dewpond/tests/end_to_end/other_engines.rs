//! Other engines read the published table and count the same rows.

use std::path::Path;

use serde_json::Value as Json;
use tokio::process::Command;

use crate::role::run_well;

/// The Python that has the engines; `make test` installs them and sets it.
fn python() -> Option<String> {
    std::env::var("DEWPOND_TEST_PYTHON").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn deltalake_polars_and_duckdb_count_the_published_rows() {
    let Some(python) = python() else {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs the engines");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let file = dir.path().join("events.ndjson");
    for day in 1..=12 {
        let lines: String = (0..50)
            .map(|n| {
                format!(
                    "{{\"event_id\":\"{day}-{n}\",\"name\":\"page_view\",\"timestamp\":\"2026-01-0{}T00:00:{n:02}.123456Z\",\
                     \"user_id\":\"user-{}\",\"revenue\":{n}.25,\"currency\":\"EUR\"}}\n",
                    1 + day % 3,
                    n % 7
                )
            })
            .collect();
        std::fs::write(&file, lines).unwrap();
        run_well(&["import", "--lake", lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
        run_well(&["compactor", "--lake", lake, "--once"], &[]).await;
    }
    let ours = run_well(
        &[
            "query",
            "--lake",
            lake,
            "--format",
            "json",
            "-e",
            "SELECT count(*) AS rows, count(DISTINCT visitor_id) AS visitors, count(DISTINCT date) AS dates, \
             CAST(sum(revenue) AS DOUBLE) AS revenue, CAST(max(occurred_at) AS VARCHAR) AS last FROM events",
        ],
        &[],
    )
    .await;
    let ours: Json = serde_json::from_str(&ours).unwrap();
    assert_eq!((&ours[0]["rows"], &ours[0]["visitors"]), (&600.into(), &7.into()));

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let output = Command::new(python).arg(script).arg(format!("{lake}/events")).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let engines: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(engines.len() >= 3, "{text}");
    for engine in engines {
        for column in ["rows", "visitors", "dates", "revenue"] {
            assert_eq!(engine[column].as_f64(), ours[0][column].as_f64(), "{column} by {}", engine["engine"]);
        }
    }
}
