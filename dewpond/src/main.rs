//! The binary `dewpond`: a subcommand for each role and each command, and `up` for all roles in one process.

mod admin;
mod commands;
mod demo;
mod lake_flags;
mod loadgen;
mod roles;
mod shutdown;
mod sizes;
mod stdout;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Parser, Subcommand};
use lake::whole_text;
use tracing_subscriber::EnvFilter;

use crate::commands::{
    explain, export, health, import, key, mcp, organisation, queries, query, report, site, sql, user,
};
use crate::roles::up;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Product and web analytics: events as open Parquet files in your own bucket, with SQL on top.
///
/// Settings can also come from the environment variables shown in brackets; a flag takes precedence.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Run all roles in one process.
    Up(Box<up::Flags>),
    /// Receive events over HTTP and store them in the lake.
    Collector(roles::collector::Flags),
    /// Publish, merge and vacuum the lake on a schedule.
    Compactor(roles::compactor::Flags),
    /// Run the metrics on a schedule and serve the latest report.
    Analytics(Box<roles::analytics::Flags>),
    /// Do parts of large queries for analytics and for commands on other machines.
    Worker(Box<roles::worker::Flags>),
    /// Forward events to other systems; add destinations, and see how far they are.
    Forward(Box<roles::forward::Flags>),
    /// Run a SQL query over the lake, as it is now or as it was.
    Query(query::Flags),
    /// Ask one SQL query after the other, in a terminal or from a pipe.
    Sql(sql::Flags),
    /// Show what recurring queries reuse of what earlier runs found, and which read all events and why.
    Explain(explain::Flags),
    /// Check, list and run the metrics, a `.sql` file each.
    Queries(queries::Flags),
    /// Print the latest report, or make that of a past day.
    Report(report::Flags),
    /// Import events from files of this and other products, and from logs of servers.
    Import(import::Flags),
    /// Export raw events to files, of sites or of one person.
    Export(export::Flags),
    /// Add and list sites, change their settings, issue and revoke their write keys.
    Site(site::Flags),
    /// Issue, list and revoke the keys that read over the network.
    Key(key::Flags),
    /// Add, list and remove the people who can sign in.
    User(user::Flags),
    /// List organisations, and give them lakes of their own.
    Organisation(organisation::Flags),
    /// Serve metrics and SQL to a language model, on standard input and output (Model Context Protocol).
    Mcp(Box<mcp::Flags>),
    /// Inspect, check and repair the lake, or erase a person.
    Lake(commands::lake::Flags),
    /// Send realistic demo traffic to a collector.
    Demo(demo::Flags),
    /// Load-test a collector: send traffic of many sites at a given rate and measure the response times.
    Loadgen(loadgen::Flags),
    /// Ask a role on this machine whether it is ready.
    Health(health::Flags),
}

impl Role {
    /// Whether it prints an answer and ends, unlike a service.
    fn ends_by_itself(&self) -> bool {
        use Role::{Explain, Export, Health, Import, Key, Lake, Organisation, Queries, Query, Report, Site, Sql, User};
        matches!(self, Self::Analytics(flags) if flags.ends_by_itself())
            || matches!(self, Self::Forward(flags) if flags.ends_by_itself())
            || matches!(
                self,
                Query(_)
                    | Sql(_)
                    | Queries(_)
                    | Explain(_)
                    | Report(_)
                    | Import(_)
                    | Export(_)
                    | Site(_)
                    | Key(_)
                    | User(_)
                    | Organisation(_)
                    | Lake(_)
                    | Health(_)
            )
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.role.ends_by_itself() {
        stdout::end_when_nobody_reads();
    }
    match start(cli.role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", whole_text(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(role: Role) -> anyhow::Result<()> {
    init_logs()?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(role))
}

async fn run(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Up(flags) => up::run(*flags).await,
        Role::Collector(flags) => roles::collector::run(flags).await,
        Role::Compactor(flags) => roles::compactor::run(flags).await,
        Role::Analytics(flags) => roles::analytics::run(*flags).await,
        Role::Worker(flags) => roles::worker::run(*flags).await,
        Role::Forward(flags) => roles::forward::run(*flags).await,
        Role::Query(flags) => query::run(flags).await,
        Role::Sql(flags) => sql::run(flags).await,
        Role::Explain(flags) => explain::run(flags).await,
        Role::Queries(flags) => queries::run(flags).await,
        Role::Report(flags) => report::run(flags).await,
        Role::Import(flags) => import::run(flags).await,
        Role::Export(flags) => export::run(flags).await,
        Role::Site(flags) => site::run(flags).await,
        Role::Key(flags) => key::run(flags).await,
        Role::User(flags) => user::run(flags).await,
        Role::Organisation(flags) => organisation::run(flags).await,
        Role::Mcp(flags) => mcp::run(*flags).await,
        Role::Lake(flags) => commands::lake::run(flags).await,
        Role::Demo(flags) => demo::run(flags).await,
        Role::Loadgen(flags) => loadgen::run(flags).await,
        Role::Health(flags) => health::run(flags).await,
    }
}

/// Logs go to standard error, so that answers on standard output can be piped. `DEWPOND_LOG` takes filters of
/// `tracing_subscriber`.
fn init_logs() -> anyhow::Result<()> {
    const VARIABLE: &str = "DEWPOND_LOG";
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let filters = match wanted.as_str() {
        "" => "info,delta_kernel=warn,datafusion=error,object_store=warn",
        wanted => wanted,
    };
    // The scheduler logs an error when it is shut down; what its runs have to say, `schedule` logs. A filter that names it
    // comes later and wins.
    let filter = EnvFilter::try_new(format!("tokio_cron_scheduler=off,{filters}")).map_err(|error| {
        anyhow!("{VARIABLE} is {wanted:?}; use filters such as `warn` or `info,lake=debug`: {error}")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
