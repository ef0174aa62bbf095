//! The server of the PostgreSQL protocol, beside another role.

use std::net::SocketAddr;

use anyhow::Context;
use engine::{Engines, QueryLimits};
use pgwire::{PgServer, PgSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin;

/// A server that runs, and where it listens.
pub(super) type Running = (SocketAddr, JoinHandle<()>);

/// Starts the server, if an address is given for it.
pub(super) async fn start(
    settings: &PgSettings,
    engines: &Engines,
    limits: QueryLimits,
    token: Option<&str>,
    shutdown: CancellationToken,
) -> anyhow::Result<Option<Running>> {
    let Some(listen) = settings.pg_listen else { return Ok(None) };
    // psql and drivers call themselves so, unless they are told otherwise.
    let own_user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok()).filter(|name| !name.is_empty());
    let server = PgServer::new(engines.clone(), settings, listen, limits, token, own_user.as_deref()).await?;
    let listener = admin::listen(listen, "--pg-listen").await?;
    let address = listener.local_addr()?;
    tracing::info!(listen = %address, "postgres is up");
    Ok(Some((address, tokio::spawn(server.serve(listener, shutdown)))))
}

/// Waits until the sessions of a server that shuts down have ended.
pub(super) async fn finish(running: Option<Running>) -> anyhow::Result<()> {
    match running {
        Some((_, serving)) => serving.await.context("the server of the PostgreSQL protocol failed"),
        None => Ok(()),
    }
}
