//! The role `collector` as a process.

use std::net::SocketAddr;

use collector::Collector;

use crate::admin::{self, AdminFlags};
use crate::lake_flags::{LakeFlags, clock};
use crate::shutdown;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Address that receives events; port 0 picks a free port. Senders need a site's write key, so any address is safe.
    #[arg(long, env = "DEWPOND_COLLECTOR_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,

    #[command(flatten)]
    collector: collector::Settings,

    #[command(flatten)]
    admin: AdminFlags,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lakes = flags.lake.lakes_for_writing().await?;
    let lake = lakes.main().clone();
    let shutdown = shutdown::on_signal()?;
    let listener = admin::listen(flags.listen, "--listen").await?;
    // The admin port stays up until the last event is written, so that the shutdown can be watched.
    let watched = tokio_util::sync::CancellationToken::new();
    admin::start(&flags.admin, &lake, watched.clone()).await?;
    let collector = Collector::start(lakes, &flags.collector, clock()).await?;
    tracing::info!(listen = %listener.local_addr()?, lake = %lake.url(), "collector is up");
    collector.serve(listener, shutdown.cancelled_owned()).await;
    watched.cancel();
    Ok(())
}
