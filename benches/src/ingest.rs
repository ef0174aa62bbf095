//! Durable events per second: the collector against a server that parses the same requests and drops them.

use std::path::Path;
use std::time::Duration;

use anyhow::{bail, ensure};
use chrono::Utc;
use lake::Lake;
use tokio::process::Command;

use crate::rig::lake_of::SITE;
use crate::rig::load::{self, Answers, Load};
use crate::rig::machine::{self, Usage, Watch};
use crate::rig::server::Server;

/// Sizes of requests worth comparing: trackers send one event at a time, servers many.
pub(crate) const BATCHES: [usize; 2] = [1, 100];

/// The load for both servers.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// How long each server is measured, after a warm-up of a fifth of that.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,

    /// Connections, each with one request in flight; several numbers give several measurements. The default
    /// depends on the size of a request.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    connections: Vec<u32>,

    /// Events per request.
    #[arg(long, default_value_t = 1, value_name = "EVENTS")]
    batch: usize,

    /// The collector's flush interval [default: its own for a local disk].
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    flush: Option<Duration>,

    /// Measurements of each server, in turn; the one with the most requests counts.
    #[arg(long, default_value_t = 1, value_name = "N")]
    runs: u32,

    /// Also measure a tracker of Node.js and PostgreSQL (benches/peers/postgres), with one INSERT per request and with
    /// one per 25 ms. Needs both installed.
    #[arg(long)]
    peer: bool,
}

impl Flags {
    /// The settings of `all`.
    pub(crate) fn of(batch: usize, short: bool) -> Self {
        let connections = match (batch, short) {
            (1, true) => vec![64, 1_024],
            (_, true) => vec![64],
            _ => vec![],
        };
        let (seconds, runs) = if short { (3, 1) } else { (10, 3) };
        Self { seconds, connections, batch, flush: None, runs, peer: false }
    }

