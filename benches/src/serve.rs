//! The two servers that are compared. Each runs in a process of its own, prints its
//! address, and ends when its standard input does: so neither outlives the process that started it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use chrono::Utc;
use collector::{Collector, Settings};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use intake::protocol::{self, native};
use intake::{Client, Ids, IngestError, Window};
use lake::Lake;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::rig::lake_of::SITE;

/// The collector's process.
#[derive(clap::Args)]
pub(crate) struct CollectorFlags {
    /// The lake to write to.
    #[arg(long)]
    lake: PathBuf,

    #[command(flatten)]
    collector: Settings,
}

/// Serves the real collector.
pub(crate) async fn collector(flags: &CollectorFlags) -> anyhow::Result<()> {
    record_metrics()?;
    let lake = Lake::open(&flags.lake.to_string_lossy(), [])?;
    let listener = listen().await?;
    let collector = Collector::start(lake, &flags.collector, Arc::new(Utc::now)).await?;
    collector.serve(listener, end_of_input()).await;
    Ok(())
}

/// Serves the baseline: a handler that reads the body, parses it as the collector does, and drops the events.
/// The connection's settings are the collector's. It checks no key, keeps no limits and counts nothing.
pub(crate) async fn drop() -> anyhow::Result<()> {
    let router = Router::new().route("/v1/events", post(drop_events)).with_state((Arc::from(SITE), Ids::seeded(1)));
    let listener = listen().await?;
    tokio::select! {
        accepted = accept(listener, router) => accepted,
        () = end_of_input() => Ok(()),
    }
}

async fn accept(listener: TcpListener, router: Router) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await.context("could not accept a connection")?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, router.clone()));
    }
}

/// As in the collector's `server` module.
async fn connection(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(75))
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Errors of a client's connection do not concern the server.
    let _ = served.await;
}

async fn drop_events(State((site_id, ids)): State<(Arc<str>, Ids)>, request: Request) -> Response {
    let received_at_us = Utc::now().timestamp_micros();
    let (parts, body) = request.into_parts();
    match parse(&body_of(body).await, &parts, site_id, ids, received_at_us) {
        Ok(protocol::Parsed { events, rejected, .. }) => {
            let answer = json!({ "accepted": events.len(), "duplicates": 0, "rejected": rejected });
            (StatusCode::ACCEPTED, Json(answer)).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

async fn body_of(body: Body) -> Vec<u8> {
    to_bytes(body, Settings::default().body_bytes_max).await.map(Vec::from).unwrap_or_default()
}

fn parse(
    body: &[u8],
    parts: &axum::http::request::Parts,
    site_id: Arc<str>,
    ids: Ids,
    received_at_us: i64,
) -> Result<protocol::Parsed, IngestError> {
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let client = Client { user_agent: user_agent.map(str::to_owned), ..Client::default() };
    let context = intake::Context { site_id, received_at_us, window: Window::Live, client, ids };
    native::parse(body, &context, Settings::default().batch_events_max)
}

/// Binds a free port and tells the parent its number.
pub(crate) async fn listen() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("could not listen on 127.0.0.1")?;
    println!("{}", listener.local_addr()?);
    Ok(listener)
}

pub(crate) async fn end_of_input() {
    let mut input = tokio::io::stdin();
    let mut ignored = [0; 64];
    while input.read(&mut ignored).await.is_ok_and(|bytes| bytes > 0) {}
}

/// Installs the metrics recorder that a role has, so that the collector is measured as it is run.
fn record_metrics() -> anyhow::Result<()> {
    let buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &buckets)
        .and_then(PrometheusBuilder::install_recorder)
        .context("could not start recording metrics")?;
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(5)).await;
            handle.run_upkeep();
        }
    });
    Ok(())
}
