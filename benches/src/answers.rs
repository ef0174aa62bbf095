//! What an answer costs by the network: a trivial query over HTTP and over the PostgreSQL protocol, and many rows as a stream
//! of Arrow's, each beside the same query in this process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use analytics::{Analytics, AnalyticsSettings, METRIC_ROWS_MAX, MemcachedAddress};
use anyhow::{Context, ensure};
use api::{Api, SqlSettings};
use arrow::buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use chrono::Utc;
use engine::{Engine, EngineSettings, QueryLimits, Scope, SharedViews};
use lake::Lake;
use pgwire::{PgServer, PgSettings};
use reqwest::Client;
use tokio_util::sync::CancellationToken;

use crate::parse_count;
use crate::rig::lake_of::{self, Ids};
use crate::rig::server::Server;
use crate::serve::{end_of_input, listen};

/// What is asked when only the way counts.
const TRIVIAL: &str = "SELECT 1";

/// What is asked when the rows count.
const MANY: &str = "SELECT occurred_at, name, visitor_id, path FROM events";

/// Days over which the events are spread, and their visitors.
const DAYS: u64 = 10;
const VISITORS: u64 = 1_000_000;

/// How much to ask.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Trivial queries by each way.
    #[arg(long, default_value = "2_000", value_parser = parse_count, value_name = "N")]
    calls: u64,

    /// Rows of the large answer.
    #[arg(long, default_value = "10_000_000", value_parser = parse_count, value_name = "N")]
    rows: u64,

    /// Large answers by each way; the fastest counts.
    #[arg(long, default_value_t = 3, value_name = "N")]
    runs: u32,
}

/// The server of one protocol, in a process of its own.
#[derive(clap::Args)]
pub(crate) struct ServerFlags {
    /// The lake to read.
    #[arg(long)]
    lake: PathBuf,

    /// Speak the PostgreSQL protocol, and not HTTP.
    #[arg(long)]
    postgres: bool,
}

impl Flags {
    pub(crate) fn of(short: bool) -> Self {
        match short {
            true => Self { calls: 200, rows: 500_000, runs: 1 },
            false => Self { calls: 2_000, rows: 10_000_000, runs: 3 },
        }
    }
}

pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let place = dir.join("answers");
    let lake = Lake::open(&place.to_string_lossy(), [])?;
    lake_of::published_days(&lake, flags.rows, DAYS, 1, VISITORS, Ids::UuidV7).await?;
    let views = SharedViews::new(Engine::new(lake, &EngineSettings::default())?);
    let start = async |protocol: &[&str]| {
        let args = ["serve-sql", "--lake"].map(OsString::from).into_iter().chain([place.clone().into()]);
        Server::start(args.chain(protocol.iter().map(OsString::from))).await
    };
    let (http, postgres) = (start(&[]).await?, start(&["--postgres"]).await?);
    trivial(flags.calls, &views, &http, &postgres).await?;
    many(flags, &views, &http).await?;
    http.stop().await?;
    postgres.stop().await
}

/// Measures the trivial query, by each way in turn.
async fn trivial(calls: u64, views: &SharedViews, http: &Server, postgres: &Server) -> anyhow::Result<()> {
    let (client, url) = (Client::new(), format!("http://{}/v1/sql", http.address));
    let mut login = tokio_postgres::Config::new();
    login.host("127.0.0.1").port(postgres.address.port()).user("dewpond").dbname("dewpond");
    let (session, connection) = login.connect(tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    let (mut in_process, mut by_http, mut by_postgres) = (Vec::new(), Vec::new(), Vec::new());
    // What is made once is made before anything counts.
    for call in 0..calls + calls / 10 {
        let began = Instant::now();
        ensure!(read(views, TRIVIAL).await? == 1, "one row is answered");
        let took = [
            began.elapsed(),
            timed(async {
                let answer = client.post(&url).body(TRIVIAL).send().await?.error_for_status()?;
                answer.bytes().await?;
                Ok(())
            })
            .await?,
            timed(async {
                session.simple_query(TRIVIAL).await?;
                Ok(())
            })
            .await?,
        ];
        if call >= calls / 10 {
            for (times, took) in [&mut in_process, &mut by_http, &mut by_postgres].into_iter().zip(took) {
                times.push(took);
            }
        }
    }
    println!("| `{TRIVIAL}`, {calls} times | p50 ms | p99 ms | max ms | p99 above in process ms |");
    println!("|---|--:|--:|--:|--:|");
    let own = percentile(&mut in_process, 0.99);
    for (name, times) in
        [("in process", &mut in_process), ("`POST /v1/sql`", &mut by_http), ("PostgreSQL protocol", &mut by_postgres)]
    {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(times, share));
        println!("| {name} | {p50:.2} | {p99:.2} | {max:.2} | {:.2} |", p99 - own);
    }
    println!();
    Ok(())
}

