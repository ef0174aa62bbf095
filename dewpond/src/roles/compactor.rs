//! The role `compactor` as a process.

use std::sync::Arc;

use clap::ArgAction;
use compactor::{Compactor, CompactorCrons, CompactorSettings};
use engine::{EngineSettings, Engines};
use lake::{OwnLake, whole_text};
use schedule::Schedule;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminFlags};
use crate::lake_flags::{ArchiveFlags, LakeFlags, clock, engines};
use crate::roles::of_lakes;
use crate::shutdown;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Publish, merge, remove expired events and vacuum once, then exit.
    #[arg(long, action = ArgAction::SetTrue)]
    once: bool,

    #[command(flatten)]
    crons: CompactorCrons,

    #[command(flatten)]
    compactor: CompactorSettings,

    #[command(flatten)]
    archive: ArchiveFlags,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    admin: AdminFlags,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lakes = flags.lake.lakes_for_writing().await?;
    let (lake, engines) = (lakes.main(), engines(&lakes, &flags.engine)?);
    let compactor = Compactor::new(engines.main().clone(), flags.compactor.clone(), clock());
    let compactor = compactor.with_archive(flags.archive.open()?);
    if flags.once {
        let mut outcome = once(&compactor, &flags.crons, "").await;
        for own in lake.sites().await?.lakes() {
            let of_own = match own_compactor(&engines, own, &flags.compactor).await {
                Ok(compactor) => once(&compactor, &flags.crons, &format!("{}: ", own.url)).await,
                Err(error) => Err(error),
            };
            // The others are done all the same.
            outcome = outcome.and(of_own.inspect_err(|error| {
                tracing::error!(lake = own.url, "a lake was not compacted: {}", whole_text(error.as_ref()));
            }));
        }
        return outcome;
    }
    let shutdown = shutdown::on_signal()?;
    admin::start(&flags.admin, lake, shutdown.clone()).await?;
    let mut schedule = Schedule::start().await?;
    compactor.schedule(&mut schedule, &flags.crons).await?;
    tracing::info!(lake = %lake.url(), "compactor is up");
    let following = follow(engines, flags.compactor, flags.crons, shutdown.clone());
    shutdown.cancelled().await;
    schedule.stop().await;
    following.await?;
    Ok(())
}

/// Compacts the lakes of organisations' own, too.
pub(super) fn follow(
    engines: Engines,
    settings: CompactorSettings,
    crons: CompactorCrons,
    stop: CancellationToken,
) -> JoinHandle<()> {
    of_lakes::follow(engines.lakes().clone(), stop, move |own, stop| {
        let (engines, settings, crons) = (engines.clone(), settings.clone(), crons.clone());
        async move {
            let compactor = own_compactor(&engines, &own, &settings).await?;
            let mut schedule = Schedule::start().await?;
            compactor.schedule(&mut schedule, &crons).await?;
            Ok(of_lakes::until(stop, schedule))
        }
    })
}

/// The compactor of a lake of an organisation's own. It has no archive, which lies elsewhere.
async fn own_compactor(
    engines: &Engines,
    own: &Arc<OwnLake>,
    settings: &CompactorSettings,
) -> anyhow::Result<Compactor> {
    let engine = engines.views(Some(own)).await?.engine().clone();
    Ok(Compactor::new(engine, settings.clone(), clock()))
}

/// - `of`: what the line that says what was done begins with.
async fn once(compactor: &Compactor, crons: &CompactorCrons, of: &str) -> anyhow::Result<()> {
    let published = compactor.publish().await?;
    let merged = compactor.merge().await?;
    let (removed, vacuumed) = compactor.remove_and_vacuum().await?;
    if !crons.no_sessions_table {
        compactor.keep_sessions_of_today().await?;
    }
    println!(
        "{of}published {} events from {} raw files ({} duplicates); merged {} files into {}; removed {} expired or \
         erased events; deleted {} files",
        published.rows_published,
        published.raw_files,
        published.duplicates(),
        merged.files_in,
        merged.files_out,
        removed.rows,
        vacuumed.files(),
    );
    Ok(())
}
