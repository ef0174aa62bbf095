//! Every protocol through the door: its key or domain, its answers, what becomes of its events.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};

use super::World;

/// An answer as bytes, since not every protocol answers in JSON.
struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Raw {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(world: &World, request: Request<Body>) -> Raw {
    let response = world.collector.routes().answer(request).await;
    let (parts, body) = response.into_parts();
    Raw { status: parts.status, headers: parts.headers, body: to_bytes(body, usize::MAX).await.unwrap().to_vec() }
}

async fn post(world: &World, path: &str, body: &str) -> Raw {
    send(world, Request::post(path).body(Body::from(body.to_owned())).unwrap()).await
}

/// A site that takes events of `shop.example` without a key.
async fn opted_in() -> World {
    let world = World::new().await;
    world.lake.change_site("shop", |settings| settings.domains = vec!["shop.example".into()]).await.unwrap();
    world
}

#[tokio::test]
async fn each_protocol_is_answered_in_its_own_words_and_its_event_is_durable() {
    let world = opted_in().await;
    let key = &world.write_key;
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let cases: Vec<(String, String, u16, Value)> = vec![
        (
            "/v1/batch".into(),
            json!({"writeKey": key, "batch": [{"type": "track", "event": "a", "userId": "u"}]}).to_string(),
            200,
            json!({"success": true}),
        ),
        (
            format!("/beacon/v1/batch?writeKey={key}"),
            json!({"batch": [{"type": "track", "event": "a", "userId": "u", "properties": {"revenue": "1,234"}}]})
                .to_string(),
            200,
            json!({"success": true, "warnings": [{
                "index": 0,
                "reason": "`revenue` is no clear amount and stays in `properties`: write a number, such as 1234.50",
            }]}),
        ),
        ("/v1/identify/".into(), json!({"writeKey": key, "userId": "u"}).to_string(), 200, json!({"success": true})),
        (
            "/batch/".into(),
            json!({"api_key": key, "batch": [{"event": "a", "distinct_id": "u"}]}).to_string(),
            200,
            json!({"status": 1}),
        ),
        (
            "/i/v0/e".into(),
            json!({"token": key, "event": "b", "distinct_id": "u"}).to_string(),
            200,
            json!({"status": 1}),
        ),
        (
            format!("/mp/collect?measurement_id=G&api_secret={key}"),
            json!({"client_id": "c", "events": [{"name": "a"}]}).to_string(),
            204,
            Value::Null,
        ),
        (
            "/api/event".into(),
            json!({"n": "pageview", "u": "https://shop.example/", "d": "shop.example"}).to_string(),
            202,
            json!("ok"),
        ),
        (
            "/com.snowplowanalytics.snowplow/tp2".into(),
            json!({"data": [{"e": "pv", "aid": "shop.example"}]}).to_string(),
            200,
            json!("ok"),
        ),
        (
            "/api/batch".into(),
            json!([{"type": "event", "payload": {"website": "shop.example"}}]).to_string(),
            200,
            json!({"size": 1, "processed": 1, "errors": 0, "details": []}),
        ),
        (
            format!("/visits?key={key}"),
            json!({"identifier": "v", "pageUrl": "https://shop.example/", "visitedAt": now}).to_string(),
            202,
            json!({"message": "Visit logged"}),
        ),
        (
            "/2/httpapi".into(),
            json!({"api_key": key, "events": [{"event_type": "a", "user_id": "u"}]}).to_string(),
            200,
            json!({"code": 200, "events_ingested": 1}),
        ),
        (
            "/batch".into(),
            json!({"api_key": key, "events": [{"event_type": "b", "user_id": "u"}]}).to_string(),
            200,
            json!({"code": 200, "events_ingested": 1}),
        ),
        (
            "/track".into(),
            json!([{"event": "a", "properties": {"token": key, "distinct_id": "u"}}]).to_string(),
            200,
            json!("1"),
        ),
        (
            "/engage/?verbose=1".into(),
            json!({"$token": key, "$distinct_id": "u", "$set": {"a": 1}}).to_string(),
            200,
            json!({"status": 1, "error": null}),
        ),
        (
            "/api/s/track".into(),
            json!({"writeKey": format!("{key}:***"), "type": "track", "event": "a", "userId": "u"}).to_string(),
            200,
            json!({"ok": true}),
        ),
        (
            format!("/v1/logs?key={key}"),
            json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "hi"}}]}]}]}).to_string(),
            200,
            json!({}),
        ),
        (
            "/v1/events".into(),
            json!({"site": "shop.example", "events": [{"name": "a"}]}).to_string(),
            202,
            json!({"accepted": 1, "duplicates": 0, "rejected": []}),
        ),
    ];
    for (number, (path, body, status, expected)) in cases.iter().enumerate() {
        let answer = post(&world, path, body).await;
        assert_eq!(answer.status.as_u16(), *status, "{path}: {}", String::from_utf8_lossy(&answer.body));
        let found = match answer.body.first() {
            None => Value::Null,
            Some(b'{' | b'[') => answer.json(),
            Some(_) => json!(String::from_utf8(answer.body).unwrap()),
        };
        assert_eq!(found, *expected, "{path}");
        assert_eq!(world.stored().await, number + 1, "{path}");
    }
    let umami = post(&world, "/api/send", r#"{"type":"event","payload":{"website":"shop.example"}}"#).await;
    assert_eq!(umami.status, StatusCode::OK);
    assert!(umami.json()["sessionId"].as_str().is_some_and(|id| id.len() == 36));
}

