//! `dewpond mcp`: the tools of the Model Context Protocol on standard input and output, for a program on this machine.

use std::path::PathBuf;

use analytics::{Analytics, AnalyticsSettings, Jobs, METRIC_ROWS_MAX};
use api::{Api, Outward, SqlSettings};
use cluster::WorkersFlags;
use engine::{Engine, EngineSettings, Engines, QueryLimits};

use crate::lake_flags::{LakeFlags, clock};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Read only this site's events and reports.
    #[arg(long, value_name = "ID")]
    site: Option<String>,

    /// Directory of the metrics: one `.sql` file each.
    #[arg(long, env = "DEWPOND_QUERIES", default_value = "queries", value_name = "DIR")]
    queries: PathBuf,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    workers: WorkersFlags,

    #[command(flatten)]
    limits: QueryLimits,

    #[command(flatten)]
    sql: SqlSettings,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    analytics::read_queries(&flags.queries)?;
    let lakes = flags.lake.lakes_existing().await?;
    let engine = Engine::new(lakes.main().clone(), &flags.engine)?;
    let engines = Engines::new(cluster::with_workers(engine, &flags.workers).await?, lakes);
    // It runs no metric; the reports are those of history.
    let settings = AnalyticsSettings {
        queries: flags.queries,
        cron: "0 * * * * *".parse().expect("it is a cron"),
        memcached: None,
        memcached_login: None,
        memcached_timeout: flags.limits.timeout,
        metric_timeout: flags.limits.timeout,
        metric_rows_max: METRIC_ROWS_MAX,
        alert_webhook: None,
        alert_secret: None,
    };
    let jobs = Jobs::new(Analytics::new(engines.main().clone(), settings, clock()), engines);
    let api = Api::reaching(jobs, flags.limits, flags.sql, Outward::default(), clock());
    api::serve_stdio(api, flags.site).await.map_err(anyhow::Error::from_boxed)
}
