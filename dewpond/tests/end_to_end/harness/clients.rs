//! HTTP clients and the events they send.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value as Json, json};

/// A client with a timeout for each request.
pub fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(20)).build().unwrap()
}

/// Page views with these ids, by ten visitors, without timestamps.
pub fn events(ids: impl IntoIterator<Item = String>) -> Vec<Json> {
    ids.into_iter()
        .enumerate()
        .map(|(n, id)| json!({"event_id": id, "name": "page_view", "anonymous_id": format!("visitor-{}", n % 10)}))
        .collect()
}

/// Sends one body once.
pub async fn post(client: &Client, collector: &str, key: &str, body: &Json) -> reqwest::Result<Response> {
    client.post(format!("{collector}/v1/events")).bearer_auth(key).json(body).send().await
}

/// Sends a body whose events must all be accepted.
pub async fn post_accepted(client: &Client, collector: &str, key: &str, body: &Json) {
    let response = post(client, collector, key, body).await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{text}");
    assert!(text.contains(r#""rejected":[]"#), "{text}");
}
