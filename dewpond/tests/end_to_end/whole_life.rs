//! What becomes of events after they were published: damage, erasure, retention, new columns.

use chrono::{TimeDelta, Utc};
use lake::{EVENTS, Person, PersonId};
use object_store::ObjectStoreExt;
use serde_json::{Value as Json, json};

use crate::clients::{client, events, post_accepted};
use crate::role::{run, run_well};
use crate::world::World;

fn by(user: &str, id: &str) -> Json {
    json!({"event_id": id, "name": "page_view", "user_id": user, "timestamp": Utc::now()})
}

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

    // Copies of what was erased, sent late: with a time of their own, and without one.
    for event in [&published, &pending, &late] {
        post_accepted(&client, url, &world.key, event).await;
    }
    for step in ["pending", "published"] {
        assert_eq!(world.number(theirs).await, 0, "{step}");
        world.compactor.publish().await.unwrap();
    }
    // They may come back as somebody new.
    post_accepted(&client, url, &world.key, &by("ada", "a4")).await;
    assert_eq!(world.number(theirs).await, 1);
    world.compactor.publish().await.unwrap();
    assert_eq!((world.number("SELECT count(*) FROM events").await, world.number(theirs).await), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_leaves_no_byte_of_the_person_in_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let (lake, file) = (lake.to_str().unwrap(), dir.path().join("events.ndjson"));
    let line = |user: &str, n: usize| {
        json!({"event_id": format!("{user}{n}"), "name": "page_view", "user_id": user, "timestamp": Utc::now()})
            .to_string()
    };
    let lines: Vec<String> = (0..50).flat_map(|n| [line("ada.lovelace", n), line("bob", n)]).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    run_well(&["site", "add", "shop", "--lake", lake], &[]).await;
    run_well(&["import", "--lake", lake, "--site", "shop", file.to_str().unwrap()], &[]).await;
    run_well(&["compactor", "--lake", lake, "--once"], &[]).await;
    assert!(holds(dir.path().join("lake").as_path(), "ada.lovelace"), "the check can see what is there");

    let told = run_well(
        &["lake", "erase", "--lake", lake, "--site", "shop", "--user", "ada.lovelace", "--purge", "--json"],
        &[],
    )
    .await;
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(told["rows_removed"], 50, "{told}");
    assert!(!holds(dir.path().join("lake").as_path(), "ada.lovelace"));
    let count = ["query", "--lake", lake, "--format", "csv", "-e", "SELECT count(*) AS n FROM events"];
    assert_eq!(run_well(&count, &[]).await.trim(), "n\n50");
    let (succeeded, _, told) = run(&["lake", "erase", "--lake", lake, "--site", "shop"], &[]).await;
    assert!(!succeeded && told.contains("--user"), "{told}");
}

/// Whether any file of a directory has a text: in its bytes, or in a column of it if it is Parquet.
fn holds(dir: &std::path::Path, text: &str) -> bool {
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
async fn events_older_than_their_site_keeps_leave_and_others_stay() {
    let world = World::start(1).await;
    world.lake.add_site("other", Utc::now()).await.unwrap();
    let mut lane = lake::Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for (site, days) in [("shop", 500), ("shop", 10), ("other", 500), ("other", 10)] {
        let mut batch = lake::RawBatch::default();
        let occurred = Utc::now() - TimeDelta::days(days);
        batch.push(&lake::Event {
            event_id: lake::EventId::from_client(&format!("{site} {days}")),
            site_id: site.into(),
            name: "page_view".into(),
            occurred_at_us: occurred.timestamp_micros(),
            received_at_us: occurred.timestamp_micros() + 1,
            protocol: "native",
            ..lake::Event::default()
        });
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
async fn damaged_raw_files_are_put_aside_and_the_rest_goes_on() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    for batch in 0..4 {
        let body = Json::Array(events((0..10).map(|n| format!("{batch} {n}"))));
        post_accepted(&client, url, &world.key, &body).await;
    }
    let raw = world.lake.snapshot().await.unwrap().pending;
    assert_eq!(raw.len(), 4);
    let store = world.lake.store();
    let bytes = async |n: usize| store.get(&raw[n].path).await.unwrap().bytes().await.unwrap().to_vec();
    // One is torn; in one, a page of a column that is no key is overwritten.
    let torn = bytes(1).await;
    store.put(&raw[1].path, torn[..torn.len() / 2].to_vec().into()).await.unwrap();
    let mut overwritten = bytes(2).await;
    for (at, len) in pages_of(&overwritten, "protocol") {
        overwritten[at..at + len].fill(0xff);
    }
    store.put(&raw[2].path, overwritten.clone().into()).await.unwrap();

    let published = world.compactor.publish().await.unwrap();
    assert_eq!((published.raw_files, published.rows_published), (4, 20));
    assert_eq!(world.number("SELECT count(*) FROM events").await, 20);
    let aside = raw[2].path.as_ref().replacen("raw/", "damaged/", 1);
    let kept = store.get(&aside.as_str().into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(kept, overwritten, "nothing is lost");

    // A torn file does not stand in the way of a query either.
    post_accepted(&client, url, &world.key, &Json::Array(events(["5".to_owned()]))).await;
    post_accepted(&client, url, &world.key, &Json::Array(events(["6".to_owned()]))).await;
    let pending = world.lake.snapshot().await.unwrap().pending;
    store.put(&pending[0].path, "torn".into()).await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM events").await, 21);
}

/// Where the pages of a column lie in a Parquet file.
fn pages_of(file: &[u8], column: &str) -> Vec<(usize, usize)> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(bytes::Bytes::from(file.to_vec())).unwrap();
    let chunks = reader.metadata().row_groups().iter().flat_map(|group| group.columns());
    chunks
        .filter(|chunk| chunk.column_path().string() == column)
        .map(|chunk| chunk.byte_range())
        .map(|(start, length)| (start as usize, length as usize))
        .collect()
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
