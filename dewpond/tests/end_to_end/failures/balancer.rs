//! Three collectors behind nginx with the shipped configuration are killed and restarted under load: every acknowledged event
//! counts once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use engine::{Engine, EngineSettings, Scope};
use lake::Lake;
use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::harness::clients::{client, events, post};
use crate::harness::role::Role;

const SENDERS: u64 = 16;

/// How often a collector is killed before the rolling restart.
const KILLS: usize = 4;

/// Starts nginx with the shipped configuration, except for addresses and the paths of its own files.
async fn start_nginx(dir: &Path, collectors: &[SocketAddr], listen: SocketAddr) -> Child {
    let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/nginx.conf");
    let mut config = std::fs::read_to_string(shipped).unwrap();
    let servers: Vec<String> = collectors.iter().map(|at| format!("server {at} max_fails=0;")).collect();
    for (from, to) in [
        ("server collector-1:8080 max_fails=0;", servers.join("\n        ")),
        ("server collector-2:8080 max_fails=0;", String::new()),
        ("listen 8080;", format!("listen {listen};")),
        ("/var/log/nginx/error.log", format!("{}/error.log", dir.display())),
    ] {
        assert!(config.contains(from), "the shipped configuration has no {from:?} any more");
        config = config.replacen(from, &to, 1);
    }
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = temporary.map(|name| format!("{name}_temp_path {}/{name};", dir.display())).join("\n    ");
    config = config.replacen("http {", &format!("http {{\n    {paths}"), 1);
    let file = dir.join("nginx.conf");
    std::fs::write(&file, format!("pid {}/nginx.pid;\n{config}", dir.display())).unwrap();
    let arguments = ["-c", file.to_str().unwrap(), "-p", dir.to_str().unwrap(), "-g", "daemon off;"];
    let nginx = Command::new("nginx").args(arguments).kill_on_drop(true).spawn();
    let nginx = nginx.expect("nginx is installed: `make tools` does it, or `apt-get install nginx-light`");
    let started = Instant::now();
    while TcpStream::connect(listen).await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(10), "nginx does not answer at {listen}");
        sleep(Duration::from_millis(20)).await;
    }
    nginx
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_behind_nginx_die_and_are_replaced_and_nothing_is_lost_or_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let location = dir.path().join("lake");
    let lake = Lake::open(location.to_str().unwrap(), []).unwrap();
    let key = lake.add_site("shop", Utc::now()).await.unwrap().write_key;
    let start = async |listen: SocketAddr| {
        let (lake, listen) = (location.to_str().unwrap(), listen.to_string());
        let flags = ["--listen", &listen, "--admin-listen", "127.0.0.1:0", "--trusted-proxies", "127.0.0.1"];
        Role::start(&[&["collector", "--lake", lake], &flags[..]].concat(), &[], "collector").await
    };
    let mut addresses = Vec::new();
    let mut collectors = Vec::new();
    for _ in 0..3 {
        let address = free_address().await;
        addresses.push(address);
        collectors.push(start(address).await);
    }
    let front = free_address().await;
    let mut nginx = start_nginx(dir.path(), &addresses, front).await;

    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (acknowledged, stop, refused) = (acknowledged.clone(), stop.clone(), refused.clone());
        let (url, key) = (format!("http://{front}"), key.clone());
        senders.spawn(async move {
            let client = client();
            for batch in 0_u64.. {
                let ids: Vec<String> = (0..5).map(|n| format!("{sender}-{batch}-{n}")).collect();
                let body = serde_json::Value::from(events(ids.iter().cloned()));
                // A client retries with the same ids until it is acknowledged.
                loop {
                    match post(&client, &url, &key, &body).await.map(|answer| answer.status()) {
                        Ok(StatusCode::ACCEPTED) => break,
                        Ok(status) => assert!(status.is_server_error(), "{status}"),
                        Err(_) => {}
                    }
                    refused.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(20)).await;
                }
                acknowledged.lock().extend(ids);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
    }
    for kill in 0..KILLS {
        sleep(Duration::from_millis(1_500)).await;
        let victim = kill % collectors.len();
        collectors.remove(victim).kill().await;
        sleep(Duration::from_millis(300)).await;
        collectors.insert(victim, start(addresses[victim]).await);
    }
    let refused_by_kills = refused.swap(0, Ordering::Relaxed);
    // A rolling restart: each collector gets SIGTERM once the previous one is back.
    for (next, &address) in addresses.iter().enumerate() {
        sleep(Duration::from_millis(800)).await;
        assert!(collectors.remove(next).stop().await.success());
        collectors.insert(next, start(address).await);
    }
    let refused_by_restarts = refused.load(Ordering::Relaxed);
    stop.store(true, Ordering::Relaxed);
    while let Some(sender) = senders.join_next().await {
        sender.unwrap();
    }
    // Not with SIGKILL, which would leave its workers behind.
    let pid = nginx.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert!(nginx.wait().await.unwrap().success());

    let acknowledged = acknowledged.lock().len();
    println!(
        "{acknowledged} events acknowledged; {refused_by_kills} requests refused in {KILLS} kills, {refused_by_restarts} in {} restarts",
        addresses.len()
    );
    assert!(acknowledged > 1_000, "the load was no load: {acknowledged}");
    assert_eq!(refused_by_restarts, 0, "a rolling restart refuses nothing: nginx asks another collector");
    let session = Engine::new(lake, &EngineSettings::default()).unwrap().view().await.unwrap();
    let answer = session.session(&Scope::Lake).unwrap();
    let answer = answer.query("SELECT count(*), count(DISTINCT event_id) FROM events", &[]).await.unwrap();
    let count = |column: usize| {
        use arrow::array::AsArray;
        answer.batches[0].column(column).as_primitive::<arrow::datatypes::Int64Type>().value(0)
    };
    assert_eq!((count(0), count(1)), (acknowledged as i64, acknowledged as i64));
}
