//! Workers over a lake, and a coordinator that is asked over HTTP.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::role::{Role, queries_dir};

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
