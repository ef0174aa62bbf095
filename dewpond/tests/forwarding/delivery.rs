//! What is sent, and to whom, and what becomes of events that a destination does not want.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::harness::{Receiver, World, event};

#[tokio::test(flavor = "multi_thread")]
async fn new_events_of_a_site_are_posted_once_signed_and_chosen() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.publish("shop", &[event(1, "a", "before")]);
    world.add(
        "crm",
        &[
            "--webhook",
            &url,
            "--secret-variable",
            "FORWARD_SECRET",
            "--filter",
            "name <> 'secret' -- not these",
            "--consent",
            "ads",
            "--field",
            "properties.who=anonymous_id",
        ],
    );
    let of = |id: usize, name: &str, ads: bool| {
        let mut event = event(id, "a", name);
        event["ads"] = ads.into();
        event
    };
    world.publish(
        "shop",
        &[of(2, "bought", true), of(3, "secret", true), of(4, "bought", false), event(5, "a", "bought")],
    );
    world.publish("blog", &[of(6, "bought", true)]);
    let forward = world.forward();
    receiver.wait_for(1).await;
    world.publish("shop", &[of(7, "page_view", true)]);
    receiver.wait_for(2).await;
    assert_eq!(receiver.numbers(), [2, 7]);
    let post = receiver.posts().remove(0);
    let call = &post.body["batch"][0];
    assert_eq!((&call["type"], &call["event"], &call["anonymousId"]), (&json!("track"), &json!("bought"), &json!("a")));
    assert_eq!(
        (&call["messageId"], &call["timestamp"]),
        (&json!("00000000-0000-0000-0000-000000000002"), &json!("2026-03-01T12:00:02Z"))
    );
    assert_eq!(call["properties"], json!({"ads": true, "n": 2, "who": "a"}));
    assert!(post.headers["dewpond-signature"].starts_with("sha256="), "{:?}", post.headers);
    assert!(post.headers.contains_key("idempotency-key"));
    drop(forward);
    let status = world.run(&["forward", "status", "--json"]);
    assert!(status.contains("\"delivered\":2") && status.contains("\"refused\":0"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_fails_in_every_way_gets_everything_in_the_end() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    let bad = |body: &serde_json::Value| body["batch"].as_array().unwrap().iter().any(|call| call["event"] == "bad");
    receiver.answer(move |body, count| match count {
        1 => (StatusCode::TOO_MANY_REQUESTS, "1"),
        2 | 4 => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        3 => (StatusCode::UNAUTHORIZED, ""),
        _ if bad(body) => (StatusCode::BAD_REQUEST, ""),
        _ => (StatusCode::OK, ""),
    });
    let events: Vec<_> = (0..3_000).map(|id| event(id, "a", if id == 1_234 { "bad" } else { "good" })).collect();
    world.publish("shop", &events);
    let forward = world.forward();
    receiver.wait_for(2_999).await;
    // The last answer moves the cursor.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(forward);
    let expected: Vec<u64> = (0..3_000).filter(|id| *id != 1_234).collect();
    assert_eq!(receiver.numbers(), expected, "each once, in their order");
    let refused =
        world.ask("SELECT protocol, reason, json_get_int(json_get(event, 'properties'), 'n') AS n FROM quarantine");
    assert_eq!(refused, "protocol,reason,n\nforward,crm: 400 Bad Request,1234\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_of_an_erased_person_is_not_sent() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    world.add("crm", &["--webhook", &url]);
    world.publish("shop", &[event(1, "ada", "a"), event(2, "bob", "a"), event(3, "ada", "a")]);
    world.run(&["lake", "erase", "--site", "shop", "--anonymous", "ada"]);
    world.publish("shop", &[event(4, "bob", "a")]);
    let _forward = world.forward();
    receiver.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(receiver.numbers(), [2, 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_sent_from_a_time_on_and_then_what_is_new() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    for part in [[0, 1], [2, 3]] {
        world.publish("shop", &part.map(|id| event(id, "a", "a")));
    }
    world.add("crm", &["--webhook", &url]);
    world.run(&["forward", "from", "crm", "2026-03-01T12:00:01Z"]);
    let _forward = world.forward();
    receiver.wait_for(3).await;
    world.publish("shop", &[event(4, "a", "a")]);
    receiver.wait_for(4).await;
    let mut numbers = receiver.numbers();
    assert_eq!(numbers.pop(), Some(4));
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3]);
    // Paused, nothing comes; and nothing is lost.
    world.run(&["forward", "pause", "crm"]);
    let error = world.refuse(&["forward", "pause", "other"]);
    assert!(error.contains("there is no destination other; the destinations are: crm"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_by_day_have_each_event_once() {
    let world = World::new();
    let dir = world.dir.path().join("partner");
    world.add("partner", &["--files", dir.to_str().unwrap()]);
    let events: Vec<_> = (0..100).map(|id| event(id * 3_600, "a", "a")).collect();
    world.publish("shop", &events);
    let _forward = world.forward();
    let started = std::time::Instant::now();
    loop {
        let status = world.run(&["forward", "status", "--json"]);
        if status.contains("\"delivered\":100") {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let days: Vec<String> = {
        let mut days: Vec<String> =
            std::fs::read_dir(&dir).unwrap().map(|day| day.unwrap().file_name().into_string().unwrap()).collect();
        days.sort();
        days
    };
    assert_eq!(days, ["date=2026-03-01", "date=2026-03-02", "date=2026-03-03", "date=2026-03-04", "date=2026-03-05"]);
    // The files are the table's: another lake takes them as they are.
    let copy = World::new();
    copy.run(&["import", "--site", "shop", dir.to_str().unwrap()]);
    assert_eq!(copy.ask("SELECT count(*) AS n FROM events"), "n\n100\n");
}
