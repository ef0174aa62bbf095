//! How fast a forwarder sends what was published to a webhook on this machine, and how soon a minute of events is out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use compactor::{Compactor, CompactorSettings, ReportsKept};
use engine::{Engine, EngineSettings};
use forward::{ForwardSettings, Forwarder};
use lake::{DestinationSpec, Lake, Position, Target};
use tokio_util::sync::CancellationToken;

use crate::rig::lake_of::{Ids, SITE, Traffic, last_day, midnight, pending};

/// Fails rather than wait for ever.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures the forwarder.
#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// Events that wait when it starts.
    #[arg(long, default_value_t = 500_000, value_name = "N")]
    events: u64,

    /// Events of a minute that is published while it runs.
    #[arg(long, default_value_t = 35_000, value_name = "N")]
    minute: u64,

    /// Minutes.
    #[arg(long, default_value_t = 5, value_name = "N")]
    runs: u64,
}

impl Flags {
    pub(crate) fn of(short: bool) -> Self {
        let (events, runs) = if short { (100_000, 2) } else { (500_000, 5) };
        Self { events, minute: 35_000, runs }
    }
}

/// Counts the events that come, without reading more of them than that.
async fn take(State(count): State<Arc<AtomicU64>>, body: Bytes) {
    const SIGN: &[u8] = b"\"messageId\"";
    let found = body.windows(SIGN.len()).filter(|window| *window == SIGN).count();
    count.fetch_add(found as u64, Ordering::Relaxed);
}

pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let root = dir.join("forward");
    let lake = Lake::open(&root.display().to_string(), [])?;
    lake.ensure_site(SITE, Utc::now()).await?;
    let engine = Engine::new(lake.clone(), &EngineSettings::default())?;
    let compactor = Compactor::new(engine.clone(), settings(), Arc::new(Utc::now));

    let count: Arc<AtomicU64> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let router = Router::new().fallback(take).with_state(count.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    publish(&lake, &compactor, flags.events, 1).await?;
    lake.add_destination(&destination(url)).await?;
    lake.set_cursor("webhook", Some(Position::default())).await?;
    let stop = CancellationToken::new();
    let forwarder = Forwarder::new(engine, ForwardSettings::default(), HashMap::new(), Arc::new(Utc::now));
    let began = Instant::now();
    let running = tokio::spawn(forwarder.run(stop.clone()));
    wait_for(&count, flags.events).await?;
    let rate = flags.events as f64 / began.elapsed().as_secs_f64();

    let mut slowest = Duration::ZERO;
    for run in 0..flags.runs {
        let sent_before = count.load(Ordering::Relaxed);
        let published = publish(&lake, &compactor, flags.minute, run + 2).await?;
        wait_for(&count, sent_before + flags.minute).await?;
        slowest = slowest.max(published.elapsed());
    }
    stop.cancel();
    running.await?;

    println!("### Forwarding to a webhook on this machine\n");
    println!("| What | Figure |\n|---|--:|");
    println!("| {} events that waited, events/s | {rate:.0} |", flags.events);
    println!(
        "| a minute of {} events, from its publish until all are out, slowest of {}, s | {:.2} |\n",
        flags.minute,
        flags.runs,
        slowest.as_secs_f64()
    );
    Ok(())
}

/// Publishes events. Returns when that was done.
async fn publish(lake: &Lake, compactor: &Compactor, events: u64, seed: u64) -> anyhow::Result<Instant> {
    let from: DateTime<Utc> = midnight(last_day()) + TimeDelta::minutes(seed as i64);
    let traffic = Traffic {
        sites: 1,
        events,
        visitors: events / 20 + 1,
        from,
        until: from + TimeDelta::minutes(1),
        ids: Ids::UuidV7,
        properties_bytes: 100,
        seed,
    };
    pending(lake, traffic, 10_000).await?;
    compactor.publish().await?;
    Ok(Instant::now())
}

async fn wait_for(count: &AtomicU64, events: u64) -> anyhow::Result<()> {
    let began = Instant::now();
    while count.load(Ordering::Relaxed) < events {
        if began.elapsed() > PATIENCE {
            bail!("{} of {events} events came", count.load(Ordering::Relaxed));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn destination(url: String) -> DestinationSpec {
    DestinationSpec {
        name: "webhook".into(),
        site_id: SITE.into(),
        created_at: Utc::now(),
        target: Target::Webhook { url, secret_variable: None, token_variable: None },
        filter: None,
        consent: None,
        fields: std::collections::BTreeMap::new(),
        events_per_second_max: None,
        paused: false,
    }
}

fn settings() -> CompactorSettings {
    let day = Duration::from_secs(86_400);
    CompactorSettings {
        merge_target_bytes: 256 << 20,
        publish_bytes_max: 128 << 20,
        raw_grace: day,
        replaced_grace: day,
        followed_grace: day,
        reports: ReportsKept::default(),
    }
}