#[tokio::test]
async fn images_are_images_and_are_not_kept_by_browsers() {
    let world = opted_in().await;
    for path in [
        "/i?e=pv&aid=shop.example&url=https%3A%2F%2Fshop.example%2F".to_owned(),
        format!("/v1/pixel.gif?key={}&name=opened", world.write_key),
        "/v1/pixel.gif?site=shop.example".to_owned(),
        format!("/pixel/v1/track?writeKey={}&anonymousId=x&event=opened", world.write_key),
        // {"userId":"u"}
        format!("/v1/pixel/page/?data=eyJ1c2VySWQiOiJ1In0&key={}", world.write_key),
    ] {
        let answer = send(&world, Request::get(&path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!((&answer.body[..6], answer.body.len()), (&b"GIF89a"[..], 43));
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    assert_eq!(world.stored().await, 5);
}

#[tokio::test]
async fn refusals_have_the_shape_of_their_protocol() {
    let world = World::new().await;
    let umami = post(&world, "/api/send", r#"{"type":"event","payload":{"website":"none"}}"#).await;
    assert_eq!((umami.status, &umami.json()["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("bad-request")));
    let plausible = post(&world, "/api/event", r#"{"n":"a","u":"https://a.example/","d":"none"}"#).await;
    assert_eq!(plausible.status, StatusCode::BAD_REQUEST);
    let hint = plausible.json()["errors"]["event"][0].as_str().unwrap().to_owned();
    assert!(hint.contains("dewpond site set NAME --domain none"), "{hint}");
    let posthog = post(&world, "/e", r#"{"api_key":"none","event":"a","distinct_id":"u"}"#).await;
    assert_eq!((posthog.status, &posthog.json()["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_api_key")));
    let segment = post(&world, "/v1/track", r#"{"writeKey":"none"}"#).await;
    assert_eq!((segment.status, &segment.json()["success"]), (StatusCode::UNAUTHORIZED, &json!(false)));
    let visits = post(&world, "/visits", "{}").await;
    assert_eq!((visits.status, visits.json()), (StatusCode::UNAUTHORIZED, json!({"message": "Unauthorized"})));
    let visits = post(&world, &format!("/visits?key={}", world.write_key), "{}").await;
    assert_eq!((visits.status, visits.json()["message"].as_array().unwrap().len()), (StatusCode::BAD_REQUEST, 3));
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn what_shares_an_address_is_answered_in_its_own_words() {
    let world = World::new().await;
    let amplitude = post(&world, "/batch", r#"{"api_key":"none","events":[]}"#).await;
    let error = amplitude.json()["error"].as_str().unwrap().to_owned();
    assert_eq!((amplitude.status, &amplitude.json()["code"]), (StatusCode::UNAUTHORIZED, &json!(401)));
    assert!(error.starts_with("Invalid API key"), "{error}");
    let posthog = post(&world, "/batch", r#"{"api_key":"none","batch":[]}"#).await;
    assert_eq!((posthog.status, &posthog.json()["code"]), (StatusCode::UNAUTHORIZED, &json!("invalid_api_key")));
    let strict = post(&world, &format!("/import?strict=1&key={}", world.write_key), "[7]").await;
    assert_eq!((strict.status, &strict.json()["failed_records"][0]["index"]), (StatusCode::BAD_REQUEST, &json!(0)));
    let jitsu = post(&world, "/api/s/track", r#"{"writeKey":"none:***"}"#).await;
    assert_eq!((jitsu.status, &jitsu.json()["ok"]), (StatusCode::UNAUTHORIZED, &json!(false)));
}

#[tokio::test]
async fn logs_are_answered_in_the_encoding_that_they_came_in() {
    let world = World::new().await;
    let logs = |kind: &str, body: &'static [u8], key: &str| {
        Request::post("/v1/logs").header("content-type", kind).header("x-api-key", key).body(Body::from(body)).unwrap()
    };
    // { resource_logs { scope_logs { log_records { body { string_value: "hi" } } } } }
    let one: &[u8] = b"\n\x0a\x12\x08\x12\x06*\x04\n\x02hi";
    let key = &*world.write_key;
    let taken = send(&world, logs("application/x-protobuf; a=b", one, key)).await;
    assert_eq!((taken.status, &*taken.body), (StatusCode::OK, &b""[..]));
    assert_eq!(taken.headers["content-type"], "application/x-protobuf");
    assert_eq!(world.stored().await, 1);
    let refused = send(&world, logs("application/x-protobuf", b"{}", key)).await;
    assert_eq!((refused.status, &refused.body[..2]), (StatusCode::BAD_REQUEST, &[0x08, 3][..]));
    let unknown = send(&world, logs("application/json", b"{}", "none")).await;
    assert_eq!((unknown.status, &unknown.json()["code"]), (StatusCode::UNAUTHORIZED, &json!(16)));
    let empty = send(&world, logs("application/json", b"{}", key)).await;
    assert_eq!((empty.status, empty.json()), (StatusCode::OK, json!({})));
}

#[tokio::test]
async fn the_debug_endpoint_keeps_nothing() {
    let world = World::new().await;
    let path = format!("/debug/mp/collect?api_secret={}", world.write_key);
    let answer = post(&world, &path, r#"{"client_id":"c","events":[{"name":"a"},{}]}"#).await;
    assert_eq!(answer.json()["validationMessages"][0]["fieldPath"], "events[1]");
    assert_eq!(world.stored().await, 0);
}

#[tokio::test]
async fn a_site_without_domains_takes_nothing_without_a_key() {
    let world = World::new().await;
    let answer = post(&world, "/v1/events", r#"{"site":"shop","name":"a"}"#).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let answer = post(&world, "/v1/events", r#"{"name":"a"}"#).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}
