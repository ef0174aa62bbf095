//! `dewpond lake erase`: erases a person.

use std::time::Duration;

use anyhow::bail;
use compactor::{Compactor, CompactorSettings};
use engine::{Engine, EngineSettings};
use lake::{Person, PersonId};
use serde_json::json;

use crate::lake_flags::{LakeFlags, clock};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The site whose events to erase.
    #[arg(long, value_name = "ID")]
    site: String,

    #[command(flatten)]
    who: Who,

    /// Delete the bytes from the store now, instead of after the compactor's grace periods.
    ///
    /// This also deletes all other files that wait for the end of their grace period. Running queries may have to start
    /// again, and `query --as-of` can no longer read earlier versions.
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

/// The person, by one of two ids.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Who {
    /// Erase the events with this user_id.
    #[arg(long, value_name = "ID")]
    user: Option<String>,

    /// Erase the events with this anonymous_id.
    #[arg(long, value_name = "ID")]
    anonymous: Option<String>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    // A mistyped site must not look like a success.
    let lake = flags.lake.open_of_site(Some(&flags.site)).await?;
    let id = match (flags.who.user, flags.who.anonymous) {
        (Some(user), _) => PersonId::User(user),
        (None, Some(anonymous)) => PersonId::Anonymous(anonymous),
        (None, None) => bail!("name a person with --user or --anonymous"),
    };
    // Nor must an empty shell variable.
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
        // A raw file can be deleted only once a publish has consumed it.
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
        "erased from {}: {} published events (in {} files), {} pending and {} refused events",
        person.site_id, done.published.rows, done.published.files, done.pending_rows, done.quarantined_rows
    );
    match flags.purge {
        true => println!("deleted {deleted} files from the store"),
        false => println!(
            "no query sees these events any more; the compactor deletes their bytes {} (raw files) and {} (table files) \
             from now; --purge deletes them at once",
            humantime::format_duration(raw_grace),
            humantime::format_duration(replaced_grace)
        ),
    }
    Ok(())
}
