//! The report in a real Memcached as any client reads it, and the endpoint while Memcached is down.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::harness::clients::{client, post_accepted};
use crate::harness::role::{Role, queries_dir, run_well};

struct Memcached {
    child: Child,
    address: SocketAddr,
}

impl Memcached {
    async fn start(address: SocketAddr) -> Self {
        let port = address.port().to_string();
        let mut command = Command::new("memcached");
        // As root it must be told which user to run as.
        command.args(["-l", "127.0.0.1", "-p", &port, "-U", "0", "-u", "nobody"]).kill_on_drop(true);
        let child =
            command.spawn().expect("memcached is installed: `make test` does it, or `apt-get install memcached`");
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(10), "memcached does not answer at {address}");
            sleep(Duration::from_millis(20)).await;
        }
        Self { child, address }
    }

    async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }

    /// What a client gets with the plain text protocol.
    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("get {key}\r\nquit\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let header_end = answer.windows(2).position(|window| window == b"\r\n")?;
        let length: usize = std::str::from_utf8(&answer[..header_end]).ok()?.split(' ').nth(3)?.parse().ok()?;
        Some(answer[header_end + 2..header_end + 2 + length].to_vec())
    }
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_is_in_memcached_and_the_endpoint_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let lake = lake.to_str().unwrap();
    let site: Json =
        serde_json::from_str(&run_well(&["site", "add", "shop", "--lake", lake, "--json"], &[]).await).unwrap();
    let key = site["write_key"].as_str().unwrap();
    let collector = Role::start(
        &["collector", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        &[],
        "collector",
    )
    .await;
    let client = client();
    let events = json!([{"name": "page_view", "user_id": "ada"}, {"name": "object_in_view", "user_id": "bob"}]);
    post_accepted(&client, &collector.url("collector"), key, &events).await;

    let address = free_address().await;
    let memcached = Memcached::start(address).await;
    let (queries, memcached_at) = (queries_dir(), address.to_string());
    let analytics = Role::start(
        &[
            "analytics",
            "--lake",
            lake,
            "--queries",
            queries.to_str().unwrap(),
            "--memcached",
            &memcached_at,
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--cron",
            "* * * * * *",
        ],
        &[],
        "analytics",
    )
    .await;
    let url = format!("{}/metrics", analytics.url("analytics"));

    // The first run comes within a second or two; before it there is nothing to serve. It writes the report of the lake
    // first, then those of the sites.
    wait_for(&client, &format!("{url}?site=shop"), |status, cache, _| status == 200 && cache == "hit").await;
    let first = wait_for(&client, &url, |status, _, _| status == 200).await;
    assert_eq!(first.1["metrics"]["unique_users"]["value"], 2);
    let cached: Json = serde_json::from_slice(&memcached.get("dewpond:report").await.expect("it is cached")).unwrap();
    assert_eq!(cached["metrics"]["events"]["value"], 2);
    assert_eq!(cached["site"], Json::Null);
    let of_site: Json = serde_json::from_slice(&memcached.get("dewpond:report:shop").await.unwrap()).unwrap();
    assert_eq!(of_site["site"], "shop");

    memcached.stop().await;
    let away = wait_for(&client, &url, |status, cache, _| status == 200 && cache == "stale").await;
    assert_eq!(away.1["metrics"]["events"]["value"], 2);
    post_accepted(&client, &collector.url("collector"), key, &json!({"name": "page_view", "user_id": "eve"})).await;
    wait_for(&client, &url, |_, _, report| report["metrics"]["events"]["value"] == 3).await;

    let memcached = Memcached::start(address).await;
    wait_for(&client, &url, |_, cache, _| cache == "hit").await;
    assert!(memcached.get("dewpond:report").await.is_some());

    // The endpoint of another process has neither the cache nor a report in memory, only history.
    memcached.stop().await;
    assert!(analytics.stop().await.success());
    let stranger = Role::start(
        &[
            "analytics",
            "--lake",
            lake,
            "--queries",
            queries.to_str().unwrap(),
            "--memcached",
            &memcached_at,
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--cron",
            "0 0 0 1 1 *",
        ],
        &[],
        "analytics",
    )
    .await;
    let url = stranger.url("analytics");
    let served = wait_for(&client, &format!("{url}/metrics?site=shop"), |status, _, _| status == 200).await;
    assert_eq!(served.1["metrics"]["events"]["value"], 3);
    let history = client.get(format!("{url}/metrics/history?metric=events")).send().await.unwrap();
    let history: Json = history.json().await.unwrap();
    assert!(history["points"].is_array(), "{history}");
    let values: Vec<f64> =
        history["points"].as_array().unwrap().iter().map(|point| point["value"].as_f64().unwrap()).collect();
    assert!(values.len() >= 2 && values.is_sorted() && values.contains(&2.0) && values.contains(&3.0), "{values:?}");
    let unknown = client.get(format!("{url}/metrics?site=nobody")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_too_large_for_an_item_is_compressed_or_served_from_history() {
    let address = free_address().await;
    let memcached = Memcached::start(address).await;
    let cache = analytics::Cache::memcached(address.to_string(), Duration::from_secs(2));
    let repetitive = b"0123456789".repeat(300_000);
    cache.set("large", &repetitive).await.unwrap();
    assert_eq!(cache.get("large").await, analytics::Lookup::Value(repetitive));

    cache.set("huge", b"{\"old\": true}").await.unwrap();
    let random: Vec<u8> =
        (0..3_000_000_u64).map(|n| (n.wrapping_mul(6_364_136_223_846_793_005).rotate_left(17) >> 33) as u8).collect();
    let noise: Vec<u8> =
        random.iter().enumerate().map(|(n, byte)| byte ^ blake3::hash(&n.to_le_bytes()).as_bytes()[0]).collect();
    let error = cache.set("huge", &noise).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
    assert_eq!(cache.get("huge").await, analytics::Lookup::Absent, "an old value must not pass for the new one");
    drop(memcached);
}

/// Asks until the answer is as expected, for at most half a minute. Returns `X-Cache` and the body.
async fn wait_for(client: &reqwest::Client, url: &str, wanted: impl Fn(u16, &str, &Json) -> bool) -> (String, Json) {
    let started = Instant::now();
    loop {
        let response = client.get(url).send().await.unwrap();
        let status = response.status().as_u16();
        assert!(status == 200 || status == 503, "{url}: {status}");
        let cache = response.headers().get("x-cache").map_or(String::new(), |value| value.to_str().unwrap().to_owned());
        let body: Json = response.json().await.unwrap();
        if status == 503 {
            assert_eq!(body, json!({"message": "No data available"}));
        }
        if wanted(status, &cache, &body) {
            return (cache, body);
        }
        assert!(started.elapsed() < Duration::from_secs(30), "{url}: the last answer was {status} {cache} {body}");
        sleep(Duration::from_millis(100)).await;
    }
}
