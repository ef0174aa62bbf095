//! What becomes of events after they were published: damage, erasure, retention, new columns.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use compactor::Compactor;
use futures::TryStreamExt;
use lake::{CheckSettings, EVENTS, Person, PersonId, REPORTS};
use object_store::ObjectStoreExt;
use serde_json::{Value as Json, json};

use crate::clients::{client, events, post_accepted};
use crate::role::{run, run_well};
use crate::world::{World, compactor_settings, number};

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
async fn an_erasure_that_crashed_lets_no_late_copy_back() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    let untimed = |id: &str| json!({"event_id": id, "name": "page_view", "user_id": "ada"});
    post_accepted(&client, url, &world.key, &untimed("published")).await;
    world.compactor.publish().await.unwrap();
    post_accepted(&client, url, &world.key, &untimed("pending")).await;

    // The crash: the person is on the list, and none of their events.
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    world.lake.forget(&ada, [], Utc::now()).await.unwrap();
    // The compactor goes on before anybody repeats the erasure: nothing of the events is left to be found.
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
    let an_hour_behind = std::sync::Arc::new(|| Utc::now() - TimeDelta::hours(1));
    let settings = crate::world::compactor_settings();
    let eraser = compactor::Compactor::new(world.engine.clone(), settings, an_hour_behind);
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

