//! Alerts: every change is posted to a receiver, once, and stands in the report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use analytics::{AlertState, Analytics, AnalyticsSettings, latest_report};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, EngineSettings};
use lake::Lake;
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

/// A receiver of posts on a local port.
#[derive(Clone, Default)]
struct Receiver {
    /// What it answers next, before it begins to succeed.
    failures: Arc<Mutex<Vec<StatusCode>>>,
    tries: Arc<Mutex<usize>>,
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=t", listener.local_addr().unwrap());
        let routes = Router::new().route("/hook", post(receive)).with_state(self);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url
    }

    /// The posts that it took, without what is the same in all.
    fn posts(&self) -> Vec<(String, String, Json)> {
        let posts = self.received.lock();
        let body = |bytes: &Bytes| serde_json::from_slice::<Json>(bytes).unwrap();
        let text = |body: &Json, name: &str| body[name].as_str().unwrap().to_owned();
        posts
            .iter()
            .map(|(_, bytes)| body(bytes))
            .map(|body| (text(&body, "state"), text(&body, "since"), body["value"].clone()))
            .collect()
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    *receiver.tries.lock() += 1;
    let failure = receiver.failures.lock().pop();
    if let Some(failure) = failure {
        return failure;
    }
    receiver.received.lock().push((headers, body));
    StatusCode::NO_CONTENT
}

struct Shop {
    lake: Lake,
    queries: tempfile::TempDir,
    now: Arc<Mutex<DateTime<Utc>>>,
}

impl Shop {
    fn open() -> Self {
        let now: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
        Self {
            lake: Lake::open("memory:///", []).unwrap(),
            queries: tempfile::tempdir().unwrap(),
            now: Arc::new(Mutex::new(now)),
        }
    }

    fn process(&self, webhook: Option<&str>, secret: Option<&str>) -> Arc<Analytics> {
        let settings = AnalyticsSettings {
            queries: Path::to_owned(self.queries.path()),
            cron: "0 * * * * *".parse().unwrap(),
            memcached: None,
            memcached_login: None,
            memcached_timeout: Duration::from_secs(1),
            metric_timeout: Duration::from_secs(60),
            metric_rows_max: 10_000,
            alert_webhook: webhook.map(|url| url.parse().unwrap()),
            alert_secret: secret.map(|secret| secret.parse().unwrap()),
        };
        let (engine, now) = (Engine::new(self.lake.clone(), &EngineSettings::default()).unwrap(), self.now.clone());
        Analytics::new(engine, settings, Arc::new(move || *now.lock()))
    }

    fn set_orders(&self, orders: i64) {
        let sql = format!("-- title: Orders\n-- alert: value < 100\nSELECT {orders} AS n");
        std::fs::write(self.queries.path().join("orders.sql"), sql).unwrap();
    }

    /// A minute later.
    async fn run(&self, process: &Analytics) -> AlertState {
        *self.now.lock() += TimeDelta::minutes(1);
        process.run().await.unwrap().metrics["orders"].details.alert.clone().unwrap()
    }
}

#[tokio::test]
async fn a_change_is_posted_once_with_retries_and_stands_in_the_report() {
    let (shop, receiver) = (Shop::open(), Receiver::default());
    *receiver.failures.lock() = vec![StatusCode::SERVICE_UNAVAILABLE, StatusCode::UNAUTHORIZED];
    let url = receiver.clone().start().await;
    let process = shop.process(Some(&url), Some("Jefe"));

    shop.set_orders(200);
    assert!(!shop.run(&process).await.firing);
    shop.set_orders(99);
    let fired = shop.run(&process).await;
    assert_eq!((fired.condition.as_str(), fired.firing, fired.since), ("value < 100", true, *shop.now.lock()));
    process.finish_posts().await;
    assert_eq!(*receiver.tries.lock(), 3);
    // More runs of the same state, and a metric that fails for a while.
    assert_eq!(shop.run(&process).await.since, fired.since);
    std::fs::write(shop.queries.path().join("orders.sql"), "-- alert: value < 100\nSELECT no_such_column").unwrap();
    assert!(shop.run(&process).await.firing);
    shop.set_orders(100);
    let resolved = shop.run(&process).await;
    process.finish_posts().await;
    let posts = receiver.posts();
    let since = |state: &AlertState| state.since.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    assert_eq!(posts, [("firing".into(), since(&fired), json!(99)), ("resolved".into(), since(&resolved), json!(100))]);
    let stands =
        latest_report(&shop.lake, None).await.unwrap().unwrap().metrics["orders"].details.alert.clone().unwrap();
    assert_eq!(stands, AlertState { unposted: false, ..resolved });

    let received = receiver.received.lock();
    let (headers, body) = &received[0];
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    let body: Json = serde_json::from_slice(body).unwrap();
    assert_eq!(header(headers, "idempotency-key"), body["id"].as_str().unwrap());
    assert_ne!(header(headers, "idempotency-key"), header(&received[1].0, "idempotency-key"));
    assert!(header(headers, "dewpond-signature").starts_with("sha256="));
    let said = ["metric", "title", "site", "condition", "generated_at"].map(|name| body[name].clone());
    assert_eq!(said, [json!("orders"), json!("Orders"), json!(null), json!("value < 100"), body["since"].clone()]);
}

#[tokio::test]
async fn a_process_that_ends_before_its_post_leaves_it_to_the_next() {
    let (shop, receiver) = (Shop::open(), Receiver::default());
    shop.set_orders(1);
    // It reports, and ends before it could post.
    let fired = shop.run(&shop.process(None, None)).await;
    assert!(fired.firing && fired.unposted);
    let url = receiver.clone().start().await;
    let (second, third) = (shop.process(Some(&url), None), shop.process(Some(&url), None));
    // The one that made the change may still be at it.
    shop.run(&second).await;
    second.finish_posts().await;
    assert_eq!(receiver.posts().len(), 0);
    shop.run(&third).await;
    third.finish_posts().await;
    shop.run(&second).await;
    second.finish_posts().await;
    assert_eq!(receiver.posts().len(), 1);
    assert!(!shop.run(&third).await.unposted);
}

#[tokio::test]
async fn two_processes_post_a_change_once() {
    let (shop, receiver) = (Shop::open(), Receiver::default());
    let url = receiver.clone().start().await;
    let (a, b) = (shop.process(Some(&url), None), shop.process(Some(&url), None));
    for (round, orders) in [200, 1, 1, 200, 1].into_iter().enumerate() {
        shop.set_orders(orders);
        for process in if round % 2 == 0 { [&a, &b] } else { [&b, &a] } {
            shop.run(process).await;
        }
        a.finish_posts().await;
        b.finish_posts().await;
    }
    let states: Vec<String> = receiver.posts().into_iter().map(|(state, ..)| state).collect();
    assert_eq!(states, ["firing", "resolved", "firing"]);
}

#[tokio::test]
async fn a_receiver_that_is_away_keeps_no_report_waiting() {
    let shop = Shop::open();
    // Accepts connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let process = shop.process(Some(&format!("http://{}/", listener.local_addr().unwrap())), None);
    shop.set_orders(1);
    let started = std::time::Instant::now();
    assert!(shop.run(&process).await.unposted);
    assert!(shop.run(&process).await.unposted);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
