//! `dewpond key`: issues, lists and revokes the keys that read.

use chrono::Utc;
use clap::Subcommand;
use engine::text_table;
use lake::{IssuedReadKey, Lake, ReadKey};
use serde_json::{Value, json};

use crate::lake_flags::Output;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Issue a key that reads the events of some sites, and print it: it is shown only once.
    Add {
        /// The sites it may read.
        #[arg(long = "site", value_name = "NAME", value_delimiter = ',', required = true)]
        sites: Vec<String>,
        /// What to call it in the list: who reads with it, or with what.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the read keys, by their prefixes.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a read key. Servers refuse it within ten seconds.
    Revoke {
        /// The key, or its prefix as `key list` shows it.
        key: String,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Add { sites, name, output } => {
            let lake = output.lake.open_existing().await?;
            lake.probe().await?;
            print(&lake.add_read_key(&sites, &name, Utc::now()).await?, output.json);
        }
        Command::List { output } => list(&output.lake.open_existing().await?, output.json).await?,
        Command::Revoke { key, output } => {
            let lake = output.lake.open_existing().await?;
            lake.probe().await?;
            let revoked = lake.revoke_read_key(&key, Utc::now()).await?;
            match output.json {
                true => println!("{}", shown(&revoked)),
                false => println!("revoked {}…, which read {}", revoked.prefix, revoked.sites.join(", ")),
            }
        }
    }
    Ok(())
}

fn print(issued: &IssuedReadKey, as_json: bool) {
    if as_json {
        println!("{}", json!({"sites": names(&issued.sites), "read_key": issued.read_key}));
        return;
    }
    println!("sites:    {}", issued.sites.join(", "));
    println!("read key: {}", issued.read_key);
    println!("Save the key: only its hash is stored, so it cannot be shown again.");
}

async fn list(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let keys = lake.read_keys().await?;
    if as_json {
        println!("{}", Value::from_iter(keys.keys().iter().map(shown)));
        return Ok(());
    }
    let time = |at: &chrono::DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let row = |key: &ReadKey| {
        let revoked = key.revoked_at.as_ref().map(time).unwrap_or_default();
        vec![format!("{}…", key.prefix), key.name.clone(), key.sites.join(", "), time(&key.created_at), revoked]
    };
    let rows: Vec<Vec<String>> = keys.keys().iter().map(row).collect();
    print!("{}", text_table::render(&["key", "name", "sites", "added", "revoked"], &rows));
    Ok(())
}

fn shown(key: &ReadKey) -> Value {
    json!({
        "prefix": key.prefix,
        "name": key.name,
        "sites": names(&key.sites),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    })
}

fn names(sites: &[std::sync::Arc<str>]) -> Vec<&str> {
    sites.iter().map(|site| &**site).collect()
}
