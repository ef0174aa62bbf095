//! The report over a large lake, against the scan of one column: what the job costs above reading.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use analytics::{Analytics, AnalyticsSettings};
use anyhow::{Context, bail, ensure};
use chrono::{TimeDelta, Utc};
use engine::{Engine, EngineSettings, Scope, to_json_rows};
use lake::Lake;
use serde::{Deserialize, Serialize};

use crate::parse_count;
use crate::rig::lake_of::{self, Ids, Traffic, last_day, midnight, site_name};
use crate::rig::machine::{self, Watch};
use crate::rig::own_process;

/// Days over which the events are spread: the range of the report.
const DAYS: u64 = 30;

/// Events of one more minute.
const MINUTE_EVENTS: u64 = 35_000;

/// The baseline: it reads every row of one column of eight bytes and does next to no work.
const SCAN: &str = "SELECT bit_xor(visitor_id) FROM events";

/// What to report on.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Events in the lake, over 30 days.
    #[arg(long, default_value = "10_000_000", value_parser = parse_count, value_name = "N")]
    events: u64,

    /// Visitors, at most.
    #[arg(long, default_value = "1_000_000", value_parser = parse_count, value_name = "N")]
    visitors: u64,

    /// Sites, of skewed size.
    #[arg(long, default_value_t = 1, value_name = "N")]
    sites: u32,

    /// Directory of the metrics.
    #[arg(long, default_value = "queries", value_name = "DIR")]
    queries: PathBuf,

    /// Runs of the job and of the scan, of which the first and the fastest are shown.
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: usize,

    /// Further runs, each after one more minute of events.
    #[arg(long, default_value_t = 3, value_name = "N")]
    minutes: usize,
}

impl Flags {
    /// The settings of `all`.
    pub(crate) fn of(short: bool) -> Self {
        let (events, visitors) = if short { (1_000_000, 100_000) } else { (10_000_000, 1_000_000) };
        Self { events, visitors, sites: 1, queries: "queries".into(), runs: 3, minutes: 3 }
    }
}

/// The job's process.
#[derive(clap::Args)]
pub(crate) struct ChildFlags {
    /// The lake to report on.
    #[arg(long)]
    lake: PathBuf,

    #[arg(long)]
    queries: PathBuf,

    #[arg(long)]
    runs: usize,

    #[arg(long)]
    minutes: usize,

    #[arg(long)]
    sites: u32,

    #[arg(long)]
    visitors: u64,

    #[command(flatten)]
    engine: EngineSettings,
}

/// The results of the job's process.
#[derive(Serialize, Deserialize)]
struct Found {
    runs: Vec<Run>,
    /// Runs after one more minute of events each.
    minutes: Vec<Run>,
    /// The run of another process, which has nothing in memory but finds what the lake keeps.
    restarted: Run,
    state_bytes: u64,
    scans_ms: Vec<f64>,
    /// The scan's answer.
    scanned: i64,
    rss_bytes_max: u64,
}

/// One run of the job.
#[derive(Serialize, Deserialize)]
struct Run {
    /// The whole run: the report of the lake, that of its one site, and the history.
    total_ms: f64,
    /// The metrics of the lake's report.
    metrics_ms: BTreeMap<String, i64>,
    /// Cores kept busy by other processes.
    others_cores: f64,
}

impl Run {
    /// The lake's report alone.
    fn report_ms(&self) -> f64 {
        self.metrics_ms.values().sum::<i64>() as f64
    }
}

/// Makes a lake, reports on it in another process, and prints a table.
pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let lake_dir = tempfile::tempdir_in(dir)?;
    let lake = Lake::open(&lake_dir.path().to_string_lossy(), [])?;
    for site in 0..flags.sites {
        lake.ensure_site(&site_name(flags.sites, site), Utc::now()).await?;
    }
    let started = Instant::now();
    let held = lake_of::published_days(&lake, flags.events, DAYS, flags.sites, flags.visitors, Ids::UuidV7).await?;
    println!("### The job on {} events of {} sites\n", held.rows, flags.sites);
    println!(
        "{} files, {:.0} MB, {:.1} bytes an event; made in {:.0} s.\n",
        held.files,
        held.bytes as f64 / 1e6,
        held.bytes as f64 / held.rows as f64,
        started.elapsed().as_secs_f64()
    );
    let runs = flags.runs.max(1).to_string();
    let (minutes, sites, visitors) = (flags.minutes.to_string(), flags.sites.to_string(), flags.visitors.to_string());
    let numbers = ["--runs", &runs, "--minutes", &minutes, "--sites", &sites, "--visitors", &visitors];
    let args = ["run-job"].into_iter().chain(numbers).chain(["--queries"]).map(OsStr::new);
    let found: Found =
        own_process::ask(args.chain([flags.queries.as_os_str(), OsStr::new("--lake"), lake_dir.path().as_os_str()]))
            .await?;
    ensure!(found.scanned == held.visitor_ids_xor, "the scan did not see the events that were written");
    print(&found, held.bytes)
}