/// An event of so many days ago.
fn old_event(site: &str, days: i64, number: usize) -> lake::Event {
    let occurred = Utc::now() - TimeDelta::days(days);
    lake::Event {
        event_id: lake::EventId::from_client(&format!("{site} {days} {number}")),
        site_id: site.into(),
        name: "page_view".into(),
        occurred_at_us: occurred.timestamp_micros(),
        received_at_us: occurred.timestamp_micros() + 1,
        protocol: "native",
        ..lake::Event::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_older_than_their_site_keeps_leave_and_others_stay() {
    let world = World::start(1).await;
    world.lake.add_site("other", Utc::now()).await.unwrap();
    let mut lane = lake::Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for (site, days) in [("shop", 500), ("shop", 10), ("other", 500), ("other", 10)] {
        let mut batch = lake::RawBatch::default();
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
async fn a_clock_that_is_ahead_removes_no_event_before_its_time() {
    let world = World::start(0).await;
    let mut lane = lake::Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for days in [500, 10] {
        let mut batch = lake::RawBatch::default();
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
    let queries = crate::role::queries_dir();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_of_the_table_keeps_no_other_from_being_merged_and_no_site_from_expiring() {
    let world = World::start(0).await;
    world.lake.add_site("blog", Utc::now()).await.unwrap();
    let mut lane = lake::Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for number in 0..2 {
        for (sites, days) in [(&["blog"][..], 500), (&["shop"], 600), (&["shop", "blog"], 10)] {
            let mut batch = lake::RawBatch::default();
            for site in sites {
                batch.push(&old_event(site, days, number));
            }
            (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
            world.compactor.publish().await.unwrap();
        }
    }
    let table = world.lake.table(&EVENTS);
    let torn = table.load().await.unwrap().files.iter().max_by_key(|file| file.date).unwrap().clone();
    world.lake.store().put(&torn.path, "torn".into()).await.unwrap();

    // The newest date comes first, and is the one with the damage.
    world.compactor.merge().await.unwrap_err();
    let files = table.load().await.unwrap().files.clone();
    assert_eq!(files.len(), 4, "the other two dates are one file each: {files:?}");
    assert!(files.contains(&torn));

    // So is the site: its file has events of the other, too, and must be read.
    world.lake.set_retention("shop", Some(5)).await.unwrap();
    world.lake.set_retention("blog", Some(400)).await.unwrap();
    world.compactor.remove().await.unwrap_err();
    let files = table.load().await.unwrap().files.clone();
    let dates: Vec<i64> = files.iter().map(|file| (Utc::now().date_naive() - file.date.unwrap()).num_days()).collect();
    assert!(dates.iter().all(|days| *days <= 11), "the old dates are gone: {dates:?}");
    assert_eq!(
        (files.len(), files.iter().map(|file| file.rows).sum::<u64>()),
        (2, 3),
        "and what of that date can be read"
    );

    // A file that is lost is no other case: others are merged, and the job fails.
    world.lake.store().delete(&torn.path).await.unwrap();
    for number in 0..2 {
        let mut batch = lake::RawBatch::default();
        batch.push(&old_event("blog", 100, number));
        (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
        world.compactor.publish().await.unwrap();
    }
    assert_eq!(table.load().await.unwrap().files.len(), 4);
    world.compactor.merge().await.unwrap_err();
    assert_eq!(table.load().await.unwrap().files.len(), 3);

    // Whoever is erased is on the list, though the file cannot be looked into.
    world.compactor.remove().await.unwrap_err();
    let ada = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
    world.compactor.erase(&ada).await.unwrap_err();
    let erasures = world.lake.erasures_of(&table.load().await.unwrap()).await.unwrap();
    assert!(!erasures.is_empty() && erasures.are_unfinished());
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

/// Makes a lake look as if an earlier release had made it, which did not know the column `sdk`.
async fn forget_the_column_sdk(lake: &lake::Lake) {
    use arrow::array::RecordBatch;
    let store = lake.store();
    let entry = |version: u64| object_store::path::Path::from(format!("events/_delta_log/{version:020}.json"));
    let read = async |path: &object_store::path::Path| {
        let bytes = store.get(path).await.unwrap().bytes().await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    };
    let first = read(&entry(0)).await;
    let sdk = r#",{\"name\":\"sdk\",\"type\":\"string\",\"nullable\":true,\"metadata\":{}}"#;
    assert!(first.contains(sdk), "{first}");
    store.put(&entry(0), first.replace(sdk, "").into()).await.unwrap();

    let file = lake.table(&EVENTS).load().await.unwrap().files[0].clone();
    let columns: Vec<&str> = EVENTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let kept: Vec<&str> = columns.into_iter().filter(|name| *name != "sdk").collect();
    let rows = lake::read_batches(store.clone(), &file.path, file.size_bytes, &kept).await.unwrap();
    let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
    let mut bytes = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    let second = read(&entry(1)).await;
    let (before, after) = (format!("\"size\":{}", file.size_bytes), format!("\"size\":{}", bytes.len()));
    assert!(second.contains(&before), "{second}");
    store.put(&entry(1), second.replace(&before, &after).into()).await.unwrap();
    store.put(&file.path, bytes.into()).await.unwrap();
    delete_checksums(lake).await;
}

/// What the kernel would believe instead of the log's first entry.
async fn delete_checksums(lake: &lake::Lake) {
    let store = lake.store();
    let log: Vec<_> = store.list(Some(&"events/_delta_log".into())).try_collect().await.unwrap();
    for object in log.into_iter().filter(|object| object.location.extension() == Some("crc")) {
        store.delete(&object.location).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_an_old_lake_lacks_comes_by_itself() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0].clone());
    post_accepted(&client, url, &world.key, &by("ada", "old")).await;
    world.compactor.publish().await.unwrap();
    forget_the_column_sdk(&world.lake).await;

    let lake =
        lake::Lake::with_store(world.lake.store(), world.lake.url(), rand::SeedableRng::seed_from_u64(1)).unwrap();
    let world = World { engine: engine::Engine::new(lake.clone(), &Default::default()).unwrap(), lake, ..world };
    assert_eq!(world.number("SELECT count(*) FROM events WHERE sdk IS NULL").await, 1, "old files keep reading");
    let event =
        json!({"event_id": "new", "name": "page_view", "user_id": "ada", "sdk": "mine/1", "timestamp": Utc::now()});
    post_accepted(&client, url, &world.key, &event).await;
    let settings = crate::world::compactor_settings();
    let compactor = compactor::Compactor::new(world.engine.clone(), settings, std::sync::Arc::new(Utc::now));
    compactor.publish().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM events").await, 2);
    let bob = Person { site_id: "shop".into(), id: PersonId::User("bob".into()) };
    compactor.erase(&bob).await.unwrap();
    let newest = world.lake.table(&EVENTS).load().await.unwrap().version.unwrap();
    let mut log = String::new();
    for version in 2..=newest {
        let path = object_store::path::Path::from(format!("events/_delta_log/{version:020}.json"));
        let bytes = world.lake.store().get(&path).await.unwrap().bytes().await.unwrap();
        log.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(log.matches(r#"\"name\":\"sdk\""#).count(), 1, "one commit adds the column: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_with_columns_of_a_later_release_is_not_written_to() {
    let world = World::start(1).await;
    let (client, url) = (client(), &world.collectors[0]);
    post_accepted(&client, url, &world.key, &by("ada", "1")).await;
    world.compactor.publish().await.unwrap();
    let (store, first) =
        (world.lake.store(), object_store::path::Path::from("events/_delta_log/00000000000000000000.json"));
    let entry = String::from_utf8(store.get(&first).await.unwrap().bytes().await.unwrap().to_vec()).unwrap();
    let later = entry.replace(r#"\"name\":\"sdk\""#, r#"\"name\":\"novelty\""#);
    assert_ne!(entry, later);
    store.put(&first, later.into()).await.unwrap();
    delete_checksums(&world.lake).await;

    let lake = lake::Lake::with_store(store, world.lake.url(), rand::SeedableRng::seed_from_u64(1)).unwrap();
    let engine = engine::Engine::new(lake, &Default::default()).unwrap();
    let compactor =
        compactor::Compactor::new(engine, crate::world::compactor_settings(), std::sync::Arc::new(Utc::now));
    post_accepted(&client, url, &world.key, &by("ada", "2")).await;
    let files = async || {
        let objects: Vec<_> = world.lake.store().list(Some(&"events".into())).try_collect().await.unwrap();
        objects.into_iter().filter(|object| object.location.extension() == Some("parquet")).count()
    };
    let before = files().await;
    let refused = compactor.publish().await.unwrap_err().to_string();
    assert!(refused.contains("novelty") && refused.contains("release"), "{refused}");
    assert_eq!(files().await, before, "nothing is written in vain, every ten seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_release_0_1_keeps_reading_and_growing() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lake-0.1.0");
    copy_dir(&fixture, dir.path());
    let lake = lake::Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    let engine = engine::Engine::new(lake.clone(), &Default::default()).unwrap();
    let compactor =
        compactor::Compactor::new(engine.clone(), crate::world::compactor_settings(), std::sync::Arc::new(Utc::now));
    let snapshot = lake.snapshot().await.unwrap();
    assert_eq!((snapshot.pending.len(), snapshot.events.version), (1, Some(3)));
    for step in ["as it was", "published", "merged", "expired"] {
        // 20 events are pending, 6 of which are copies of published ones.
        assert_eq!(number(&engine, "SELECT count(*) FROM events").await, 84, "{step}");
        assert_eq!(number(&engine, "SELECT count(DISTINCT event_id) FROM events").await, 84, "{step}");
        assert_eq!(number(&engine, "SELECT count(*) FROM reports").await, 18, "{step}");
        match step {
            "as it was" => assert_eq!(compactor.publish().await.unwrap().duplicates(), 6),
            "published" => assert!(compactor.merge().await.unwrap().files_in > 0),
            _ => drop(compactor.remove().await.unwrap()),
        }
        let settings = CheckSettings { now: Utc::now(), spill_dir: std::env::temp_dir(), repair: false };
        let checked = lake.check(&[&EVENTS, &REPORTS], &settings).await.unwrap();
        assert!(!checked.has_errors(), "{step}: {:#?}", checked.findings);
    }
    assert!(lake.sites().await.unwrap().has_site("shop"));
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => {
                std::fs::create_dir_all(&to).unwrap();
                copy_dir(&from, &to);
            }
            false => drop(std::fs::copy(&from, &to).unwrap()),
        }
    }
}
