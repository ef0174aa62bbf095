//! The role `analytics` as a process: the report job and the server of its reports.

use std::net::SocketAddr;
use std::time::Duration;

use analytics::{Analytics, AnalyticsSettings, Jobs, Report};
use anyhow::bail;
use api::{Api, OutwardSettings, SqlSettings};
use clap::ArgAction;
use cluster::WorkersFlags;
use engine::{Engine, EngineSettings, Engines, QueryLimits};
use lake::whole_text;
use pgwire::PgSettings;
use schedule::Schedule;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminFlags};
use crate::commands::{rebuild, report};
use crate::lake_flags::{LakeFlags, clock};
use crate::roles::{of_lakes, sql};
use crate::shutdown;

/// How long alerts may still be posted after everything else has stopped.
const POSTS_MAY_TAKE: Duration = Duration::from_secs(5);

#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    lake: LakeFlags,

    /// Address that serves the reports; port 0 picks a free port.
    #[arg(long, env = "DEWPOND_ANALYTICS_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDR")]
    listen: SocketAddr,

    /// Token for reading the reports ("Authorization: Bearer TOKEN"); required unless the address is loopback.
    #[arg(long, env = "DEWPOND_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,

    /// Run the metrics once, print the report, then exit: with an error if a metric failed; the others are
    /// unaffected.
    #[arg(long, action = ArgAction::SetTrue)]
    once: bool,

    #[command(flatten)]
    pg: PgSettings,

    #[command(flatten)]
    analytics: AnalyticsSettings,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    workers: WorkersFlags,

    #[command(flatten)]
    limits: QueryLimits,

    #[command(flatten)]
    sql: SqlSettings,

    #[command(flatten)]
    outward: OutwardSettings,

    #[command(flatten)]
    admin: AdminFlags,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Make anew what was made of the events, after a query or a site's gap, cap or time zone was changed.
    ///
    /// Says first what it will do. It makes what recurring queries keep of each file and do not have yet, and with --reports
    /// the reports of past days in history. If it ends too soon, the same command goes on from there.
    Rebuild(Box<rebuild::Flags>),
}

impl Flags {
    /// Whether it prints an answer and ends.
    pub(crate) fn ends_by_itself(&self) -> bool {
        self.command.is_some()
    }
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    if let Some(Command::Rebuild(flags)) = flags.command {
        return rebuild::run(*flags).await;
    }
    if !flags.once {
        admin::require_token(flags.listen, flags.token.as_deref(), "--listen", "--token")?;
    }
    // A missing directory is a mistake on the command line: report it now, not at the first run.
    analytics::read_queries(&flags.analytics.queries)?;
    let outward = flags.outward.open(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    let lakes = flags.lake.lakes_for_writing().await?;
    let lake = lakes.main();
    let engine = Engine::new(lake.clone(), &flags.engine)?.with_key_queries_max(flags.sql.key_queries_max);
    let engine = cluster::with_workers(engine, &flags.workers).await?;
    let engines = Engines::new(engine, lakes.clone());
    let analytics = Analytics::new(engines.main().clone(), flags.analytics, clock());
    let jobs = Jobs::new(analytics.clone(), engines.clone());
    if flags.once {
        return once(&jobs).await;
    }
    let shutdown = shutdown::on_signal()?;
    let listener = admin::listen(flags.listen, "--listen").await?;
    let sql = sql::start(&flags.pg, &engines, flags.limits, flags.token.as_deref(), shutdown.clone()).await?;
    admin::start(&flags.admin, lake, shutdown.clone()).await?;
    let mut schedule = Schedule::start().await?;
    analytics.schedule(&mut schedule).await?;
    tracing::info!(listen = %listener.local_addr()?, lake = %lake.url(), "analytics is up");
    let api = Api::reaching(jobs.clone(), flags.limits, flags.sql, outward, clock());
    api.schedule_mails(&mut schedule, &flags.outward.email_cron).await?;
    let following = follow(jobs.clone(), shutdown.clone());
    let routes = api::router(api, flags.token);
    axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await?;
    sql::finish(sql).await?;
    schedule.stop().await;
    following.await?;
    // What is not posted by then, the next process posts.
    let _ = tokio::time::timeout(POSTS_MAY_TAKE, jobs.finish_posts()).await;
    Ok(())
}

/// Makes the reports of the sites in lakes of organisations' own, too.
pub(super) fn follow(jobs: Jobs, stop: CancellationToken) -> JoinHandle<()> {
    of_lakes::follow(jobs.engines().lakes().clone(), stop, move |own, stop| {
        let jobs = jobs.clone();
        async move {
            let job = jobs.job(Some(&own)).await?;
            let mut schedule = Schedule::start().await?;
            job.schedule(&mut schedule).await?;
            Ok(of_lakes::until(stop, schedule))
        }
    })
}

/// Makes the reports of all lakes, and prints that of the main one.
async fn once(jobs: &Jobs) -> anyhow::Result<()> {
    let report = jobs.main().run().await?;
    let mut lost = Vec::new();
    for own in jobs.engines().lakes().main().sites().await?.lakes() {
        let made = async { jobs.job(Some(own)).await?.run().await };
        if let Err(error) = made.await {
            lost.push(format!("{}: {}", own.url, whole_text(error.as_ref())));
        }
    }
    jobs.finish_posts().await;
    print!("{}", report::render(&report, report::ROWS_SHOWN));
    check(&report)?;
    match lost.is_empty() {
        true => Ok(()),
        false => bail!("there are no reports of {} lake(s): {}", lost.len(), lost.join("; ")),
    }
}

fn check(report: &Report) -> anyhow::Result<()> {
    let failed: Vec<&str> =
        report.metrics.iter().filter(|(_, metric)| metric.error.is_some()).map(|(name, _)| name.as_str()).collect();
    match failed.is_empty() {
        true => Ok(()),
        false => bail!("{} of {} metrics failed: {}", failed.len(), report.metrics.len(), failed.join(", ")),
    }
}
