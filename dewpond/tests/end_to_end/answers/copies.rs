//! Copies in raw files of any shape: each event counts once, both pending and published.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use lake::{Event, EventId, Lane, LaneId, LaneSettings, RawBatch};
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::harness::world::World;

/// Events with these numbers, received when they happened or `earlier`.
pub(crate) fn batch(
    numbers: impl IntoIterator<Item = usize>,
    name: &str,
    at: DateTime<Utc>,
    earlier: TimeDelta,
) -> RawBatch {
    let mut batch = RawBatch::default();
    for number in numbers {
        let occurred = at + TimeDelta::milliseconds(number as i64);
        batch.push(&Event {
            event_id: EventId::from_client(&number.to_string()),
            site_id: "shop".into(),
            name: name.into(),
            occurred_at_us: occurred.timestamp_micros(),
            received_at_us: (occurred - earlier).timestamp_micros() + 1,
            protocol: "native",
            ..Event::default()
        });
    }
    batch
}

/// A new lane of raw files, without a collector.
pub(crate) fn lane(world: &World) -> Lane {
    Lane::start(world.lake.clone(), LaneId(uuid::Uuid::now_v7()), LaneSettings::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_counted_through_batches_and_row_groups() {
    const ROWS: usize = 3_000;
    let world = World::start(0).await;
    let now = Utc::now();
    let all = batch(0..ROWS, "later", now, TimeDelta::zero()).into_batch();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_100)).build();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, all.schema(), Some(properties)).unwrap();
    writer.write(&all).unwrap();
    assert_eq!(writer.close().unwrap().num_row_groups(), 3);
    // Around the boundaries of batches of 1 024 rows and of row groups.
    let first = [0, 1, 1_023, 1_024, 1_099, 1_100, 2_199, 2_200, ROWS - 1];
    let copies = batch(first, "first", now, TimeDelta::zero());
    lane(&world).append(copies.encode(), now).await.unwrap();
    lane(&world).append(file.into(), now).await.unwrap();

    for step in ["pending", "published"] {
        assert_eq!(world.number("SELECT count(*) FROM events").await, ROWS as i64, "{step}");
        assert_eq!(world.number("SELECT count(DISTINCT event_id) FROM events").await, ROWS as i64, "{step}");
        let name = "SELECT count(*) FROM events WHERE name = 'first'";
        assert_eq!(world.number(name).await, first.len() as i64, "{step}");
        world.compactor.publish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_file_that_was_copied_to_another_hour_counts_once() {
    let world = World::start(0).await;
    let now = Utc::now();
    let bytes: Bytes = batch(0..10, "view", now, TimeDelta::zero()).encode();
    lane(&world).append(bytes.clone(), now).await.unwrap();
    let path = world.lake.snapshot().await.unwrap().pending[0].path.clone();
    let hour = format!("hour={}", now.format("%H"));
    let other_hour = format!("hour={:02}", (now.format("%H").to_string().parse::<u32>().unwrap() + 1) % 24);
    let other = object_store::path::Path::from(path.as_ref().replace(&hour, &other_hour));
    world.lake.store().put(&other, bytes.into()).await.unwrap();
    assert_eq!(world.lake.snapshot().await.unwrap().pending.len(), 2);
    for step in ["pending", "published"] {
        assert_eq!(world.number("SELECT count(*) FROM events").await, 10, "{step}");
        world.compactor.publish().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_of_nothing_but_a_torn_file_puts_it_aside() {
    let world = World::start(0).await;
    lane(&world).append("torn".into(), Utc::now()).await.unwrap();
    let published = world.compactor.publish().await.unwrap();
    assert_eq!((published.raw_files, published.rows_published), (1, 0));
    assert!(world.lake.snapshot().await.unwrap().pending.is_empty());
}
