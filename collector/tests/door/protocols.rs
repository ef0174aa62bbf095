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
