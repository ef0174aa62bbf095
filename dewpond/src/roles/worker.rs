//! The role `worker` as a process: does parts of queries for analytics and for commands on other machines.

use std::net::SocketAddr;

use cluster::{ClusterTls, Worker};
use engine::{Engine, EngineSettings};

use crate::admin::{self, AdminFlags};
use crate::lake_flags::LakeFlags;
use crate::shutdown;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Address that takes parts of queries; port 0 picks a free port. Beyond loopback only with --cluster-tls-….
    #[arg(long, env = "DEWPOND_WORKER_LISTEN", default_value = "127.0.0.1:9400", value_name = "ADDR")]
    listen: SocketAddr,

    #[command(flatten)]
    tls: ClusterTls,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    admin: AdminFlags,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lake = flags.lake.open()?;
    let worker = Worker::new(Engine::new(lake.clone(), &flags.engine)?, flags.listen, &flags.tls)?;
    let shutdown = shutdown::on_signal()?;
    let listener = admin::listen(flags.listen, "--listen").await?;
    admin::start(&flags.admin, &lake, shutdown.clone()).await?;
    tracing::info!(listen = %listener.local_addr()?, lake = %lake.url(), "worker is up");
    Ok(worker.serve(listener, shutdown).await?)
}
