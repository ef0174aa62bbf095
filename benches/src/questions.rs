//! The questions that other engines are asked about the same files, answered from nothing but the events.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use engine::{Engine, EngineSettings, How, Scope, to_json_rows};
use lake::Lake;
use serde_json::json;

use crate::parse_count;
use crate::rig::lake_of::{self, Ids};
use crate::rig::machine;

/// Days over which the events are spread.
const DAYS: u64 = 30;

/// What to do with a lake.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// The lake, on a local disk.
    #[arg(long, value_name = "DIR")]
    lake: PathBuf,

    /// First make the lake, with this many events.
    #[arg(long, value_parser = parse_count, value_name = "N")]
    make: Option<u64>,

    /// The most visitors of a lake that is made.
    #[arg(long, default_value = "1_000_000", value_parser = parse_count, value_name = "N")]
    visitors: u64,

    /// Sites of a lake that is made, of skewed size.
    #[arg(long, default_value_t = 100, value_name = "N")]
    sites: u32,

    /// The question to answer; without it, their names are printed.
    #[arg(long, value_name = "NAME")]
    question: Option<String>,

    /// Ask it once, as ad-hoc SQL is: states are neither made nor written.
    #[arg(long)]
    once: bool,

    #[command(flatten)]
    engine: EngineSettings,
}

/// The questions by name. `peers/engines.py` has the same ones for the other engines.
const QUESTIONS: [(&str, &str); 9] = [
    (
        "users and events by day",
        "SELECT CAST(date AS TEXT), count(DISTINCT visitor_id), count(*) FROM events GROUP BY date ORDER BY date",
    ),
    (
        "users and events by site and day",
        "SELECT site_id, CAST(date AS TEXT), count(DISTINCT visitor_id), count(*) FROM events GROUP BY site_id, date ORDER BY site_id, date",
    ),
    ("users", "SELECT count(DISTINCT visitor_id) FROM events"),
    ("users with an object in view", "SELECT count(DISTINCT visitor_id) FROM events WHERE name = 'object_in_view'"),
    ("sessions of 30 minutes", "SELECT count(*) FROM sessions"),
    (
        "top pages with users",
        "SELECT path, count(*) AS n, count(DISTINCT visitor_id) FROM events WHERE name = 'page_view' GROUP BY path ORDER BY n DESC, path LIMIT 50",
    ),
    (
        "events by name with users",
        "SELECT name, count(*), count(DISTINCT visitor_id) FROM events GROUP BY name ORDER BY name",
    ),
    (
        "first and last seen",
        "SELECT count(*), count(*) FILTER (WHERE last - first > INTERVAL '1 day') FROM (SELECT visitor_id, min(occurred_at) AS first, max(occurred_at) AS last FROM events GROUP BY visitor_id)",
    ),
    (
        "one site by hour",
        "SELECT CAST(extract(epoch FROM hour) AS BIGINT), n, users FROM (SELECT date_trunc('hour', occurred_at) AS hour, count(*) AS n, count(DISTINCT visitor_id) AS users FROM events WHERE site_id = 'site-0007' GROUP BY 1) ORDER BY 1",
    ),
];

/// The SQL of a question.
pub(crate) fn sql_of(name: &str) -> Option<&'static str> {
    QUESTIONS.iter().find(|(known, _)| *known == name).map(|(_, sql)| *sql)
}

pub(crate) async fn run(flags: &Flags) -> anyhow::Result<()> {
    let lake = Lake::open(&flags.lake.to_string_lossy(), [])?;
    if let Some(events) = flags.make {
        let held = lake_of::published_days(&lake, events, DAYS, flags.sites, flags.visitors, Ids::UuidV7).await?;
        println!("{} events in {} files of {:.0} MB", held.rows, held.files, held.bytes as f64 / 1e6);
        return Ok(());
    }
    let Some(name) = &flags.question else {
        QUESTIONS.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    };
    let sql = sql_of(name).context("there is no such question")?;
    forget_states(&flags.lake)?;
    let started = Instant::now();
    let view = Arc::new(Engine::new(lake, &flags.engine)?.view().await?);
    ensure!(view.snapshot().events.rows() > 0, "the lake is empty: make it with --make");
    let (answer, how) = if flags.once {
        (view.session(&Scope::Lake)?.query(sql, &[]).await?, How::InFull { why: "it is asked once".into() })
    } else {
        view.recurring(sql, &[]).await?.answer(&Scope::Lake).await?
    };
    let seconds = started.elapsed().as_secs_f64();
    let rss_bytes_max = machine::usage(std::process::id())?.rss_bytes_max;
    let how = match how {
        How::Incremental(_) => "incremental".to_owned(),
        How::InFull { why } => why,
    };
    let answer = to_json_rows(&answer)?;
    println!("{}", json!({"seconds": seconds, "rss_bytes_max": rss_bytes_max, "how": how, "answer": answer}));
    Ok(())
}

/// Deletes what earlier answers left in the lake, so that every answer starts from the events.
fn forget_states(lake: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(lake.join("states")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
