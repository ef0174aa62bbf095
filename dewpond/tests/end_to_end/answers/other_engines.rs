//! Other engines read the published table and see the same rows at the same versions.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Parser;
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings, Scope, to_json_rows};
use lake::{EVENTS, Event, EventId, Lake, Lane, LaneId, LaneSettings, Person, PersonId, RawBatch};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value as Json;
use tokio::process::Command;
use uuid::Uuid;

use crate::harness::role::run_well;

/// The columns that are compared, as each engine prints them.
const SQL: &str = "SELECT encode(event_id, 'hex'), CAST(occurred_at AS BIGINT), site_id, name, visitor_id,
    CAST(revenue AS VARCHAR), title, CAST(date AS VARCHAR) FROM events ORDER BY 1";

/// The engines in `readers.py`.
const ENGINES: [&str; 3] = ["deltalake", "polars", "duckdb"];

/// A long history crosses the checkpoint at this version.
const CHECKPOINT_VERSION: u64 = 100;

/// The Python with the engines, which `make test` installs and sets.
fn python() -> Option<String> {
    let python = std::env::var("DEWPOND_TEST_PYTHON").ok();
    if python.is_none() {
        assert!(std::env::var("CI").is_err(), "CI runs this through `make test`, which sets DEWPOND_TEST_PYTHON");
        println!("skipped: run it through `make test`, which installs the engines");
    }
    python
}

/// How many random histories a test run has; a campaign sets more with `DEWPOND_READER_HISTORIES`.
fn histories() -> u64 {
    std::env::var("DEWPOND_READER_HISTORIES").ok().and_then(|histories| histories.parse().ok()).unwrap_or(2)
}

/// A version of the table and its rows, as we see them.
struct Version {
    number: u64,
    rows: Vec<Vec<Json>>,
}

/// The newest version; nothing may be pending.
async fn newest(engine: &Engine) -> Version {
    let view = engine.view().await.unwrap();
    assert!(view.snapshot().pending.is_empty());
    let answer = view.session(&Scope::Lake).unwrap().query(SQL, &[]).await.unwrap();
    Version { number: view.snapshot().events.version.unwrap(), rows: to_json_rows(&answer).unwrap() }
}

/// Checks that every engine sees these versions as we do. The last one is the newest.
async fn check_readers(python: &str, table: &Path, versions: &[Version]) {
    let newest = versions.last().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let numbers = versions.iter().map(|version| version.number.to_string());
    let output = Command::new(python).arg(script).arg(table).args(numbers).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = text.lines();
    for (asked, expected) in
        [(None, newest)].into_iter().chain(versions.iter().map(|version| (Some(version.number), version)))
    {
        for engine in ENGINES {
            let read: Json = serde_json::from_str(lines.next().expect("a line for each version and engine")).unwrap();
            assert_eq!(read["engine"], engine);
            if asked.is_some() || !read["version"].is_null() {
                assert_eq!(read["version"], expected.number, "the version that {engine} sees");
            }
            let rows = read["rows"].as_array().unwrap();
            assert_eq!(rows.len(), expected.rows.len(), "rows by {engine} of version {asked:?}");
            for (row, expected) in rows.iter().zip(&expected.rows) {
                assert_eq!(row.as_array().unwrap(), expected, "a row by {engine} of version {asked:?}");
            }
        }
    }
}

