//! The flag `--lake`, and how roles and commands open the lake.

use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use compactor::Archive;
use engine::{Engine, EngineSettings, Engines};
use lake::{Lake, Lakes};

/// The lake to work on.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LakeFlags {
    /// The lake: a local path, or file://, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.
    ///
    /// Credentials come from the store's own variables, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    /// AWS_REGION and AWS_ENDPOINT.
    #[arg(long = "lake", env = "DEWPOND_LAKE", default_value = "data/lake", value_name = "URL")]
    location: String,
}

/// The lake, and how a command prints what it did there.
#[derive(clap::Args, Debug)]
pub(crate) struct Output {
    #[command(flatten)]
    pub(crate) lake: LakeFlags,
    /// Print JSON, for scripts.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LakeFlags {
    /// Opens the lake for a command that writes and may begin the lake.
    pub(crate) fn open(&self) -> anyhow::Result<Lake> {
        Ok(Lake::open(&self.location, std::env::vars())?)
    }

    /// Opens the lake for a command that only reads. A missing lake is an error: its name is probably mistyped, and it must
    /// not look like an empty lake.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Lake> {
        let lake = self.open()?;
        if !lake.exists().await? {
            bail!("there is no lake at {}; name another one with --lake, or begin one with `dewpond up`", lake.url());
        }
        Ok(lake)
    }

    /// Opens the lake for a role that writes, and verifies that the store can be written to as the lake requires.
    pub(crate) async fn open_for_writing(&self) -> anyhow::Result<Lake> {
        let lake = self.open()?;
        lake.probe().await.with_context(|| format!("could not use the lake at {}", lake.url()))?;
        // Whoever took it for a main lake would begin another registry in it.
        if lake.is_an_organisations().await? {
            bail!(
                "{} is the lake of an organisation's own: name the main lake, which has the sites and finds this one",
                lake.url()
            );
        }
        Ok(lake)
    }

    /// Opens the main lake as [`open_for_writing`](Self::open_for_writing) does, with those of organisations' own.
    pub(crate) async fn lakes_for_writing(&self) -> anyhow::Result<Lakes> {
        Ok(lakes(self.open_for_writing().await?))
    }

    /// Opens the main lake as [`open_existing`](Self::open_existing) does, with those of organisations' own.
    pub(crate) async fn lakes_existing(&self) -> anyhow::Result<Lakes> {
        Ok(lakes(self.open_existing().await?))
    }

    /// Opens the lake that a site lies in, as [`open_existing`](Self::open_existing) does; the main lake for `None`.
    pub(crate) async fn open_of_site(&self, site: Option<&str>) -> anyhow::Result<Lake> {
        of_site(&self.lakes_existing().await?, site).await
    }
}

/// One of the lakes: the main one, that of a site, or that of an organisation's own.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct OneLakeFlags {
    #[command(flatten)]
    main: LakeFlags,

    /// Work on the lake of this organisation's own, by its id or its name, instead of the main lake.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
}

impl OneLakeFlags {
    /// Opens the lake as [`LakeFlags::open_existing`] does.
    ///
    /// - `site`: the site that is asked of, if it is one.
    pub(crate) async fn open_existing(&self, site: Option<&str>) -> anyhow::Result<Lake> {
        let lakes = self.main.lakes_existing().await?;
        let Some(named) = &self.organisation else { return of_site(&lakes, site).await };
        let lake = of_organisation(&lakes, named).await?;
        if let Some(site) = site
            && !lake.sites_here().await?.iter().any(|here| *here.site_id == *site)
        {
            bail!("the site {site} does not lie in the lake of {named}");
        }
        Ok(lake)
    }

    /// Opens the lake as [`LakeFlags::open_for_writing`] does.
    pub(crate) async fn open_for_writing(&self) -> anyhow::Result<Lake> {
        let lakes = self.main.lakes_for_writing().await?;
        let Some(named) = &self.organisation else { return Ok(lakes.main().clone()) };
        let lake = of_organisation(&lakes, named).await?;
        lake.probe().await.with_context(|| format!("could not use the lake at {}", lake.url()))?;
        Ok(lake)
    }
}

/// The lakes of an installation, with the credentials that the environment has.
pub(crate) fn lakes(main: Lake) -> Lakes {
    Lakes::new(main, std::env::vars())
}

/// Engines over the lakes of an installation.
pub(crate) fn engines(lakes: &Lakes, settings: &EngineSettings) -> anyhow::Result<Engines> {
    Ok(Engines::new(Engine::new(lakes.main().clone(), settings)?, lakes.clone()))
}

/// The id of an organisation, of its id or its name.
pub(crate) async fn organisation_id(main: &Lake, named: &str) -> anyhow::Result<String> {
    let accounts = main.accounts().await?;
    let found: Vec<_> = accounts.organisations.iter().filter(|one| one.id == named || one.name == named).collect();
    match found.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => bail!("there is no organisation {named}; `dewpond organisation list` shows all"),
        _ => bail!(
            "there are {} organisations {named}: name one by its id, as `dewpond organisation list` shows it",
            found.len()
        ),
    }
}

/// The lake that a site lies in; the main lake for `None`.
async fn of_site(lakes: &Lakes, site: Option<&str>) -> anyhow::Result<Lake> {
    match site {
        None => Ok(lakes.main().clone()),
        Some(site) => Ok(lakes.of_site(site).await?),
    }
}

/// The lake of an organisation's own.
async fn of_organisation(lakes: &Lakes, named: &str) -> anyhow::Result<Lake> {
    let id = organisation_id(lakes.main(), named).await?;
    let directory = lakes.main().sites().await?;
    let own = directory.lake_of(&id);
    let own = own.with_context(|| format!("{named} has no lake of its own: its events lie in the main lake"))?;
    Ok(lakes.lake(Some(own)).await?)
}

/// Where expired events go.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ArchiveFlags {
    /// Put expired events here before they are removed: a path, or s3://…, gs://… or az://…
    ///
    /// `dewpond import` brings them back. Erasing a person does not reach the archive.
    #[arg(long, env = "DEWPOND_ARCHIVE", value_name = "URL")]
    archive: Option<String>,
}

impl ArchiveFlags {
    pub(crate) fn open(&self) -> anyhow::Result<Option<Archive>> {
        self.archive.as_deref().map(|location| Archive::open(location, std::env::vars())).transpose()
    }
}

/// The wall clock, which is passed to the libraries.
pub(crate) fn clock() -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
    Arc::new(Utc::now)
}
