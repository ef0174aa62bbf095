//! A request to the collector: its key, its compression and its body, up to the file in the lake.
//!
//! The first byte of an input chooses the label of the encoding, the second the path; the rest is the body, or the query
//! of a GET.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use chrono::{DateTime, Utc};
use collector::{Collector, Routes, Settings};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use lake::Lake;

use crate::block_on;

const LABELS: [Option<&str>; 6] = [None, Some("gzip"), Some("deflate"), Some("br"), Some("zstd"), Some("x-unknown")];
const PATHS: [&str; 4] = ["/v1/events", "/v1/events", "/v1/session", "/v1/events?key=none&key=%zz"];

/// The protocols that others define, with a sample body for each.
const OTHERS: [(&str, &str); 17] = [
    (
        "/v1/batch",
        r#"{"sentAt":"2026-03-01T12:00:00Z","context":{"ip":"::1"},"batch":[{"type":"page","userId":"u","properties":{"url":"/a"}},{"type":"alias"},7]}"#,
    ),
    (
        "/v1/track",
        r#"{"event":"a","userId":"u","messageId":"m","context":{"page":{"url":"https://a.example/"},"screen":{"width":1,"height":2}}}"#,
    ),
    (
        "/batch/",
        r#"{"api_key":"none","batch":[{"event":"$pageview","distinct_id":"u","offset":5,"properties":{"$ip":"::1"}}]}"#,
    ),
    ("/e", "data=eyJldmVudCI6ImEiLCJkaXN0aW5jdF9pZCI6InUifQ%3D%3D"),
    (
        "/mp/collect",
        r#"{"client_id":"c","timestamp_micros":1772366399000000,"events":[{"name":"a","params":{"value":1.5}}]}"#,
    ),
    ("/api/event", r#"{"n":"pageview","u":"https://a.example/","d":"a.example","p":"{\"a\":1}","$":{"amount":"1"}}"#),
    (
        "/api/send",
        r#"{"type":"event","payload":{"website":"a.example","hostname":"a.example","url":"/a","timestamp":1772366399}}"#,
    ),
    (
        "/com.snowplowanalytics.snowplow/tp2",
        r#"{"data":[{"e":"ue","aid":"a.example","ue_px":"eyJhIjoxfQ","dtm":"1772366399000","cx":"e30"}]}"#,
    ),
    (
        "/beacon/v1/batch",
        r#"{"batch":[{"type":"track","event":"\ud83d","userId":12345678901234567890123,"properties":{"revenue":"9,99 €","\udc00":NaN}}]}"#,
    ),
    (
        "/2/httpapi",
        r#"{"api_key":"none","client_upload_time":"2026-03-01T12:00:00Z","events":[{"event_type":"a","user_id":"u","price":1.5,"quantity":2,"session_id":-1,"user_properties":{"$set":{"a":1}}},7]}"#,
    ),
    ("/batch", r#"{"options":{},"events":[{"event_type":"$identify","device_id":"d","ip":"$remote","time":1}]}"#),
    (
        "/track/?verbose=1",
        r#"[{"event":"a","properties":{"token":"none","distinct_id":"$device:d","time":1772366399,"$insert_id":"i"}},{"event":"$merge"}]"#,
    ),
    (
        "/engage",
        "ip=1&verbose=1&data=eyIkZGlzdGluY3RfaWQiOiJ1IiwiJGFwcGVuZCI6eyIkdHJhbnNhY3Rpb25zIjp7IiRhbW91bnQiOjF9fX0%3D",
    ),
    (
        "/api/s/s2s/track",
        r#"{"type":"track","event":"a","userId":null,"anonymousId":"x","writeKey":"none:***","context":{"traits":{},"campaign":{}}}"#,
    ),
    (
        "/v1/logs",
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"b"}}]},"scopeLogs":[{"scope":{"name":"s"},"logRecords":[{"timeUnixNano":"1772366399000000000","body":{"kvlistValue":{"values":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"}]}}}]}}},7]}]}]}"#,
    ),
    (OTLP_PROTOBUF, "\n\x17\n\x0b\n\t\n\x01a\x12\x04\n\x02bc\x12\x08\x12\x06*\x04\n\x02hi"),
    ("/visits", r#"{"identifier":"v","pageUrl":"https://a.example/","visitedAt":"2026-03-01T11:00:00Z"}"#),
];

/// The path of logs once more. The slash at its end tells this target that the body is in Protocol Buffers.
const OTLP_PROTOBUF: &str = "/v1/logs/";

/// Tracking pixels, with a sample query for each.
const IMAGES: [(&str, &str); 4] = [
    (
        "/track",
        "ip=0&verbose=0&data=eyJldmVudCI6ImEiLCJwcm9wZXJ0aWVzIjp7ImRpc3RpbmN0X2lkIjoidSIsInJldmVudWUiOjEuNX19&img=1",
    ),
    ("/v1/pixel.gif", "name=opened&user_id=u&url=https%3A%2F%2Fa.example%2F%3Fq%3D1&revenue=1.5&timestamp=1772366399"),
    (
        "/pixel/v1/track",
        "anonymousId=%22x%22&event=a&context.page.url=https%3A%2F%2Fa.example%2F&properties.a.b.c.d.e=%FF",
    ),
    ("/i", "e=pv&aid=a.example&dtm=1772366399000&ue_px=eyJhIjoxfQ&res=1x2&page=%C3%A4&cx=e30"),
];

/// Requests after which a collector is dropped, together with its files.
const REQUESTS_MAX: u32 = 500;

struct Door {
    routes: Routes,
    key: String,
    requests_left: u32,
}

thread_local! {
    static DOOR: RefCell<Option<Door>> = const { RefCell::new(None) };
}

fn arrival() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).unwrap()
}

fn open() -> Door {
    block_on(async {
        let lake = Lake::open("memory:///", []).unwrap();
        let key = lake.add_site("shop", arrival()).await.unwrap().write_key;
        lake.change_site("shop", |settings| settings.domains = vec!["a.example".into()]).await.unwrap();
        let settings = Settings {
            flush_after: Some(Duration::ZERO),
            body_bytes_max: 1 << 20,
            inflated_bytes_max: 1 << 20,
            batch_events_max: 100,
            ..Settings::default()
        };
        let collector = Collector::start(lake, &settings, Arc::new(arrival)).await.unwrap();
        Door { routes: collector.routes().clone(), key, requests_left: REQUESTS_MAX }
    })
}

pub(crate) fn read(input: &[u8]) {
    let [label, path, body @ ..] = input else { return };
    let mut door = DOOR.take().filter(|door| door.requests_left > 0).unwrap_or_else(open);
    door.requests_left -= 1;
    let path = usize::from(*path) % (PATHS.len() + OTHERS.len() + IMAGES.len());
    let (path, is_ours) = match path.checked_sub(PATHS.len()) {
        None => (PATHS[path], true),
        Some(other) => (OTHERS.iter().chain(&IMAGES).nth(other).unwrap().0, false),
    };
    let mut request = match IMAGES.iter().any(|(image, _)| *image == path) {
        false => Request::post(path),
        true => Request::get([path.as_bytes(), b"?", body].concat()),
    };
    if path == OTLP_PROTOBUF {
        request = request.header("content-type", "application/x-protobuf");
    }
    if let Some(label) = LABELS[usize::from(*label) % LABELS.len()] {
        request = request.header("content-encoding", label);
    }
    if path == PATHS[0] || !is_ours {
        request = request.header("x-api-key", &door.key);
    }
    // No server passes on a query with bytes that an address must not contain.
    let Ok(request) = request.body(Body::from(body.to_vec())) else { return DOOR.set(Some(door)) };
    let (status, answer) = block_on(async {
        let response = door.routes.answer(request).await;
        let status = response.status();
        (status, to_bytes(response.into_body(), 64 << 20).await.unwrap())
    });
    if !is_ours {
        // Each protocol has its own answers; a 5xx among them would be our fault.
        assert!(status.is_success() || status.is_client_error(), "{status}");
        DOOR.set(Some(door));
        return;
    }
    let refusals = [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::PAYLOAD_TOO_LARGE];
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    match status {
        StatusCode::ACCEPTED => assert!(answer["accepted"].is_u64() && answer["rejected"].is_array(), "{answer}"),
        StatusCode::CREATED => assert!(answer["session_id"].is_string(), "{answer}"),
        status if refusals.contains(&status) => assert!(answer["message"].is_string(), "{answer}"),
        status => panic!("{status}: {answer}"),
    }
    DOOR.set(Some(door));
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let one =
        br#"{"event_id":"e-1","name":"page_view","user_id":"ada","timestamp":"2026-03-01T11:59:00Z","revenue":1.5}"#;
    let envelope =
        br#"{"key":"none","sent_at":1772366400000,"events":[{"name":"a"},{"name":"b","properties":{"c":[1,{}]}}]}"#;
    let zeros = vec![b'0'; 2 << 20];
    let mut seeds = vec![[&[0, 2], &b"{\"user_id\":\"ada\"}"[..]].concat()];
    for (number, (_, body)) in OTHERS.iter().chain(&IMAGES).enumerate() {
        seeds.push([&[0, (PATHS.len() + number) as u8], body.as_bytes()].concat());
    }
    for path in [0, 1, 3] {
        for text in [&one[..], &envelope[..], b"{\"name\":\"a\"}\n{\"name\":\"b\"}\n!\n", &zeros] {
            for label in 0..LABELS.len() as u8 {
                let body = compress(label, text);
                // Large bodies that do not compress are uninteresting after the first time.
                if body.len() < 64 << 10 {
                    seeds.push([&[label, path], &body[..]].concat());
                }
            }
        }
    }
    seeds
}

fn compress(label: u8, text: &[u8]) -> Vec<u8> {
    match LABELS[usize::from(label)] {
        Some("gzip") => {
            let mut encoder = GzEncoder::new(vec![], Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Some("deflate") if text.len().is_multiple_of(2) => {
            let mut encoder = DeflateEncoder::new(vec![], Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Some("deflate") => {
            let mut encoder = ZlibEncoder::new(vec![], Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Some("br") => {
            let mut body = vec![];
            brotli::CompressorWriter::new(&mut body, 4_096, 5, 22).write_all(text).unwrap();
            body
        }
        Some("zstd") => zstd::encode_all(text, 1).unwrap(),
        _ => text.to_vec(),
    }
}
