//! `dewpond demo`: sends realistic traffic over HTTP. Visitors come several times and see several pages, robots come too, and
//! some requests are sent twice. The visits fall on the last three days, fewer of them at night.

pub(crate) mod traffic;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::Utc;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Client, StatusCode};
use tokio::time::sleep;

/// Share of acknowledged requests that are sent again, as if the acknowledgement had been lost.
const RESENT_SHARE: f64 = 0.05;

/// How often a failing request is tried.
const TRIES_MAX: u32 = 20;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// URL of the collector.
    #[arg(long, env = "DEWPOND_COLLECTOR_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    pub(crate) collector: String,

    /// Write key of the site to send to; several keys spread the traffic over several sites.
    #[arg(
        long = "key",
        env = "DEWPOND_KEY",
        hide_env_values = true,
        required = true,
        value_delimiter = ',',
        value_name = "KEY"
    )]
    pub(crate) keys: Vec<String>,

    /// Stop after about this many events.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    pub(crate) events: u64,

    /// Stop after this many seconds; 0 for no limit.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub(crate) seconds: u64,

    /// How many requests to send at the same time.
    #[arg(long, default_value = "8", value_name = "N")]
    pub(crate) senders: NonZeroUsize,

    /// Seed for the random traffic: the same seed sends the same visitors [default: random].
    #[arg(long, value_name = "SEED")]
    pub(crate) seed: Option<u64>,
}

/// Counts of what was sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Acknowledged events, each counted once.
    events: AtomicU64,
    /// Acknowledged events that were sent again.
    resent: AtomicU64,
    /// Acknowledged events of robots, which no metric counts.
    of_robots: AtomicU64,
    /// Failed or refused requests that were tried again.
    retried: AtomicU64,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let started = Instant::now();
    let sent = send(&flags).await?;
    eprintln!("{} in {:.1} s", describe(&sent), started.elapsed().as_secs_f64());
    Ok(())
}

/// The counts in words.
pub(crate) fn describe(sent: &Sent) -> String {
    format!(
        "{} events acknowledged, including {} from robots, which metrics leave out; {} events sent a second time; {} requests \
         retried",
        sent.events.load(Ordering::Relaxed),
        sent.of_robots.load(Ordering::Relaxed),
        sent.resent.load(Ordering::Relaxed),
        sent.retried.load(Ordering::Relaxed),
    )
}

/// Sends traffic until a limit in the flags is reached.
pub(crate) async fn send(flags: &Flags) -> anyhow::Result<Arc<Sent>> {
    let client = Client::builder().timeout(Duration::from_secs(60)).build()?;
    let seed = flags.seed.unwrap_or_else(|| rand::rng().random());
    let until = (flags.seconds > 0).then(|| Instant::now() + Duration::from_secs(flags.seconds));
    let sent = Arc::new(Sent::default());
    let generated = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..flags.senders.get() as u64 {
        let (flags, client, sent, generated) = (flags.clone(), client.clone(), sent.clone(), generated.clone());
        senders.spawn(async move {
            let mut rng = StdRng::seed_from_u64(seed.wrapping_add(sender));
            while until.is_none_or(|until| Instant::now() < until) && generated.load(Ordering::Relaxed) < flags.events {
                let site = rng.random_range(0..flags.keys.len());
                let visit = traffic::visit(&mut rng, Utc::now(), site);
                generated.fetch_add(visit.events.len() as u64, Ordering::Relaxed);
                post(&client, &flags, &flags.keys[site], &visit, &sent).await?;
                sent.events.fetch_add(visit.events.len() as u64, Ordering::Relaxed);
                if visit.is_robot {
                    sent.of_robots.fetch_add(visit.events.len() as u64, Ordering::Relaxed);
                }
                if rng.random_bool(RESENT_SHARE) {
                    post(&client, &flags, &flags.keys[site], &visit, &sent).await?;
                    sent.resent.fetch_add(visit.events.len() as u64, Ordering::Relaxed);
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    Ok(sent)
}

/// Posts one visit's events until they are acknowledged.
async fn post(client: &Client, flags: &Flags, key: &str, visit: &traffic::Visit, sent: &Sent) -> anyhow::Result<()> {
    let url = format!("{}/v1/events", flags.collector.trim_end_matches('/'));
    let mut pause = Duration::from_millis(100);
    for _ in 0..TRIES_MAX {
        let request = client
            .post(&url)
            .bearer_auth(key)
            .header("user-agent", visit.user_agent)
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&visit.events)?);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() && sent.events.load(Ordering::Relaxed) == 0 => {
                return Err(error).with_context(|| {
                    format!("no collector answers at {}; name another one with --collector", flags.collector)
                });
            }
            Err(_) => {
                sent.retried.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
                continue;
            }
        };
        match response.status() {
            StatusCode::ACCEPTED => return Ok(()),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_GATEWAY => {
                sent.retried.fetch_add(1, Ordering::Relaxed);
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            status => bail!("the collector answered {status}: {}", response.text().await.unwrap_or_default()),
        }
    }
    bail!("the collector at {} did not accept a request within {TRIES_MAX} tries", flags.collector)
}
