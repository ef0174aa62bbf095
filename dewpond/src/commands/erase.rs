//! Erasing a person.

use std::time::Duration;

use anyhow::bail;
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings};
use lake::{Person, PersonId};
use serde_json::json;

use super::site;
use crate::lake_flags::{LakeFlags, clock};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The site whose events are meant.
    #[arg(long, value_name = "ID")]
    site: String,

    #[command(flatten)]
    who: Who,

    /// Delete the bytes now, and not when the compactor's graces are over. Also deletes whatever else waits for
    /// them: queries that run meanwhile plan again, and answers as of an earlier version can no longer be had.
    #[arg(long)]
    purge: bool,

    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    compactor: CompactorSettings,

    #[command(flatten)]
    engine: EngineSettings,
}

/// One of them.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Who {
    /// Erase the events that carry this user_id.
    #[arg(long, value_name = "ID")]
    user: Option<String>,

    /// Erase the events that carry this anonymous_id.
    #[arg(long, value_name = "ID")]
    anonymous: Option<String>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lake = flags.lake.open_existing().await?;
    let id = match (flags.who.user, flags.who.anonymous) {
        (Some(user), _) => PersonId::User(user),
        (None, Some(anonymous)) => PersonId::Anonymous(anonymous),
        (None, None) => bail!("name a person with --user or --anonymous"),
    };
    // A mistyped site or a variable that is empty must not read as done.
    site::find(&lake, &flags.site).await?;
    if id.value().is_empty() {
        bail!("the id is empty; name a person with --user or --anonymous");
    }
    let person = Person { site_id: flags.site.as_str().into(), id };
    let mut settings = flags.compactor;
    if flags.purge {
        (settings.raw_grace, settings.replaced_grace) = (Duration::ZERO, Duration::ZERO);
    }
    let (raw_grace, replaced_grace) = (settings.raw_grace, settings.replaced_grace);
    let compactor = Compactor::new(Engine::new(lake.clone(), &flags.engine)?, settings, clock());
    let done = compactor.erase(&person).await?;
    let mut deleted = 0;
    if flags.purge {
        // Only what a publish has consumed can be deleted.
        compactor.publish().await?;
        deleted = compactor.vacuum().await?.files();
    }
    if flags.json {
        println!(
            "{}",
            json!({
                "site_id": &*person.site_id, "rows_removed": done.published.rows, "files_replaced": done.published.files,
                "pending_rows_removed": done.pending_rows,
                "quarantined_rows_removed": done.quarantined_rows, "files_deleted": deleted,
            })
        );
        return Ok(());
    }
    println!(
        "erased from {}: {} published events (in {} files), {} pending ones and {} refused ones",
        person.site_id, done.published.rows, done.published.files, done.pending_rows, done.quarantined_rows
    );
    match flags.purge {
        true => println!("deleted {deleted} files from the store"),
        false => println!(
            "no query sees them any more; their bytes leave the store with the compactor's vacuum, {} (raw) and {} \
             (table) from now, or now with --purge",
            humantime::format_duration(raw_grace),
            humantime::format_duration(replaced_grace)
        ),
    }
    Ok(())
}
