//! Measures what depends on the size of a lake: bytes per event, bytes written per byte published over a day of merges, and
//! the time of a snapshot, a plan and a listing with many files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{TimeDelta, Utc};
use compactor::{MergePolicy, plan_merges};
use engine::{Engine, EngineSettings, Scope};
use lake::{Change, EVENTS, FileRange, Lake, TableFile, Value};
use serde::{Deserialize, Serialize};

use crate::parse_count;
use crate::rig::lake_of::{self, Ids, Traffic, last_day, midnight};
use crate::rig::{machine, own_process};

/// What to measure.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Events in the lake whose bytes are counted.
    #[arg(long, default_value = "4_000_000", value_parser = parse_count, value_name = "N")]
    events: u64,

    /// Use random ids instead of UUIDv7.
    #[arg(long)]
    random_ids: bool,

    /// Keep that lake here, for `benches/peers/mergetree.py`.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,

    /// Number of files in the tables whose snapshots are timed.
    #[arg(long, default_value = "10_000,100_000", value_delimiter = ',', value_parser = parse_count, value_name = "N")]
    files: Vec<u64>,

    /// Number of raw files in the listing that is timed.
    #[arg(long, default_value = "10_000", value_parser = parse_count, value_name = "N")]
    raw_files: u64,
}

impl Flags {
    /// The settings of `all`.
    pub(crate) fn of(short: bool) -> Self {
        let (events, files) = if short { (400_000, vec![10_000]) } else { (4_000_000, vec![10_000, 100_000]) };
        Self { events, random_ids: false, keep: None, files, raw_files: 10_000 }
    }
}

/// Prints a table for each.
pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    bytes_per_event(flags, dir).await?;
    write_amplification();
    println!("### Many files\n");
    println!(
        "| files | snapshot of a new process ms | the next one ms | plan ms | memory MiB |\n|--:|--:|--:|--:|--:|"
    );
    for files in &flags.files {
        many_files(*files, dir).await?;
    }
    println!();
    many_raw_files(flags.raw_files, dir).await
}