    fn connections(&self) -> &[u32] {
        match (self.connections.as_slice(), self.batch) {
            ([], 1) => &[64, 1_024, 4_096],
            ([], _) => &[8, 64, 256],
            (chosen, _) => chosen,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Drop,
    Collector,
    Postgres { group: bool },
}

/// One server under one load.
struct Measured {
    answers: Answers,
    seconds: f64,
    batch: usize,
    server: Usage,
    generator_cpu: Duration,
    others_cores: f64,
    /// What a collector wrote.
    raw: Option<Raw>,
}

/// The raw tier after a measurement.
#[derive(Clone, Copy)]
struct Raw {
    files: usize,
    bytes: u64,
}

impl Measured {
    fn requests_per_s(&self) -> f64 {
        self.answers.requests as f64 / self.seconds
    }

    fn events_per_s(&self) -> f64 {
        self.requests_per_s() * self.batch as f64
    }

    /// CPU time of the server, µs: its cost, whatever else runs on the machine.
    fn cpu_us_per_event(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / self.events() as f64
    }

    fn generator_us_per_event(&self) -> f64 {
        self.generator_cpu.as_secs_f64() * 1e6 / self.events() as f64
    }

    fn events(&self) -> u64 {
        self.answers.acknowledged * self.batch as u64
    }
}

/// Measures both servers and prints a table.
pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    println!(
        "### Ingest, {} per request\n",
        if flags.batch == 1 { "one event".into() } else { format!("{} events", flags.batch) }
    );
    println!(
        "| connections | server | requests/s | events/s | ack p50 ms | p99 ms | max ms | server CPU µs/event | \
         generator CPU µs/event | memory MiB | at most MiB | others' cores |"
    );
    println!("|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for &connections in flags.connections() {
        let (mut baseline, mut collector) = (None, None);
        for _ in 0..flags.runs.max(1) {
            keep_faster(&mut baseline, measure(Kind::Drop, flags, connections, dir).await?);
            keep_faster(&mut collector, measure(Kind::Collector, flags, connections, dir).await?);
        }
        let (Some(baseline), Some(collector)) = (baseline, collector) else { bail!("nothing was measured") };
        print_row(connections, "parse and drop", &baseline);
        print_row(connections, "collector", &collector);
        println!(
            "| {connections} | **collector / drop** | **{share:.2}** | **{share:.2}** | | | | **{:.2}** | | | | |",
            collector.cpu_us_per_event() / baseline.cpu_us_per_event(),
            share = collector.requests_per_s() / baseline.requests_per_s(),
        );
        if let Some(raw) = collector.raw {
            println!(
                "\n{connections} connections: {:.0} puts/s, {:.1} bytes per event in the raw tier.\n",
                raw.files as f64 / (collector.seconds * 1.2),
                raw.bytes as f64 / collector.events() as f64,
            );
        }
        for group in [false, true].into_iter().filter(|_| flags.peer) {
            let mut peer = None;
            for _ in 0..flags.runs.max(1) {
                keep_faster(&mut peer, measure(Kind::Postgres { group }, flags, connections, dir).await?);
            }
            let Some(peer) = peer else { bail!("nothing was measured") };
            let name = if group { "node + PostgreSQL, grouped" } else { "node + PostgreSQL" };
            print_row(connections, name, &peer);
            let share = collector.requests_per_s() / peer.requests_per_s();
            println!("| {connections} | **collector / {name}** | **{share:.2}** | **{share:.2}** | | | | | | | | |");
        }
    }
    println!("\nEvery acknowledged event was found in the lake exactly once.\n");
    Ok(())
}

fn keep_faster(best: &mut Option<Measured>, new: Measured) {
    if best.as_ref().is_none_or(|best| best.requests_per_s() < new.requests_per_s()) {
        *best = Some(new);
    }
}

fn print_row(connections: u32, name: &str, measured: &Measured) {
    const MIB: f64 = (1 << 20) as f64;
    println!(
        "| {connections} | {name} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.2} |",
        measured.requests_per_s(),
        measured.events_per_s(),
        measured.answers.time_ms(0.5),
        measured.answers.time_ms(0.99),
        measured.answers.time_ms(1.0),
        measured.cpu_us_per_event(),
        measured.generator_us_per_event(),
        measured.server.rss_bytes as f64 / MIB,
        measured.server.rss_bytes_max as f64 / MIB,
        measured.others_cores,
    );
}

/// Starts a server with a lake of its own, loads it, and looks for the events.
async fn measure(kind: Kind, flags: &Flags, connections: u32, dir: &Path) -> anyhow::Result<Measured> {
    let lake_dir = tempfile::tempdir_in(dir)?;
    let location = lake_dir.path().to_string_lossy().into_owned();
    let lake = Lake::open(&location, [])?;
    let write_key = lake.add_site(SITE, Utc::now()).await?.write_key;
    let server = match kind {
        Kind::Drop => Server::start(["serve-drop"]).await?,
        Kind::Collector => {
            let mut args = vec!["serve-collector".to_owned(), "--lake".to_owned(), location];
            if let Some(flush) = flags.flush {
                args.extend(["--flush-after".to_owned(), humantime::format_duration(flush).to_string()]);
            }
            Server::start(args).await?
        }
        Kind::Postgres { group } => {
            let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/postgres/run.sh"));
            // PostgreSQL refuses to run as root, and its own user must reach the directory.
            let database = std::env::temp_dir().join(format!("dewpond-peer-{}", std::process::id()));
            command.arg(database).args(group.then_some("--group")).env("WRITE_KEY", &write_key);
            Server::spawn(command).await?
        }
    };
    let seconds = Duration::from_secs(flags.seconds.max(1));
    let load =
        Load { address: server.address, write_key, connections, batch: flags.batch, warm_up: seconds / 5, seconds };
    let (watch, server_before) = (Watch::start()?, server.usage()?);
    let generator_before = machine::usage(std::process::id())?;
    let answers = load::send(load).await?;
    let server_after = server.usage()?;
    let generator_cpu = machine::usage(std::process::id())?.cpu - generator_before.cpu;
    let measured = Measured {
        answers,
        seconds: seconds.as_secs_f64(),
        batch: flags.batch,
        server: server_after,
        generator_cpu,
        others_cores: watch.others_cores(server_after.cpu - server_before.cpu + generator_cpu)?,
        raw: None,
    };
    server.stop().await?;
    if measured.answers.refused > 0 {
        eprintln!("{} requests were refused; they do not count", measured.answers.refused);
    }
    if !matches!(kind, Kind::Collector) {
        return Ok(measured);
    }
    let raw = verify(&lake, &measured).await?;
    Ok(Measured { raw: Some(raw), ..measured })
}

/// Checks that every acknowledged event is in the lake once.
async fn verify(lake: &Lake, measured: &Measured) -> anyhow::Result<Raw> {
    let snapshot = lake.snapshot().await?;
    let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await?;
    ensure!(found.rows_left_out() == 0, "an event is in the lake twice");
    // A failed request may have been stored all the same.
    let refused = measured.answers.refused * measured.batch as u64;
    let (acknowledged, rows) = (measured.events(), found.rows);
    ensure!(
        (acknowledged..=acknowledged + refused).contains(&rows),
        "{acknowledged} events were acknowledged and {rows} are in the lake"
    );
    let bytes = snapshot.pending.iter().map(|file| file.size_bytes).sum();
    Ok(Raw { files: snapshot.pending.len(), bytes })
}
