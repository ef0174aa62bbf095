//! The collector from outside: requests in, answers and files out.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lakes;
mod protocols;
mod shutdown;
mod sites;
mod store;

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use chrono::{DateTime, Utc};
use collector::{Accepted, Clock, Collector, Settings};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::TryStreamExt;
use futures::future::join_all;
use intake::IngestError;
use lake::{Lake, read_batches};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use store::{Faults, FaultyStore};

const EVENT: &str = r#"{"event_id":"e1","name":"page_view"}"#;

/// A collector over a lake in memory, with one site and its key.
struct World {
    lake: Lake,
    collector: Collector,
    write_key: String,
    faults: Faults,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

fn clock() -> Clock {
    Arc::new(Utc::now)
}

impl World {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let faults = Faults::default();
        let url = "memory:///".parse().unwrap();
        let store = Arc::new(FaultyStore::new(faults.clone()));
        let lake = Lake::with_store(store, &url, StdRng::from_os_rng()).unwrap();
        let write_key = lake.add_site("shop", DateTime::UNIX_EPOCH).await.unwrap().write_key;
        let settings = Settings { flush_after: settings.flush_after.or(Some(Duration::from_millis(5))), ..settings };
        let collector = Collector::start(lake.clone(), &settings, clock()).await.unwrap();
        Self { lake, collector, write_key, faults }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.collector.routes().answer(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Posts events with the site's key.
    async fn post(&self, body: impl Into<Body>) -> Answer {
        self.post_with(&[("x-api-key", &self.write_key)], body).await
    }

    async fn post_with(&self, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post("/v1/events");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The names of the events of each file that is in the lake.
    async fn files(&self) -> Vec<Vec<String>> {
        let mut files = Vec::new();
        for file in self.lake.snapshot().await.unwrap().pending {
            let batches = read_batches(self.lake.store(), &file.path, file.size_bytes, &["name"]).await.unwrap();
            let batches: Vec<_> = batches.try_collect().await.unwrap();
            let names = |batch: &RecordBatch| {
                batch["name"].as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
            };
            files.push(batches.iter().flat_map(names).collect());
        }
        files
    }

    async fn stored(&self) -> usize {
        self.files().await.iter().map(Vec::len).sum()
    }
}

fn gzip(text: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(text.as_ref()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn an_acknowledged_event_is_in_the_lake() {
    let world = World::new().await;
    let answer = world.post(EVENT).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.body, json!({ "accepted": 1, "duplicates": 0, "rejected": [] }));
    assert_eq!(world.files().await, [["page_view"]]);
}

#[tokio::test]
async fn every_form_of_a_body_is_taken() {
    let world = World::new().await;
    for (body, events) in [
        (EVENT, 1),
        (r#"[{"name":"a"},{"name":"b"}]"#, 2),
        (r#"{"events":[{"name":"a"},{"name":"b"}],"sent_at":"2026-03-01T12:00:00Z"}"#, 2),
        ("{\"name\":\"a\"}\n{\"name\":\"b\"}\n", 2),
        ("[]", 0),
    ] {
        let answer = world.post(body).await;
        assert_eq!((answer.status, &answer.body["accepted"]), (StatusCode::ACCEPTED, &json!(events)), "{body}");
    }
    assert_eq!(world.stored().await, 7);
}

#[tokio::test]
async fn bad_events_are_reported_by_index_and_the_others_kept() {
    let world = World::new().await;
    let answer = world.post("{\"name\":\"a\"}\n{\"name\":7}\nnonsense\n{\"name\":\"b\"}").await;
    assert_eq!((answer.status, &answer.body["accepted"]), (StatusCode::ACCEPTED, &json!(2)));
    assert_eq!(answer.body["rejected"][0], json!({ "index": 1, "reason": "`name` must be a string, not a number" }));
    assert_eq!(answer.body["rejected"][1]["index"], 2);
    assert_eq!(world.files().await, [["a", "b"]]);
}

#[tokio::test]
async fn a_body_without_a_good_event_is_refused_with_the_reasons() {
    let world = World::new().await;
    let nested = format!(r#"{{"name":"a","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for (body, reason) in [
        (&br#"[{"name":7},{}]"#[..], "no event was taken; the first one: `name` must be a string"),
        (b"{\"name\":\xff}", "the body is not JSON"),
        (b"<html>", "the body is not JSON"),
        (b"", "the body is empty"),
        (b"7", "the body must be an object"),
        (b"\x1f\x8b\x08nonsense", "the body is not valid gzip"),
        (nested.as_bytes(), "no event was taken; the first one: `x` cannot be read: recursion limit exceeded"),
        (&b"[".repeat(1_000_000), "the body is not JSON"),
    ] {
        let answer = world.post(body.to_vec()).await;
        let message = answer.body["message"].as_str().unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{message}");
        assert!(message.starts_with(reason), "{message}");
        assert!(answer.body["rejected"].is_array());
    }
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn an_odd_character_keeps_the_event_and_sent_again_it_is_a_copy() {
    let world = World::new().await;
    for (number, event) in [
        &b"{\"event_id\":\"1\",\"name\":\"\xff\"}"[..],
        br#"{"event_id":"2","name":"\ud83d"}"#,
        br#"{"event_id":"\ud83d","name":"a","\udc00":NaN}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let twice = [b"\xef\xbb\xbf", event, b"\n", event].concat();
        let answer = world.post(twice).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        assert_eq!(answer.body, json!({"accepted": 2, "duplicates": 1, "rejected": []}));
        assert_eq!(world.stored().await, number + 1);
    }
}

#[tokio::test]
async fn compressed_bodies_are_taken_whatever_their_label() {
    let world = World::new().await;
    for label in ["gzip", "identity", "br"] {
        let headers = [
            ("x-api-key", &*world.write_key),
            ("content-encoding", label),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        assert_eq!(world.post_with(&headers, gzip(EVENT)).await.status, StatusCode::ACCEPTED, "{label}");
    }
    // One large enough to be read on another thread.
    let many = format!("[{}]", vec![r#"{"name":"a"}"#; 5_000].join(","));
    assert_eq!(world.post(gzip(many)).await.body["accepted"], 5_000);
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit() {
    let settings =
        Settings { body_bytes_max: 100_000, inflated_bytes_max: 1_000_000, batch_events_max: 3, ..Settings::default() };
    let world = World::with(settings).await;
    let chunks = futures::stream::iter([vec![b' '; 60_000], vec![b' '; 60_000]].map(Ok::<_, std::io::Error>));
    for (body, reason) in [
        (Body::from(" ".repeat(100_001)), "the body is larger than 100000 bytes"),
        (Body::from_stream(chunks), "the body is larger than 100000 bytes"),
        (Body::from(gzip(" ".repeat(2_000_000))), "the body is larger than 1000000 bytes decompressed"),
        (Body::from(format!("[{}1]", "1,".repeat(40_000))), "more than 3 events"),
    ] {
        let answer = world.post(body).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.starts_with(reason), "{message}");
    }
}

#[tokio::test]
async fn a_key_is_taken_from_wherever_it_is_sent() {
    let world = World::new().await;
    let key = &world.write_key;
    let bearer = format!("Bearer {key}");
    let with_key = format!(r#"{{"key":"{key}","events":[{{"name":"a"}}]}}"#);
    assert_eq!(world.post_with(&[("authorization", &bearer)], EVENT).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.post_with(&[], with_key).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.post_with(&[], format!(r#"{{"key":"{key}","name":"a"}}"#)).await.status, StatusCode::ACCEPTED);
    let beacon = Request::post(format!("/v1/events/?key={key}")).header("content-type", "text/plain");
    assert_eq!(world.send(beacon.body(EVENT.into()).unwrap()).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_taken() {
    let world = World::new().await;
    for headers in [&[][..], &[("x-api-key", "dpw_wrong")]] {
        let answer = world.post_with(headers, EVENT).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let message = answer.body["message"].as_str().unwrap();
        assert!(message.contains("X-Api-Key") && message.contains("?key="), "{message}");
    }
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_key_works_as_soon_as_it_is_issued_and_not_after_it_is_revoked() {
    let refresh = Duration::from_millis(20);
    let world = World::with(Settings { directory_refresh: refresh, ..Settings::default() }).await;
    let issued = world.lake.add_site("blog", DateTime::UNIX_EPOCH).await.unwrap();
    let headers = [("x-api-key", &*issued.write_key)];
    assert_eq!(world.post_with(&headers, EVENT).await.status, StatusCode::ACCEPTED);
    world.lake.revoke_key("blog", &issued.write_key, DateTime::UNIX_EPOCH).await.unwrap();
    tokio::time::sleep(refresh * 5).await;
    assert_eq!(world.post_with(&headers, EVENT).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn while_the_registry_is_away_known_keys_work_and_others_may_try_again() {
    let refresh = Duration::from_millis(20);
    let world = World::with(Settings { directory_refresh: refresh, ..Settings::default() }).await;
    world.faults.refuse_lists.store(true, Ordering::SeqCst);
    tokio::time::sleep(refresh * 5).await;
    assert_eq!(world.post(EVENT).await.status, StatusCode::ACCEPTED);
    let new_key = format!("dpw_{}", "0".repeat(40));
    let unknown = world.post_with(&[("x-api-key", &new_key)], EVENT).await;
    assert_eq!(
        (unknown.status, &unknown.headers["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn concurrent_requests_share_one_file_and_duplicates_within_it_count_once() {
    let settings = Settings { flush_after: Some(Duration::from_millis(100)), ..Settings::default() };
    let world = World::with(settings).await;
    let bodies = (0..50).map(|n| format!(r#"[{{"event_id":{n},"name":"a"}},{{"event_id":"same","name":"b"}}]"#));
    let answers = join_all(bodies.map(|body| world.post(body))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED && answer.body["accepted"] == 2));
    let duplicates: u64 = answers.iter().map(|answer| answer.body["duplicates"].as_u64().unwrap()).sum();
    assert_eq!(duplicates, 49);
    let files = world.files().await;
    assert_eq!((files.len(), files[0].len()), (1, 51));
}

#[tokio::test]
async fn a_batch_is_written_before_its_time_if_it_is_large() {
    let settings =
        Settings { flush_after: Some(Duration::from_secs(3_600)), flush_bytes: 1_000, ..Settings::default() };
    let world = World::with(settings).await;
    let events = format!("[{}]", vec![r#"{"name":"a"}"#; 20].join(","));
    assert_eq!(world.post(events).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn while_a_put_is_in_flight_the_next_batch_grows() {
    let world = World::new().await;
    world.faults.hold_puts.store(true, Ordering::SeqCst);
    let late = async {
        while world.faults.held_puts.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let release = async { world.faults.hold_puts.store(false, Ordering::SeqCst) };
        let (late, ()) = tokio::join!(join_all((0..20).map(|_| world.post(r#"{"name":"late"}"#))), release);
        late
    };
    let (first, late) = tokio::join!(world.post(EVENT), late);
    assert!(late.iter().chain([&first]).all(|answer| answer.status == StatusCode::ACCEPTED));
    assert_eq!(world.files().await.iter().map(Vec::len).collect::<Vec<_>>(), [1, 20]);
}

#[tokio::test]
async fn several_lanes_write_at_the_same_time() {
    let world = World::with(Settings { lanes: 3.try_into().unwrap(), ..Settings::default() }).await;
    let answers = join_all((0..30).map(|_| world.post(r#"{"name":"a"}"#))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED));
    assert_eq!((world.files().await.len(), world.stored().await), (3, 30));
}

#[tokio::test]
async fn what_the_store_does_not_confirm_is_not_acknowledged() {
    let settings = Settings { give_up_after: Duration::from_millis(200), ..Settings::default() };
    let world = World::with(settings).await;
    world.faults.refuse_puts.store(true, Ordering::SeqCst);
    let answers = join_all((0..5).map(|_| world.post(EVENT))).await;
    for answer in answers {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(answer.body["message"].as_str().unwrap().contains("send them again"));
    }
    assert_eq!(world.stored().await, 0);

    world.faults.refuse_puts.store(false, Ordering::SeqCst);
    assert_eq!(world.post(EVENT).await.status, StatusCode::ACCEPTED);
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn a_short_failure_of_the_store_goes_unnoticed() {
    let world = World::new().await;
    world.faults.refuse_puts.store(true, Ordering::SeqCst);
    let recover = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.faults.refuse_puts.store(false, Ordering::SeqCst);
    };
    let (answer, ()) = tokio::join!(world.post(EVENT), recover);
    assert_eq!((answer.status, world.stored().await), (StatusCode::ACCEPTED, 1));
}

#[tokio::test]
async fn a_full_buffer_asks_to_come_back_later() {
    let world = World::with(Settings { buffer_bytes: 10_000, ..Settings::default() }).await;
    world.faults.hold_puts.store(true, Ordering::SeqCst);
    let refused = async {
        let answer = world.post(format!(r#"{{"name":"b","title":"{}"}}"#, "x".repeat(4_000))).await;
        world.faults.hold_puts.store(false, Ordering::SeqCst);
        answer
    };
    let first = format!("[{}]", [r#"{"name":"a"}"#; 8].join(","));
    let (first, refused) = tokio::join!(world.post(first), refused);
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(world.stored().await, 8);
    assert_eq!(world.post(EVENT).await.status, StatusCode::ACCEPTED, "memory is given back");
}

#[tokio::test]
async fn a_request_that_hangs_up_takes_nobody_with_it() {
    let settings = Settings { flush_after: Some(Duration::from_millis(50)), ..Settings::default() };
    let world = World::with(settings).await;
    let hung_up = tokio::time::timeout(Duration::from_millis(5), world.post(r#"{"name":"a"}"#));
    let (hung_up, answer) = tokio::join!(hung_up, world.post(r#"{"name":"b"}"#));
    assert!(hung_up.is_err());
    assert_eq!((answer.status, world.stored().await), (StatusCode::ACCEPTED, 2));
}

#[tokio::test]
async fn closing_writes_what_waits_and_takes_no_more() {
    let settings = Settings { flush_after: Some(Duration::from_secs(3_600)), ..Settings::default() };
    let world = World::with(settings).await;
    let (answer, ()) = tokio::join!(world.post(EVENT), world.collector.batcher().close());
    assert_eq!((answer.status, world.stored().await), (StatusCode::ACCEPTED, 1));
    assert_eq!(world.post(EVENT).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let event = lake::Event { name: "a".into(), ..lake::Event::default() };
    assert_eq!(world.collector.batcher().append(vec![event]).await, Err(IngestError::Closing));
    assert_eq!(world.collector.batcher().append(vec![]).await, Ok(Accepted::default()));
}

#[tokio::test]
async fn a_session_is_a_new_name_for_somebody() {
    let world = World::new().await;
    let ask = |body: &'static str| world.send(Request::post("/v1/session").body(body.into()).unwrap());
    let first = ask(r#"{"user_id":"ada"}"#).await;
    let second = ask(r#"{"anonymous_id":"a1"}"#).await;
    assert_eq!((first.status, second.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_ne!(first.body["session_id"], second.body["session_id"]);
    let version = first.body["session_id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap().get_version_num();
    assert_eq!(version, 7);
    let odd = ask("\u{feff}{\"user_id\":\"\\ud83d\",\"anonymous_id\":null}").await;
    assert_eq!(odd.status, StatusCode::CREATED);
    for body in ["{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#, "nonsense", "[]"] {
        assert_eq!(ask(body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn a_wrong_address_is_answered_with_the_right_ones() {
    let world = World::new().await;
    for (request, status) in [
        (Request::get("/"), StatusCode::OK),
        (Request::post("/v2/events"), StatusCode::NOT_FOUND),
        (Request::get("/v1/events"), StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body["endpoints"][0], "POST /v1/events");
    }
}

#[tokio::test]
async fn browsers_may_send_from_any_page() {
    let world = World::new().await;
    let preflight = Request::options("/v1/events")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = world.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.status, StatusCode::OK);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://shop.example");
    assert!(!allowed.headers.contains_key("access-control-allow-credentials"));
    assert_eq!(allowed.headers["access-control-allow-headers"], "authorization,content-type");
    // A page must be able to read a refusal, too.
    let refused = world.post_with(&[("origin", "https://shop.example")], EVENT).await;
    assert_eq!(refused.headers["access-control-allow-origin"], "https://shop.example");
}

// One thread, so that the recorder of this thread hears everything.
#[tokio::test(flavor = "current_thread")]
async fn what_is_received_is_accepted_or_rejected_and_what_is_accepted_is_durable_or_a_duplicate() {
    let recorder = DebuggingRecorder::new();
    let counts = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);

    let settings = Settings { give_up_after: Duration::from_millis(100), ..Settings::default() };
    let world = World::with(settings).await;
    world.post(r#"[{"event_id":"a","name":"a"},{"event_id":"a","name":"a"},{"event_id":"b","name":"a"},{}]"#).await;
    world.post("nonsense").await;
    world.post_with(&[], EVENT).await;
    world.faults.refuse_puts.store(true, Ordering::SeqCst);
    world.post(r#"[{"name":"a"},{"name":"a"}]"#).await;
    world.collector.batcher().close().await;
    world.post(EVENT).await;

    let counts: HashMap<String, u64> = counts
        .snapshot()
        .into_vec()
        .into_iter()
        .filter_map(|(key, _, _, value)| {
            let labels: Vec<_> = key.key().labels().map(|label| label.value().to_owned()).collect();
            let DebugValue::Counter(count) = value else { return None };
            Some(([&[key.key().name().to_owned()], &labels[..]].concat().join(" "), count))
        })
        .collect();
    let count = |name: &str| counts[&format!("dewpond_collector_events_{name}")];
    assert_eq!(count("received_total"), 9);
    assert_eq!(count("accepted_total"), 3);
    assert_eq!(count("durable_total"), 2);
    assert_eq!(count("deduplicated_total"), 1);
    assert_eq!(count("rejected_total invalid"), 2);
    assert_eq!(count("rejected_total unauthorized"), 1);
    assert_eq!(count("rejected_total unavailable"), 3);
    assert_eq!(counts["dewpond_collector_files_put_total"], 1);
}
