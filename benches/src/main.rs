//! Measures Dewpond, each figure beside a baseline measured in the same run on the same machine.
//!
//! A measurement: a temporary lake on the local disk → the real parts of Dewpond at work on it → a Markdown
//! table on the standard output. `benches/README.md` says what the figures mean and keeps some.

mod agents;
mod answers;
mod forward;
mod ingest;
mod job;
mod publish;
mod questions;
mod reports;
mod rig;
mod serve;
mod size;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tempfile::TempDir;
use tracing_subscriber::EnvFilter;

use crate::rig::machine;

/// The allocator of `dewpond`: it is a good part of what is measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures Dewpond against named baselines.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Directory for temporary lakes, on the disk to be measured [default: the system's temporary directory].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// User agents read per second, new ones and ones that were read before.
    Agents(agents::Flags),
    /// Answers by the network, against the same in process: a trivial query's time, and many rows as a stream.
    Answers(answers::Flags),
    /// Events per second to a webhook, and how soon a minute of them is out.
    Forward(forward::Flags),
    /// Durable events per second, against a server that parses and drops.
    Ingest(ingest::Flags),
    /// The report over a large lake, against the scan of one column.
    Job(job::Flags),
    /// A publish into days that already hold rows, against one into an empty day.
    Publish(publish::Flags),
    /// A question about a lake that other engines are asked, too, answered from nothing but the events.
    Questions(questions::Flags),
    /// The latest report through a real Memcached, against a handler that answers with a constant.
    Reports(reports::Flags),
    /// What depends on how much a lake holds: bytes per event, write amplification, snapshots of many files.
    Size(size::Flags),
    /// Questions answered by two workers of one core each, against one process of two cores.
    Workers(workers::Flags),
    /// All of these.
    All {
        /// In a few minutes, with less of everything.
        #[arg(long)]
        short: bool,
    },
    /// The collector, in a process of its own.
    #[command(hide = true)]
    ServeCollector(serve::CollectorFlags),
    /// The baseline of the collector, in a process of its own.
    #[command(hide = true)]
    ServeDrop,
    /// A server of SQL, in a process of its own.
    #[command(hide = true)]
    ServeSql(answers::ServerFlags),
    /// A server of the latest report, in a process of its own.
    #[command(hide = true)]
    ServeReports(reports::ServerFlags),
    /// The job, in a process of its own.
    #[command(hide = true)]
    RunJob(job::ChildFlags),
    /// A query of a table of many files, in a process of its own.
    #[command(hide = true)]
    PlanQuery(size::ChildFlags),
    /// A worker, in a process of its own.
    #[command(hide = true)]
    ServeWorker(workers::WorkerFlags),
    /// A process that has workers, or none.
    #[command(hide = true)]
    AskWorkers(workers::AskFlags),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_logs();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(run(cli)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.what {
        What::ServeCollector(flags) => return serve::collector(flags).await,
        What::ServeDrop => return serve::drop().await,
        What::ServeSql(flags) => return answers::serve(flags).await,
        What::ServeReports(flags) => return reports::serve(flags).await,
        What::RunJob(flags) => return job::run_child(flags).await,
        What::PlanQuery(flags) => return size::run_child(flags).await,
        What::Questions(flags) => return questions::run(flags).await,
        What::ServeWorker(flags) => return workers::serve(flags).await,
        What::AskWorkers(flags) => return workers::ask_all(flags).await,
        _ => {}
    }
    // Removed with its contents when this function returns.
    let dir = temporary_dir(cli.dir)?;
    println!("{}\n", machine::describe(dir.path())?);
    match cli.what {
        What::Agents(flags) => agents::run(&flags),
        What::Answers(flags) => answers::run(&flags, dir.path()).await,
        What::Forward(flags) => forward::run(&flags, dir.path()).await,
        What::Ingest(flags) => ingest::run(&flags, dir.path()).await,
        What::Job(flags) => job::run(&flags, dir.path()).await,
        What::Publish(flags) => publish::run(&flags, dir.path()).await,
        What::Reports(flags) => reports::run(&flags, dir.path()).await,
        What::Size(flags) => size::run(&flags, dir.path()).await,
        What::Workers(flags) => workers::run(&flags, dir.path()).await,
        What::All { short } => {
            for batch in ingest::BATCHES {
                ingest::run(&ingest::Flags::of(batch, short), dir.path()).await?;
            }
            agents::run(&agents::Flags::of(short))?;
            answers::run(&answers::Flags::of(short), dir.path()).await?;
            forward::run(&forward::Flags::of(short), dir.path()).await?;
            job::run(&job::Flags::of(short), dir.path()).await?;
            publish::run(&publish::Flags::of(short), dir.path()).await?;
            size::run(&size::Flags::of(short), dir.path()).await?;
            workers::run(&workers::Flags::of(short), dir.path()).await
        }
        What::ServeCollector(_)
        | What::ServeDrop
        | What::ServeSql(_)
        | What::ServeReports(_)
        | What::RunJob(_)
        | What::PlanQuery(_)
        | What::ServeWorker(_)
        | What::AskWorkers(_)
        | What::Questions(_) => {
            unreachable!("returned above")
        }
    }
}

fn temporary_dir(parent: Option<PathBuf>) -> anyhow::Result<TempDir> {
    let builder = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("dewpond-bench-");
        builder
    };
    match parent {
        Some(parent) => {
            builder().tempdir_in(&parent).with_context(|| format!("could not write to {}", parent.display()))
        }
        None => builder().tempdir().context("could not make a temporary directory; choose a place with --dir"),
    }
}

fn init_logs() {
    let filter = EnvFilter::try_from_env("DEWPOND_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}

/// Parses a number with underscores: `10_000_000`.
fn parse_count(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|error| format!("{error}; write it as 10_000_000"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn a_count_may_have_underscores() {
        assert_eq!(super::parse_count("10_000_000"), Ok(10_000_000));
        assert!(super::parse_count("many").is_err());
    }
}
