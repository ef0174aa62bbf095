//! Events acknowledged on a local disk survive a power loss. The tests look at the system calls of real processes, because
//! nothing else can tell a synced file from one in the page cache.

mod trace;

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use arrow::array::AsArray;
use chrono::Utc;
use futures::TryStreamExt;
use lake::{EventId, Lake, RawFile, read_batches};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::trace::{CALLS, Trace};
use crate::harness::role::{Role, run_under, run_well};

const CONNECTIONS: usize = 6;
const REQUESTS: usize = 8;

/// Whether processes can be traced here; prints why if not.
async fn can_trace() -> bool {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::piped()).output().await;
    let why = match probe {
        Ok(output) if output.status.success() => return true,
        Ok(output) => format!("strace may not trace here: {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => format!("strace cannot be run: {error}"),
    };
    println!("SKIPPED, nothing is known of power loss: {why}");
    false
}

/// The command line that traces the command after it into `file`. The tracer is the grandchild, so that signals reach the
/// traced process.
fn tracer(file: &str) -> [&str; 10] {
    ["strace", "-D", "-f", "-yy", "-o", file, "-e", "signal=none", "-e", CALLS]
}

/// The trace, once the tracer has written all of it.
async fn read_trace(file: &Path) -> Trace {
    for _ in 0..200 {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        if text.lines().next_back().is_some_and(|line| line.contains(" +++ exited with ")) {
            return Trace::parse(&text);
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the tracer does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_and_what_is_published_survives_a_power_loss() {
    if !can_trace().await {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The path as the kernel reports it.
    let dir = dir.path().canonicalize().unwrap();
    let root = dir.join("lake");
    let location = root.to_str().unwrap();
    let lake = Lake::open(location, []).unwrap();
    let key = lake.add_site("shop", Utc::now()).await.unwrap().write_key;
    // Directories made by another process, which may have died before it synced them.
    std::fs::create_dir_all(root.join(Utc::now().format("raw/date=%Y-%m-%d/hour=%H").to_string())).unwrap();

    let trace = dir.join("collector.trace");
    let args = ["collector", "--lake", location, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let collector = Role::start_under(&tracer(trace.to_str().unwrap()), &args, &[], "collector").await;
    let address = collector.url("collector").trim_start_matches("http://").to_owned();
    let mut clients = JoinSet::new();
    for client in 0..CONNECTIONS {
        clients.spawn(send_requests(client, address.clone(), key.clone()));
    }
    let clients = clients.join_all().await;
    assert!(collector.stop().await.success());
    check_acknowledged(&read_trace(&trace).await, &lake, &clients, location).await;

    let trace = dir.join("compactor.trace");
    let args = ["compactor", "--lake", location, "--once", "--raw-grace", "0s"];
    let (succeeded, stderr) = run_under(&tracer(trace.to_str().unwrap()), &args).await;
    assert!(succeeded, "{stderr}");
    check_published(&read_trace(&trace).await, location);
    let query = ["query", "--lake", location, "--format", "json", "-e", "SELECT count(*) AS n FROM events"];
    let rows = run_well(&query, &[]).await;
    assert_eq!(serde_json::from_str::<Json>(&rows).unwrap()[0]["n"], (CONNECTIONS * REQUESTS * 2) as i64);
}

/// Sends requests of two events over one connection, each after the answer to the previous one. Returns the connection's
/// local address.
async fn send_requests(client: usize, address: String, key: String) -> (usize, String) {
    let mut connection = TcpStream::connect(&address).await.unwrap();
    let own = connection.local_addr().unwrap().to_string();
    for request in 0..REQUESTS {
        let body: Vec<Json> = ids(client, request)
            .map(|id| serde_json::json!({"event_id": id, "name": "page_view", "anonymous_id": "me"}))
            .into();
        let body = Json::Array(body).to_string();
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with('}') {
            let mut piece = [0; 4_096];
            let read = connection.read(&mut piece).await.unwrap();
            assert!(read > 0, "the collector hung up: {answer}");
            answer += std::str::from_utf8(&piece[..read]).unwrap();
        }
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    (client, own)
}

/// The ids of the two events of a request.
fn ids(client: usize, request: usize) -> [String; 2] {
    [0, 1].map(|n| format!("event-{client}-{request}-{n}"))
}

/// Checks that each request's file is safe before the first byte of its answer is sent.
async fn check_acknowledged(trace: &Trace, lake: &Lake, clients: &[(usize, String)], root: &str) {
    let mut file_of: HashMap<EventId, String> = HashMap::new();
    for RawFile { path, size_bytes, .. } in lake.snapshot().await.unwrap().pending {
        let batches = read_batches(lake.store(), &path, size_bytes, &["event_id"]).await.unwrap();
        for batch in batches.try_collect::<Vec<_>>().await.unwrap() {
            let ids = batch.column(0).as_binary::<i32>().iter().flatten();
            file_of.extend(ids.map(|id| (EventId(id.try_into().unwrap()), format!("/{path}"))));
        }
    }
    for (client, own) in clients {
        let answers = trace.successes(own);
        assert_eq!(answers.len(), REQUESTS, "client {client}");
        for (request, answered) in answers.into_iter().enumerate() {
            for id in ids(*client, request) {
                let file = &file_of[&EventId::from_client(&id)];
                trace.survives(file, root, answered).unwrap_or_else(|why| panic!("{id} was acknowledged and {why}"));
            }
        }
    }
}

/// Checks that the files of a version are safe before its log entry appears, and the entry before the files that it made
/// needless are deleted.
fn check_published(trace: &Trace, root: &str) {
    let log = format!("{root}/events/_delta_log/");
    let entries: Vec<(&str, usize)> =
        trace.named().filter(|(path, _)| path.starts_with(&log) && path.ends_with(".json")).collect();
    let mut added = 0;
    for (entry, named) in &entries {
        for action in std::fs::read_to_string(entry).unwrap().lines() {
            let action: Json = serde_json::from_str(action).unwrap();
            if let Some(path) = action["add"]["path"].as_str() {
                let file = format!("{root}/events/{path}");
                trace.survives(&file, root, *named).unwrap_or_else(|why| panic!("{entry} names {file} and {why}"));
                added += 1;
            }
        }
    }
    assert!(added > 0, "nothing was published: {entries:?}");
    let (newest, _) = entries.iter().max().unwrap();
    let raw = format!("{root}/raw/date=");
    let deleted: Vec<(&str, usize)> =
        trace.unlinked().filter(|(path, _)| path.starts_with(&raw) && path.ends_with(".parquet")).collect();
    assert!(!deleted.is_empty(), "no raw file was deleted");
    for (file, unlinked) in deleted {
        trace.survives(newest, root, unlinked).unwrap_or_else(|why| panic!("{file} is deleted and {why}"));
        assert!(trace.stays_deleted(file), "{file} may come back");
    }
}
