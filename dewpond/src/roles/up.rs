//! `dewpond up`: all roles in one process, with defaults for trying things out.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use analytics::{Analytics, AnalyticsSettings, Jobs};
use anyhow::Context;
use api::{Api, OutwardSettings, SqlSettings};
use chrono::Utc;
use cluster::WorkersFlags;
use collector::Collector;
use compactor::{Compactor, CompactorCrons, CompactorSettings};
use engine::{Engine, EngineSettings, Engines, QueryLimits};
use forward::{ForwardSettings, Forwarder};
use lake::Lake;
use pgwire::PgSettings;
use schedule::Schedule;

use crate::admin::{self, AdminFlags};
use crate::commands::report;
use crate::lake_flags::{ArchiveFlags, LakeFlags, clock, engines};
use crate::roles::{self, sql};
use crate::{demo, shutdown};

/// The site that `up` adds to a new lake.
const DEFAULT_SITE: &str = "default";

/// The domain that the pages of the demo site send as their site.
const DEMO_DOMAIN: &str = "demo";

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Address that receives events; port 0 picks a free port.
    #[arg(long, env = "DEWPOND_COLLECTOR_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    collector_listen: SocketAddr,

    /// Address that serves the reports; port 0 picks a free port.
    #[arg(long, env = "DEWPOND_ANALYTICS_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDR")]
    analytics_listen: SocketAddr,

    /// Token for reading the reports ("Authorization: Bearer TOKEN"); required unless the address is loopback.
    #[arg(long, env = "DEWPOND_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,

    /// After startup, send this many demo events and print the report.
    #[arg(long, value_name = "EVENTS")]
    demo: Option<u64>,

    #[command(flatten)]
    pg: PgSettings,

    #[command(flatten)]
    admin: AdminFlags,

    #[command(flatten)]
    collector: collector::Settings,

    #[command(flatten)]
    crons: CompactorCrons,

    #[command(flatten)]
    compactor: CompactorSettings,

    #[command(flatten)]
    archive: ArchiveFlags,

    #[command(flatten)]
    forward: ForwardSettings,

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
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    admin::require_token(flags.analytics_listen, flags.token.as_deref(), "--analytics-listen", "--token")?;
    analytics::read_queries(&flags.analytics.queries)?;
    let outward = flags.outward.open(|name| std::env::var(name).ok()).map_err(anyhow::Error::msg)?;
    let lakes = flags.lake.lakes_for_writing().await?;
    let lake = lakes.main().clone();
    let shutdown = shutdown::on_signal()?;
    // All ports are bound before anything starts, so that a port in use stops the whole command.
    let events = admin::listen(flags.collector_listen, "--collector-listen").await?;
    let reports = admin::listen(flags.analytics_listen, "--analytics-listen").await?;
    let (events_at, reports_at) = (events.local_addr()?, reports.local_addr()?);
    admin::start(&flags.admin, &lake, shutdown.clone()).await?;

    let is_new = !lake.sites().await?.has_site(DEFAULT_SITE);
    let key = default_key(&lake).await?;
    // On loopback somebody is trying things out, so the demo site is on.
    let demo_site = flags.collector.demo_site || events_at.ip().is_loopback();
    if demo_site && is_new {
        open_demo(&lake).await?;
    }
    let engine = Engine::new(lake.clone(), &flags.engine)?.with_key_queries_max(flags.sql.key_queries_max);
    let engine = cluster::with_workers(engine, &flags.workers).await?;
    // A second engine has its own memory limit, so that a report's query cannot keep a publish waiting.
    let compacting = engines(&lakes, &flags.engine)?;
    let engines = Engines::new(engine, lakes.clone());
    let collecting = collector::Settings { demo_site, ..flags.collector };
    let sql = sql::start(&flags.pg, &engines, flags.limits, flags.token.as_deref(), shutdown.clone()).await?;
    let collector = Collector::start(lakes, &collecting, clock()).await?;
    let main = compacting.main().clone();
    let forwarder = Forwarder::new(main.clone(), flags.forward.clone(), std::env::vars().collect(), clock());
    let compactor = Compactor::new(main, flags.compactor.clone(), clock()).with_archive(flags.archive.open()?);
    let analytics = Analytics::new(engines.main().clone(), flags.analytics, clock());
    let jobs = Jobs::new(analytics.clone(), engines);
    let mut schedule = Schedule::start().await?;
    compactor.schedule(&mut schedule, &flags.crons).await?;
    analytics.schedule(&mut schedule).await?;
    tracing::info!(listen = %events_at, "collector is up");
    tracing::info!(listen = %reports_at, "analytics is up");
    greet(&lake, events_at, reports_at, demo_site, sql.as_ref().map(|(at, _)| *at), key.as_deref());
    if flags.token.is_none() {
        println!(
            "You are signed in as the operator from this machine, without a password. Nobody else is: beyond it, give --token.\n"
        );
    }

    let following = [
        roles::compactor::follow(compacting.clone(), flags.compactor, flags.crons, shutdown.clone()),
        roles::forward::follow(compacting, flags.forward, shutdown.clone()),
        roles::analytics::follow(jobs.clone(), shutdown.clone()),
    ];
    let forwarding = tokio::spawn(forwarder.run(shutdown.clone()));
    let collecting = tokio::spawn(collector.serve(events, shutdown.clone().cancelled_owned()));
    let api = Api::reaching(jobs.clone(), flags.limits, flags.sql, outward, clock());
    api.schedule_mails(&mut schedule, &flags.outward.email_cron).await?;
    let routes = api::router(api, flags.token);
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(reports, routes).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let serving = tokio::spawn(async move { serving.await });

    if let Some(events) = flags.demo {
        let key = match key {
            Some(key) => key,
            None => lake.add_key(DEFAULT_SITE, Utc::now()).await?.write_key,
        };
        tokio::select! {
            shown = show(events, events_at, key, &analytics) => shown?,
            () = shutdown.cancelled() => {}
        }
    }
    shutdown.cancelled().await;
    collecting.await?;
    forwarding.await?;
    sql::finish(sql).await?;
    schedule.stop().await;
    for followed in following {
        followed.await?;
    }
    serving.await??;
    Ok(())
}

