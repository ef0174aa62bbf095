//! A lake of an organisation's own: its events lie there and nowhere else, whatever comes in and whatever is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Json as Body, State};
use axum::routing;
use chrono::Utc;
use engine::{Engine, EngineSettings, Scope, to_json_rows};
use futures::TryStreamExt;
use lake::{Lake, read_batches};
use parking_lot::Mutex;
use reqwest::{Client, StatusCode};
use serde_json::{Value as Json, json};
use tokio::time::{sleep, timeout};

use crate::harness::clients::{client, post, post_accepted};
use crate::harness::role::{Role, queries_dir, run, run_well};
use crate::harness::s3_server;
use crate::operation::memcached::{Memcached, free_address};

/// What every event of the organisation has in it.
const SECRET: &str = "acme-only";

/// A metric with an alert that fires for the organisation's site alone.
const CROWDED: &str = "-- Whether there are many events.\n-- alert: value > 2\nSELECT count(*) FROM events\n";

/// An installation whose main lake and the organisation's lie in two stores, each with its own endpoint and credentials.
struct World {
    dir: tempfile::TempDir,
    memcached: Memcached,
    /// What was posted of alerts.
    posted: Arc<Mutex<Vec<Json>>>,
    alert_webhook: String,
    env: Vec<(String, String)>,
    client: Client,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (main, own) = (dir.path().join("main"), dir.path().join("own"));
        std::fs::create_dir(&main).unwrap();
        std::fs::create_dir(&own).unwrap();
        let mut env = s3_server::start(&main).await;
        let of_own = s3_server::start(&own).await.into_iter();
        env.extend(of_own.map(|(name, value)| (format!("DEWPOND_LAKE_ACME_{name}"), value)));
        let memcached = Memcached::start(free_address().await).await;
        let posted = Arc::default();
        let alert_webhook = receiver(&posted).await;
        Self { dir, memcached, posted, alert_webhook, env, client: client() }
    }

    /// Runs a command on the main lake.
    async fn well(&self, args: &[&str]) -> String {
        run_well(&[args, &["--lake", "s3://bucket/lake"]].concat(), &self.env).await
    }

    async fn refused(&self, args: &[&str]) -> String {
        let (succeeded, _, said) = run(&[args, &["--lake", "s3://bucket/lake"]].concat(), &self.env).await;
        assert!(!succeeded, "{args:?} succeeded");
        said
    }

    async fn write_key(&self, args: &[&str]) -> String {
        let added: Json = serde_json::from_str(&self.well(args).await).unwrap();
        added["write_key"].as_str().unwrap().to_owned()
    }

    /// - `sites`: one, or several with commas between them.
    async fn read_key(&self, sites: &str) -> String {
        let added: Json = serde_json::from_str(&self.well(&["key", "add", "--site", sites, "--json"]).await).unwrap();
        added["read_key"].as_str().unwrap().to_owned()
    }

    async fn up(&self) -> Role {
        let queries = self.dir.path().join("queries");
        std::fs::create_dir(&queries).unwrap();
        for file in std::fs::read_dir(queries_dir()).unwrap().map(|file| file.unwrap()) {
            std::fs::copy(file.path(), queries.join(file.file_name())).unwrap();
        }
        std::fs::write(queries.join("crowded.sql"), CROWDED).unwrap();
        let memcached = self.memcached.address.to_string();
        let args = [
            "up",
            "--lake",
            "s3://bucket/lake",
            "--collector-listen",
            "127.0.0.1:0",
            "--analytics-listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--directory-refresh",
            "1h",
            "--publish-cron",
            "* * * * * *",
            "--cron",
            "*/2 * * * * *",
            "--queries",
            queries.to_str().unwrap(),
            "--memcached",
            &memcached,
            "--alert-webhook",
            &self.alert_webhook,
        ];
        Role::start(&args, &self.env, "analytics").await
    }

    /// An answer of the analytics server, with a read key or, without one, as the operator.
    async fn ask(&self, url: &str, key: Option<&str>) -> (StatusCode, Json) {
        let mut request = self.client.get(url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn sql(&self, analytics: &str, key: Option<&str>, asked: Json) -> String {
        let mut request = self.client.post(format!("{analytics}/v1/sql?format=csv")).json(&asked);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.unwrap().text().await.unwrap()
    }
}

/// A receiver of alerts. Returns its address.
async fn receiver(posted: &Arc<Mutex<Vec<Json>>>) -> String {
    let take =
        |State(posted): State<Arc<Mutex<Vec<Json>>>>, Body(alert): Body<Json>| async move { posted.lock().push(alert) };
    let routes = Router::new().route("/", routing::post(take)).with_state(posted.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    format!("http://{address}/")
}

fn event(id: &str, path: &str) -> Json {
    json!({
        "event_id": id, "name": "page_view", "user_id": format!("{SECRET}-{id}"), "timestamp": Utc::now(),
        "url": format!("https://shop.example/{path}"), "properties": { "plan": SECRET },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisations_events_lie_in_its_lake_alone_whatever_is_asked_of_them() {
    let world = World::new().await;
    world.well(&["user", "add", "ada@example.com", "--organisation", "Acme", "--json"]).await;
    let shop = world.write_key(&["site", "add", "shop", "--json"]).await;
    // All roles run, and have read the sites, before the lake is set; the collector reads them again in an hour.
    let up = world.up().await;
    let (collector, analytics) = (up.url("collector"), up.url("analytics"));
    let plain = |id: &str| json!({"event_id": id, "name": "page_view", "url": "https://shop.example/"});
    post_accepted(&world.client, &collector, &shop, &plain("s1")).await;

    world.well(&["organisation", "set-lake", "Acme", "s3://bucket/own", "--credentials", "acme"]).await;
    let add = ["site", "add", "acme-shop", "--organisation", "Acme", "--json"];
    let acme = world.write_key(&add).await;
    for id in ["a1", "a2", "a3"] {
        post_accepted(&world.client, &collector, &acme, &event(id, id)).await;
    }
    post_accepted(&world.client, &collector, &shop, &plain("s2")).await;
    let refused = json!({"event_id": "broken", "properties": { "plan": SECRET }});
    assert_eq!(post(&world.client, &collector, &acme, &refused).await.unwrap().status(), StatusCode::BAD_REQUEST);

    // Whoever asks of the site gets its numbers, from the first moment on.
    let count = "SELECT count(*) AS n FROM events";
    assert_eq!(world.sql(&analytics, None, json!({"sql": count, "site": "acme-shop"})).await, "n\n3\n");
    assert_eq!(world.sql(&analytics, None, json!({"sql": count, "site": "shop"})).await, "n\n2\n");
    assert_eq!(world.sql(&analytics, None, json!({"sql": count})).await, "n\n2\n", "the whole main lake");

    published_and_reported(&world, &analytics).await;
    numbers_are_asked_for(&world, &analytics).await;
    models_ask(&world, &analytics).await;
    alerts_and_the_cache_have_each_site(&world).await;
    commands_follow_the_site(&world).await;
    assert_eq!(world.sql(&analytics, None, json!({"sql": count, "site": "acme-shop"})).await, "n\n3\n");
    assert!(up.stop().await.success());
    nothing_lies_in_the_main_lake(&world).await;
}

async fn published_and_reported(world: &World, analytics: &str) {
    let followed = timeout(Duration::from_secs(120), async {
        loop {
            let stats: Json =
                serde_json::from_str(&world.well(&["lake", "stats", "--organisation", "Acme", "--json"]).await)
                    .unwrap();
            let (status, report) = world.ask(&format!("{analytics}/metrics?site=acme-shop"), None).await;
            if stats["events"]["rows"] == 3 && status == StatusCode::OK && report["metrics"]["events"]["value"] == 3 {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    });
    followed.await.expect("the compactor publishes and the job reports within two minutes");
    let (_, whole) = world.ask(&format!("{analytics}/metrics"), None).await;
    assert_eq!(whole["metrics"]["events"]["value"], 2);
    assert_eq!(whole["metrics"]["events"]["sites_elsewhere"], 1, "it says that it does not have all sites");
    let (_, history) = world.ask(&format!("{analytics}/metrics/history?metric=events&site=acme-shop"), None).await;
    assert!(!history["points"].as_array().unwrap().is_empty());
}

async fn numbers_are_asked_for(world: &World, analytics: &str) {
    let own = world.read_key("acme-shop").await;
    let both = world.read_key("acme-shop,shop").await;
    let stats = |of: &str| format!("{analytics}/v1/stats/aggregate?metrics=events{of}");
    for (key, of, events) in [
        (None, "&site=acme-shop", 3),
        (None, "&site=shop", 2),
        (None, "", 2),
        (Some(&own), "", 3),
        (Some(&both), "&site=acme-shop", 3),
        (Some(&both), "&site=shop", 2),
    ] {
        let (status, answer) = world.ask(&stats(of), key.map(String::as_str)).await;
        assert_eq!((status, &answer["metrics"]["events"]), (StatusCode::OK, &json!(events)), "{of} {answer}");
    }
    // A question is answered from one lake; of two, it is refused in words.
    for (key, of) in [(None, "&site=acme-shop,shop"), (Some(&both), "")] {
        let (status, answer) = world.ask(&stats(of), key.map(String::as_str)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["message"].as_str().unwrap().contains("lie in two lakes"), "{answer}");
    }
    let refused = world.sql(analytics, Some(&both), json!({"sql": "SELECT 1 FROM events"})).await;
    assert!(refused.contains("lie in two lakes"), "{refused}");

    let (_, organisations) = world.ask(&format!("{analytics}/v1/organisations"), None).await;
    assert_eq!(organisations["results"][0]["lake"], "s3://bucket/own/", "{organisations}");
    let (_, visits) = world.ask(&format!("{analytics}/visits?site=acme-shop"), None).await;
    assert_eq!(visits["data"].as_object().unwrap().len(), 3, "{visits}");
    let sql = json!({"sql": "SELECT reason FROM quarantine", "site": "acme-shop"});
    assert_eq!(world.sql(analytics, None, sql).await.lines().count(), 2, "what was refused");
}

async fn models_ask(world: &World, analytics: &str) {
    for (site, events) in [("acme-shop", 3), ("shop", 2)] {
        let key = world.read_key(site).await;
        let call = async |tool: &str, arguments: Json| -> Json {
            let params = json!({"name": tool, "arguments": arguments});
            let request = world.client.post(format!("{analytics}/mcp")).bearer_auth(&key);
            let request = request.header("accept", "application/json, text/event-stream");
            let asked = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
            let answer: Json = request.json(&asked).send().await.unwrap().json().await.unwrap();
            serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap()
        };
        let answer = call("run_sql", json!({"sql": "SELECT count(*), min(site_id), max(site_id) FROM events"})).await;
        assert_eq!(answer["rows"], json!([[events, site, site]]), "{answer}");
        let answer = call("read_report", json!({})).await;
        assert_eq!(answer["report"]["site"], site);
        assert_eq!(answer["report"]["metrics"]["events"]["value"], events);
    }
}

async fn alerts_and_the_cache_have_each_site(world: &World) {
    let posted = timeout(Duration::from_secs(60), async {
        loop {
            let posted = world.posted.lock().clone();
            if !posted.is_empty() {
                return posted;
            }
            sleep(Duration::from_millis(200)).await;
        }
    });
    let posted = posted.await.expect("the alert is posted within a minute");
    let said: Vec<_> = posted.iter().map(|alert| (&alert["site"], &alert["state"], &alert["value"])).collect();
    assert_eq!(said, [(&json!("acme-shop"), &json!("firing"), &json!(3))]);
    for (key, events) in [("dewpond:report:acme-shop", 3), ("dewpond:report:shop", 2), ("dewpond:report", 2)] {
        let report: Json = serde_json::from_slice(&world.memcached.get(key).await.expect(key)).unwrap();
        assert_eq!(report["metrics"]["events"]["value"], events, "{key}");
    }
}

async fn commands_follow_the_site(world: &World) {
    let count = ["query", "-e", "SELECT count(*) AS n FROM events", "--format", "csv"];
    for (of, rows) in [(["--site", "acme-shop"], 3), (["--organisation", "Acme"], 3), (["--site", "shop"], 2)] {
        assert_eq!(world.well(&[&count[..], &of].concat()).await, format!("n\n{rows}\n"), "{of:?}");
    }
    assert!(
        world
            .refused(&[&count[..], &["--organisation", "Acme", "--site", "shop"]].concat())
            .await
            .contains("does not lie")
    );

    // An import of some events and a refused one, an export, and the erasure of what was imported.
    let file = world.dir.path().join("events.ndjson");
    let lines = [event("i1", "i1"), json!({"event_id": "i2", "properties": { "plan": SECRET }})];
    std::fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
    world.well(&["import", "--site", "acme-shop", file.to_str().unwrap()]).await;
    assert_eq!(world.well(&[&count[..], &["--site", "acme-shop"]].concat()).await, "n\n4\n");
    let person = format!("{SECRET}-i1");
    let exported = world.dir.path().join("exported");
    let export = ["export", "--user-id", &person, "--format", "ndjson", "-o", exported.to_str().unwrap()];
    world.well(&export).await;
    let lines = std::fs::read_to_string(exported.join("acme-shop/person.ndjson")).unwrap();
    assert!(lines.contains(&person) && lines.lines().count() == 1, "{lines}");
    world.well(&["lake", "erase", "--site", "acme-shop", "--user", &person, "--purge"]).await;

    let forwarded = format!("file://{}", world.dir.path().join("forwarded").display());
    world.well(&["forward", "add", "crm", "--site", "acme-shop", "--files", &forwarded]).await;
    assert!(world.well(&["forward", "status"]).await.contains("crm"));
    world.well(&["forward", "from", "crm", "2020-01-01"]).await;
    let files = world.dir.path().join("forwarded");
    let sent = timeout(Duration::from_secs(120), async {
        while files_below(&files).is_empty() {
            sleep(Duration::from_millis(200)).await;
        }
    });
    sent.await.expect("the forwarder follows the lake within two minutes");
    world.well(&["forward", "remove", "crm"]).await;

    assert!(world.well(&["report", "--site", "acme-shop"]).await.contains("Report of site acme-shop"));
    for check in [&["lake", "check", "--organisation", "Acme"][..], &["lake", "check"]] {
        let report = world.well(check).await;
        assert!(report.contains("Nothing is wrong."), "{report}");
    }
    let listed = world.well(&["organisation", "list"]).await;
    assert!(listed.contains("s3://bucket/own/ (credentials acme)"), "{listed}");

    // It stays where it is, and nobody takes it for a main lake.
    let set = ["organisation", "set-lake", "Acme", "s3://bucket/elsewhere", "--credentials", "acme"];
    assert!(world.refused(&set).await.contains("has sites (acme-shop)"));
    assert!(world.refused(&["site", "set", "acme-shop", "--organisation", "none"]).await.contains("stays in the lake"));
    let own: Vec<_> = world
        .env
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("DEWPOND_LAKE_ACME_")?.to_owned(), value.clone())))
        .collect();
    let (succeeded, _, said) = run(&["compactor", "--once", "--lake", "s3://bucket/own"], &own).await;
    assert!(!succeeded && said.contains("name the main lake"), "{said}");
}

async fn nothing_lies_in_the_main_lake(world: &World) {
    let main = Lake::open("s3://bucket/lake", world.env.iter().cloned()).unwrap();
    let engine = Engine::new(main.clone(), &EngineSettings::default()).unwrap();
    let session = engine.view().await.unwrap().session(&Scope::Lake).unwrap();
    let tables = [("events", "site_id"), ("sessions", "site_id"), ("quarantine", "site_id"), ("reports", "site_id")];
    for (table, column) in tables {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} = 'acme-shop'");
        let answer = session.query(&sql, &[]).await.unwrap();
        assert_eq!(to_json_rows(&answer).unwrap()[0][0], 0, "{table}");
    }
    // Also in what no query reads any more.
    let snapshot = main.snapshot().await.unwrap();
    for file in snapshot.pending.iter().chain(&snapshot.consumed) {
        let batches = read_batches(main.store(), &file.path, file.size_bytes, &["site_id"]).await.unwrap();
        let batches: Vec<_> = batches.try_collect().await.unwrap();
        assert!(!format!("{batches:?}").contains("acme-shop"), "{}", file.path);
    }
    let bucket = world.dir.path().join("main/bucket");
    let files = files_below(&bucket);
    assert!(
        files.iter().any(|file| file.ends_with(".parquet") || file.extension().is_some_and(|end| end == "parquet"))
    );
    for file in &files {
        let bytes = std::fs::read(file).unwrap();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{} has an event of the organisation's", file.display());
    }
    let directories = |of: &Path| -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let main_has = directories(&bucket.join("lake"));
    assert!(!main_has.contains(&"quarantine".to_owned()) && !main_has.contains(&"cursors".to_owned()), "{main_has:?}");
    assert!(!bucket.join("lake/registry/erasures").exists() && !bucket.join("lake/registry/import_runs").exists());
    let own_has = directories(&world.dir.path().join("own/bucket/own"));
    for directory in ["events", "quarantine", "raw", "registry", "reports"] {
        assert!(own_has.contains(&directory.to_owned()), "{own_has:?}");
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return vec![] };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
