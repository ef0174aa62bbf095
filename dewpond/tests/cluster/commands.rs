//! Commands that ask have workers do their parts, as roles do.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::nodes::{metric, place, workers};
use crate::role::{DEWPOND, Role, queries_dir, run_well};
use crate::shop::{NEW, PUBLISHED, TestLake};

/// A lake, its workers, and the flags with which a command has them do all that they may.
struct World {
    lake: TestLake,
    workers: Vec<Role>,
    flags: Vec<String>,
}

impl World {
    async fn start() -> Self {
        let lake = TestLake::with_pending().await;
        let workers = workers(lake.path(), 2).await;
        let places: Vec<String> = workers.iter().map(place).collect();
        let flags = ["--lake", lake.path(), "--workers", &places.join(","), "--workers-task-bytes=1"];
        let flags = flags.map(str::to_owned).into();
        Self { lake, workers, flags }
    }

    /// A command that is given text on its standard input.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(DEWPOND);
        command.arg(name).args(&self.flags).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// How many parts of plans the workers have begun, of which each has a share.
    async fn tasks(&self) -> u64 {
        let mut all = 0;
        for worker in &self.workers {
            let tasks = metric(worker, "dewpond_cluster_tasks_total").await;
            assert!(tasks > 0, "a worker was asked nothing");
            all += tasks;
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_of_the_prompt_go_to_workers() {
    let world = World::start().await;
    let mut console = world.command("sql").args(["--format", "csv"]).spawn().unwrap();
    let statements =
        b"SELECT count(*) AS n FROM events; EXPLAIN ANALYZE SELECT name, count(*) FROM events GROUP BY name;";
    console.stdin.take().unwrap().write_all(statements).await.unwrap();
    let answer = timeout(Duration::from_secs(60), console.wait_with_output()).await.unwrap().unwrap();
    let answer = String::from_utf8(answer.stdout).unwrap();
    assert!(answer.starts_with(&format!("n\n{}\n", PUBLISHED + NEW)), "{answer}");
    assert!(answer.contains("Stage 1 ── tasks=2"), "{answer}");
    assert!(world.tasks().await >= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_language_models_ask_goes_to_workers() {
    let world = World::start().await;
    let queries = queries_dir();
    let mut server = world.command("mcp").arg("--queries").arg(queries).spawn().unwrap();
    let (mut input, output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let hello =
        json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    let ask = json!({"name": "run_sql", "arguments": {"sql": "SELECT count(*) AS n FROM events"}});
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": ask}),
    ];
    for message in messages {
        input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }
    let mut lines = BufReader::new(output).lines();
    let answer = timeout(Duration::from_secs(60), async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it answers before it ends");
            let said: Json = serde_json::from_str(&line).unwrap();
            if said["id"] == 2 {
                return said;
            }
        }
    });
    let answer = answer.await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[PUBLISHED + NEW]]), "{answer}");
    assert!(world.tasks().await >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_a_past_time_is_made_with_workers_and_is_the_same() {
    let world = World::start().await;
    let queries = queries_dir();
    let of_past = ["report", "--at", "2026-03-25", "--json", "--replace", "--queries", queries.to_str().unwrap()];
    let flags: Vec<&str> = world.flags.iter().map(String::as_str).collect();
    let by_workers: Json = report(&[&of_past[..], &flags].concat()).await;
    assert!(world.tasks().await >= 2);
    let alone: Json = report(&[&of_past[..], &["--lake", world.lake.path()]].concat()).await;
    assert_eq!(by_workers["metrics"]["events"]["value"], json!(PUBLISHED + NEW));
    assert_eq!(answers(&by_workers), answers(&alone));
}

async fn report(args: &[&str]) -> Json {
    serde_json::from_str(&run_well(args, &[]).await).unwrap()
}

/// What the metrics of a report say, without how long they took.
fn answers(report: &Json) -> Vec<(String, Json)> {
    let metrics = report["metrics"].as_object().unwrap().iter();
    metrics
        .map(|(name, metric)| {
            assert!(metric.get("error").is_none_or(Json::is_null), "{name}: {metric}");
            (name.clone(), json!([metric["value"], metric["rows"]]))
        })
        .collect()
}
