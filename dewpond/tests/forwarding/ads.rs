//! Meta's Conversions API and Google's Data Manager API, at stand-ins that enforce what is documented.

use axum::Router;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use axum::{Json as Body, serve};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::process::Command;
use std::sync::Arc;

use crate::harness::World;

fn events(now: chrono::DateTime<chrono::Utc>, count: usize) -> Vec<Json> {
    let one = |n: usize| {
        let name = ["page_view", "purchase", "Order Completed"][n % 3];
        json!({
            "event_id": uuid::Uuid::from_u128(n as u128).to_string(), "name": name,
            "anonymous_id": format!("v-{}", n % 5), "revenue": 9.5, "currency": "EUR", "url": "https://shop.example/",
            "timestamp": (now - chrono::TimeDelta::minutes(n as i64 % 60)).to_rfc3339(),
            "properties": {"email": format!(" Ada{n}@Example.com"), "phone": "+49 170 1234567", "n": n, "items": [{"item_id": "hat"}]},
        })
    };
    (0..count).map(one).collect()
}

#[derive(Clone, Default)]
struct StandIn {
    taken: Arc<Mutex<Vec<Json>>>,
    requests: Arc<Mutex<Vec<Json>>>,
    public_key: Arc<Vec<u8>>,
}

async fn listen(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { serve(listener, router).await });
    address
}

/// Meta: one event that is wrong fails the whole request.
async fn meta(State(stand_in): State<StandIn>, Body(body): Body<Json>) -> axum::response::Response {
    let refused = |status: StatusCode, code: u32, message: &str| {
        (status, Body(json!({"error": {"code": code, "message": message, "type": "OAuthException"}}))).into_response()
    };
    stand_in.requests.lock().push(body.clone());
    if body["access_token"] != "secret" {
        return refused(StatusCode::BAD_REQUEST, 190, "Invalid OAuth access token");
    }
    if stand_in.requests.lock().len() == 1 {
        return refused(StatusCode::BAD_REQUEST, 4, "Application request limit reached");
    }
    let events = body["data"].as_array().cloned().unwrap_or_default();
    let now = chrono::Utc::now().timestamp();
    let is_hash = |hash: &Json| {
        hash.as_str().is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let is_well = |event: &Json| {
        let user = event["user_data"].as_object().unwrap();
        let age = now - event["event_time"].as_i64().unwrap_or_default();
        let hashes = ["em", "ph", "external_id"].iter().filter_map(|name| user.get(*name));
        let is_priced = event["event_name"] != "Purchase"
            || (event["custom_data"]["value"].is_number() && event["custom_data"]["currency"] == "EUR");
        !user.is_empty()
            && (-60..7 * 86_400).contains(&age)
            && hashes.flat_map(|list| list.as_array().unwrap()).all(is_hash)
            && is_priced
            && event["custom_data"]["n"] != 77
    };
    if events.is_empty() || events.len() > 1_000 || !events.iter().all(is_well) {
        return refused(StatusCode::BAD_REQUEST, 100, "Invalid parameter");
    }
    stand_in.taken.lock().extend(events.iter().cloned());
    Body(json!({"events_received": events.len()})).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_such_as_meta_takes_and_one_that_is_wrong_keeps_none_of_the_others() {
    let stand_in = StandIn::default();
    let url = listen(Router::new().route("/v1/{dataset}/events", post(meta)).with_state(stand_in.clone())).await;
    let world = World::new();
    let url = format!("{url}/v1");
    world.add("ads", &["--meta", "4711", "--token-variable", "FORWARD_SECRET", "--meta-url", &url]);
    let now = chrono::Utc::now();
    let mut events = events(now, 1_500);
    events.push(json!({"event_id": "old", "name": "a", "anonymous_id": "v", "timestamp": (now - chrono::TimeDelta::days(8)).to_rfc3339()}));
    world.publish("shop", &events);
    let _forward = world.forward();
    world.wait_for_delivered("ads", 1_499, 2).await;
    let taken = stand_in.taken.lock().clone();
    let mut ids: Vec<&str> = taken.iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((taken.len(), ids.len()), (1_499, 1_499), "each once");
    let text = Json::Array(stand_in.requests.lock().clone()).to_string().to_lowercase();
    assert!(!text.contains("example.com\"") && !text.contains("1234567\""), "an address goes out in the clear");
    let reasons = world.ask("SELECT reason FROM quarantine ORDER BY reason");
    assert_eq!(
        reasons,
        "reason\nads: Invalid parameter\nads: Meta takes no events that happened more than 7 days ago\n"
    );
}

/// Google's token endpoint: a signed claim, and a token for it.
async fn token(State(stand_in): State<StandIn>, Form(form): Form<HashMap<String, String>>) -> axum::response::Response {
    let refused = |what: &str| {
        (StatusCode::BAD_REQUEST, Body(json!({"error": "invalid_grant", "error_description": what}))).into_response()
    };
    if form["grant_type"] != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
        return refused("grant_type");
    }
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &stand_in.public_key[..]);
    if key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).is_err() {
        return refused("Invalid JWT Signature.");
    }
    let claim: Json =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap()).unwrap();
    if claim["scope"] != "https://www.googleapis.com/auth/datamanager" || claim["iss"] != "dew@example.iam" {
        return refused("the claim");
    }
    Body(json!({"access_token": "t-1", "expires_in": 3_600, "token_type": "Bearer"})).into_response()
}

