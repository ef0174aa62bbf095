//! Sites and their write keys.

use chrono::Utc;
use clap::Subcommand;
use lake::{IssuedKey, Lake};
use serde_json::json;

use crate::lake_flags::LakeFlags;
use crate::table;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Add a site and print its write key, which cannot be shown again.
    Add {
        /// Letters, digits, '.', '_' and '-', for example shop.example.com.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the sites and the beginnings of their keys.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Change a site's settings.
    Set {
        /// The site.
        name: String,
        /// For how long events are kept by the date they happened, in whole days such as `400d`; `forever` keeps
        /// all. The compactor removes what is older; reports stay in their history.
        #[arg(long, value_name = "TIME", value_parser = parse_retention)]
        retention: Retention,
        #[command(flatten)]
        output: Output,
    },
    /// Issue and revoke write keys.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

#[derive(Subcommand, Debug)]
enum KeyCommand {
    /// Issue another write key for a site.
    Add {
        /// The site.
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a write key. Collectors refuse it within ten seconds.
    Revoke {
        /// The site.
        name: String,
        /// The key, or its beginning as `site list` shows it.
        key: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(clap::Args, Debug)]
struct Output {
    #[command(flatten)]
    lake: LakeFlags,
    /// Print JSON, for scripts.
    #[arg(long)]
    json: bool,
}

/// For how many days; none for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Retention(Option<u32>);

fn parse_retention(text: &str) -> Result<Retention, String> {
    if text == "forever" {
        return Ok(Retention(None));
    }
    let days = humantime::parse_duration(text).map_err(|error| error.to_string())?.as_secs_f64() / 86_400.0;
    if days < 1.0 || days.fract() != 0.0 {
        return Err("events are kept for whole days, for example 400d, or forever".into());
    }
    Ok(Retention(Some(days as u32)))
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Add { name, output } => {
            let lake = output.lake.open()?;
            print_key(&lake.add_site(&name, Utc::now()).await?, output.json);
        }
        Command::List { output } => list(&output.lake.open_existing().await?, output.json).await?,
        Command::Set { name, retention, output } => {
            output.lake.open_existing().await?.set_retention(&name, retention.0).await?;
            match (output.json, retention.0) {
                (true, days) => println!("{}", json!({"site_id": name, "retention_days": days})),
                (false, Some(days)) => println!("{name} keeps events for {days} days"),
                (false, None) => println!("{name} keeps events for ever"),
            }
        }
        Command::Key { command: KeyCommand::Add { name, output } } => {
            let lake = output.lake.open()?;
            print_key(&lake.add_key(&name, Utc::now()).await?, output.json);
        }
        Command::Key { command: KeyCommand::Revoke { name, key, output } } => {
            let revoked = output.lake.open()?.revoke_key(&name, &key, Utc::now()).await?;
            match output.json {
                true => println!("{}", json!({"site_id": name, "revoked": revoked})),
                false => println!("revoked {revoked} key(s) of {name}"),
            }
        }
    }
    Ok(())
}

fn print_key(issued: &IssuedKey, as_json: bool) {
    if as_json {
        println!("{}", json!({"site_id": &*issued.site_id, "write_key": issued.write_key}));
        return;
    }
    println!("site:      {}", issued.site_id);
    println!("write key: {}", issued.write_key);
    println!("Keep the key: only its hash is stored, so it cannot be shown again.");
}

async fn list(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let directory = lake.sites().await?;
    if as_json {
        let sites: Vec<_> = directory
            .sites()
            .iter()
            .map(|site| {
                let keys: Vec<_> = site
                    .keys
                    .iter()
                    .map(
                        |key| json!({"prefix": key.prefix, "created_at": key.created_at, "revoked_at": key.revoked_at}),
                    )
                    .collect();
                json!({"site_id": &*site.site_id, "created_at": site.created_at, "retention_days": site.retention_days, "keys": keys})
            })
            .collect();
        println!("{}", json!(sites));
        return Ok(());
    }
    let rows = directory
        .sites()
        .iter()
        .map(|site| {
            let keys: Vec<String> = site
                .keys
                .iter()
                .map(|key| format!("{}…{}", key.prefix, if key.revoked_at.is_some() { " (revoked)" } else { "" }))
                .collect();
            let added = site.created_at.format("%Y-%m-%d %H:%M").to_string();
            let kept = site.retention_days.map_or("forever".to_owned(), |days| format!("{days}d"));
            vec![site.site_id.to_string(), added, kept, keys.join(", ")]
        })
        .collect::<Vec<_>>();
    print!("{}", table::render(&["site", "added", "kept", "keys"], &rows));
    Ok(())
}
