//! Questions answered by two workers of one core each, against one process of two cores: what it costs to cut a plan, send its
//! parts and bring their rows together. On as many cores there is nothing to win.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Parser;
use cluster::{ClusterTls, Worker, WorkersFlags, with_workers};
use engine::{Engine, EngineSettings, Scope, to_json_rows};
use lake::Lake;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::parse_count;
use crate::questions;
use crate::rig::lake_of::{self, Ids};
use crate::rig::own_process;
use crate::rig::server::Server;

/// Days over which the events are spread.
const DAYS: u64 = 30;

/// The cores that are used. The coordinator of the workers has both, too: it waits while they work.
const CORES: [&str; 2] = ["0", "1"];

/// The questions, as `questions` calls them: those of which most is done on workers.
const NAMES: [&str; 5] = [
    "users and events by day",
    "users and events by site and day",
    "users",
    "top pages with users",
    "events by name with users",
];

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Events in the lake, over 30 days.
    #[arg(long, default_value = "10_000_000", value_parser = parse_count, value_name = "N")]
    events: u64,

    /// Visitors, at most.
    #[arg(long, default_value = "1_000_000", value_parser = parse_count, value_name = "N")]
    visitors: u64,

    /// Sites, of skewed size.
    #[arg(long, default_value_t = 100, value_name = "N")]
    sites: u32,

    /// Answers to each question, of which the fastest counts, after one that does not.
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: usize,
}

impl Flags {
    /// The settings of `all`.
    pub(crate) fn of(short: bool) -> Self {
        Self {
            events: if short { 2_000_000 } else { 10_000_000 },
            visitors: if short { 200_000 } else { 1_000_000 },
            sites: 100,
            runs: 3,
        }
    }
}

/// A process that answers the questions.
#[derive(clap::Args, Debug)]
pub(crate) struct AskFlags {
    #[arg(long)]
    lake: PathBuf,

    #[arg(long)]
    runs: usize,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    workers: WorkersFlags,
}

/// A worker.
#[derive(clap::Args, Debug)]
pub(crate) struct WorkerFlags {
    #[arg(long)]
    lake: PathBuf,

    #[command(flatten)]
    engine: EngineSettings,
}

/// An answer to a question.
#[derive(Serialize, Deserialize)]
struct Answered {
    seconds: f64,
    /// Bytes over the loopback meanwhile, with those of its protocols.
    sent_bytes: u64,
    /// Whether workers had a part in it.
    by_workers: bool,
    rows: serde_json::Value,
}

pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("workers");
    let lake = Lake::open(&path.to_string_lossy(), [])?;
    let held = lake_of::published_days(&lake, flags.events, DAYS, flags.sites, flags.visitors, Ids::UuidV7).await?;
    println!("{} events in {} files of {:.0} MB\n", held.rows, held.files, held.bytes as f64 / 1e6);

    let alone = ask(&path, flags.runs, &[]).await?;
    let mut workers = Vec::new();
    for core in CORES {
        let mut command = on_cores(core)?;
        command.args(["serve-worker", "--query-threads", "1", "--lake"]).arg(&path);
        workers.push(Server::spawn(command).await?);
    }
    // So that both have a part, however few events there are.
    let task_bytes = (held.bytes / 4).max(1).to_string();
    let places: Vec<String> = workers.iter().map(|worker| worker.address.to_string()).collect();
    let by_workers =
        ask(&path, flags.runs, &["--workers", &places.join(","), "--workers-task-bytes", &task_bytes]).await?;
    for worker in workers {
        worker.stop().await?;
    }

    println!("| Question | One process of two cores, s | Two workers of one core, s | Ratio | Sent, MB |");
    println!("|---|--:|--:|--:|--:|");
    let (mut all_alone, mut all_by_workers) = (0.0, 0.0);
    for (name, (alone, by_workers)) in NAMES.iter().zip(alone.iter().zip(&by_workers)) {
        ensure!(alone.rows == by_workers.rows, "workers answer {name} otherwise");
        ensure!(!alone.by_workers && by_workers.by_workers, "{name} was not done where it is measured");
        all_alone += alone.seconds;
        all_by_workers += by_workers.seconds;
        println!(
            "| {name} | {:.3} | {:.3} | {:.2} | {:.2} |",
            alone.seconds,
            by_workers.seconds,
            by_workers.seconds / alone.seconds,
            by_workers.sent_bytes as f64 / 1e6
        );
    }
    println!("| **all** | {all_alone:.3} | {all_by_workers:.3} | **{:.2}** | |\n", all_by_workers / all_alone);
    Ok(())
}

