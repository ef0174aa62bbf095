//! Hostile and broken clients: the collector's memory stays small, and it keeps answering the others.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::clients::{client, post_accepted};
use crate::harness::role::{Role, run_well};

/// The most memory that a collector may use, whatever is sent to it.
const MEMORY_MIB_MAX: u64 = 512;

/// How long an honest event may wait while others misbehave.
const HONEST_WAIT_MAX: Duration = Duration::from_secs(2);

struct World {
    collector: Role,
    url: String,
    key: String,
    dir: tempfile::TempDir,
}

impl World {
    async fn start(flags: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = dir.path().join("lake").to_str().unwrap().to_owned();
        let site: Json =
            serde_json::from_str(&run_well(&["site", "add", "shop", "--lake", &lake, "--json"], &[]).await).unwrap();
        let args = [&["collector", "--lake", &lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], flags]
            .concat();
        let collector = Role::start(&args, &[], "collector").await;
        let url = collector.url("collector");
        Self { collector, url, key: site["write_key"].as_str().unwrap().to_owned(), dir }
    }

    fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Checks that an honest sender is answered soon.
    async fn check_honest(&self) {
        let started = Instant::now();
        post_accepted(&client(), &self.url, &self.key, &json!([{"name": "page_view", "anonymous_id": "a"}])).await;
        assert!(started.elapsed() < HONEST_WAIT_MAX, "an honest event waited {:?}", started.elapsed());
    }

    async fn finish(self) {
        self.check_honest().await;
        let peak_mib = self.collector.peak_memory_mib();
        println!("the collector took {peak_mib} MiB at most");
        assert!(peak_mib < MEMORY_MIB_MAX, "{peak_mib} MiB");
        assert!(self.collector.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_keep_nobody_waiting() {
    let world = World::start(&["--request-timeout", "2s"]).await;
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(b"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n").await.unwrap();
        slow.push(stream);
    }
    for (number, stream) in slow.iter_mut().enumerate() {
        // Half never end their headers, and half never end their body.
        if number % 2 == 0 {
            let head = format!("X-Api-Key: {}\r\n\r\n[", world.key);
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    }
    world.check_honest().await;
    let mut answer = vec![0; 512];
    let read = tokio::time::timeout(Duration::from_secs(10), slow[0].read(&mut answer)).await;
    let answer =
        String::from_utf8_lossy(&answer[..read.expect("a body that does not come is given up").unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_do_not_go_off() {
    let world = World::start(&[]).await;
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    let block = vec![b' '; 1 << 20];
    for _ in 0..500 {
        encoder.write_all(&block).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "half a gigabyte in {} bytes", bomb.len());
    let (client, url, key) = (client(), format!("{}/v1/events", world.url), world.key.clone());
    let mut bombs = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let request = client.post(&url).bearer_auth(&key).body(bomb.clone());
        bombs.spawn(async move { request.send().await.map(|answer| answer.status()) });
    }
    world.check_honest().await;
    while let Some(status) = bombs.join_next().await {
        let status = status.unwrap().unwrap();
        assert!(matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_that_grow_are_refused_without_growing_with_them() {
    let world = World::start(&[]).await;
    let gzip = |text: &str| {
        let mut encoder = GzEncoder::new(vec![], Compression::best());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    // Values that need many times their text in memory, and texts that an answer might quote.
    let trees = format!(r#"{{"x":[{}1],"batch":[],"data":[],"events":[]}}"#, r#"{"":0},"#.repeat(2_500_000));
    let quoted = format!("\"{}\"", "\u{7f}".repeat(1 << 20));
    let named = format!(r#"{{"site":"{}","domain":"{0}"}}"#, "x".repeat(1 << 20));
    let client = client();
    for path in [
        "/v1/events",
        "/v1/batch",
        "/v1/track",
        "/batch",
        "/e",
        "/api/event",
        "/api/send",
        "/api/batch",
        "/com.snowplowanalytics.snowplow/tp2",
    ] {
        for (body, key) in
            [&trees, &quoted, &named].into_iter().flat_map(|body| [(body, None), (body, Some(&world.key))])
        {
            let mut request = client.post(format!("{}{path}", world.url)).body(gzip(body));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status();
            // Some protocols accept an empty request.
            assert!(status.is_client_error() || (key.is_some() && status.is_success()), "{path}: {status}");
            let answer = answer.bytes().await.unwrap();
            assert!(answer.len() < 10_000, "{path}: {} bytes of answer", answer.len());
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_just_issued_works_beside_a_flood_of_unknown_ones() {
    let world = World::start(&["--directory-refresh", "1h"]).await;
    let mut flood = tokio::task::JoinSet::new();
    for sender in 0..64 {
        let (client, url) = (client(), format!("{}/v1/events", world.url));
        flood.spawn(async move {
            for key in 0..4 {
                let key = format!("dpw_{sender:020x}{key:020x}");
                let answer = client.post(&url).bearer_auth(key).body("[]").send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            }
        });
    }
    for site in ["one", "two", "three"] {
        let lake = world.dir.path().join("lake");
        let args = ["site", "add", site, "--lake", lake.to_str().unwrap(), "--json"];
        let issued: Json = serde_json::from_str(&run_well(&args, &[]).await).unwrap();
        post_accepted(&client(), &world.url, issued["write_key"].as_str().unwrap(), &json!([{"name": "a"}])).await;
    }
    while let Some(sender) = flood.join_next().await {
        sender.unwrap();
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_keys_and_headers_cost_their_sender_more_than_us() {
    let world = World::start(&["--ip-requests-per-second-max", "1000000"]).await;
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..32 {
        let (client, url) = (client(), format!("{}/v1/events", world.url));
        senders.spawn(async move {
            for key in 0..100_000 / 32 {
                let request = client.post(&url).bearer_auth(format!("dpw_{sender}_{key}")).body("[]");
                assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
            }
        });
    }
    for _ in 0..10 {
        world.check_honest().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    // More headers than fit, on many connections.
    for _ in 0..100 {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        let mut head = "POST /v1/events HTTP/1.1\r\nHost: a\r\n".to_owned();
        for header in 0..10_000 {
            head += &format!("X-Flood-{header}: {header}\r\n");
        }
        // The collector hangs up as soon as it has seen enough.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer).await.unwrap_or(0);
        assert!(read == 0 || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    }
    world.finish().await;
}
