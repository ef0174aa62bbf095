//! What serving the latest report costs: through a real Memcached, as `GET /metrics` does it, beside a handler in the same server
//! that answers with a constant of the same size. So HTTP, the sockets and the load generator cost both the same.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use analytics::{Analytics, MemcachedAddress};
use anyhow::{Context, ensure};
use api::{Api, SqlSettings};
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use chrono::{TimeDelta, Utc};
use engine::{Engine, EngineSettings, QueryLimits};
use futures::future::try_join_all;
use lake::Lake;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::answers::analytics_settings;
use crate::parse_count;
use crate::rig::lake_of::{self, Ids, midnight};
use crate::rig::load::{Answers, read_status};
use crate::rig::server::Server;
use crate::serve::{end_of_input, listen};

/// How much to ask.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Flags {
    /// Events in the lake, over 30 days.
    #[arg(long, default_value = "200_000", value_parser = parse_count, value_name = "N")]
    events: u64,

    /// Directory of the metrics.
    #[arg(long, default_value = "queries", value_name = "DIR")]
    queries: PathBuf,

    /// Connections, each with one request at a time.
    #[arg(long, default_value_t = 16, value_name = "N")]
    connections: u32,

    /// Seconds of load, each time.
    #[arg(long, default_value_t = 5, value_name = "N")]
    seconds: u64,

    /// Times that each is measured, in turn.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rounds: u32,
}

/// The server's process.
#[derive(clap::Args)]
pub(crate) struct ServerFlags {
    #[arg(long)]
    lake: PathBuf,

    #[arg(long)]
    queries: PathBuf,

    #[arg(long)]
    memcached: MemcachedAddress,
}

/// Load before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// Days that the events are spread over.
const DAYS: u64 = 30;

/// Where the constant is.
const CONSTANT: &str = "/constant";

/// Where the constant is that has not changed.
const UNCHANGED: &str = "/unchanged";

pub(crate) async fn run(flags: &Flags, dir: &Path) -> anyhow::Result<()> {
    let place = dir.join("reports");
    let lake = Lake::open(&place.to_string_lossy(), [])?;
    lake_of::published_days(&lake, flags.events, DAYS, 1, flags.events / 10, Ids::UuidV7).await?;
    let (_memcached, address) = start_memcached().await?;
    let args = ["serve-reports", "--lake"].map(OsString::from).into_iter().chain([place.into()]);
    let args = args.chain(["--queries".into(), flags.queries.clone().into(), "--memcached".into(), address.into()]);
    let server = Server::start(args).await?;

    let answer = reqwest::get(format!("http://{}/metrics", server.address)).await?.error_for_status()?;
    ensure!(answer.headers()["x-cache"] == "hit", "the report comes from Memcached");
    let etag = answer.headers()[header::ETAG].to_str()?.to_owned();
    let body_bytes = answer.bytes().await?.len();
    println!("| {body_bytes} bytes, {} connections | requests/s | ratio | p50 ms | p99 ms |", flags.connections);
    println!("|---|--:|--:|--:|--:|");
    let none_match = format!("if-none-match: {etag}\r\n");
    for (name, constant, path, headers, status) in
        [("", CONSTANT, "/metrics", "", 200), (", 304", UNCHANGED, "/metrics", none_match.as_str(), 304)]
    {
        let (mut plain, mut cached) = (Vec::new(), Vec::new());
        for _ in 0..flags.rounds {
            plain.push(load(flags, server.address, constant, "", status, body_bytes).await?);
            cached.push(load(flags, server.address, path, headers, status, body_bytes).await?);
        }
        let (plain, cached) = (Answers::of_all(plain), Answers::of_all(cached));
        let rate = |answers: &Answers| answers.requests as f64 / (flags.seconds * u64::from(flags.rounds)) as f64;
        for (what, answers) in [("a constant", &plain), ("the report", &cached)] {
            println!(
                "| {what}{name} | {:.0} | {:.2} | {:.2} | {:.2} |",
                rate(answers),
                rate(answers) / rate(&plain),
                answers.time_ms(0.5),
                answers.time_ms(0.99)
            );
        }
    }
    println!();
    server.stop().await
}

/// Starts Memcached on a free port. It is killed when it is dropped.
async fn start_memcached() -> anyhow::Result<(Child, String)> {
    let port = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let child = Command::new("memcached")
        .args(["-l", "127.0.0.1", "-p", &port.to_string(), "-u", "nobody"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("could not start memcached; install it")?;
    let address = format!("127.0.0.1:{port}");
    for _ in 0..100 {
        if TcpStream::connect(&address).await.is_ok() {
            return Ok((child, address));
        }
        sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("memcached does not listen")
}

/// Asks for one path, on a thread of its own.
async fn load(
    flags: &Flags,
    address: SocketAddr,
    path: &str,
    headers: &str,
    status: u16,
    body_bytes: usize,
) -> anyhow::Result<Answers> {
    let (connections, seconds) = (flags.connections, Duration::from_secs(flags.seconds));
    let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{headers}\r\n").into_bytes();
    let sending = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let from = Instant::now() + WARM_UP;
            let each = (0..connections).map(|_| ask(address, &request, status, body_bytes, from..from + seconds));
            Ok::<_, anyhow::Error>(Answers::of_all(try_join_all(each).await?))
        })
    });
    sending.await?
}

/// Asks again and again on one connection.
async fn ask(
    address: SocketAddr,
    request: &[u8],
    status: u16,
    body_bytes: usize,
    measured: std::ops::Range<Instant>,
) -> anyhow::Result<Answers> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut answers, mut buffer) = (Answers::default(), vec![0; body_bytes + 4_096]);
    loop {
        let started = Instant::now();
        if started >= measured.end {
            return Ok(answers);
        }
        stream.write_all(request).await?;
        let found = read_status(&mut stream, &mut buffer).await?;
        ensure!(found == status, "the server answers {found}, not {status}");
        answers.add(started, Instant::now(), &measured);
    }
}

/// Makes one report of the lake, and serves it as `dewpond analytics` does; and the constants beside it.
pub(crate) async fn serve(flags: &ServerFlags) -> anyhow::Result<()> {
    let engine = Engine::new(Lake::open(&flags.lake.to_string_lossy(), [])?, &EngineSettings::default())?;
    let limits = QueryLimits::default();
    let settings = analytics_settings(flags.queries.clone(), Some(flags.memcached.clone()), limits.timeout)?;
    let clock = Arc::new(|| midnight(lake_of::last_day()) + TimeDelta::days(1));
    let analytics = Analytics::new(engine.clone(), settings, clock);
    analytics.run().await?;
    let (report, _) = analytics.latest(None).await?.context("there is no report")?;
    let constant = report.bytes().clone();
    let answer = |constant: Bytes| ([(header::CONTENT_TYPE, "application/json")], constant).into_response();
    let routes = api::router(Api::new(analytics, engine, limits, SqlSettings::default(), Arc::new(Utc::now)), None)
        .route(CONSTANT, get(move || async move { answer(constant.clone()) }))
        .route(UNCHANGED, get(|| async { StatusCode::NOT_MODIFIED }));
    let listener = listen().await?;
    Ok(axum::serve(listener, routes).with_graceful_shutdown(end_of_input()).await?)
}
