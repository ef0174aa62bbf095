//! `dewpond-ballista`: Ballista's nodes over a lake, and queries that they answer.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use ballista_executor::executor_process::start_executor_process;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::scheduler_process::start_server;
use clap::{Args, Parser, Subcommand};
use dewpond_ballista::nodes::{executor_settings, scheduler_settings};
use dewpond_ballista::planner::with_ballista;
use engine::{AnswerFormat, AnswerWriter, Engine, EngineSettings, QueryLimits, Scope};
use lake::Lake;

/// Queries of a Dewpond lake on a Ballista cluster.
#[derive(Parser)]
#[command(name = "dewpond-ballista")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct LakeFlags {
    /// The lake: a directory, or s3://bucket/prefix and the like, with credentials in the environment.
    #[arg(long)]
    lake: String,
}

#[derive(Subcommand)]
enum Command {
    /// Run a scheduler.
    Scheduler {
        #[command(flatten)]
        lake: LakeFlags,
        /// Where it listens. Whoever reaches it can read the lake.
        #[arg(long, default_value = "127.0.0.1:50050")]
        listen: SocketAddr,
    },
    /// Run an executor.
    Executor {
        #[command(flatten)]
        lake: LakeFlags,
        /// Where it sends rows from; the next port takes tasks. Whoever reaches it can read the lake.
        #[arg(long, default_value = "127.0.0.1:50051")]
        listen: SocketAddr,
        /// By which host others find it, if --listen does not say it.
        #[arg(long, value_name = "HOST")]
        advertise: Option<String>,
        /// The scheduler.
        #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
        scheduler: String,
    },
    /// Ask a query, and print a table.
    Query {
        #[command(flatten)]
        lake: LakeFlags,
        /// The scheduler.
        #[arg(long, default_value = "127.0.0.1:50050", value_name = "HOST:PORT")]
        scheduler: String,
        /// A part of the query that reads no more bytes of files is done here.
        #[arg(long, default_value_t = 16 << 20, value_name = "BYTES")]
        task_bytes: u64,
        /// The SQL.
        sql: String,
    },
}

impl LakeFlags {
    fn open(&self) -> anyhow::Result<Engine> {
        Ok(Engine::new(Lake::open(&self.lake, std::env::vars())?, &EngineSettings::default())?)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().command {
        Command::Scheduler { lake, listen } => {
            let settings = Arc::new(scheduler_settings(&lake.open()?, listen));
            let cluster = BallistaCluster::new_from_config(&settings).await?;
            start_server(cluster, listen, settings).await?;
        }
        Command::Executor { lake, listen, advertise, scheduler } => {
            let (host, port) = scheduler.rsplit_once(':').context("--scheduler is HOST:PORT")?;
            let port = port.parse().with_context(|| format!("--scheduler: {port} is no port"))?;
            let settings = executor_settings(&lake.open()?, listen, advertise, (host.to_owned(), port));
            let settings = settings.map_err(anyhow::Error::msg)?;
            start_executor_process(Arc::new(settings)).await?;
        }
        Command::Query { lake, scheduler, task_bytes, sql } => {
            let engine = with_ballista(lake.open()?, &format!("http://{scheduler}"), task_bytes);
            let session = Arc::new(engine.view().await?.session(&Scope::Lake)?);
            // Within the time that a query may take: without an executor, a scheduler would wait for ever.
            let mut rows = session.stream_within(&sql, &[], QueryLimits::default()).await?;
            let mut writer = AnswerWriter::start(AnswerFormat::Table, Box::new(std::io::stdout()), rows.schema())?;
            while let Some(batch) = rows.next().await? {
                writer.write(batch)?;
            }
            writer.finish()?;
        }
    }
    Ok(())
}