/// Sends demo traffic over HTTP and prints a report of it.
async fn show(events: u64, collector: SocketAddr, key: String, analytics: &Analytics) -> anyhow::Result<()> {
    println!("Sending about {events} demo events to the collector …");
    let flags = demo::Flags {
        collector: format!("http://{collector}"),
        keys: vec![key],
        events,
        seconds: 0,
        senders: std::num::NonZeroUsize::new(8).expect("eight is not zero"),
        seed: None,
    };
    let sent = demo::send(&flags).await?;
    println!("{}.\n", demo::describe(&sent));
    let made = analytics.run().await?;
    print!("{}", report::render(&made, report::ROWS_SHOWN));
    println!("\nRunning until Ctrl-C, with a new report every minute.");
    Ok(())
}

fn greet(
    lake: &Lake,
    collector: SocketAddr,
    analytics: SocketAddr,
    demo_site: bool,
    sql: Option<SocketAddr>,
    key: Option<&str>,
) {
    println!("Dewpond is up on {}", lake.url());
    println!("  send events   POST http://{collector}/v1/events");
    println!("  read reports  GET  http://{analytics}/metrics");
    println!("  dashboard          http://{analytics}/");
    if demo_site {
        println!("  demo site          http://{collector}/demo/");
    }
    if let Some(sql) = sql {
        println!("  ask by SQL    psql -h {} -p {} -U dewpond", sql.ip(), sql.port());
    }
    match key {
        Some(key) => {
            println!("  write key     {key}   (site {DEFAULT_SITE})");
            println!("\nTry it:");
            println!(
                "  curl http://{collector}/v1/events -H 'Authorization: Bearer {key}' -d '{{\"name\":\"page_view\",\"anonymous_id\":\"me\"}}'\n"
            );
        }
        None => println!(
            "  write key     was shown when it was issued; `dewpond site key add {DEFAULT_SITE}` issues another\n"
        ),
    }
}

/// The write key of the default site, which is added if it does not exist.
///
/// The registry stores only a key's hash. For a local lake, the key itself is kept in a file beside it that only the owner
/// can read, so that later starts can show it again. For a remote lake it is shown once: later this returns `None`.
async fn default_key(lake: &Lake) -> anyhow::Result<Option<String>> {
    let local = (lake.url().scheme() == "file").then(|| lake.url().to_file_path().ok()).flatten();
    let file = local.map(|dir| {
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(".key");
        dir.with_file_name(name)
    });
    let sites = lake.sites().await?;
    if let Some(kept) = file.as_deref().and_then(|file| std::fs::read_to_string(file).ok()) {
        let kept = kept.trim().to_owned();
        if sites.site_of_key(&kept).is_some_and(|site| &*site.site_id == DEFAULT_SITE) {
            return Ok(Some(kept));
        }
    }
    let issued = match (sites.has_site(DEFAULT_SITE), &file) {
        (false, _) => lake.add_site(DEFAULT_SITE, Utc::now()).await?,
        (true, Some(_)) => lake.add_key(DEFAULT_SITE, Utc::now()).await?,
        (true, None) => return Ok(None),
    };
    if let Some(file) = file {
        write_key_file(&file, &issued.write_key)
            .with_context(|| format!("could not write the key to {}", file.display()))?;
    }
    Ok(Some(issued.write_key))
}

/// Lets the pages of the demo site, which have no key, send to the default site.
async fn open_demo(lake: &Lake) -> anyhow::Result<()> {
    if lake.sites().await?.site_of_domain(DEMO_DOMAIN).is_none() {
        lake.change_site(DEFAULT_SITE, |settings| settings.domains.push(DEMO_DOMAIN.into())).await?;
    }
    Ok(())
}

fn write_key_file(file: &Path, key: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(file, "{key}")
}