/// The answers to the questions by a process of two cores.
async fn ask(lake: &Path, runs: usize, workers: &[&str]) -> anyhow::Result<Vec<Answered>> {
    let mut command = on_cores(&CORES.join(","))?;
    command.args(["ask-workers", "--runs", &runs.to_string(), "--query-threads", "2", "--lake"]).arg(lake);
    command.args(workers);
    own_process::answer(command).await
}

/// This program, confined to some cores.
fn on_cores(cores: &str) -> anyhow::Result<Command> {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(std::env::current_exe().context("this program has no file")?);
    Ok(command)
}

/// Answers the questions in a process of its own, and prints how.
pub(crate) async fn ask_all(flags: &AskFlags) -> anyhow::Result<()> {
    let lake = Lake::open(&flags.lake.to_string_lossy(), [])?;
    let engine = with_workers(Engine::new(lake, &flags.engine)?, &flags.workers).await?;
    let mut answered = Vec::new();
    for name in NAMES {
        let sql = questions::sql_of(name).context("there is no such question")?;
        let mut best: Option<Answered> = None;
        for run in 0..=flags.runs {
            let (sent_before, started) = (loopback_bytes()?, Instant::now());
            let session = engine.view().await?.session(&Scope::Lake)?;
            let answer = session.query(sql, &[]).await?;
            let seconds = started.elapsed().as_secs_f64();
            let sent_bytes = loopback_bytes()?.saturating_sub(sent_before);
            // The first one opens files and connections.
            if run > 0 && best.as_ref().is_none_or(|best| seconds < best.seconds) {
                let rows = serde_json::to_value(to_json_rows(&answer)?)?;
                best = Some(Answered { seconds, sent_bytes, by_workers: false, rows });
            }
        }
        let mut best = best.context("there was no run")?;
        let session = engine.view().await?.session(&Scope::Lake)?;
        let explained = session.query(&format!("EXPLAIN ANALYZE {sql}"), &[]).await?;
        best.by_workers = serde_json::to_string(&to_json_rows(&explained)?)?.contains("Stage 1");
        answered.push(best);
    }
    println!("{}", serde_json::to_string(&answered)?);
    Ok(())
}

/// Serves as a worker until the standard input ends. Prints its address first.
pub(crate) async fn serve(flags: &WorkerFlags) -> anyhow::Result<()> {
    /// Without any: the connections are this machine's.
    #[derive(clap::Parser)]
    struct NoTls {
        #[command(flatten)]
        tls: ClusterTls,
    }
    let lake = Lake::open(&flags.lake.to_string_lossy(), [])?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    let NoTls { tls } = NoTls::parse_from(["worker"]);
    let worker = Worker::new(Engine::new(lake, &flags.engine)?, address, &tls)?;
    println!("{address}");
    let shutdown = CancellationToken::new();
    let ended = shutdown.clone();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.cancel();
    });
    Ok(worker.serve(listener, shutdown).await?)
}

/// Bytes that the loopback has carried since the machine started.
fn loopback_bytes() -> anyhow::Result<u64> {
    let devices = fs::read_to_string("/proc/net/dev").context("could not read the network's counters")?;
    received(&devices, "lo").context("there is no loopback")
}

/// The bytes that a device has received, of what `/proc/net/dev` says.
fn received(devices: &str, name: &str) -> Option<u64> {
    let counters = devices.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))?;
    counters.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_device_are_the_first_number_behind_its_name() {
        let devices = "Inter-|   Receive\n face |bytes    packets\n  lo0: 7 1\n    lo: 1234 56 0\n  eth0:99 1\n";
        assert_eq!(received(devices, "lo"), Some(1234));
        assert_eq!(received(devices, "eth0"), Some(99));
        assert_eq!(received(devices, "wlan"), None);
    }

    #[test]
    fn every_question_is_one_of_those_that_other_engines_are_asked() {
        assert!(NAMES.iter().all(|name| questions::sql_of(name).is_some()));
    }
}
