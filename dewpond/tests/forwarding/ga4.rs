//! Google's Measurement Protocol, at a stand-in that enforces what is documented. Google itself answers 204 to anything.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::{Receiver, World};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_such_as_google_takes() {
    let (world, receiver) = (World::new(), Receiver::default());
    let url = receiver.start().await;
    receiver.answer(|body, _| match complaint(body) {
        None => (StatusCode::NO_CONTENT, ""),
        Some(_) => (StatusCode::BAD_REQUEST, ""),
    });
    world.add("ga", &["--ga4", "G-1", "--secret-variable", "FORWARD_SECRET", "--ga4-url", &url]);
    let now = chrono::Utc::now();
    let mut events = Vec::new();
    for n in 0..60 {
        let name = ["session_start", "Order Completed", "_private", "purchase"][n % 4];
        let many: serde_json::Map<String, Json> =
            (0..40).map(|p| (format!("ga_{p}"), "x".repeat(200).into())).collect();
        events.push(json!({
            "event_id": format!("e-{n}"), "name": name, "anonymous_id": format!("v-{}", n % 2), "properties": many,
            "timestamp": (now - chrono::TimeDelta::minutes(n as i64)).to_rfc3339(), "revenue": 9.5, "currency": "EUR",
        }));
    }
    events.push(json!({"event_id": "old", "name": "a", "anonymous_id": "v", "timestamp": (now - chrono::TimeDelta::days(4)).to_rfc3339()}));
    world.publish("shop", &events);
    let _forward = world.forward();
    let started = std::time::Instant::now();
    loop {
        let status = world.run(&["forward", "status", "--json"]);
        if status.contains("\"delivered\":60") {
            assert!(status.contains("\"refused\":1"), "{status}");
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let posts = receiver.posts();
    assert!(posts.iter().all(|post| post.uri.contains("measurement_id=G-1&api_secret=secret")), "{posts:?}");
    let sent: usize = posts.iter().map(|post| post.body["events"].as_array().unwrap().len()).sum();
    assert_eq!(sent, 60);
    let refused = world.ask("SELECT reason FROM quarantine");
    assert_eq!(refused, "reason\nga: Google takes no events that happened more than 72 hours ago\n");
}

/// What Google would drop a request for.
fn complaint(body: &Json) -> Option<String> {
    const RESERVED: [&str; 4] = ["session_start", "first_visit", "user_engagement", "error"];
    let is_name = |name: &str| {
        name.len() <= 40
            && name.starts_with(|char: char| char.is_ascii_alphabetic())
            && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
            && !["ga_", "google_", "firebase_", "_", "gtag."].iter().any(|beginning| name.starts_with(beginning))
    };
    if body.to_string().len() > 130_000 || body["client_id"].as_str().is_none_or(str::is_empty) {
        return Some("the body".into());
    }
    let events = body["events"].as_array()?;
    if events.is_empty() || events.len() > 25 {
        return Some("events".into());
    }
    for event in events {
        let name = event["name"].as_str().unwrap_or_default();
        let params = event["params"].as_object()?;
        let is_short = |(_, value): (&String, &Json)| value.as_str().is_none_or(|text| text.chars().count() <= 1_000);
        let shows = params.contains_key("session_id") && params.contains_key("engagement_time_msec");
        if !is_name(name) || RESERVED.contains(&name) || params.len() > 25 || !shows || !params.iter().all(is_short) {
            return Some(name.to_owned());
        }
        if !params.keys().all(|name| is_name(name)) {
            return Some(format!("a parameter of {name}"));
        }
    }
    None
}
