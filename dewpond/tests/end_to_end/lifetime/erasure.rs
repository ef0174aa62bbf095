//! An erased person's events leave answers at once and the store after a purge, and no late copy brings them back.

use std::path::Path;
use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use compactor::Compactor;
use lake::{EVENTS, Person, PersonId};
use serde_json::{Value as Json, json};

use super::by;
use crate::harness::clients::{client, post_accepted};
use crate::harness::role::{run, run_well};
use crate::harness::world::{World, compactor_settings};

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_and_late_copies_do_not_come_back() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    let untimed = |id: &str| json!({"event_id": id, "name": "page_view", "user_id": "ada"});
    let (published, pending, late) = (by("ada", "a1"), by("ada", "a2"), untimed("a3"));
    for event in [&published, &late, &by("bob", "b1")] {
        post_accepted(&client, url, &world.key, event).await;
    }
    world.compactor.publish().await.unwrap();
    for event in [&pending, &by("bob", "b2")] {
        post_accepted(&client, url, &world.key, event).await;
    }
    assert_eq!(world.number("SELECT count(*) FROM events").await, 5);

    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    let done = world.compactor.erase(&ada).await.unwrap();
    assert_eq!((done.published.rows, done.pending_rows), (2, 1));
    let theirs = "SELECT count(*) FROM events WHERE user_id = 'ada'";
    assert_eq!((world.number("SELECT count(*) FROM events").await, world.number(theirs).await), (2, 0));

    // Late copies of erased events, with and without a time of their own.
    for event in [&published, &pending, &late] {
        post_accepted(&client, url, &world.key, event).await;
    }
    for step in ["pending", "published"] {
        assert_eq!(world.number(theirs).await, 0, "{step}");
        world.compactor.publish().await.unwrap();
    }
    // New events of the same person count again.
    post_accepted(&client, url, &world.key, &by("ada", "a4")).await;
    assert_eq!(world.number(theirs).await, 1);
    world.compactor.publish().await.unwrap();
    assert_eq!((world.number("SELECT count(*) FROM events").await, world.number(theirs).await), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_crashed_lets_no_late_copy_back() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    let untimed = |id: &str| json!({"event_id": id, "name": "page_view", "user_id": "ada"});
    post_accepted(&client, url, &world.key, &untimed("published")).await;
    world.compactor.publish().await.unwrap();
    post_accepted(&client, url, &world.key, &untimed("pending")).await;

    // The crash: the list has the person but none of their events.
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    world.lake.record_erasure(&ada, [], Utc::now()).await.unwrap();
    // The compactor completes it before anybody repeats the erasure, so no event is left to be found.
    world.compactor.publish().await.unwrap();
    assert_eq!(world.compactor.remove().await.unwrap().rows, 1);
    world.compactor.erase(&ada).await.unwrap();

    for id in ["published", "pending"] {
        post_accepted(&client, url, &world.key, &untimed(id)).await;
    }
    for step in ["pending", "published"] {
        assert_eq!(world.number("SELECT count(*) FROM events").await, 0, "{step}");
        world.compactor.publish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lake_has_is_erased_though_the_erasers_clock_is_behind_and_what_comes_then_is_not() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    post_accepted(&client, url, &world.key, &by("ada", "published")).await;
    world.compactor.publish().await.unwrap();
    for event in [by("ada", "pending"), by("bob", "other")] {
        post_accepted(&client, url, &world.key, &event).await;
    }
    let an_hour_behind = Arc::new(|| Utc::now() - TimeDelta::hours(1));
    let settings = compactor_settings();
    let eraser = Compactor::new(world.engine.clone(), settings, an_hour_behind);
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    let done = eraser.erase(&ada).await.unwrap();
    assert_eq!((done.published.rows, done.pending_rows), (1, 1));

    post_accepted(&client, url, &world.key, &by("ada", "later")).await;
    post_accepted(&client, url, &world.key, &by("ada", "pending")).await;
    for step in ["pending", "published"] {
        assert_eq!(world.number("SELECT count(*) FROM events").await, 2, "{step}");
        assert_eq!(world.number("SELECT count(*) FROM events WHERE user_id = 'ada'").await, 1, "{step}");
        world.compactor.publish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_no_byte_of_the_person_in_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let (lake, file) = (lake.to_str().unwrap(), dir.path().join("events.ndjson"));
    let line = |user: &str, n: usize| {
        json!({
            "event_id": format!("{user}{n}"), "name": "page_view", "user_id": user,
            "anonymous_id": format!("device of {user}"), "timestamp": Utc::now(),
        })
        .to_string()
    };
    run_well(&["site", "add", "shop", "--lake", lake], &[]).await;
    let import = async |numbers: std::ops::Range<usize>| {
        let lines: Vec<String> = numbers.flat_map(|n| [line("ada.lovelace", n), line("bob", n)]).collect();
        std::fs::write(&file, lines.join("\n")).unwrap();
        run_well(&["import", "--lake", lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
    };
    import(0..50).await;
    run_well(&["compactor", "--lake", lake, "--once"], &[]).await;
    import(50..60).await;
    assert!(holds(dir.path().join("lake").as_path(), "ada.lovelace"), "the check can see what is there");

    let told = run_well(
        &["lake", "erase", "--lake", lake, "--site", "shop", "--user", "ada.lovelace", "--purge", "--json"],
        &[],
    )
    .await;
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["rows_removed"], &told["pending_rows_removed"]), (&json!(50), &json!(10)), "{told}");
    assert!(!holds(dir.path().join("lake").as_path(), "ada.lovelace"));
    let count = ["query", "--lake", lake, "--format", "csv", "-e", "SELECT count(*) AS n FROM events"];
    assert_eq!(run_well(&count, &[]).await.trim(), "n\n60");

    let bob = ["lake", "erase", "--lake", lake, "--site", "shop", "--anonymous", "device of bob", "--purge"];
    let told = run_well(&bob, &[]).await;
    assert!(told.contains("60 published events"), "{told}");
    assert!(!holds(dir.path().join("lake").as_path(), "bob"));
    assert_eq!(run_well(&count, &[]).await.trim(), "n\n0");

    let (succeeded, _, told) = run(&["lake", "erase", "--lake", lake, "--site", "shop"], &[]).await;
    assert!(!succeeded && told.contains("--user"), "{told}");
    let (succeeded, _, told) = run(&["lake", "erase", "--lake", lake, "--site", "shpo", "--user", "ada"], &[]).await;
    assert!(!succeeded && told.contains("there is no site shpo"), "{told}");
    let (succeeded, _, told) = run(&["lake", "erase", "--lake", lake, "--site", "shop", "--user", ""], &[]).await;
    assert!(!succeeded && told.contains("empty"), "{told}");
}

/// Whether any file in a directory contains a text: in its bytes, or in a column if it is Parquet.
fn holds(dir: &Path, text: &str) -> bool {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    std::fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, text);
        }
        let bytes = std::fs::read(&path).unwrap();
        let in_rows = || {
            let Ok(file) = SerializedFileReader::new(bytes::Bytes::from(bytes.clone())) else { return false };
            file.get_row_iter(None).unwrap().any(|row| row.unwrap().to_string().contains(text))
        };
        bytes.windows(text.len()).any(|window| window == text.as_bytes()) || in_rows()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_erasure_leaves_is_still_sorted_and_counted() {
    let world = World::start(1).await;
    let users = ["ada", "bob", "eve"];
    let body = Json::Array((0..90).map(|n| by(users[n % 3], &n.to_string())).collect());
    post_accepted(&client(), &world.collectors[0], &world.key, &body).await;
    world.compactor.publish().await.unwrap();
    let bob = Person { site_id: "shop".into(), id: PersonId::User("bob".into()) };
    assert_eq!(world.compactor.erase(&bob).await.unwrap().published.rows, 30);
    let table = world.lake.table(&EVENTS).load().await.unwrap();
    assert_eq!((table.rows(), world.number("SELECT count(*) FROM events").await), (60, 60));
    let visitors = "SELECT count(DISTINCT visitor_id) FROM events";
    assert_eq!(world.number(visitors).await, 2);
}
