//! A lake on disk, workers over it, and a coordinator that is asked over HTTP.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lake::{Event, Lake, Person, PersonId};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::role::{Role, queries_dir};
use crate::stored::{event_of, pend, publish};

/// Events that are published, and of those that are pending the new ones, the copies, and those of somebody erased.
pub const PUBLISHED: usize = 200;
pub const NEW: usize = 20;
pub const COPIES: usize = 10;
pub const ERASED: usize = 5;

/// A lake that is deleted with it.
pub struct TestLake {
    dir: TempDir,
}

impl TestLake {
    /// A lake whose table has the first events, and nothing pending.
    pub async fn published() -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap() };
        let lake = made.open();
        lake.add_site("shop", Utc::now()).await.unwrap();
        let events: Vec<Event> = (0..PUBLISHED).map(event).collect();
        // In two commits, so that dates have more than one file.
        let (odd, even): (Vec<_>, Vec<_>) = events.into_iter().enumerate().partition(|(number, _)| number % 2 == 1);
        for half in [odd, even] {
            publish(&lake, &half.into_iter().map(|(_, event)| event).collect::<Vec<_>>()).await;
        }
        made
    }

    /// The same, with pending events: new ones, copies of published ones, and those of somebody who was erased since.
    pub async fn with_pending() -> Self {
        let made = Self::published().await;
        let lake = made.open();
        let new: Vec<Event> = (PUBLISHED..PUBLISHED + NEW).map(event).collect();
        let copies: Vec<Event> = (0..COPIES).map(|number| event(number * 7)).collect();
        let of_eve = |number: usize| event_of("shop", "eve", &time(number), "page_view", "/secret");
        let mut pending = [new, copies].concat();
        pending.extend((0..ERASED).map(of_eve));
        pend(&lake, &pending).await;
        let eve = Person { site_id: "shop".into(), id: PersonId::User("eve".into()) };
        lake.record_erasure(&eve, [], Utc::now()).await.unwrap();
        made
    }

    pub fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub fn open(&self) -> Lake {
        Lake::open(self.path(), []).unwrap()
    }
}

/// A time of March 2026, five hours after that of the number before.
fn time(number: usize) -> String {
    let begin: DateTime<Utc> = "2026-03-01T00:30:00Z".parse().unwrap();
    (begin + TimeDelta::hours(2 * number as i64)).to_rfc3339()
}

/// An event of a small shop.
fn event(number: usize) -> Event {
    let name = ["page_view", "page_view", "signup", "page_view", "purchase"][number % 5];
    let path = ["/", "/pricing", "/docs", "/buy"][number % 4];
    let revenue = (name == "purchase").then_some(number as i128 * 10_000);
    let plan = ["free", "pro", "team"][number % 3];
    Event {
        revenue_e4: revenue,
        country: ["DE", "FR", "US"].get(number % 4).map(|country| (*country).to_owned()),
        channel: Some(["Direct", "Email", "Paid Search"][number % 3].into()),
        properties: Some(format!(r#"{{"items":[{{"qty":{},"sku":"A"}}],"plan":"{plan}","tags":["new"]}}"#, number % 6)),
        ..event_of("shop", &format!("user{}", number % 17), &time(number), name, path)
    }
}

/// Starts this many workers over a lake.
pub async fn workers(lake: &str, count: usize) -> Vec<Role> {
    let mut started = Vec::new();
    for _ in 0..count {
        started.push(worker(lake, &[]).await);
    }
    started
}

/// Starts a worker over a lake on a free port.
pub async fn worker(lake: &str, more: &[&str]) -> Role {
    let args = ["worker", "--lake", lake, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    Role::start(&[&args[..], more].concat(), &[], "worker").await
}

/// Where a worker listens, as the flag `--workers` takes it.
pub fn place(worker: &Role) -> String {
    worker.url("worker").trim_start_matches("http://").to_owned()
}

/// A metric of a process; zero if it has none of this name.
pub async fn metric(role: &Role, name: &str) -> u64 {
    let text = reqwest::get(format!("{}/metrics", role.url("admin"))).await.unwrap().text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    value.unwrap_or(0.0) as u64
}

/// A process that is asked.
pub struct Coordinator {
    role: Role,
    client: reqwest::Client,
}

impl Coordinator {
    /// A coordinator whose queries all go to workers if they may, however little they read.
    ///
    /// - `workers`: as the flag takes them; none if empty.
    pub async fn start(lake: &str, workers: &str, more: &[&str]) -> Self {
        let queries = queries_dir();
        let args = ["analytics", "--lake", lake, "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"];
        let metrics = ["--cron=0 0 0 1 1 *", "--queries", queries.to_str().unwrap()];
        let theirs = ["--workers", workers, "--workers-task-bytes=1"];
        let theirs: &[&str] = if workers.is_empty() { &[] } else { &theirs };
        let role = Role::start(&[&args[..], &metrics, theirs, more].concat(), &[], "analytics").await;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(120)).build().unwrap();
        Self { role, client }
    }

    /// Asks a query. Returns the rows as text, sorted, or the error.
    pub async fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        self.ask_with(sql, None).await
    }

    /// Asks a query with a read key.
    pub async fn ask_with(&self, sql: &str, key: Option<&str>) -> Result<Vec<String>, String> {
        let params =
            json!({"from": "2026-03-01T00:00:00Z", "until": "2026-03-25T00:00:00Z", "now": "2026-03-25T00:00:00Z"});
        let mut request = self.client.post(format!("{}/v1/sql", self.role.url("analytics")));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.json(&json!({"sql": sql, "params": params})).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        if !status.is_success() {
            return Err(format!("{status}: {body}"));
        }
        let body: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error} in {body}"));
        let mut rows: Vec<String> = body["rows"].as_array().unwrap().iter().map(Json::to_string).collect();
        rows.sort();
        Ok(rows)
    }

    /// A metric of the process itself.
    pub async fn metric(&self, name: &str) -> u64 {
        metric(&self.role, name).await
    }

    /// How many workers it uses, once it has said so.
    pub async fn usable(&self) -> Option<u64> {
        for _ in 0..100 {
            let text = self.client.get(format!("{}/metrics", self.role.url("admin"))).send().await.unwrap();
            let text = text.text().await.unwrap();
            let said = text.lines().find_map(|line| line.strip_prefix("dewpond_cluster_workers_usable "));
            if let Some(said) = said {
                return said.parse().ok();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        None
    }

    /// How many parts of queries workers have done.
    pub async fn parts_by_workers(&self) -> u64 {
        self.metric(r#"dewpond_cluster_parts_total{by="workers"}"#).await
    }
}

/// The certificates of a node, as flags.
pub fn certificates(of: &str, authority: &str) -> Vec<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cluster");
    let file = |name: String| dir.join(name).to_str().unwrap().to_owned();
    let flags = [("cert", format!("{of}.pem")), ("key", format!("{of}.key")), ("ca", format!("{authority}-ca.pem"))];
    flags.into_iter().map(|(flag, name)| format!("--cluster-tls-{flag}={}", file(name))).collect()
}
