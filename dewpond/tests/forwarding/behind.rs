//! A forwarder that is away while the lake under it changes: files are merged, vacuumed, and rows expire. And a destination
//! that is slow, full, and drops connections.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{TimeDelta, Utc};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Receiver, World, event};

/// Publishes, merges, removes, and deletes at once what was replaced.
fn compact(world: &World, followed_grace: &str) {
    let flags = ["--raw-grace", "0s", "--replaced-grace", "0s", "--followed-grace", followed_grace];
    for _ in 0..2 {
        world.run(&[&["compactor", "--once"], &flags[..]].concat());
    }
}

/// Publishes events in several parts, so that there is something to merge.
fn publish_parts(world: &World, events: &[Json], followed_grace: &str) {
    for part in events.chunks(events.len().div_ceil(4)) {
        let file = world.dir.path().join("part.ndjson");
        std::fs::write(&file, part.iter().map(|event| event.to_string() + "\n").collect::<String>()).unwrap();
        world.run(&["import", "--site", "shop", file.to_str().unwrap()]);
        compact(world, followed_grace);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_a_destination_still_needs_outlive_their_merge() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    let events: Vec<Json> = (0..2_000).map(|id| event(id, &format!("v-{}", id % 3), "a")).collect();
    publish_parts(&world, &events, "7d");
    let merges = world.run(&["lake", "history"]);
    assert!(merges.contains("OPTIMIZE"), "nothing was merged: {merges}");
    let forward = world.forward();
    receiver.wait_for(2_000).await;
    world.wait_for_delivered("crm", 2_000, 0).await;
    let expected: Vec<u64> = (0..2_000).collect();
    let mut numbers = receiver.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, expected, "each once");
    // Once they were sent and the cursor is behind them, nothing keeps them.
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(forward);
    compact(&world, "7d");
    let live = world.ask("SELECT count(*) AS n FROM events");
    assert_eq!(live, "n\n2000\n");
    let files = files_of_events(&world);
    assert!(files <= 2, "{files} files are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_was_away_for_too_long_loses_nothing() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    let events: Vec<Json> = (0..2_000).map(|id| event(id, "a", "a")).collect();
    publish_parts(&world, &events, "0s");
    let _forward = world.forward();
    let all: BTreeSet<u64> = (0..2_000).collect();
    wait_for_all(&receiver, &all).await;
    world.publish("shop", &[event(2_000, "a", "a")]);
    wait_for_all(&receiver, &BTreeSet::from([2_000])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_before_it_was_sent_is_not_sent_and_all_else_is() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    let aged = |id: usize, age: TimeDelta| {
        json!({"event_id": uuid::Uuid::from_u128(id as u128).to_string(), "name": "a", "anonymous_id": format!("v-{}", id % 3),
               "timestamp": (Utc::now() - age).to_rfc3339(), "n": id})
    };
    let young = (0..600).map(|id| aged(id, TimeDelta::hours(1) - TimeDelta::seconds(id as i64)));
    let old = (600..900).map(|id| aged(id, TimeDelta::days(9)));
    publish_parts(&world, &young.chain(old).collect::<Vec<_>>(), "7d");
    world.run(&["site", "set", "shop", "--retention", "5d"]);
    compact(&world, "7d");
    assert_eq!(world.ask("SELECT count(*) AS n FROM events"), "n\n600\n");
    let forward = world.forward();
    wait_for_all(&receiver, &(0..600).collect()).await;
    // Beside a forwarder at work, too.
    for round in 0..4 {
        let first = 1_000 + round * 100;
        let events: Vec<Json> = (first..first + 100)
            .map(|id| aged(id, if id % 2 == 0 { TimeDelta::minutes(1) } else { TimeDelta::days(9) }))
            .collect();
        publish_parts(&world, &events, "7d");
    }
    wait_for_all(&receiver, &(1_000..1_400).step_by(2).collect()).await;
    drop(forward);
    let numbers = receiver.numbers();
    assert!(!numbers.iter().any(|n| (600..900).contains(n)), "an event that had expired was sent");
}

/// Stands between a forwarder and a receiver: cuts each connection after some bytes, in the middle of a request or of an
/// answer, and is slow at times.
async fn unreliable(receiver: String) -> String {
    let to = receiver.trim_start_matches("http://").split('/').next().unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/events", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for count in 0_usize.. {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let to = to.clone();
            tokio::spawn(async move {
                if count % 9 == 4 {
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                }
                let Ok(mut server) = TcpStream::connect(&to).await else { return };
                let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
                // Some are cut before the first request is whole, others behind several answers.
                let mut left = [200_usize, 90_000, 400_000, 1_500_000][count % 4];
                loop {
                    let moved = tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(read @ 1..) if server.write_all(&up[..read.min(left)]).await.is_ok() => read,
                            _ => return,
                        },
                        read = server.read(&mut down) => match read {
                            Ok(read @ 1..) if client.write_all(&down[..read.min(left)]).await.is_ok() => read,
                            _ => return,
                        },
                    };
                    left = left.saturating_sub(moved);
                    if left == 0 {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_sent_again_to_a_destination_that_fails_in_every_way() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = unreliable(receiver.start().await).await;
    receiver.answer(|_, count| match count % 11 {
        3 => (StatusCode::TOO_MANY_REQUESTS, "1"),
        5 => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        8 => (StatusCode::BAD_GATEWAY, ""),
        _ => (StatusCode::OK, ""),
    });
    // A second event of each ten seconds of 24 hours, and hours before and after them.
    const EVENTS: usize = 9_000;
    let events: Vec<Json> = (0..EVENTS)
        .map(|id| {
            let mut event = event(id, &format!("v-{}", id % 20), "a");
            let at = chrono::DateTime::from_timestamp(1_772_366_400 + 10 * id as i64, 0).unwrap();
            event["timestamp"] = at.to_rfc3339().into();
            event
        })
        .collect();
    for part in events.chunks(3_000) {
        world.publish("shop", part);
    }
    world.add("crm", &["--webhook", &url]);
    world.run(&["forward", "from", "crm", "2026-03-01T13:00:00Z"]);
    let _forward = world.forward();
    let wanted: BTreeSet<u64> = (360..EVENTS as u64).collect();
    wait_for_all(&receiver, &wanted).await;
    let numbers = receiver.numbers();
    assert!(numbers.iter().all(|n| *n >= 360), "an event of before was sent");
    // Of each visitor in order, but for a batch that comes again because its answer was cut off.
    let (mut seen, mut last) = (BTreeSet::new(), HashMap::new());
    for n in numbers {
        if seen.insert(n) {
            let before = last.insert(n % 20, n);
            assert!(before.is_none_or(|before| before < n), "{n} came after {before:?}");
        }
    }
}

async fn wait_for_all(receiver: &Receiver, wanted: &BTreeSet<u64>) {
    let started = std::time::Instant::now();
    loop {
        let got: BTreeSet<u64> = receiver.numbers().into_iter().collect();
        if wanted.is_subset(&got) {
            return;
        }
        let missing = wanted.difference(&got).count();
        assert!(started.elapsed() < Duration::from_secs(120), "{missing} of {} are missing", wanted.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn files_of_events(world: &World) -> usize {
    let days = std::fs::read_dir(world.dir.path().join("lake/events")).unwrap();
    let days = days.map(|day| day.unwrap().path()).filter(|day| day.file_name().unwrap() != "_delta_log");
    days.map(|day| std::fs::read_dir(day).unwrap().count()).sum()
}
