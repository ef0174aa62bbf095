//! Measures a publish into days that already hold rows against one into an empty day. It should cost the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings};
use lake::Lake;

use crate::parse_count;
use crate::rig::lake_of::{self, Ids, Traffic, last_day, midnight};
use crate::rig::machine::{self, Watch};

/// Rows per raw file, about what a busy collector writes at a time.
const RAW_FILE_ROWS: usize = 5_000;

const VISITORS: u64 = 100_000;

/// What to publish, and into what.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Rows that the day already holds; several numbers give several days.
    #[arg(long, default_value = "1_000_000,50_000_000", value_delimiter = ',', value_parser = parse_count, value_name = "N")]
    day_rows: Vec<u64>,

    /// Rows to publish, all later than those that the day holds.
    #[arg(long, default_value = "35_000", value_parser = parse_count, value_name = "N")]
    new_rows: u64,

    /// The span of time over which they are spread.
    #[arg(long, default_value = "1m", value_parser = humantime::parse_duration, value_name = "TIME")]
    span: Duration,

    /// Bytes of properties per row; they compress a few hundred times.
    #[arg(long, default_value = "0", value_parser = parse_count, value_name = "N")]
    properties_bytes: u64,

    /// Only leave the rows pending in a lake in this directory, for a `dewpond compactor --lake DIR --once` measured from outside.
    #[arg(long, value_name = "DIR")]
    leave_in: Option<PathBuf>,

    /// Number of publishes into each day; the fastest counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: u64,
}

impl Flags {
    /// The settings of `all`.
    pub(crate) fn of(short: bool) -> Self {
        let day_rows = if short { vec![250_000] } else { vec![1_000_000, 50_000_000] };
        Self { day_rows, new_rows: 35_000, span: Duration::from_secs(60), properties_bytes: 0, leave_in: None, runs: 3 }
    }
}

/// Publishes into each day and prints a table.
pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    if let Some(place) = &flags.leave_in {
        let lake = Lake::open(&place.to_string_lossy(), [])?;
        return lake_of::pending(&lake, next_rows(flags, 0)?, raw_file_rows(flags)).await;
    }
    println!(
        "### Publishing {} rows in {} raw files\n",
        flags.new_rows,
        flags.new_rows.div_ceil(raw_file_rows(flags) as u64)
    );
    println!(
        "| the day holds | publish ms | rows/s | against an empty day | memory at most, MiB | others' cores |\n|--:|--:|--:|--:|--:|--:|"
    );
    let mut empty_s = None;
    for day_rows in [0].iter().chain(&flags.day_rows) {
        let Measured { seconds, rss_bytes_max, others_cores } = measure(*day_rows, flags, dir).await?;
        let empty_s = *empty_s.get_or_insert(seconds);
        println!(
            "| {day_rows} | {:.0} | {:.0} | {:.2} | {} | {others_cores:.2} |",
            seconds * 1e3,
            flags.new_rows as f64 / seconds,
            seconds / empty_s,
            rss_bytes_max >> 20,
        );
    }
    println!();
    Ok(())
}

/// One publish.
struct Measured {
    seconds: f64,
    /// Peak resident memory of the whole process while it published, including what making the rows left behind.
    rss_bytes_max: u64,
    /// Cores kept busy by other processes.
    others_cores: f64,
}

/// The fastest of some publishes. Each publishes the next span of one day.
async fn measure(day_rows: u64, flags: &Flags, dir: &Path) -> anyhow::Result<Measured> {
    let lake_dir = tempfile::tempdir_in(dir)?;
    let lake = Lake::open(&lake_dir.path().to_string_lossy(), [])?;
    let engine = Engine::new(lake.clone(), &EngineSettings::default())?;
    let now = midnight(last_day());
    let compactor = Compactor::new(engine, settings(), Arc::new(move || now));
    let mut fastest: Option<Measured> = None;
    if day_rows > 0 {
        let (from, until) = (midnight(last_day()), evening());
        let held = Traffic {
            sites: 1,
            events: day_rows,
            visitors: VISITORS,
            from,
            until,
            ids: Ids::UuidV7,
            properties_bytes: 0,
            seed: 0,
        };
        lake_of::merged_day(&lake, held).await?;
    }
    for run in 0..flags.runs.max(1) {
        lake_of::pending(&lake, next_rows(flags, run)?, raw_file_rows(flags)).await?;
        machine::forget_highest_memory()?;
        let (watch, before, started) = (Watch::start()?, machine::usage(std::process::id())?, Instant::now());
        let published = compactor.publish().await?;
        let seconds = started.elapsed().as_secs_f64();
        let used = machine::usage(std::process::id())?;
        let others_cores = watch.others_cores(used.cpu - before.cpu)?;
        if fastest.as_ref().is_none_or(|fastest| seconds < fastest.seconds) {
            fastest = Some(Measured { seconds, rss_bytes_max: used.rss_bytes_max, others_cores });
        }
        ensure!(
            published.rows_published == flags.new_rows,
            "{} rows were pending and {} published",
            flags.new_rows,
            published.rows_published
        );
    }
    fastest.context("there was no publish")
}

/// The end of the time that the day already holds rows of.
fn evening() -> DateTime<Utc> {
    midnight(last_day()) + TimeDelta::hours(18)
}

/// The events of publish number `n`, from 0.
fn next_rows(flags: &Flags, run: u64) -> anyhow::Result<Traffic> {
    let span = TimeDelta::from_std(flags.span)?;
    let from = evening() + span * run as i32;
    let until = from + span;
    Ok(Traffic {
        sites: 1,
        events: flags.new_rows,
        visitors: VISITORS,
        from,
        until,
        ids: Ids::UuidV7,
        properties_bytes: flags.properties_bytes as usize,
        seed: run + 1,
    })
}

/// A collector writes a file once its events take 8 MiB of memory.
fn raw_file_rows(flags: &Flags) -> usize {
    let rows = (8 << 20) / flags.properties_bytes.max(1);
    RAW_FILE_ROWS.min(rows.max(1) as usize)
}

fn settings() -> CompactorSettings {
    CompactorSettings {
        merge_target_bytes: 256 << 20,
        publish_bytes_max: 128 << 20,
        raw_grace: Duration::from_secs(3_600),
        replaced_grace: Duration::from_secs(86_400),
        followed_grace: Duration::ZERO,
        reports: compactor::ReportsKept::default(),
    }
}
