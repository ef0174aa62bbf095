//! The admin port of each role: health, readiness and Prometheus metrics.
//!
//! It is a separate port because `/metrics` on the analytics server means metrics about the users' events.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lake::{Lake, whole_text};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Upper bounds of the histogram buckets of all durations, in seconds.
const DURATION_BUCKETS_S: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

const READY_WITHIN: Duration = Duration::from_secs(3);

/// The admin port's address and token.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AdminFlags {
    /// Address that serves /healthz, /readyz and the Prometheus /metrics; port 0 picks a free port.
    #[arg(
        id = "admin_listen",
        long = "admin-listen",
        env = "DEWPOND_ADMIN_LISTEN",
        default_value = "127.0.0.1:9090",
        value_name = "ADDR"
    )]
    listen: SocketAddr,

    /// Token for reading /metrics ("Authorization: Bearer TOKEN"); required unless the address is loopback.
    #[arg(
        id = "admin_token",
        long = "admin-token",
        env = "DEWPOND_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
}

#[derive(Clone)]
struct Admin {
    lake: Lake,
    metrics: PrometheusHandle,
    token: Option<String>,
}

/// Starts the admin server of a role, which runs until `shutdown`. Returns the address it listens on.
pub(crate) async fn start(flags: &AdminFlags, lake: &Lake, shutdown: CancellationToken) -> anyhow::Result<SocketAddr> {
    require_token(flags.listen, flags.token.as_deref(), "--admin-listen", "--admin-token")?;
    let listener = listen(flags.listen, "--admin-listen").await?;
    let address = listener.local_addr()?;
    let admin = Admin { lake: lake.clone(), metrics: recorder()?, token: flags.token.clone() };
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .with_state(admin);
    tokio::spawn(async move {
        let serving = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the admin server ended");
        }
    });
    tracing::info!(listen = %address, "admin is up");
    Ok(address)
}

async fn ready(State(admin): State<Admin>) -> Response {
    let not_ready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    match tokio::time::timeout(READY_WITHIN, admin.lake.reachable()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(error)) => not_ready(format!("{}\n", whole_text(&error))),
        Err(_) => not_ready(format!("the store did not answer within {READY_WITHIN:?}\n")),
    }
}

async fn prometheus(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    let sent = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    if let Some(token) = &admin.token
        && blake3::hash(sent) != blake3::hash(format!("Bearer {token}").as_bytes())
    {
        return (StatusCode::UNAUTHORIZED, "send \"Authorization: Bearer TOKEN\"\n").into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render()).into_response()
}

/// The recorder of metrics: one per process, whichever roles it runs.
fn recorder() -> anyhow::Result<PrometheusHandle> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &DURATION_BUCKETS_S)
        .and_then(PrometheusBuilder::install_recorder)
        .context("could not start recording metrics")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    Ok(RECORDER.get_or_init(|| handle).clone())
}

/// Binds an address; an error names the flag to change.
pub(crate) async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("could not listen on {address}; choose another address with {flag}"))
}

/// Fails if other machines can reach an address that needs no token.
pub(crate) fn require_token(
    listen: SocketAddr,
    token: Option<&str>,
    listen_flag: &str,
    token_flag: &str,
) -> anyhow::Result<()> {
    if listen.ip().is_loopback() || token.is_some_and(|token| !token.is_empty()) {
        return Ok(());
    }
    bail!("{listen_flag} {listen} can be reached from other machines: set {token_flag}, or listen on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_goes_without_a_token() {
        let allowed = |listen: &str, token| require_token(listen.parse().unwrap(), token, "--x", "--y").is_ok();
        assert!(allowed("127.0.0.1:1", None));
        assert!(allowed("[::1]:1", None));
        assert!(!allowed("0.0.0.0:1", None));
        assert!(!allowed("0.0.0.0:1", Some("")));
        assert!(allowed("0.0.0.0:1", Some("secret")));
    }
}
