//! An event counts once, however often and to whichever collector it is sent.

use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::harness::clients::{client, events, post_accepted};
use crate::harness::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_events_sent_three_times_by_four_clients_through_two_collectors_count_once() {
    const EVENTS: usize = 10_000;
    let world = World::start(2).await;
    let mut clients = JoinSet::new();
    for sender in 0..4_usize {
        let (collectors, key) = (world.collectors.clone(), world.key.clone());
        clients.spawn(async move {
            let client = client();
            for time in 0..3 {
                // Each client sends a quarter first, then others' quarters, so that copies meet in flight.
                let quarter = (sender + time) % 4;
                for first in (quarter * EVENTS / 4..(quarter + 1) * EVENTS / 4).step_by(250) {
                    let body = Json::Array(events((first..first + 250).map(|n| format!("event-{n}"))));
                    post_accepted(&client, &collectors[(sender + time) % 2], &key, &body).await;
                }
            }
        });
    }
    let publishing = world.compactor.clone();
    // Publish while copies are still being sent.
    let publisher = tokio::spawn(async move {
        loop {
            publishing.publish().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    clients.join_all().await;
    publisher.abort();
    let _ = publisher.await;

    for step in ["before", "after publish", "after merge"] {
        assert_eq!(world.number("SELECT count(*) FROM events").await, EVENTS as i64, "{step}");
        assert_eq!(world.number("SELECT count(DISTINCT event_id) FROM events").await, EVENTS as i64, "{step}");
        match step {
            "before" => drop(world.compactor.publish().await.unwrap()),
            _ => drop(world.compactor.merge().await.unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_published_event_counts_nothing_on_either_side_of_midnight() {
    let world = World::start(1).await;
    let client = client();
    // The same event, with its clock corrected a little differently each time.
    for jitter_ms in [0, 400, -400] {
        let midnight = chrono::Utc::now().date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let created = midnight + chrono::TimeDelta::milliseconds(100);
        let sent = chrono::Utc::now() + chrono::TimeDelta::milliseconds(jitter_ms);
        let event = json!({"event_id": "once", "name": "page_view", "timestamp": created, "sent_at": sent});
        post_accepted(&client, &world.collectors[0], &world.key, &event).await;
        assert_eq!(world.number("SELECT count(*) FROM events").await, 1, "{jitter_ms} ms, pending");
        world.compactor.publish().await.unwrap();
        assert_eq!(world.number("SELECT count(*) FROM events").await, 1, "{jitter_ms} ms, published");
    }
    let dates: Vec<_> =
        world.lake.table(&lake::EVENTS).load().await.unwrap().files.iter().map(|file| file.date).collect();
    assert_eq!(dates.len(), 1, "only the first copy was published: {dates:?}");
}
