//! The report in a real Memcached as any client reads it, and the endpoint while Memcached is down.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use analytics::{Cache, Lookup};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::harness::clients::{client, post_accepted};
use crate::harness::role::{Role, add_site, queries_dir, run, run_well};

pub(super) struct Memcached {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Memcached {
    pub(super) async fn start(address: SocketAddr) -> Self {
        Self::start_with(address, &[]).await
    }

    /// - `flags`: of `memcached`, such as `-I 8m` for larger items.
    async fn start_with(address: SocketAddr, flags: &[&str]) -> Self {
        let port = address.port().to_string();
        let child = spawn(&[&["-l", "127.0.0.1", "-p", &port, "-U", "0"], flags].concat());
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
    pub(super) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("get {key}\r\nquit\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let header_end = answer.windows(2).position(|window| window == b"\r\n")?;
        let length: usize = std::str::from_utf8(&answer[..header_end]).ok()?.split(' ').nth(3)?.parse().ok()?;
        Some(answer[header_end + 2..header_end + 2 + length].to_vec())
    }
}

fn spawn(flags: &[&str]) -> Child {
    let mut command = Command::new("memcached");
    // As root it must be told which user to run as.
    command.args(["-u", "nobody"]).args(flags).kill_on_drop(true);
    command.spawn().expect("memcached is installed: `make test` does it, or `apt-get install memcached`")
}

pub(super) async fn free_address() -> SocketAddr {
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

/// Rows of the large metric: about 3 MB of JSON.
const ROWS: u64 = 60_000;

/// A directory of two metrics, the second of which is larger than an item of Memcached.
fn large_queries(dir: &Path) -> String {
    let queries = dir.join("queries");
    std::fs::create_dir(&queries).unwrap();
    std::fs::write(queries.join("answer.sql"), "SELECT 42 AS answer").unwrap();
    let pages = format!("SELECT value, 'https://shop.example/page/' || value AS page FROM generate_series(1, {ROWS})");
    std::fs::write(queries.join("pages.sql"), pages).unwrap();
    queries.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_reads_a_report_of_any_size_and_the_endpoint_has_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (lake, queries) = (dir.path().join("lake").to_str().unwrap().to_owned(), large_queries(dir.path()));
    add_site(&lake, "shop").await;
    let address = free_address().await;
    let memcached = Memcached::start(address).await;
    let server = address.to_string();
    let flags = ["--lake", &lake, "--queries", &queries, "--memcached", &server];
    run_well(&[&["analytics", "--once"], flags.as_slice()].concat(), &[]).await;

    let report: Json = serde_json::from_slice(&memcached.get("dewpond:report").await.unwrap()).unwrap();
    let kept = report["metrics"]["pages"]["rows"].as_array().unwrap().len();
    assert!(kept > 10_000 && kept < ROWS as usize, "{kept}");
    let expected = json!({"answer": [1, null], "pages": [kept, ROWS]});
    for read in read_with_clients(address, "dewpond:report").await {
        assert_eq!((&read["truncated"], &read["metrics"]), (&json!(true), &expected), "{read}");
    }

    // A small metric is whole under its own key.
    let answer: Json = serde_json::from_slice(&memcached.get("dewpond:metric:answer").await.unwrap()).unwrap();
    assert_eq!((&answer["value"], &answer["name"], answer.get("truncated")), (&json!(42), &json!("answer"), None));
    let pages: Json = serde_json::from_slice(&memcached.get("dewpond:metric:shop:pages").await.unwrap()).unwrap();
    assert!(pages["rows"].as_array().unwrap().len() > 10_000);
    assert_eq!((&pages["site"], &pages["row_count"]), (&json!("shop"), &json!(ROWS)));

    // Whole in history, from where a process that never made a report serves it.
    let endpoint = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--cron", "0 0 0 1 1 *"];
    let analytics = Role::start(&[&["analytics"], &flags[..], &endpoint].concat(), &[], "analytics").await;
    let url = format!("{}/metrics", analytics.url("analytics"));
    let (cache, whole) = wait_for(&client(), &url, |status, _, _| status == 200).await;
    assert_eq!(cache, "miss", "the cache has only a part of it");
    let pages = &whole["metrics"]["pages"];
    assert_eq!((pages["rows"].as_array().unwrap().len() as u64, pages.get("truncated")), (ROWS, None));
    assert!(analytics.stop().await.success());
    memcached.stop().await;

    // The server's own limit counts.
    let memcached = Memcached::start_with(address, &["-I", "8m"]).await;
    run_well(&[&["analytics", "--once"], flags.as_slice()].concat(), &[]).await;
    for read in read_with_clients(address, "dewpond:report").await {
        assert_eq!(read["metrics"]["pages"], json!([ROWS, null]), "{read}");
    }
    memcached.stop().await;
}

/// What each client makes of a cached report, as the programs in `memcached_clients` print it.
async fn read_with_clients(address: SocketAddr, key: &str) -> Vec<Json> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/memcached_clients");
    assert!(dir.join("node_modules").exists(), "install the packages of {}: `make tools` does it", dir.display());
    let (server, host, port) = (address.to_string(), address.ip().to_string(), address.port().to_string());
    let mut programs = vec![vec!["node", "clients.mjs", &server, key]];
    let python = std::env::var("DEWPOND_TEST_PYTHON").unwrap_or("python3".to_owned());
    let imports = Command::new(&python).args(["-c", "import pylibmc, pymemcache"]).output().await;
    match imports.is_ok_and(|imports| imports.status.success()) {
        true => programs.push(vec![&python, "clients.py", &server, key]),
        false => println!("without pymemcache and pylibmc: run it through `make test`, which installs them"),
    }
    let modules = Command::new("php").arg("-m").output().await;
    match modules.is_ok_and(|modules| String::from_utf8_lossy(&modules.stdout).contains("\nmemcached\n")) {
        true => programs.push(vec!["php", "client.php", &host, &port, key]),
        false => println!("without PHP's client: its extension memcached is not installed"),
    }
    let mut read = Vec::new();
    for program in programs {
        let output = Command::new(program[0]).args(&program[1..]).current_dir(&dir).output().await.unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{program:?}: {stderr}");
        read.extend(stdout.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()));
    }
    assert!(read.len() >= 2, "{read:?}");
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_and_a_login_work_and_what_does_not_is_said() {
    let dir = tempfile::tempdir().unwrap();
    // Memcached runs as another user.
    std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let lake = dir.path().join("lake").to_str().unwrap().to_owned();
    add_site(&lake, "shop").await;
    let (once, queries) = (["analytics", "--once", "--lake", &lake, "--queries"], queries_dir());
    let once = [&once[..], &[queries.to_str().unwrap(), "--memcached"]].concat();

    let socket = dir.path().join("memcached.sock");
    let on_socket = spawn(&["-s", socket.to_str().unwrap(), "-a", "777"]);
    wait_until(|| socket.exists()).await;
    let (succeeded, _, log) = run(&[&once[..], &[socket.to_str().unwrap()]].concat(), &[]).await;
    assert!(succeeded && !log.contains("WARN"), "{log}");
    let cache = Cache::memcached(socket.to_str().unwrap().parse().unwrap(), None, Duration::from_secs(2));
    assert!(matches!(cache.get("dewpond:report:shop").await, Lookup::Value(_)));
    drop(on_socket);

    let logins = dir.path().join("logins");
    std::fs::write(&logins, "dewpond:secret\n").unwrap();
    let address = free_address().await;
    let memcached = Memcached::start_with(address, &["-Y", logins.to_str().unwrap()]).await;
    let server = address.to_string();
    let login = |login: &str| [("DEWPOND_MEMCACHED_LOGIN".to_owned(), login.to_owned())];
    let run_as = async |env: &[(String, String)]| run(&[&once[..], &[&server]].concat(), env).await;
    let (succeeded, _, log) = run_as(&[]).await;
    assert!(succeeded && log.contains("set DEWPOND_MEMCACHED_LOGIN to USER:PASSWORD"), "{log}");
    let (succeeded, _, log) = run_as(&login("dewpond:wrong")).await;
    assert!(succeeded && log.contains("the login was refused"), "{log}");
    assert!(!log.contains("wrong"), "a password is in the log:\n{log}");
    let (succeeded, _, log) = run_as(&login("dewpond:secret")).await;
    assert!(succeeded && !log.contains("WARN"), "{log}");
    let cache = Cache::memcached(server.parse().unwrap(), "dewpond:secret".parse().ok(), Duration::from_secs(2));
    assert!(matches!(cache.get("dewpond:report:shop").await, Lookup::Value(_)));
    memcached.stop().await;

    let (succeeded, _, log) = run(&[&once[..], &["cache"]].concat(), &[]).await;
    assert!(!succeeded && log.contains("write host:port"), "{log}");
}

async fn wait_until(holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "waited for 10 s");
        sleep(Duration::from_millis(20)).await;
    }
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