fn print(found: &Found, event_bytes: u64) -> anyhow::Result<()> {
    let scan_ms = found.scans_ms.iter().copied().reduce(f64::min).context("nothing was scanned")?;
    let first = found.runs.first().context("the job never ran")?;
    let fastest = found.runs.iter().min_by(|a, b| a.total_ms.total_cmp(&b.total_ms)).context("the job never ran")?;
    println!("| | first run ms | fastest run ms | fastest / scan |\n|---|--:|--:|--:|");
    println!("| scan: `{SCAN}` | | {scan_ms:.0} | 1.0 |");
    for (metric, ms) in &fastest.metrics_ms {
        println!("| {metric} | {} | {ms} | {:.1} |", first.metrics_ms[metric], *ms as f64 / scan_ms);
    }
    let row = |name, of: fn(&Run) -> f64| {
        println!("| **{name}** | **{:.0}** | **{:.0}** | **{:.1}** |", of(first), of(fastest), of(fastest) / scan_ms);
    };
    row("report of the lake", Run::report_ms);
    row("whole run: lake and sites", |run| run.total_ms);
    println!("| *others' cores meanwhile* | {:.2} | {:.2} | |", first.others_cores, fastest.others_cores);
    let totals: Vec<String> = found.runs.iter().map(|run| format!("{:.0}", run.total_ms)).collect();
    println!("\nWhole runs, in order: {} ms.", totals.join(", "));
    let minutes: Vec<String> = found.minutes.iter().map(|run| format!("{:.0}", run.total_ms)).collect();
    println!("After one more minute of {MINUTE_EVENTS} events each: {} ms.", minutes.join(", "));
    println!("After a restart: {:.0} ms.", found.restarted.total_ms);
    println!("States: {:.3} of the bytes of the events.", found.state_bytes as f64 / event_bytes as f64);
    println!("Memory of the job's process at most: {:.0} MiB.\n", found.rss_bytes_max as f64 / (1 << 20) as f64);
    Ok(())
}

/// Runs the job and the scan, and prints their times as JSON.
pub(crate) async fn run_child(flags: &ChildFlags) -> anyhow::Result<()> {
    let lake = Lake::open(&flags.lake.to_string_lossy(), [])?;
    let engine = Engine::new(lake, &flags.engine)?;
    let settings = AnalyticsSettings {
        queries: flags.queries.clone(),
        // The measurement runs the job itself.
        cron: "0 0 * * * *".parse()?,
        memcached: None,
        memcached_login: None,
        memcached_timeout: Duration::ZERO,
        metric_timeout: Duration::from_secs(600),
        metric_rows_max: 100_000,
        alert_webhook: None,
        alert_secret: None,
    };
    // The report's range ends now: at the end of the lake's last day.
    let now = midnight(last_day()) + TimeDelta::days(1) - TimeDelta::seconds(1);
    let analytics = Analytics::new(engine.clone(), settings.clone(), Arc::new(move || now));
    let (mut runs, mut scans_ms, mut scanned) = (Vec::new(), Vec::new(), 0);
    for _ in 0..flags.runs {
        runs.push(measure(&analytics).await?);
        let session = engine.view().await?.session(&Scope::Lake)?;
        let started = Instant::now();
        let answer = session.query(SCAN, &[]).await?;
        scans_ms.push(started.elapsed().as_secs_f64() * 1e3);
        // Large numbers are written as text.
        let answer = &to_json_rows(&answer)?[0][0];
        let number = answer.as_i64().or_else(|| answer.as_str()?.parse().ok());
        scanned = number.context("the scan's answer is no number")?;
    }
    let mut minutes = Vec::new();
    for minute in 0..flags.minutes {
        let from = midnight(last_day()) + TimeDelta::hours(23) + TimeDelta::minutes(minute as i64);
        let traffic = Traffic {
            events: MINUTE_EVENTS,
            sites: flags.sites,
            visitors: flags.visitors,
            from,
            until: from + TimeDelta::minutes(1),
            ids: Ids::UuidV7,
            properties_bytes: 0,
            seed: 1_000 + minute as u64,
        };
        lake_of::pending(engine.lake(), traffic, MINUTE_EVENTS as usize).await?;
        minutes.push(measure(&analytics).await?);
    }
    let lake = engine.lake().clone();
    // A process that starts again has nothing of the one before.
    drop((analytics, engine));
    let rss_bytes_max = machine::usage(std::process::id())?.rss_bytes_max;
    let other = Engine::new(lake.clone(), &flags.engine)?;
    let restarted = measure(&Analytics::new(other, settings, Arc::new(move || now))).await?;
    let state_bytes = lake.states_size().await?.bytes;
    let found = Found { runs, minutes, restarted, state_bytes, scans_ms, scanned, rss_bytes_max };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

async fn measure(analytics: &Arc<Analytics>) -> anyhow::Result<Run> {
    let (watch, before, started) = (Watch::start()?, own_cpu()?, Instant::now());
    let report = analytics.run().await?;
    let total_ms = started.elapsed().as_secs_f64() * 1e3;
    if let Some((name, metric)) = report.metrics.iter().find(|(_, metric)| metric.error.is_some()) {
        bail!("{name} failed: {}", metric.error.as_deref().unwrap_or_default());
    }
    let metrics_ms = report.metrics.into_iter().map(|(name, metric)| (name, metric.duration_ms)).collect();
    Ok(Run { total_ms, metrics_ms, others_cores: watch.others_cores(own_cpu()? - before)? })
}

fn own_cpu() -> anyhow::Result<Duration> {
    Ok(machine::usage(std::process::id())?.cpu)
}