/// Google's `events:ingest`: one event that is wrong fails the whole request, and the answer names it.
async fn ingest(
    State(stand_in): State<StandIn>,
    headers: HeaderMap,
    Body(body): Body<Json>,
) -> axum::response::Response {
    let error = |status: StatusCode, message: &str, field: &str| {
        let details = json!([{"fieldViolations": [{"field": field, "description": "is wrong"}]}]);
        (status, Body(json!({"error": {"code": status.as_u16(), "message": message, "details": details}})))
            .into_response()
    };
    if headers.get("authorization").is_none_or(|value| value != "Bearer t-1") {
        return error(StatusCode::UNAUTHORIZED, "no token", "");
    }
    stand_in.requests.lock().push(body["destinations"].clone());
    if stand_in.requests.lock().len() == 2 {
        return error(StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED", "");
    }
    let events = body["events"].as_array().cloned().unwrap_or_default();
    if events.is_empty() || events.len() > 2_000 {
        return error(StatusCode::BAD_REQUEST, "events", "events");
    }
    for (at, event) in events.iter().enumerate() {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let time: Result<chrono::DateTime<chrono::Utc>, _> = text("eventTimestamp").parse();
        let age = chrono::Utc::now() - time.unwrap_or_default();
        let params = event["additionalEventParameters"].as_array().unwrap();
        let is_text = params.iter().all(|param| param["parameterName"].is_string() && param["value"].is_string());
        let has = |name: &str| params.iter().any(|param| param["parameterName"] == name);
        let is_bad = params.iter().any(|param| param["parameterName"] == "n" && param["value"] == "77");
        let shows = has("session_id") && has("engagement_time_msec");
        let is_well = !text("clientId").is_empty()
            && text("eventName").chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
            && text("eventSource") == "WEB"
            && age < chrono::TimeDelta::hours(72)
            && event["conversionValue"].is_number()
            && event["cartData"]["items"][0]["itemId"] == "hat"
            && is_text
            && shows;
        if !is_well || is_bad {
            return error(StatusCode::BAD_REQUEST, "There was a problem with the request.", &format!("events[{at}]"));
        }
    }
    stand_in.taken.lock().extend(events);
    Body(json!({"requestId": "r"})).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_such_as_googles_data_manager_takes() {
    let keys = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let done = Command::new("openssl").args(args).current_dir(keys.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"]);
    openssl(&["rsa", "-in", "key.pem", "-RSAPublicKey_out", "-outform", "DER", "-out", "public.der"]);
    let stand_in =
        StandIn { public_key: std::fs::read(keys.path().join("public.der")).unwrap().into(), ..StandIn::default() };
    let router = Router::new().route("/token", post(token)).route("/ingest", post(ingest)).with_state(stand_in.clone());
    let url = listen(router).await;
    let key = json!({
        "type": "service_account", "client_email": "dew@example.iam", "token_uri": format!("{url}/token"),
        "private_key": std::fs::read_to_string(keys.path().join("key.pem")).unwrap(),
    });
    let mut world = World::new();
    world.variables.push(("GOOGLE_KEY".into(), key.to_string()));
    let ingest = format!("{url}/ingest");
    let flags = [
        "--data-manager",
        "123456789",
        "--stream",
        "G-1",
        "--secret-variable",
        "GOOGLE_KEY",
        "--data-manager-url",
        &ingest,
    ];
    world.add("google", &flags);
    world.publish("shop", &events(chrono::Utc::now(), 2_500));
    let _forward = world.forward();
    world.wait_for_delivered("google", 2_499, 1).await;
    let account = json!({"accountType": "GOOGLE_ANALYTICS_PROPERTY", "accountId": "123456789"});
    let expected = json!([{"operatingAccount": account, "loginAccount": account, "productDestinationId": "G-1"}]);
    assert_eq!(stand_in.requests.lock()[0], expected);
    assert_eq!(stand_in.taken.lock().len(), 2_499, "each once");
    let reasons = world.ask("SELECT reason FROM quarantine");
    assert_eq!(reasons, "reason\ngoogle: There was a problem with the request.: events[0] is wrong\n");
}
