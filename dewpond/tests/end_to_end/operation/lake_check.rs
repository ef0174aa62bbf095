//! Inspecting a lake from the command line: whether it is sound, and what it held before.

use std::path::PathBuf;

use lake::{EVENTS, Lake, StateDefinition};
use serde_json::Value as Json;

use crate::harness::role::{queries_dir, run, run_well};

/// Two imports of 10 events, each published; a third of 5 is pending. Merged in between.
async fn start(dir: &std::path::Path) -> String {
    let lake = dir.join("lake").to_str().unwrap().to_owned();
    let file = dir.join("events.ndjson");
    for (round, events) in [(1, 10), (2, 10), (3, 5)] {
        let lines: String = (0..events)
            .map(|n| {
                format!(
                    "{{\"event_id\":\"{round}-{n}\",\"name\":\"page_view\",\"user_id\":\"user-{}\",\
                     \"timestamp\":\"2026-01-01T0{round}:00:{n:02}.123456Z\"}}\n",
                    n % 3
                )
            })
            .collect();
        std::fs::write(&file, lines).unwrap();
        run_well(&["import", "--lake", &lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
        if round < 3 {
            run_well(&["compactor", "--lake", &lake, "--once"], &[]).await;
        }
    }
    lake
}

fn files(lake: &str, dir: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(PathBuf::from(lake).join(dir)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_exits_with_0_on_a_sound_lake_and_with_1_on_a_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let lake = start(dir.path()).await;
    run_well(&["analytics", "--lake", &lake, "--queries", queries_dir().to_str().unwrap(), "--once"], &[]).await;
    let check = ["lake", "check", "--lake", &lake];
    let report = run_well(&check, &[]).await;
    assert!(report.contains("Nothing is wrong."), "{report}");
    let check_json = ["lake", "check", "--lake", &lake, "--json"];
    let report: Json = serde_json::from_str(&run_well(&check_json, &[]).await).unwrap();
    assert_eq!(report["findings"], Json::Array(vec![]));
    assert_eq!(report["tables"]["events"]["live"]["rows"], 20);
    assert!(report["tables"]["reports"]["live"]["rows"].as_u64().unwrap() > 0);
    assert_eq!((&report["pending"]["rows"], &report["consumed"]["files"]), (&5.into(), &2.into()));

    // A warning is not a failure, and can be repaired.
    let checksums = files(&lake, "events/_delta_log", "crc");
    std::fs::remove_file(checksums.iter().max().unwrap()).unwrap();
    let report = run_well(&check, &[]).await;
    assert!(report.contains("warning: ") && report.contains("no good checksum"), "{report}");
    let report = run_well(&["lake", "check", "--lake", &lake, "--repair"], &[]).await;
    assert!(report.contains("repaired: wrote the checksum") && report.contains("Nothing is wrong."), "{report}");

    let newest: Json =
        serde_json::from_str(&run_well(&["lake", "history", "--lake", &lake, "--json", "--limit", "1"], &[]).await)
            .unwrap();
    assert_eq!((&newest[0]["rows_added"], &newest[0]["rows_removed"]), (&20.into(), &20.into()));
    // The live file is the one that the merge wrote, the youngest.
    let mut live = files(&lake, "events/date=2026-01-01", "parquet");
    live.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    std::fs::write(live.last().unwrap(), "not Parquet").unwrap();
    let (succeeded, report, stderr) = run(&check, &[]).await;
    assert!(!succeeded && stderr.contains("error: the lake has an error"), "{stderr}");
    assert!(report.contains("it has 11 bytes, but the log says"), "{report}");
    let (succeeded, report, _) = run(&check_json, &[]).await;
    let report: Json = serde_json::from_str(&report).unwrap();
    assert!(!succeeded);
    assert_eq!(report["findings"][0]["severity"], "error");
    let (succeeded, _, _) = run(&["lake", "check", "--lake", &lake, "--repair"], &[]).await;
    assert!(!succeeded, "no repair touches a row");
}

/// A directory with few of the metrics, to be quick.
fn few_queries(dir: &std::path::Path) -> String {
    let few = dir.join("queries");
    std::fs::create_dir(&few).unwrap();
    for name in ["events.sql", "events_by_name.sql", "sessions.sql"] {
        std::fs::copy(queries_dir().join(name), few.join(name)).unwrap();
    }
    few.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_not_what_its_file_gives_is_an_error_and_can_be_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let location = start(dir.path()).await;
    let queries = few_queries(dir.path());
    let keep = ["--state-file-bytes-min", "0", "--state-share-max", "1000"];
    run_well(&[&["analytics", "--lake", &location, "--queries", &queries, "--once"], &keep[..]].concat(), &[]).await;
    let deep = ["lake", "check", "--lake", &location, "--queries", &queries, "--deep"];
    let report = run_well(&deep, &[]).await;
    assert!(report.contains("states were made again from their files and compared\n"), "{report}");
    assert!(report.contains("Nothing is wrong."), "{report}");

    // The same state without its first row, as a defect could have made it.
    let lake = Lake::open(&location, []).unwrap();
    let table = lake.table(&EVENTS).load().await.unwrap();
    let file = &table.files[0];
    let mut damaged = None;
    for entry in std::fs::read_dir(PathBuf::from(&location).join("states")).unwrap() {
        let definition: StateDefinition = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        if let Some(rows) = lake.read_state(definition, file).await.unwrap()
            && let [batch] = &rows[..]
        {
            let fewer = batch.slice(1, batch.num_rows() - 1);
            lake.write_state(definition, file, &batch.schema(), &[fewer], u64::MAX).await.unwrap();
            damaged = Some(lake.state_path(definition, file));
            break;
        }
    }
    let damaged = damaged.expect("some state has rows");
    let (succeeded, report, stderr) = run(&deep, &[]).await;
    assert!(!succeeded && stderr.contains("error: the lake has an error"), "{stderr}");
    assert!(report.contains(&format!("error: /{damaged}")), "{report}");
    assert!(report.contains(&format!("it is not what {} gives for ", file.path)), "{report}");

    let report = run_well(&[&deep[..], &["--repair"]].concat(), &[]).await;
    assert!(report.contains(&format!("repaired: deleted {damaged}")), "{report}");
    assert!(run_well(&deep, &[]).await.contains("Nothing is wrong."));
    // Without the metrics nobody knows what the states are of; those of identities are known.
    let none = dir.path().join("none");
    let report = run_well(&["lake", "check", "--lake", &location, "--queries", none.to_str().unwrap()], &[]).await;
    assert!(report.contains("are of no query in") && report.contains("Nothing is wrong."), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_says_what_it_will_do_and_makes_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let location = start(dir.path()).await;
    let queries = few_queries(dir.path());
    let rebuild = |more: &[&'static str]| -> Vec<String> {
        let keep = ["--state-file-bytes-min", "0", "--state-share-max", "1000"];
        let all = ["analytics", "rebuild", "--lake", &location, "--queries", &queries].into_iter().chain(keep);
        all.chain(more.iter().copied()).map(str::to_owned).collect()
    };
    let run_rebuild = async |more: &[&'static str]| {
        let args = rebuild(more);
        run_well(&args.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await
    };
    let days = ["--reports", "2026-01-01..2026-01-04"];
    let said = run_rebuild(&[&days[..], &["--dry-run"]].concat()).await;
    assert!(said.contains("states: 0 are kept"), "{said}");
    assert!(said.contains("reports: 3 runs from 2026-01-01 until 2026-01-04 are made"), "{said}");
    assert!(!PathBuf::from(&location).join("reports").exists());

    let said = run_rebuild(&days).await;
    assert!(said.contains("3 runs were made"), "{said}");
    let said = run_rebuild(&[&days[..], &["--dry-run"]].concat()).await;
    assert!(!said.contains("states: 0 are kept"), "{said}");
    assert!(said.contains("reports: 0 runs") && said.contains("3 are of these queries and rules already"), "{said}");
    // Another rule makes another history.
    run_well(&["site", "set", "shop", "--lake", &location, "--session-gap", "10m"], &[]).await;
    let said = run_rebuild(&[&days[..], &["--dry-run", "--anew"]].concat()).await;
    assert!(said.contains("reports: 3 runs") && said.contains("are deleted, and made again"), "{said}");
    let report = run_well(&["report", "--lake", &location, "--json"], &[]).await;
    let report: Json = serde_json::from_str(&report).unwrap();
    assert_eq!(report["generated_at"], "2026-01-03T23:59:59.999999Z");
    assert_eq!(report["metrics"]["events"]["value"], 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_as_of_a_version_or_a_time_sees_what_was_published_then() {
    let dir = tempfile::tempdir().unwrap();
    let lake = start(dir.path()).await;
    let count = async |as_of: &[&str]| {
        let query = ["query", "--lake", &lake, "--format", "csv", "-e", "SELECT count(*) AS n FROM events"];
        run(&[&query[..], as_of].concat(), &[]).await
    };
    let history: Json =
        serde_json::from_str(&run_well(&["lake", "history", "--lake", &lake, "--json"], &[]).await).unwrap();
    let second = &history[1];
    assert_eq!((&second["version"], &second["operation"]), (&2.into(), &"WRITE".into()));
    let first_at = history[2]["committed_at"].as_str().unwrap();

    assert_eq!(count(&[]).await.1, "n\n25\n");
    assert_eq!(count(&["--as-of", "1"]).await.1, "n\n10\n");
    assert_eq!(count(&["--as-of", "2"]).await.1, "n\n20\n");
    assert_eq!(count(&["--as-of", "3"]).await.1, "n\n20\n");
    assert_eq!(count(&["--as-of", first_at]).await.1, "n\n10\n");
    assert_eq!(count(&["--as-of", "2100-01-01"]).await.1, "n\n20\n");

    let refused = async |as_of: &str, expected: &str| {
        let (succeeded, _, stderr) = count(&["--as-of", as_of]).await;
        assert!(!succeeded && stderr.contains(expected), "{as_of}: {stderr}");
    };
    refused("4", "error: events has the versions 0 to 3, and none that is 4").await;
    refused("2020-01-01", "its first commit is of").await;
    refused("yesterday", "give a version such as 42").await;
    run_well(&["compactor", "--lake", &lake, "--once", "--replaced-grace", "0s"], &[]).await;
    refused("1", "or by a purge; all versions from").await;
}
