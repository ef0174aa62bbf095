//! All roles in one process, on embedded defaults.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use analytics::{Analytics, AnalyticsSettings};
use anyhow::Context;
use chrono::Utc;
use collector::Collector;
use compactor::{Compactor, CompactorCrons, CompactorSettings};
use engine::{Engine, EngineSettings};
use lake::Lake;
use schedule::Schedule;

use crate::admin::{self, AdminFlags};
use crate::commands::report;
use crate::lake_flags::{LakeFlags, clock};
use crate::{demo, shutdown};

/// The site that is there from the start.
const DEFAULT_SITE: &str = "default";

/// What the pages of the demo site call their site.
const DEMO_DOMAIN: &str = "demo";

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// The lake: a local path, or file://, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.
    #[arg(long, env = "DEWPOND_LAKE", default_value = "data/lake", value_name = "URL")]
    lake: String,

    /// Where events come in; port 0 picks a free one.
    #[arg(long, env = "DEWPOND_COLLECTOR_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    collector_listen: SocketAddr,

    /// Where the report is served; port 0 picks a free one.
    #[arg(long, env = "DEWPOND_ANALYTICS_LISTEN", default_value = "127.0.0.1:8081", value_name = "ADDR")]
    analytics_listen: SocketAddr,

    /// The token that readers of the report send; needed beyond loopback.
    #[arg(long, env = "DEWPOND_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,

    /// Send so many events of demo traffic once everything is up, and show the report.
    #[arg(long, value_name = "EVENTS")]
    demo: Option<u64>,

    #[command(flatten)]
    admin: AdminFlags,

    #[command(flatten)]
    collector: collector::Settings,

    #[command(flatten)]
    crons: CompactorCrons,

    #[command(flatten)]
    compactor: CompactorSettings,

    #[command(flatten)]
    analytics: AnalyticsSettings,

    #[command(flatten)]
    engine: EngineSettings,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    admin::require_token(flags.analytics_listen, flags.token.as_deref(), "--analytics-listen", "--token")?;
    analytics::read_queries(&flags.analytics.queries)?;
    let lake = LakeFlags { location: flags.lake.clone() }.open_for_writing().await?;
    let shutdown = shutdown::on_signal()?;
    // Every port is taken before anything starts, so that a port in use stops all of it.
    let events = admin::listen(flags.collector_listen, "--collector-listen").await?;
    let reports = admin::listen(flags.analytics_listen, "--analytics-listen").await?;
    let (events_at, reports_at) = (events.local_addr()?, reports.local_addr()?);
    admin::start(&flags.admin, &lake, shutdown.clone()).await?;

    let is_new = !lake.sites().await?.has_site(DEFAULT_SITE);
    let key = default_key(&lake).await?;
    // Whoever tries things out on this machine looks at pages, too.
    let demo_site = flags.collector.demo_site || events_at.ip().is_loopback();
    if demo_site && is_new {
        open_demo(&lake).await?;
    }
    let engine = Engine::new(lake.clone(), &flags.engine)?;
    // Memory of its own, so that no query of a report can keep a publish waiting for it.
    let compacting = Engine::new(lake.clone(), &flags.engine)?;
    let collecting = collector::Settings { demo_site, ..flags.collector };
    let collector = Collector::start(lake.clone(), &collecting, clock()).await?;
    let compactor = Compactor::new(compacting, flags.compactor, clock());
    let analytics = Analytics::new(engine, flags.analytics, clock());
    let mut schedule = Schedule::start().await?;
    compactor.schedule(&mut schedule, &flags.crons).await?;
    analytics.schedule(&mut schedule).await?;
    tracing::info!(listen = %events_at, "collector is up");
    tracing::info!(listen = %reports_at, "analytics is up");
    greet(&lake, events_at, reports_at, demo_site, key.as_deref());

    let collecting = tokio::spawn(collector.serve(events, shutdown.clone().cancelled_owned()));
    let routes = analytics::router(analytics.clone(), flags.token);
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
    schedule.stop().await;
    serving.await??;
    Ok(())
}

/// The main job, once, on the screen: traffic over HTTP, then the report of it.
async fn show(events: u64, collector: SocketAddr, key: String, analytics: &Analytics) -> anyhow::Result<()> {
    println!("Sending about {events} events of demo traffic to the collector …");
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
    println!("\nStaying up; Ctrl-C stops. A new report comes every minute.");
    Ok(())
}

fn greet(lake: &Lake, collector: SocketAddr, analytics: SocketAddr, demo_site: bool, key: Option<&str>) {
    println!("Dewpond is up on {}", lake.url());
    println!("  send events   POST http://{collector}/v1/events");
    println!("  read reports  GET  http://{analytics}/metrics");
    if demo_site {
        println!("  demo site          http://{collector}/demo/");
    }
    match key {
        Some(key) => {
            println!("  write key     {key}   (site {DEFAULT_SITE})");
            println!("\nTry it:");
            println!(
                "  curl http://{collector}/v1/events -H 'Authorization: Bearer {key}' -d '{{\"name\":\"page_view\",\"anonymous_id\":\"me\"}}'\n"
            );
        }
        None => println!("  write key     issued before; `dewpond site key add {DEFAULT_SITE}` issues another\n"),
    }
}

/// The key of the default site, which is added if there is none.
///
/// The registry keeps only a key's hash. So that whoever tries things out finds the key again, it is kept in
/// a file beside a local lake, readable by its owner; beside a remote lake it is shown once.
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
        keep(&file, &issued.write_key).with_context(|| format!("could not keep the key in {}", file.display()))?;
    }
    Ok(Some(issued.write_key))
}

/// Lets the pages of the demo site send to the default site, which have no key.
async fn open_demo(lake: &Lake) -> anyhow::Result<()> {
    if lake.sites().await?.site_of_domain(DEMO_DOMAIN).is_none() {
        lake.change_site(DEFAULT_SITE, |settings| settings.domains.push(DEMO_DOMAIN.into())).await?;
    }
    Ok(())
}

fn keep(file: &Path, key: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    writeln!(file, "{key}")
}