/// What `docs/OPERATIONS.md` says of following the table, through deltalake.
#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_table_gets_each_event_once_through_merges_and_removals() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let location = lake.to_str().unwrap();
    let mut expected = Vec::new();
    for round in 0..4_u128 {
        let file = dir.path().join("events.ndjson");
        let ids: Vec<Uuid> = (0..3).map(|n| Uuid::from_u128(round * 10 + n + 1)).collect();
        let line = |id: &Uuid| {
            format!(
                "{{\"event_id\":\"{id}\",\"name\":\"a\",\"user_id\":\"u{round}\",\"timestamp\":\"2026-03-01T12:00:00Z\"}}\n"
            )
        };
        std::fs::write(&file, ids.iter().map(line).collect::<String>()).unwrap();
        run_well(&["import", "--lake", location, "--site", "shop", file.to_str().unwrap()], &[]).await;
        // Publishes, and merges what was published before.
        run_well(&["compactor", "--lake", location, "--once"], &[]).await;
        expected.push(ids.iter().map(|id| id.simple().to_string()).collect::<Vec<_>>());
    }
    run_well(&["lake", "erase", "--lake", location, "--site", "shop", "--user", "u1"], &[]).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/follow.py");
    let output = Command::new(python).arg(script).arg(lake.join("events")).arg("0").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<Json> =
        lines.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["ids"].clone()).collect();
    assert_eq!(found, expected.into_iter().map(Json::from).collect::<Vec<_>>());
    let history = run_well(&["lake", "history", "--lake", location], &[]).await;
    assert!(history.contains("OPTIMIZE") && history.contains("DELETE"), "a test of both: {history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deltalake_polars_and_duckdb_read_what_was_imported_and_compacted() {
    let Some(python) = python() else { return };
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
    let engine = Engine::new(Lake::open(lake, []).unwrap(), &EngineSettings::default()).unwrap();
    let version = newest(&engine).await;
    assert_eq!(version.rows.len(), 600);
    check_readers(&python, &dir.path().join("lake/events"), &[version]).await;

    // The compactor has made a pass today, after the first of the imports.
    let compactor = Compactor::new(engine.clone(), Defaults::parse_from(["test"]).compactor, Arc::new(Utc::now));
    compactor.keep_sessions().await.unwrap();
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    let by_day =
        "SELECT CAST(date AS TEXT), count(*), sum(events), sum(page_views) FROM sessions GROUP BY 1 ORDER BY 1";
    let days = to_json_rows(&session.query(by_day, &[]).await.unwrap()).unwrap();
    assert_eq!(days.len(), 3, "a test of several days");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sessions.py");
    let output = Command::new(&python).arg(script).arg(dir.path().join("lake/sessions")).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let read: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let engines: Vec<&Json> = read.iter().map(|read| &read["engine"]).collect();
    assert_eq!(engines, ["deltalake", "polars", "duckdb"]);
    for read in &read {
        assert_eq!(read["days"], Json::from(days.clone()), "the sessions that {} reads", read["engine"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_engines_see_every_version_of_random_histories_as_we_do() {
    let Some(python) = python() else { return };
    let seed = std::env::var("DEWPOND_READER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u32 = seed.unwrap_or_else(|| rand::rng().random());
    println!("DEWPOND_READER_SEED={seed}");
    for history in 0..histories() {
        let rng = StdRng::seed_from_u64(u64::from(seed) + history);
        // The first one crosses a checkpoint.
        let versions = if history == 0 { CHECKPOINT_VERSION + 5 } else { 12 };
        run_history(&python, rng, versions).await;
    }
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    compactor: CompactorSettings,
}

/// Appends events (some twice), publishes, merges, erases, expires and vacuums at random until the table has this many
/// versions. Then the engines read all versions whose files still exist.
async fn run_history(python: &str, mut rng: StdRng, versions: u64) {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::open(dir.path().join("lake").to_str().unwrap(), []).unwrap();
    let engine = Engine::new(lake.clone(), &EngineSettings::default()).unwrap();
    let settings = Defaults::parse_from(["test"]).compactor;
    let settings = CompactorSettings {
        merge_target_bytes: 64 << 10,
        raw_grace: Duration::ZERO,
        replaced_grace: Duration::ZERO,
        ..settings
    };
    // All dates are sealed, so two files of a date are enough for a merge.
    let sealed = || "2200-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let compactor = Compactor::new(engine.clone(), settings, Arc::new(sealed));
    let mut lane = Lane::start(lake.clone(), LaneId(Uuid::from_u128(rng.random())), LaneSettings::default());
    // Asking the engines for every version would take long: those around the checkpoint and at the end.
    let is_asked = |version: u64| version.abs_diff(CHECKPOINT_VERSION) <= 3 || version + 8 > versions;
    let table = lake.table(&EVENTS);
    let see = async |seen: &mut Vec<Version>| {
        let number = table.load().await.unwrap().version.unwrap();
        if is_asked(number) && seen.last().is_none_or(|last| last.number < number) {
            seen.push(newest(&engine).await);
        }
        number
    };
    lake.add_site("blog", Utc::now()).await.unwrap();
    let (mut seen, mut version, mut sent) = (Vec::new(), 0, Vec::new());
    while version < versions {
        if rng.random_bool(0.05) {
            compactor.vacuum().await.unwrap();
            // Files of older versions may be gone; those of the newest must not be.
            seen.drain(..seen.len().saturating_sub(1));
        }
        let mut batch = RawBatch::default();
        for _ in 0..rng.random_range(1..6) {
            sent.push(random_event(&mut rng));
            batch.push(sent.last().unwrap());
            if rng.random_bool(0.2) {
                batch.push(&sent[rng.random_range(0..sent.len())]);
            }
        }
        (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
        compactor.publish().await.unwrap();
        version = see(&mut seen).await;
        if rng.random_bool(0.2) {
            compactor.merge().await.unwrap();
            version = see(&mut seen).await;
        }
        if rng.random_bool(0.1) {
            let id = PersonId::User(USERS[rng.random_range(0..USERS.len())].into());
            compactor.erase(&Person { site_id: "shop".into(), id }).await.unwrap();
            version = see(&mut seen).await;
        }
        if rng.random_bool(0.05) {
            // Expire events from years before the compactor's time, then keep everything again.
            lake.set_retention("blog", Some(30)).await.unwrap();
            compactor.remove().await.unwrap();
            lake.set_retention("blog", None).await.unwrap();
            version = see(&mut seen).await;
        }
    }
    check_readers(python, &dir.path().join("lake/events"), &seen).await;
}

const USERS: [&str; 4] = ["ada", "bob", "eve", "mia"];

fn random_event(rng: &mut StdRng) -> Event {
    let days = rng.random_range(0..3);
    let at_us = 1_772_366_400_000_000 + days * 86_400_000_000 + rng.random_range(0..40_000_000_000);
    const TITLES: [&str; 5] = ["", "ä 🦀 \u{1}", "null", "a 'quoted' \"title\"", "%2F?#&"];
    Event {
        event_id: EventId(rng.random()),
        site_id: if rng.random_bool(0.5) { "shop".into() } else { "blog".into() },
        name: "page_view".into(),
        occurred_at_us: at_us,
        received_at_us: at_us + rng.random_range(0..1_000),
        visitor_id: rng.random_bool(0.8).then(|| rng.random()),
        user_id: rng.random_bool(0.5).then(|| USERS[rng.random_range(0..USERS.len())].to_owned()),
        title: rng.random_bool(0.7).then(|| TITLES[rng.random_range(0..TITLES.len())].to_owned()),
        revenue_e4: rng
            .random_bool(0.5)
            .then(|| rng.random_range(-999_999_999_999_999_999_i128..=999_999_999_999_999_999)),
        protocol: "native",
        ..Event::default()
    }
}
