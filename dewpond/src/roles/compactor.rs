//! The role `compactor` as a process.

use clap::ArgAction;
use compactor::{Compactor, CompactorCrons, CompactorSettings};
use engine::{Engine, EngineSettings};
use schedule::Schedule;

use crate::admin::{self, AdminFlags};
use crate::lake_flags::{ArchiveFlags, LakeFlags, clock};
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
    let lake = flags.lake.open_for_writing().await?;
    let engine = Engine::new(lake.clone(), &flags.engine)?;
    let compactor = Compactor::new(engine, flags.compactor, clock()).with_archive(flags.archive.open()?);
    if flags.once {
        let published = compactor.publish().await?;
        let merged = compactor.merge().await?;
        let (removed, vacuumed) = compactor.remove_and_vacuum().await?;
        if !flags.crons.no_sessions_table {
            compactor.keep_sessions_of_today().await?;
        }
        println!(
            "published {} events from {} raw files ({} duplicates); merged {} files into {}; removed {} expired or \
             erased events; deleted {} files",
            published.rows_published,
            published.raw_files,
            published.duplicates(),
            merged.files_in,
            merged.files_out,
            removed.rows,
            vacuumed.files(),
        );
        return Ok(());
    }
    let shutdown = shutdown::on_signal()?;
    admin::start(&flags.admin, &lake, shutdown.clone()).await?;
    let mut schedule = Schedule::start().await?;
    compactor.schedule(&mut schedule, &flags.crons).await?;
    tracing::info!(lake = %lake.url(), "compactor is up");
    shutdown.cancelled().await;
    schedule.stop().await;
    Ok(())
}
