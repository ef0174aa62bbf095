//! `dewpond query`: runs a SQL query over the lake as it is now, or over the published table as it was.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use analytics::Header;
use anyhow::{Context, bail};
use chrono::Utc;
use cluster::WorkersFlags;
use engine::{
    AnswerFormat, AnswerOutput, AnswerWriter, AsOf, Engine, EngineError, EngineSettings, Param, QueryLimits, Scope,
    params,
};
use lake::Lake;

use super::site;
use crate::lake_flags::OneLakeFlags;
use crate::stdout::Stdout;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    text: Text,

    #[command(flatten)]
    asked: Asked,
}

/// What to ask of, and where the answer goes.
#[derive(clap::Args, Debug)]
pub(crate) struct Asked {
    #[command(flatten)]
    lake: OneLakeFlags,

    /// A value for the parameter $NAME in the SQL, of the type of what it is compared with there. $now, $until (now), $from (midnight 29 days ago) and $site are predefined
    /// and can be overridden.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Query only this site's events.
    #[arg(long, value_name = "ID")]
    pub(crate) site: Option<String>,

    /// Query the published table as it was: at a version, as `lake history` lists them, or at a time such as
    /// 2026-03-01T12:00:00Z or 2026-03-01 (midnight UTC).
    ///
    /// A time means the last version committed at or before it, by the compactors' clocks. Pending events are not part of
    /// the answer, and the table reports is read as it is now. Versions whose files were replaced longer ago than the
    /// compactor's --replaced-grace can no longer be read.
    #[arg(long, value_name = "TIME|VERSION", value_parser = AsOf::parse)]
    as_of: Option<AsOf>,

    /// Format of the answer.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table)]
    format: AnswerFormat,

    /// Write the answer to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineSettings,

    #[command(flatten)]
    workers: WorkersFlags,

    #[command(flatten)]
    limits: QueryLimits,
}

/// The query: a file or its text.
#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct Text {
    /// A file with the query, such as one in queries/.
    #[arg(value_name = "FILE.sql")]
    file: Option<PathBuf>,

    /// The text of the query.
    #[arg(short = 'e', long = "execute", value_name = "SQL")]
    sql: Option<String>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let (sql, source) = match (&flags.text.sql, &flags.text.file) {
        (Some(sql), _) => (sql.clone(), None),
        (None, Some(file)) => {
            if is_sql(file) {
                bail!("{file:?} is not a file; to run SQL given on the command line, use -e");
            }
            let sql = analytics::read_sql(file).with_context(|| format!("could not read {}", file.display()))?;
            (sql, Some(file.clone()))
        }
        (None, None) => bail!("give a query with -e or a file"),
    };
    answer(flags.asked, &sql, source.as_deref()).await
}

/// Answers a query and writes the answer.
///
/// - `source`: the file with the query. Its header has values for parameters that nobody gives.
pub(crate) async fn answer(asked: Asked, sql: &str, source: Option<&Path>) -> anyhow::Result<()> {
    if asked.format == AnswerFormat::Parquet && asked.output.is_none() {
        bail!("Parquet needs a file: add -o answer.parquet");
    }
    let lake = asked.lake.open_existing(asked.site.as_deref()).await?;
    if asked.site.is_none() && lake.organisation().is_none() {
        say_what_lies_elsewhere(&lake).await;
    }
    let time_zone = match &asked.site {
        Some(site) => site::find(&lake, site).await?.settings.time_zone.clone(),
        None => "UTC".to_owned(),
    };
    let mut params = params::of_period(Utc::now(), asked.site.as_deref(), &time_zone);
    for param in &asked.params {
        let Some((name, value)) = param.split_once('=') else { bail!("--param takes NAME=VALUE, not {param:?}") };
        let name = name.trim_start_matches('$');
        params.retain(|(known, _)| known != name);
        params.push((name.to_owned(), Param::Written(value.to_owned())));
    }
    if let Some(file) = source {
        let header = Header::parse(sql);
        let header = header.map_err(|error| anyhow::anyhow!("{}:{}: {error}", file.display(), error.line))?;
        header.complete(&mut params);
    }

    let engine = match lake.organisation() {
        None => cluster::with_workers(Engine::new(lake, &asked.engine)?, &asked.workers).await?,
        // Workers know the main lake alone.
        Some(_) => Engine::new(lake, &asked.engine)?,
    };
    let scope = asked.site.map_or(Scope::Lake, Scope::Site);
    let in_source = |error: EngineError| match (source, &error) {
        (Some(file), EngineError::Query { message, line: Some(line), .. }) => {
            anyhow::anyhow!("{}:{line}: {message}", file.display())
        }
        (Some(file), _) => anyhow::Error::from(error).context(file.display().to_string()),
        (None, _) => error.into(),
    };
    let view = match asked.as_of {
        None => engine.view().await?,
        Some(as_of) => engine.view_as_of(as_of).await?,
    };
    let session = Arc::new(view.session(&scope)?);
    let mut rows = session.stream_within(sql, &params, asked.limits).await.map_err(in_source)?;
    let mut answer = AnswerWriter::start(asked.format, output(asked.output.as_deref())?, rows.schema())?;
    while let Some(batch) = rows.next().await.map_err(in_source)? {
        answer.write(batch)?;
    }
    Ok(answer.finish()?)
}

/// Says which sites an answer of the whole main lake does not have, if the registry can be read.
async fn say_what_lies_elsewhere(main: &Lake) {
    let Ok(directory) = main.sites().await else { return };
    let elsewhere: Vec<&str> =
        directory.sites().iter().filter(|site| site.lake.is_some()).map(|site| &*site.site_id).collect();
    if !elsewhere.is_empty() {
        let sites = elsewhere.join(", ");
        eprintln!("without {sites}, which lie in lakes of their organisations' own: add --site or --organisation");
    }
}

/// Whether somebody gave the SQL itself where a file is expected.
fn is_sql(file: &Path) -> bool {
    !file.exists() && file.to_string_lossy().contains(|c: char| c.is_whitespace() || c == '(')
}

/// Where the answer goes: a file, or the standard output.
fn output(path: Option<&Path>) -> anyhow::Result<AnswerOutput> {
    Ok(match path {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("could not write {}", path.display()))?;
            Box::new(BufWriter::new(file))
        }
        None => Box::new(BufWriter::new(Stdout::new())),
    })
}
