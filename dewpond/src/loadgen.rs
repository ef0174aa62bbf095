//! `dewpond loadgen`: sends the load of many sites at a fixed rate, however long the collector takes to answer.
//!
//! Response times count from when a request was due, not from when it was sent, so a collector that falls behind shows.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use chrono::Utc;
use engine::text_table;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Client, StatusCode, header};
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::demo::traffic;

/// The longest pause after the first refusal. It doubles with each further one, up to `PAUSE_MAX`.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// URL of the collector, or of a load balancer before several.
    #[arg(long, env = "DEWPOND_COLLECTOR_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    collector: String,

    /// Write keys of the sites, one per site. The first ones get most of the visitors.
    #[arg(
        long = "key",
        env = "DEWPOND_KEY",
        hide_env_values = true,
        required = true,
        value_delimiter = ',',
        value_name = "KEY"
    )]
    keys: Vec<String>,

    /// Events per second for all sites together, not counting copies.
    #[arg(long, default_value_t = 1_000.0, value_name = "EVENTS")]
    rate: f64,

    /// How long to send.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Duration,

    /// Events per request: 1 as pages send them, more as servers do. A request holds events of one visit.
    #[arg(long, default_value = "1", value_name = "EVENTS")]
    batch: NonZeroUsize,

    /// Share of acknowledged requests that are sent again.
    #[arg(long, default_value_t = 0.02, value_name = "SHARE")]
    duplicates: f64,

    /// The most requests in flight. Further ones wait, which counts as response time.
    #[arg(long, default_value = "4096", value_name = "REQUESTS")]
    in_flight: NonZeroUsize,

    /// How long to retry a request. If it is not acknowledged by then, its events count as lost.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME")]
    give_up_after: Duration,

    /// Write the ids of acknowledged events to this file, one per line.
    #[arg(long, value_name = "FILE")]
    acknowledged: Option<PathBuf>,

    /// Seed for the random traffic: the same seed sends the same visits [default: random].
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,

    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// The outcome of the load.
#[derive(Default)]
struct Outcome {
    /// For each request, the time from when it was due to its acknowledgement, in µs.
    times_us: Vec<u32>,
    acknowledged: u64,
    resent: u64,
    retries: u64,
    lost: u64,
}

/// What every request needs.
struct Sender {
    client: Client,
    url: String,
    give_up_after: Duration,
    outcome: Mutex<Outcome>,
    ids: Option<Mutex<BufWriter<File>>>,
}

/// Some events of one visit.
struct Batch {
    key: String,
    user_agent: &'static str,
    ids: Vec<String>,
    body: Vec<u8>,
    /// Whether to send it a second time once it is acknowledged.
    is_repeated: bool,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    ensure!(flags.rate > 0.0 && flags.rate.is_finite(), "--rate must be a positive number of events per second");
    ensure!((0.0..=1.0).contains(&flags.duplicates), "--duplicates must be a share between 0 and 1");
    let ids = match &flags.acknowledged {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("could not write {}", path.display()))?;
            Some(Mutex::new(BufWriter::new(file)))
        }
        None => None,
    };
    let sender = Arc::new(Sender {
        client: Client::builder().timeout(flags.give_up_after).build()?,
        url: format!("{}/v1/events", flags.collector.trim_end_matches('/')),
        give_up_after: flags.give_up_after,
        outcome: Mutex::default(),
        ids,
    });
    let started = Instant::now();
    let events = send_all(&flags, &sender).await?;
    let took = started.elapsed();
    if let Some(ids) = &sender.ids {
        ids.lock().flush().context("could not write the acknowledged ids")?;
    }
    let mut outcome = std::mem::take(&mut *sender.outcome.lock());
    outcome.times_us.sort_unstable();
    report(&flags, events, &outcome, took)?;
    ensure!(outcome.lost == 0, "{} events were not acknowledged within --give-up-after", outcome.lost);
    Ok(())
}