/// Measures the large answer.
async fn many(flags: &Flags, views: &SharedViews, http: &Server) -> anyhow::Result<()> {
    let url = format!("http://{}/v1/sql?format=arrow", http.address);
    let before = http.usage()?.rss_bytes_max;
    let (mut in_process, mut by_http, mut bytes) = (f64::MAX, f64::MAX, 0);
    for _ in 0..flags.runs {
        let began = Instant::now();
        let rows = read(views, MANY).await?;
        in_process = in_process.min(began.elapsed().as_secs_f64());
        let began = Instant::now();
        let (streamed, of_answer) = stream(&url).await?;
        by_http = by_http.min(began.elapsed().as_secs_f64());
        ensure!(rows == streamed && rows == flags.rows, "{rows} and {streamed} rows were read of {}", flags.rows);
        bytes = of_answer;
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!("| {} rows | s | rows/s | share | MiB | server's peak memory, MiB (before) |", flags.rows);
    println!("|---|--:|--:|--:|--:|--:|");
    println!("| in process | {in_process:.2} | {:.0} | 1.00 | | |", flags.rows as f64 / in_process);
    println!(
        "| as Arrow by HTTP, decoded | {by_http:.2} | {:.0} | **{:.2}** | {:.0} | {:.0} ({:.0}) |\n",
        flags.rows as f64 / by_http,
        in_process / by_http,
        mib(bytes),
        mib(http.usage()?.rss_bytes_max),
        mib(before),
    );
    Ok(())
}

/// Reads a query's answer in this process. Returns its rows.
async fn read(views: &SharedViews, sql: &str) -> anyhow::Result<u64> {
    let view = views.view().await.map_err(anyhow::Error::new)?;
    let session = Arc::new(view.session(&Scope::Lake)?);
    let mut batches = session.stream_within(sql, &[], QueryLimits::default()).await?;
    let mut rows = 0;
    while let Some(batch) = batches.next().await? {
        rows += batch.num_rows() as u64;
    }
    Ok(rows)
}

/// Reads the large answer from a server, and decodes it. Returns its rows, and its bytes.
async fn stream(url: &str) -> anyhow::Result<(u64, u64)> {
    let mut answer = Client::new().post(url).body(MANY).send().await?.error_for_status()?;
    let (mut decoder, mut rows, mut bytes) = (StreamDecoder::new(), 0, 0);
    while let Some(chunk) = answer.chunk().await? {
        bytes += chunk.len() as u64;
        let mut chunk = Buffer::from(chunk);
        while let Some(batch) = decoder.decode(&mut chunk)? {
            rows += batch.num_rows() as u64;
        }
    }
    decoder.finish()?;
    Ok((rows, bytes))
}

async fn timed(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}

/// The time that a share of all times does not exceed, in milliseconds.
fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let place = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

/// Serves SQL as `dewpond analytics` does, by one protocol.
pub(crate) async fn serve(flags: &ServerFlags) -> anyhow::Result<()> {
    let engine = Engine::new(Lake::open(&flags.lake.to_string_lossy(), [])?, &EngineSettings::default())?;
    let limits = QueryLimits::default();
    let listener = listen().await?;
    let address = listener.local_addr()?;
    if flags.postgres {
        let settings =
            PgSettings { pg_listen: Some(address), pg_tls_cert: None, pg_tls_key: None, pg_clients_max: 200 };
        let server = PgServer::new(engine, &settings, address, limits, None, None).await?;
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, shutdown.clone()));
        end_of_input().await;
        shutdown.cancel();
        return serving.await.context("the server failed");
    }
    let settings = analytics_settings(flags.lake.clone(), None, limits.timeout)?;
    let analytics = Analytics::new(engine.clone(), settings, Arc::new(Utc::now));
    // An answer that is kept costs nothing.
    let sql = SqlSettings { kept_bytes: 0, ..SqlSettings::default() };
    let routes = api::router(Api::new(analytics, engine, limits, sql, Arc::new(Utc::now)), None);
    Ok(axum::serve(listener, routes).with_graceful_shutdown(end_of_input()).await?)
}

/// The settings of a job that posts no alerts.
pub(crate) fn analytics_settings(
    queries: PathBuf,
    memcached: Option<MemcachedAddress>,
    timeout: Duration,
) -> anyhow::Result<AnalyticsSettings> {
    Ok(AnalyticsSettings {
        queries,
        cron: "0 * * * * *".parse().map_err(anyhow::Error::msg)?,
        memcached,
        memcached_login: None,
        memcached_timeout: timeout,
        metric_timeout: timeout,
        metric_rows_max: METRIC_ROWS_MAX,
        alert_webhook: None,
        alert_secret: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let mut times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!([0.5, 0.99, 1.0].map(|share| percentile(&mut times, share)), [100.0, 198.0, 200.0]);
        assert_eq!(percentile(&mut [Duration::from_millis(7)], 0.99), 7.0);
    }
}
