//! Lakes of earlier releases keep reading and growing. Lakes with columns of a later release are not written to.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::Utc;
use compactor::Compactor;
use engine::Engine;
use futures::TryStreamExt;
use lake::{CheckSettings, EVENTS, Lake, Person, PersonId, TABLES, read_batches};
use object_store::ObjectStoreExt;
use object_store::path::Path as ObjectPath;
use rand::SeedableRng;
use serde_json::json;

use super::by;
use crate::harness::clients::{client, post_accepted};
use crate::harness::world::{World, compactor_settings, number};

/// Makes a lake look like one from an earlier release that did not know the column `sdk`.
async fn forget_the_column_sdk(lake: &Lake) {
    let store = lake.store();
    let entry = |version: u64| ObjectPath::from(format!("events/_delta_log/{version:020}.json"));
    let read = async |path: &ObjectPath| {
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
    let rows = read_batches(store.clone(), &file.path, file.size_bytes, &kept).await.unwrap();
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

/// Deletes the checksums, which the kernel would trust instead of reading the log's first entry.
async fn delete_checksums(lake: &Lake) {
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

    let lake = Lake::with_store(world.lake.store(), world.lake.url(), SeedableRng::seed_from_u64(1)).unwrap();
    let world = World { engine: Engine::new(lake.clone(), &Default::default()).unwrap(), lake, ..world };
    assert_eq!(world.number("SELECT count(*) FROM events WHERE sdk IS NULL").await, 1, "old files keep reading");
    let event =
        json!({"event_id": "new", "name": "page_view", "user_id": "ada", "sdk": "mine/1", "timestamp": Utc::now()});
    post_accepted(&client, url, &world.key, &event).await;
    let settings = compactor_settings();
    let compactor = Compactor::new(world.engine.clone(), settings, Arc::new(Utc::now));
    compactor.publish().await.unwrap();
    assert_eq!(world.number("SELECT count(*) FROM events").await, 2);
    let bob = Person { site_id: "shop".into(), id: PersonId::User("bob".into()) };
    compactor.erase(&bob).await.unwrap();
    let newest = world.lake.table(&EVENTS).load().await.unwrap().version.unwrap();
    let mut log = String::new();
    for version in 2..=newest {
        let path = ObjectPath::from(format!("events/_delta_log/{version:020}.json"));
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
    let (store, first) = (world.lake.store(), ObjectPath::from("events/_delta_log/00000000000000000000.json"));
    let entry = String::from_utf8(store.get(&first).await.unwrap().bytes().await.unwrap().to_vec()).unwrap();
    let later = entry.replace(r#"\"name\":\"sdk\""#, r#"\"name\":\"novelty\""#);
    assert_ne!(entry, later);
    store.put(&first, later.into()).await.unwrap();
    delete_checksums(&world.lake).await;

    let lake = Lake::with_store(store, world.lake.url(), SeedableRng::seed_from_u64(1)).unwrap();
    let engine = Engine::new(lake, &Default::default()).unwrap();
    let compactor = Compactor::new(engine, compactor_settings(), Arc::new(Utc::now));
    post_accepted(&client, url, &world.key, &by("ada", "2")).await;
    let files = async || {
        let objects: Vec<_> = world.lake.store().list(Some(&"events".into())).try_collect().await.unwrap();
        objects.into_iter().filter(|object| object.location.extension() == Some("parquet")).count()
    };
    let before = files().await;
    let refused = compactor.publish().await.unwrap_err().to_string();
    assert!(refused.contains("novelty") && refused.contains("release"), "{refused}");
    assert_eq!(files().await, before, "no file is written that cannot be committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_release_0_1_keeps_reading_and_growing() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lake-0.1.0");
    copy_dir(&fixture, dir.path());
    let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
    let engine = Engine::new(lake.clone(), &Default::default()).unwrap();
    let compactor = Compactor::new(engine.clone(), compactor_settings(), Arc::new(Utc::now));
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
        let checked = lake.check(&*TABLES, &settings).await.unwrap();
        assert!(!checked.has_errors(), "{step}: {:#?}", checked.findings);
    }
    assert!(lake.sites().await.unwrap().has_site("shop"));
}

fn copy_dir(from: &Path, to: &Path) {
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