/// Sends at the given rate until the time is over, and waits for every answer. Returns how many events were sent.
async fn send_all(flags: &Flags, sender: &Arc<Sender>) -> anyhow::Result<u64> {
    let mut rng = StdRng::seed_from_u64(flags.seed.unwrap_or_else(|| rand::rng().random()));
    let slots = Arc::new(Semaphore::new(flags.in_flight.get()));
    let (started, mut events) = (Instant::now(), 0_u64);
    let mut requests: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut batches = Vec::new();
    loop {
        let due = started + Duration::from_secs_f64(events as f64 / flags.rate);
        if due >= started + flags.duration {
            break;
        }
        let batch = match batches.pop() {
            Some(batch) => batch,
            None => {
                batches = visit(flags, &mut rng);
                continue;
            }
        };
        events += batch.ids.len() as u64;
        sleep_until(due).await;
        let slot = slots.clone().acquire_owned().await.expect("nobody closes this semaphore");
        let sender = sender.clone();
        let mut retry = StdRng::seed_from_u64(rng.random());
        requests.spawn(async move {
            let _slot = slot;
            sender.deliver(batch, due, &mut retry).await
        });
        while let Some(done) = requests.try_join_next() {
            done??;
        }
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    Ok(events)
}

/// A visit to one of the sites as requests, the last one first.
fn visit(flags: &Flags, rng: &mut StdRng) -> Vec<Batch> {
    // Cubing a uniform number gives a few sites most of the visitors, as in reality.
    let site = (rng.random::<f64>().powi(3) * flags.keys.len() as f64) as usize;
    let visit = traffic::visit(rng, Utc::now(), site);
    let mut batches: Vec<Batch> = visit
        .events
        .chunks(flags.batch.get())
        .map(|events| Batch {
            key: flags.keys[site].clone(),
            user_agent: visit.user_agent,
            ids: events.iter().filter_map(|event| event["event_id"].as_str().map(str::to_owned)).collect(),
            body: Json::from(events.to_vec()).to_string().into_bytes(),
            is_repeated: rng.random_bool(flags.duplicates),
        })
        .collect();
    batches.reverse();
    batches
}

impl Sender {
    async fn deliver(&self, batch: Batch, due: Instant, rng: &mut StdRng) -> anyhow::Result<()> {
        let events = batch.ids.len() as u64;
        if !self.post(&batch, due, rng).await? {
            self.outcome.lock().lost += events;
            return Ok(());
        }
        {
            let mut outcome = self.outcome.lock();
            outcome.acknowledged += events;
            outcome.times_us.push(due.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
        }
        if let Some(ids) = &self.ids {
            let mut ids = ids.lock();
            for id in &batch.ids {
                writeln!(ids, "{id}").context("could not write the acknowledged ids")?;
            }
        }
        if batch.is_repeated && self.post(&batch, Instant::now(), rng).await? {
            self.outcome.lock().resent += events;
        }
        Ok(())
    }

    /// Posts a batch until it is acknowledged or given up. Returns whether it was acknowledged.
    async fn post(&self, batch: &Batch, due: Instant, rng: &mut StdRng) -> anyhow::Result<bool> {
        let mut pause = PAUSE;
        loop {
            let request = self
                .client
                .post(&self.url)
                .bearer_auth(&batch.key)
                .header(header::USER_AGENT, batch.user_agent)
                .header(header::CONTENT_TYPE, "application/json")
                .body(batch.body.clone());
            let asked_for = match request.send().await {
                Ok(answer) if answer.status() == StatusCode::ACCEPTED => return Ok(true),
                Ok(answer) if answer.status().is_server_error() || answer.status() == StatusCode::TOO_MANY_REQUESTS => {
                    let seconds = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
                    seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
                }
                Ok(answer) => {
                    let status = answer.status();
                    bail!("the collector answered {status}: {}", answer.text().await.unwrap_or_default())
                }
                Err(_) => None,
            };
            if due.elapsed() + pause > self.give_up_after {
                return Ok(false);
            }
            self.outcome.lock().retries += 1;
            // Full jitter, so that requests refused together do not return together.
            sleep(asked_for.unwrap_or_default() + pause.mul_f64(rng.random())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Outcome {
    /// The time in ms within which this share of the requests was acknowledged.
    fn time_ms(&self, share: f64) -> f64 {
        let last = self.times_us.len().saturating_sub(1);
        let at = ((self.times_us.len() as f64 * share) as usize).min(last);
        self.times_us.get(at).map_or(0.0, |us| f64::from(*us) / 1e3)
    }
}

fn report(flags: &Flags, events: u64, outcome: &Outcome, took: Duration) -> anyhow::Result<()> {
    let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let rate = outcome.acknowledged as f64 / took.as_secs_f64();
    if flags.json {
        let times: serde_json::Map<String, Json> =
            shares.iter().map(|(name, share)| ((*name).to_owned(), outcome.time_ms(*share).into())).collect();
        let result = serde_json::json!({
            "events": events, "acknowledged": outcome.acknowledged, "lost": outcome.lost, "resent": outcome.resent,
            "retries": outcome.retries, "requests": outcome.times_us.len(), "seconds": took.as_secs_f64(),
            "events_per_second": rate, "latency_ms": times,
        });
        println!("{result}");
        return Ok(());
    }
    println!(
        "{} events acknowledged in {:.1} s ({rate:.0} per second); {} events sent a second time; {} retries",
        outcome.acknowledged,
        took.as_secs_f64(),
        outcome.resent,
        outcome.retries,
    );
    let row = shares.iter().map(|(_, share)| format!("{:.1}", outcome.time_ms(*share))).collect();
    let names: Vec<String> = shares.iter().map(|(name, _)| format!("{name} ms")).collect();
    print!("{}", text_table::render(&names.iter().map(String::as_str).collect::<Vec<_>>(), &[row]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_requests_keeps_within_a_time() {
        let outcome = Outcome { times_us: (1..=1_000).map(|ms| ms * 1_000).collect(), ..Outcome::default() };
        assert_eq!((outcome.time_ms(0.5), outcome.time_ms(0.99), outcome.time_ms(1.0)), (501.0, 991.0, 1_000.0));
        assert_eq!(Outcome::default().time_ms(0.5), 0.0);
    }
}
