//! `dewpond explain`: what recurring queries would use of what the lake keeps, and which of them read everything.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::Utc;
use engine::{Engine, EngineSettings, params};

use crate::lake_flags::LakeFlags;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Files with a query each, such as those in queries/.
    #[arg(value_name = "FILE.sql", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    engine: EngineSettings,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let engine = Engine::new(flags.lake.open_existing().await?, &flags.engine)?;
    let view = Arc::new(engine.view().await?);
    let params = params::of_period(Utc::now(), None, "UTC");
    let mut failed = 0;
    for file in &flags.files {
        let sql = analytics::read_sql(file).with_context(|| format!("could not read {}", file.display()))?;
        let explained = match view.recurring(&sql, &params).await {
            Ok(query) => query.explain().await,
            Err(error) => Err(error),
        };
        match explained {
            Ok(explanation) => print!("{}: {explanation}", file.display()),
            Err(error) => {
                failed += 1;
                println!("{}: {error}", file.display());
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} queries are wrong", flags.files.len());
    }
    Ok(())
}
