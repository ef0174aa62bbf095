//! What a lake exports, another lake imports as it was.

use std::path::{Path, PathBuf};

use chrono::Utc;
use lake::{Event, EventId, Lake, Lane, LaneSettings, PROTOCOLS, RawBatch, Source, event_columns};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::harness::role::run_well;

/// Each column of the table with values of its type, so a column that is added later is covered too.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_exported_is_imported_with_every_column_as_it_was() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let original = of("original");
    write(&original, (0..400).map(|_| random_event(&mut rng)).collect()).await;
    let expected = rows(&original).await;
    assert_eq!(expected.lines().count(), 400);

    let mut exports = vec![("raw files", files_below(&dir.path().join("original/raw")))];
    for format in ["parquet", "ndjson", "csv"] {
        let file = of(&format!("events.{format}"));
        run_well(
            &["query", "-e", "SELECT * FROM events", "--lake", &original, "--format", format, "--output", &file],
            &[],
        )
        .await;
        exports.push((format, vec![file.into()]));
    }
    run_well(&["compactor", "--lake", &original, "--once"], &[]).await;
    exports.push(("files of the table", files_below(&dir.path().join("original/events"))));
    for (export, files) in exports {
        let copy = of(&format!("copy of {export}"));
        assert!(!files.is_empty(), "{export}");
        for _ in 0..2 {
            let mut args = vec!["import", "--lake", &copy, "--site", "shop"];
            args.extend(files.iter().map(|file| file.to_str().unwrap()));
            run_well(&args, &[]).await;
            let copied = rows(&copy).await;
            for (copied, expected) in copied.lines().zip(expected.lines()) {
                assert_eq!(copied, expected, "{export}");
            }
            assert_eq!(copied.lines().count(), 400, "{export}");
        }
    }
}

async fn rows(lake: &str) -> String {
    let sql = "SELECT * FROM events ORDER BY event_id";
    run_well(&["query", "-e", sql, "--lake", lake, "--format", "ndjson"], &[]).await
}

async fn write(lake: &str, events: Vec<Event>) {
    let lake = Lake::open(lake, []).unwrap();
    lake.ensure_site("shop", Utc::now()).await.unwrap();
    let mut batch = RawBatch::default();
    events.iter().for_each(|event| assert!(batch.push(event)));
    let lane = Lane::start(lake.clone(), lake.new_lane_id(Utc::now()), LaneSettings::default());
    lane.append(batch.encode(), Utc::now()).await.map_err(|error| error.to_string()).unwrap();
}

const DAY_US: i64 = 86_400_000_000;
const FIRST_US: i64 = 1_672_531_200_000_000;

/// An event with anything in each of its columns, as long as the table may hold it.
fn random_event(rng: &mut StdRng) -> Event {
    const TEXTS: [&str; 12] = [
        "null",
        "0",
        "007",
        "1.0",
        "true",
        "NaN",
        "ä 🦀 \u{1}",
        "a 'quoted' \"title\", \\ and more",
        "two\nlines\r\n",
        "%2F?#&",
        " ",
        "{\"a\":1}",
    ];
    let mut event = Event::default();
    for column in event_columns() {
        let is_some = column.required || rng.random_bool(0.6);
        match column.source {
            Source::Id => event.event_id = EventId(rng.random()),
            Source::Text(_, set) => {
                let text = match column.name {
                    "site_id" => "shop",
                    "protocol" => PROTOCOLS[rng.random_range(0..PROTOCOLS.len())],
                    "url" => "https://other.example/p?utm_source=s&utm_medium=email&utm_term=t",
                    "properties" => r#"{"a":1.0,"b":{"c":[12345678901234567890123,"\u0001"]},"plan":"pro"}"#,
                    _ => TEXTS[rng.random_range(0..TEXTS.len())],
                };
                // A name is not blank.
                set(&mut event, is_some.then(|| if column.name == "name" { format!("x{text}") } else { text.into() }));
            }
            Source::TimeUs(_, set) => set(&mut event, FIRST_US + rng.random_range(0..3 * DAY_US)),
            Source::Integer(_, set) => set(&mut event, is_some.then(|| rng.random())),
            Source::MoneyE4(_, set) => {
                let money = rng.random_range(-999_999_999_999_999_999_i128..=999_999_999_999_999_999);
                set(&mut event, is_some.then_some(money));
            }
            Source::Flag(_, set) => set(&mut event, rng.random()),
        }
    }
    event
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false if path.extension().is_some_and(|end| end == "parquet") => files.push(path),
            false => {}
        }
    }
    files.retain(|file| !file.to_str().unwrap().contains("_delta_log"));
    files
}
