//! The flag `--lake`, and how roles and commands open the lake.

use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use compactor::Archive;
use lake::Lake;

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
        Ok(lake)
    }
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
