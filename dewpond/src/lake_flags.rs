//! Which lake, and what opening it for a role means.

use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use lake::Lake;

/// Which lake.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct LakeFlags {
    /// The lake: a local path, or file://, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix.
    ///
    /// Credentials come from the store's own variables, such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    /// AWS_REGION and AWS_ENDPOINT.
    #[arg(long = "lake", env = "DEWPOND_LAKE", value_name = "URL")]
    pub(crate) location: String,
}

impl LakeFlags {
    /// Opens the lake for a command that writes, be it the first.
    pub(crate) fn open(&self) -> anyhow::Result<Lake> {
        Ok(Lake::open(&self.location, std::env::vars())?)
    }

    /// Opens the lake for a command that only reads. A lake that is not there is a mistake in its name, and
    /// must not pass for an empty one.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Lake> {
        let lake = self.open()?;
        if !lake.exists().await? {
            bail!("there is no lake at {}: --lake names another, and a collector or an import starts one", lake.url());
        }
        Ok(lake)
    }

    /// Opens the lake for a role that writes to it, and makes sure that its store can keep the promises.
    pub(crate) async fn open_for_writing(&self) -> anyhow::Result<Lake> {
        let lake = self.open()?;
        lake.probe().await.with_context(|| format!("could not use the lake at {}", lake.url()))?;
        Ok(lake)
    }
}

/// The wall clock, which the libraries get passed in.
pub(crate) fn clock() -> Arc<dyn Fn() -> DateTime<Utc> + Send + Sync> {
    Arc::new(Utc::now)
}