async fn bytes_per_event(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir_in(dir)?;
    let place = flags.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let lake = Lake::open(&place.to_string_lossy(), [])?;
    let (started, visitors) = (Instant::now(), flags.events / 20);
    let ids = if flags.random_ids { Ids::Random } else { Ids::UuidV7 };
    let held = lake_of::published_days(&lake, flags.events, 4, 1, visitors.max(1), ids).await?;
    println!("### Bytes per event\n");
    println!(
        "{} events of {visitors} visitors with {ids:?} ids in {} files: {:.2} B/event, made in {:.0} s\n",
        held.rows,
        held.files,
        held.bytes as f64 / held.rows as f64,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A day of the real planner, with files whose sizes follow from their rows: publishes every ten seconds, every tenth of
/// them with late events, merges every five minutes, and the merges of the day after it was sealed.
fn write_amplification() {
    println!("### Write amplification over a day\n");
    println!(
        "| bytes a publish | published GB | merged GB | written / published | files left |\n|--:|--:|--:|--:|--:|"
    );
    for publish_bytes in [20_000, 150_000, 1_000_000] {
        let mut day = Day::default();
        let (mut published_bytes, mut merged_bytes) = (0, 0);
        for second in (10..=86_400).step_by(10) {
            day.add(publish_bytes, second - 10, second);
            published_bytes += publish_bytes;
            if second % 100 == 0 {
                day.add(publish_bytes / 50, (second - 20_000).max(0), (second - 1_800).max(1));
                published_bytes += publish_bytes / 50;
            }
            if second % 300 == 0 {
                merged_bytes += day.merge(second);
            }
        }
        merged_bytes += day.merge(7 * 86_400);
        println!(
            "| {publish_bytes} | {:.2} | {:.2} | {:.2} | {} |",
            published_bytes as f64 / 1e9,
            merged_bytes as f64 / 1e9,
            (published_bytes + merged_bytes) as f64 / published_bytes as f64,
            day.files.len()
        );
    }
    println!();
}

/// The files of one day, as the planner sees them. Times are in seconds since midnight.
#[derive(Default)]
struct Day {
    files: BTreeMap<String, TableFile>,
    made: u64,
}

impl Day {
    fn add(&mut self, size_bytes: u64, from_s: i64, until_s: i64) {
        self.made += 1;
        let name = format!("{:08}", self.made);
        let at = |s: i64| Value::TimeUs((midnight(last_day()) + TimeDelta::seconds(s)).timestamp_micros());
        let range = FileRange { min: at(from_s), max: at(until_s), nulls: Some(0) };
        let file = TableFile {
            path: name.as_str().into(),
            log_path: name.clone(),
            date: Some(last_day()),
            size_bytes,
            checksum: None,
            rows: 1,
            ranges: [("occurred_at".to_owned(), range)].into(),
        };
        self.files.insert(name, file);
    }

    /// Merges until no merge is worth its cost. Returns the bytes written.
    fn merge(&mut self, now_s: i64) -> u64 {
        let start = midnight(last_day());
        let mut written_bytes = 0;
        loop {
            let files: Vec<TableFile> = self.files.values().cloned().collect();
            let plan = plan_merges(&files, MergePolicy::default(), start + TimeDelta::seconds(now_s));
            let Some(merge) = plan.first() else { return written_bytes };
            let seconds = |us: i64| (us - start.timestamp_micros()) / 1_000_000;
            let times = merge.files.iter().filter_map(|file| file.times_us("occurred_at"));
            let (min, max) = times.fold((i64::MAX, i64::MIN), |all, file| (all.0.min(file.0), all.1.max(file.1)));
            let bytes = merge.files.iter().map(|file| file.size_bytes).sum();
            for file in &merge.files {
                self.files.remove(&file.log_path);
            }
            self.add(bytes, seconds(min), seconds(max));
            written_bytes += bytes;
        }
    }
}

/// Times what a query does before it reads any file, so the files need not exist.
async fn many_files(count: u64, dir: &Path) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let location = dir.path().to_string_lossy().into_owned();
    let writer = Lake::open(&location, [])?;
    let table = writer.table(&EVENTS);
    let files: Vec<TableFile> = (0..count).map(|number| file_of(&writer, number)).collect();
    for part in files.chunks(5_000) {
        table.commit(Change::publish(part.to_vec(), vec![], Default::default()), table.load().await?).await?;
    }
    let Planned { files, first_ms, next_ms, plan_ms, rss_bytes_max } =
        own_process::ask(["plan-query", "--lake", &location]).await?;
    anyhow::ensure!(files as u64 == count, "the snapshot has another number of files");
    println!("| {count} | {first_ms:.0} | {next_ms:.0} | {plan_ms:.0} | {} |", rss_bytes_max >> 20);
    Ok(())
}

/// The process that takes snapshots of a table with many files.
#[derive(clap::Args)]
pub(crate) struct ChildFlags {
    #[arg(long)]
    lake: String,
}

/// Its times and memory.
#[derive(Serialize, Deserialize)]
struct Planned {
    /// Files in the table.
    files: usize,
    /// The first snapshot.
    first_ms: f64,
    /// The second.
    next_ms: f64,
    /// The plan of a query of one day.
    plan_ms: f64,
    /// Peak memory of the whole process.
    rss_bytes_max: u64,
}

/// Takes snapshots and plans a query, and prints what it took as JSON.
pub(crate) async fn run_child(flags: &ChildFlags) -> anyhow::Result<()> {
    let (lake, started) = (Lake::open(&flags.lake, [])?, Instant::now());
    let files = lake.snapshot().await?.events.files.len();
    let first_ms = started.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    lake.snapshot().await?;
    let next_ms = started.elapsed().as_secs_f64() * 1e3;
    let session = Engine::new(lake.clone(), &EngineSettings::default())?.view().await?.session(&Scope::Lake)?;
    let started = Instant::now();
    let sql = "SELECT count(DISTINCT visitor_id) FROM events WHERE site_id = 'default' AND date = '2026-03-31'";
    session.plan(sql, &[]).await?.create_physical_plan().await?;
    let plan_ms = started.elapsed().as_secs_f64() * 1e3;
    let rss_bytes_max = machine::usage(std::process::id())?.rss_bytes_max;
    println!("{}", serde_json::to_string(&Planned { files, first_ms, next_ms, plan_ms, rss_bytes_max })?);
    Ok(())
}

fn file_of(lake: &Lake, number: u64) -> TableFile {
    let day = midnight(last_day()) - TimeDelta::days((number % 400) as i64);
    let log_path = format!("date={}/{number:032x}.parquet", day.date_naive());
    let range = |min, max| FileRange { min, max, nulls: Some(0) };
    let times =
        range(Value::TimeUs(day.timestamp_micros()), Value::TimeUs((day + TimeDelta::hours(23)).timestamp_micros()));
    TableFile {
        path: format!("{}events/{log_path}", lake.url().path().trim_start_matches('/')).into(),
        log_path,
        date: Some(day.date_naive()),
        size_bytes: 100 << 20,
        checksum: Some(format!("{number:032x}")),
        rows: 4_000_000,
        ranges: [
            ("site_id".to_owned(), range(Value::Text("default".into()), Value::Text("default".into()))),
            ("visitor_id".to_owned(), range(Value::Integer(i64::MIN), Value::Integer(i64::MAX))),
            ("occurred_at".to_owned(), times.clone()),
            ("received_at".to_owned(), times),
        ]
        .into(),
    }
}

async fn many_raw_files(count: u64, dir: &Path) -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(dir)?;
    let lake = Lake::open(&dir.path().to_string_lossy(), [])?;
    let until = Utc::now();
    let traffic = Traffic {
        sites: 1,
        events: 20 * count,
        visitors: 1_000,
        from: until - TimeDelta::minutes(5),
        until,
        ids: Ids::UuidV7,
        properties_bytes: 0,
        seed: 1,
    };
    lake_of::pending(&lake, traffic, 20).await?;
    let started = Instant::now();
    let snapshot = lake.snapshot().await?;
    let listed_ms = started.elapsed().as_secs_f64() * 1e3;
    let started = Instant::now();
    let found = lake.survey_pending(&snapshot.pending, &snapshot.events).await?;
    println!("### {} raw files pending, {} events\n", snapshot.pending.len(), found.rows);
    println!(
        "Listing and snapshot {listed_ms:.0} ms; reading their keys, as every query does, {:.0} ms\n",
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
