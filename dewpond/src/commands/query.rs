//! `dewpond query`: runs a SQL query over the lake as it is now, or over the published table as it was.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches_with_schema;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::ValueEnum;
use engine::{Engine, EngineError, EngineSettings, Param, Scope, params};
use futures::TryStreamExt;
use lake::EVENTS;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use super::site;
use crate::lake_flags::LakeFlags;
use crate::stdout::Stdout;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    #[command(flatten)]
    text: Text,

    /// A value for the parameter $NAME in the SQL. $now, $until (now), $from (midnight 29 days ago) and $site are predefined
    /// and can be overridden.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,

    /// Query only this site's events.
    #[arg(long, value_name = "ID")]
    site: Option<String>,

    /// Query the published table as it was: at a version, as `lake history` lists them, or at a time such as
    /// 2026-03-01T12:00:00Z or 2026-03-01 (midnight UTC).
    ///
    /// A time means the last version committed at or before it, by the compactors' clocks. Pending events are not part of
    /// the answer, and the table reports is read as it is now. Versions whose files were replaced longer ago than the
    /// compactor's --replaced-grace can no longer be read.
    #[arg(long, value_name = "TIME|VERSION", value_parser = AsOf::parse)]
    as_of: Option<AsOf>,

    /// Format of the answer.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Write the answer to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    engine: EngineSettings,
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

/// A state of the published table in the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AsOf {
    Version(u64),
    Time(DateTime<Utc>),
}

impl AsOf {
    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self::Time(date.and_time(NaiveTime::MIN).and_utc()));
        }
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::Time(time.to_utc())),
            Err(_) => Err("give a version such as 42, or a time such as 2026-03-01T12:00:00Z or 2026-03-01".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Ndjson,
    Parquet,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let (sql, source) = match (&flags.text.sql, &flags.text.file) {
        (Some(sql), _) => (sql.clone(), None),
        (None, Some(file)) => {
            if is_sql(file) {
                bail!("{file:?} is not a file; to run SQL given on the command line, use -e");
            }
            let sql = std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
            (sql, Some(file.clone()))
        }
        (None, None) => bail!("give a query with -e or a file"),
    };
    if flags.format == Format::Parquet && flags.output.is_none() {
        bail!("Parquet needs a file: add -o answer.parquet");
    }
    let mut params = params::of_period(Utc::now(), flags.site.as_deref());
    for param in &flags.params {
        let Some((name, value)) = param.split_once('=') else { bail!("--param takes NAME=VALUE, not {param:?}") };
        let name = name.trim_start_matches('$');
        params.retain(|(known, _)| known != name);
        params.push((name.to_owned(), Param::parse(value)));
    }

    let lake = flags.lake.open_existing().await?;
    if let Some(site) = &flags.site {
        site::find(&lake, site).await?;
    }
    let engine = Engine::new(lake, &flags.engine)?;
    let scope = flags.site.map_or(Scope::Lake, Scope::Site);
    let in_source = |error: EngineError| match (&source, &error) {
        (Some(file), EngineError::Query { message, line: Some(line) }) => {
            anyhow::anyhow!("{}:{line}: {message}", file.display())
        }
        (Some(file), _) => anyhow::Error::from(error).context(file.display().to_string()),
        (None, _) => error.into(),
    };
    let view = match flags.as_of {
        None => engine.view().await?,
        Some(AsOf::Version(version)) => engine.view_at(version).await?,
        Some(AsOf::Time(time)) => engine.view_at(engine.lake().table(&EVENTS).version_at(time).await?).await?,
    };
    let session = view.session(&scope)?;
    let mut rows = session.stream(&sql, &params).await.map_err(in_source)?;
    let mut answer = Answer::start(flags.format, flags.output.as_ref(), rows.schema())?;
    while let Some(batch) = rows.try_next().await.map_err(|error| in_source(error.into()))? {
        answer.write(batch)?;
    }
    answer.finish()
}

/// Whether somebody gave the SQL itself where a file is expected.
fn is_sql(file: &Path) -> bool {
    !file.exists() && file.to_string_lossy().contains(|c: char| c.is_whitespace() || c == '(')
}

type Out = Box<dyn Write + Send>;

/// An answer on its way out, batch by batch; only a table is kept whole, to align its columns.
enum Answer {
    Table(SchemaRef, Vec<RecordBatch>, Out),
    Csv(Box<arrow::csv::Writer<Out>>),
    Json(arrow::json::ArrayWriter<Out>),
    Ndjson(arrow::json::LineDelimitedWriter<Out>),
    Parquet(Box<ArrowWriter<Out>>),
}

impl Answer {
    fn start(format: Format, output: Option<&PathBuf>, schema: SchemaRef) -> anyhow::Result<Self> {
        let out: Out = match output {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("could not write {}", path.display()))?;
                Box::new(BufWriter::new(file))
            }
            None => Box::new(BufWriter::new(Stdout::new())),
        };
        Ok(match format {
            Format::Table => Self::Table(schema, vec![], out),
            Format::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(out);
                // An answer without rows still has a header.
                writer.write(&RecordBatch::new_empty(schema))?;
                Self::Csv(Box::new(writer))
            }
            Format::Json => Self::Json(arrow::json::ArrayWriter::new(out)),
            Format::Ndjson => Self::Ndjson(arrow::json::LineDelimitedWriter::new(out)),
            Format::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
                Self::Parquet(Box::new(ArrowWriter::try_new(out, schema, Some(properties))?))
            }
        })
    }

    fn write(&mut self, batch: RecordBatch) -> anyhow::Result<()> {
        match self {
            Self::Table(_, batches, _) => batches.push(batch),
            Self::Csv(writer) => writer.write(&batch)?,
            Self::Json(writer) => writer.write(&batch)?,
            Self::Ndjson(writer) => writer.write(&batch)?,
            Self::Parquet(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Table(schema, batches, mut out) => {
                writeln!(out, "{}", pretty_format_batches_with_schema(schema, &batches)?)?;
                out.flush()?;
            }
            Self::Csv(writer) => writer.into_inner().flush()?,
            Self::Json(mut writer) => {
                writer.finish()?;
                let mut out = writer.into_inner();
                writeln!(out)?;
                out.flush()?;
            }
            Self::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            Self::Parquet(writer) => writer.into_inner()?.flush()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_version_and_a_date_is_its_midnight() {
        let midnight = || Some(AsOf::Time("2026-03-01T00:00:00Z".parse().unwrap()));
        check("42", Some(AsOf::Version(42)));
        check("2026-03-01", midnight());
        check("2026-03-01T00:00:00Z", midnight());
        check("2026-03-01T02:00:00+02:00", midnight());
        check("yesterday", None);
        check("-1", None);
        check("2026-02-30", None);
    }

    #[track_caller]
    fn check(text: &str, expected: Option<AsOf>) {
        assert_eq!(AsOf::parse(text).ok(), expected, "{text}");
    }
}
