//! A query sees everything acknowledged before it began, and the compactor changes no answer.

use chrono::{TimeDelta, Utc};
use lake::{EVENTS, Lane};
use serde_json::{Value as Json, json};

use super::copies::{batch, lane};
use crate::harness::clients::{client, post_accepted};
use crate::harness::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_ends_although_events_keep_coming() {
    let world = World::start(0).await;
    let append = async |lane: Lane, number: usize| {
        let now = Utc::now();
        lane.append(batch([number], "page_view", now, TimeDelta::zero()).encode(), now).await.unwrap().0
    };
    let mut lane = append(lane(&world), 0).await;
    let keep_coming = async {
        for number in 1.. {
            lane = append(lane, number).await;
            // The store is in memory and never yields, so other tasks would not run.
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = keep_coming => {}
        published = tokio::time::timeout(std::time::Duration::from_secs(30), world.compactor.publish()) => {
            assert!(published.expect("it ends").unwrap().raw_files > 0);
        }
    }
    assert_eq!(world.lake.table(&EVENTS).load().await.unwrap().version, Some(1), "one commit after the table's first");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_seen_right_after_its_acknowledgement_with_the_compactor_off_and_on() {
    let world = World::start(1).await;
    let client = client();
    for n in 0..10 {
        post_accepted(&client, &world.collectors[0], &world.key, &json!({"name": "page_view"})).await;
        assert_eq!(world.number("SELECT count(*) FROM events").await, n + 1);
        if n % 3 == 2 {
            world.compactor.publish().await.unwrap();
            assert_eq!(world.number("SELECT count(*) FROM events").await, n + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_answers_the_same_before_and_after_publish_and_merge() {
    let world = World::start(2).await;
    let client = client();
    let now = Utc::now();
    for round in 0..24 {
        let body = Json::Array(traffic(round, now));
        post_accepted(&client, &world.collectors[round % 2], &world.key, &body).await;
        if round % 5 == 0 {
            // As if the acknowledgement was lost: the same again, to another collector.
            post_accepted(&client, &world.collectors[(round + 1) % 2], &world.key, &body).await;
        }
        if round < 23 {
            world.compactor.publish().await.unwrap();
        }
    }
    // One of five names is a ping, which does not count as an event.
    let as_of = Utc::now();
    let before = world.answers(as_of).await;
    assert!(before.iter().any(|(name, rows)| name == "events" && rows[0][0] == json!(24 * 40)), "{before:?}");

    assert!(world.compactor.publish().await.unwrap().rows_published > 0);
    assert_eq!(world.answers(as_of).await, before, "after publish");

    let files_before = world.lake.table(&EVENTS).load().await.unwrap().files.len();
    let merged = world.compactor.merge().await.unwrap();
    assert!(merged.files_in > merged.files_out, "{merged:?} of {files_before} files");
    assert_eq!(world.answers(as_of).await, before, "after merge");

    world.compactor.vacuum().await.unwrap();
    assert_eq!(world.answers(as_of).await, before, "after vacuum");
}

/// Fifty events of many kinds over the last two days.
fn traffic(round: usize, now: chrono::DateTime<Utc>) -> Vec<Json> {
    const NAMES: [&str; 5] = ["page_view", "object_in_view", "page_ping", "purchase", "object_interaction"];
    (0..50)
        .map(|n| {
            let seed = round * 50 + n;
            let at = now - TimeDelta::seconds((seed * 7_919 % 172_000) as i64 + 60);
            json!({
                "event_id": format!("event-{seed}"),
                "name": NAMES[seed % NAMES.len()],
                "timestamp": at.to_rfc3339(),
                "anonymous_id": if seed.is_multiple_of(11) { Json::Null } else { json!(format!("visitor-{}", seed * 31 % 97)) },
                "session_id": if seed.is_multiple_of(3) { json!(format!("session-{}", seed % 40)) } else { Json::Null },
                "url": format!("https://shop.example/page-{}?q={seed}", seed % 17),
                "revenue": if seed % 5 == 3 { json!(seed as f64 / 100.0) } else { Json::Null },
                "properties": {"n": n},
            })
        })
        .collect()
}
