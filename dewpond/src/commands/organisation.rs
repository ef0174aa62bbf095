//! `dewpond organisation`: lists organisations, and gives them lakes of their own.

use accounts::{Actor, Client, Service};
use chrono::Utc;
use clap::Subcommand;
use engine::text_table;
use lake::{Lake, LakeError, OwnLake};
use serde_json::json;

use crate::lake_flags::{Output, organisation_id};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// List the organisations, their sites, and where their events lie.
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Give an organisation a lake of its own, before its first site: the events of its sites lie there and nowhere else.
    ///
    /// The place must be empty, and can be written to as the main lake can. It stays for as long as the organisation has
    /// sites. The same command with other credentials gives the lake these.
    SetLake {
        /// The organisation, by its id or its name.
        name: String,
        /// Where its events lie: a local path, or file://, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.
        #[arg(value_name = "URL")]
        own: String,
        /// The name of its credentials: for `acme`, every role reads them from DEWPOND_LAKE_ACME_AWS_ACCESS_KEY_ID,
        /// DEWPOND_LAKE_ACME_AWS_REGION and so on, and no others. Without a name they are those of the main lake. The
        /// registry never has the credentials themselves.
        #[arg(long, value_name = "NAME")]
        credentials: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Take back the lake of an organisation that has no site. What lies in it stays.
    RemoveLake {
        /// The organisation, by its id or its name.
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::List { output } => list(&output.lake.open_existing().await?, output.json).await,
        Command::SetLake { name, own, credentials, output } => {
            let lakes = output.lake.lakes_for_writing().await?;
            let organisation = organisation_id(lakes.main(), &name).await?;
            let set = lakes.set(&organisation, &own, credentials.as_deref()).await.map_err(|error| {
                match (error, &credentials) {
                    (error @ LakeError::Invalid { .. }, _) => anyhow::Error::from(error),
                    (error, None) => anyhow::Error::from(error).context(format!("could not use {own}")),
                    (error, Some(name)) => anyhow::Error::from(error).context(format!(
                        "could not use {own} with the variables that begin with DEWPOND_LAKE_{}_",
                        name.to_ascii_uppercase()
                    )),
                }
            })?;
            note(lakes.main(), "organisation.lake.set", &organisation).await;
            match output.json {
                true => println!("{}", shown(&set)),
                false => {
                    println!("the events of {name} lie in {} from its first site on", set.url);
                    if set.credentials.is_some() {
                        let prefix = set.prefix_of_variables();
                        println!("every role reads its credentials from variables that begin with {prefix}");
                    }
                }
            }
            Ok(())
        }
        Command::RemoveLake { name, output } => {
            let lakes = output.lake.lakes_for_writing().await?;
            let organisation = organisation_id(lakes.main(), &name).await?;
            lakes.remove(&organisation).await?;
            note(lakes.main(), "organisation.lake.remove", &organisation).await;
            match output.json {
                true => println!("{}", json!({ "organisation": organisation, "lake": null })),
                false => println!("{name} has no lake of its own any more; sites that are added lie in the main lake"),
            }
            Ok(())
        }
    }
}

/// Writes into the audit log, as what is done to an organisation by others is.
async fn note(lake: &Lake, action: &str, organisation: &str) {
    let service = Service::new(lake.clone());
    service.note(&Actor::Operator, action, Some(organisation), organisation, &Client::default(), Utc::now()).await;
}

fn shown(lake: &OwnLake) -> serde_json::Value {
    json!({ "organisation": &*lake.organisation, "lake": { "url": lake.url, "credentials": lake.credentials } })
}

async fn list(lake: &Lake, as_json: bool) -> anyhow::Result<()> {
    let (accounts, directory) = (lake.accounts().await?, lake.sites().await?);
    let sites_of = |id: &str| -> Vec<&str> {
        let own = directory.sites().iter().filter(|site| site.organisation.as_deref() == Some(id));
        own.map(|site| &*site.site_id).collect()
    };
    let organisations = accounts.organisations.iter();
    if as_json {
        let listed = organisations.map(|one| {
            let lake = directory.lake_of(&one.id);
            json!({
                "id": one.id, "name": one.name, "created_at": one.created_at, "members": one.members.len(),
                "sites": sites_of(&one.id),
                "lake": lake.map(|lake| json!({ "url": lake.url, "credentials": lake.credentials })),
            })
        });
        println!("{}", serde_json::Value::from_iter(listed));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = organisations
        .map(|one| {
            let lake = directory.lake_of(&one.id).map_or("the main lake".to_owned(), |lake| match &lake.credentials {
                Some(name) => format!("{} (credentials {name})", lake.url),
                None => lake.url.clone(),
            });
            vec![one.name.clone(), one.id.clone(), one.members.len().to_string(), sites_of(&one.id).join(", "), lake]
        })
        .collect();
    print!("{}", text_table::render(&["organisation", "id", "members", "sites", "events lie in"], &rows));
    Ok(())
}
