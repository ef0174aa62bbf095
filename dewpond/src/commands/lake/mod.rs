//! `dewpond lake`: what the lake holds, the history of its tables, and whether it is sound.

mod check;
mod erase;
mod history;
mod stats;

use std::path::PathBuf;

use chrono::Utc;
use clap::Subcommand;
use lake::{CheckSettings, EVENTS, TABLES};

use crate::lake_flags::OneLakeFlags;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show files, rows and bytes of every table, and what is pending.
    Stats {
        #[command(flatten)]
        lake: OneLakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Erase a person: remove their events from the lake, and leave out copies that arrive later.
    Erase(Box<erase::Flags>),
    /// List the newest versions of a table, with the numbers and times that `query --as-of` takes.
    History {
        #[command(flatten)]
        lake: OneLakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// The table whose versions to list.
        #[arg(long, value_parser = TABLES.map(|spec| spec.name), default_value = EVENTS.name)]
        table: String,
        /// How many versions to list.
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Read everything in the lake and report what is wrong.
    ///
    /// Reads every log entry, checkpoint, checksum, live file and pending raw file completely. An error means that a row is
    /// lost, duplicated, unreadable or answered wrongly; a warning only costs speed or space. Exits with status 1 if there
    /// is an error. Can run while the lake is in use.
    ///
    /// Of the states that recurring queries keep, some are made again from their files and compared, chosen by chance; with
    /// --deep all are.
    Check {
        #[command(flatten)]
        lake: OneLakeFlags,
        /// Print JSON, for scripts.
        #[arg(long)]
        json: bool,
        /// Repair what can be derived from the log: replace checkpoints and checksums that are missing or disagree with the
        /// log's entries, delete orphaned files older than 7 days, and delete states that are not what their files give.
        ///
        /// Never touches log entries, live files, raw files or the registry.
        #[arg(long)]
        repair: bool,
        /// Directory for sorting ids, 16 bytes per event [default: the system's temporary directory].
        #[arg(long, env = "DEWPOND_SPILL_DIR", value_name = "DIR")]
        spill_dir: Option<PathBuf>,
        /// Make every state again and compare it, instead of a few. Reads each file of events once for every query.
        #[arg(long)]
        deep: bool,
        /// Directory of the metrics, which say what the states are of.
        #[arg(long, env = "DEWPOND_QUERIES", default_value = "queries", value_name = "DIR")]
        queries: PathBuf,
    },
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Erase(flags) => erase::run(*flags).await,
        Command::Stats { lake, json } => stats::run(&lake.open_existing(None).await?, json).await,
        Command::History { lake, json, table, limit } => {
            let spec = TABLES.iter().find(|spec| spec.name == table).expect("the flag takes only names of tables");
            history::run(&lake.open_existing(None).await?, spec, limit, json).await
        }
        Command::Check { lake, json, repair, spill_dir, deep, queries } => {
            let spill_dir = spill_dir.unwrap_or_else(std::env::temp_dir);
            let settings = CheckSettings { now: Utc::now(), spill_dir, repair };
            check::run(&lake.open_existing(None).await?, settings, json, deep, &queries).await
        }
    }
}
