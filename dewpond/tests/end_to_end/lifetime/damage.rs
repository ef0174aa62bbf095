//! A damaged file is put aside or reported, and does not stop work on other files.

use chrono::Utc;
use lake::{EVENTS, Lane, Person, PersonId, RawBatch};
use object_store::ObjectStoreExt;
use serde_json::Value as Json;

use super::old_event;
use crate::harness::clients::{client, events, post_accepted};
use crate::harness::world::World;

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
    // One file is truncated. In another, a page of a column outside the key is overwritten.
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

    // A truncated file does not stop a query either.
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
    let mut lane = Lane::start(world.lake.clone(), world.lake.new_lane_id(Utc::now()), Default::default());
    for number in 0..2 {
        for (sites, days) in [(&["blog"][..], 500), (&["shop"], 600), (&["shop", "blog"], 10)] {
            let mut batch = RawBatch::default();
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

    // The newest date, which has the damage, comes first.
    world.compactor.merge().await.unwrap_err();
    let files = table.load().await.unwrap().files.clone();
    assert_eq!(files.len(), 4, "the other two dates are one file each: {files:?}");
    assert!(files.contains(&torn));

    // The damaged file also has events of the other site, so it must be read.
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

    // A lost file is the same case: the others are merged, and the job fails.
    world.lake.store().delete(&torn.path).await.unwrap();
    for number in 0..2 {
        let mut batch = RawBatch::default();
        batch.push(&old_event("blog", 100, number));
        (lane, _) = lane.append(batch.encode(), Utc::now()).await.unwrap();
        world.compactor.publish().await.unwrap();
    }
    assert_eq!(table.load().await.unwrap().files.len(), 4);
    world.compactor.merge().await.unwrap_err();
    assert_eq!(table.load().await.unwrap().files.len(), 3);

    // The erased person is on the list although the file cannot be read.
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
