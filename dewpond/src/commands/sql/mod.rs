//! `dewpond sql`: SQL over the lake, one statement after the other, in a terminal or from a pipe.

mod buffer;
mod completion;
mod editor;
mod statements;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use chrono::Utc;
use console::Term;
use engine::{
    AnswerFormat, AnswerWriter, Engine, EngineError, EngineSettings, QueryLimits, Scope, SharedViews, params,
    text_table,
};
use indicatif::{ProgressBar, ProgressStyle};
use lake::whole_text;
use parking_lot::Mutex;

use self::completion::Names;
use self::editor::{Editor, Typed};
use super::site;
use crate::lake_flags::LakeFlags;

/// A query that takes longer says that it runs.
const SILENT_FOR: Duration = Duration::from_secs(1);

const HELP: &str = "\
Write SQL and end it with a semicolon; it may have several lines. Tab completes, Ctrl-R searches what you wrote before,
Ctrl-C ends a query or drops what you typed, Ctrl-D ends the program.

  \\d          the tables
  \\d TABLE    the columns of a table
  \\e          edits the last statement in $EDITOR
  \\timing     shows how long a query takes, or no longer
  \\q          ends the program";

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// Ask of one site only.
    #[arg(long, value_name = "ID")]
    site: Option<String>,

    /// How answers are written.
    #[arg(long, value_enum, default_value_t = AnswerFormat::Table, value_name = "FORMAT")]
    format: AnswerFormat,

    #[command(flatten)]
    limits: QueryLimits,

    #[command(flatten)]
    engine: EngineSettings,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    if flags.format == AnswerFormat::Parquet {
        bail!("Parquet needs a file: use `dewpond query --format parquet -o answer.parquet`");
    }
    let lake = flags.lake.open_existing().await?;
    let time_zone = match &flags.site {
        Some(site) => site::find(&lake, site).await?.settings.time_zone.clone(),
        None => "UTC".to_owned(),
    };
    let is_shown = io::stdout().is_terminal();
    let mut console = Console {
        views: SharedViews::new(Engine::new(lake, &flags.engine)?),
        scope: flags.site.clone().map_or(Scope::Lake, Scope::Site),
        site: flags.site,
        time_zone,
        format: flags.format,
        limits: flags.limits,
        times: is_shown,
        is_shown,
        last: String::new(),
    };
    if io::stdin().is_terminal() && is_shown {
        return console.converse().await;
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("could not read the statements")?;
    console.read(&text).await
}

/// What goes on after a line.
#[derive(PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
    /// The editor begins with the last statement, edited elsewhere.
    Edited(String),
}

struct Console {
    views: SharedViews,
    scope: Scope,
    site: Option<String>,
    time_zone: String,
    format: AnswerFormat,
    limits: QueryLimits,
    times: bool,
    /// Whether answers go to a terminal.
    is_shown: bool,
    /// The last statement.
    last: String,
}

impl Console {
    /// Asks and answers in a terminal.
    async fn converse(&mut self) -> anyhow::Result<()> {
        println!("Dewpond {} on {}. \\? helps, \\q ends.", env!("CARGO_PKG_VERSION"), self.views.engine().lake().url());
        // From now on Ctrl-C is for queries. In the editor it is a key.
        let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let names = self.names().await?;
        let file = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".dewpond_history"));
        let mut editor = Editor::new(file);
        let mut begun = String::new();
        loop {
            let is_whole =
                |text: &str| text.starts_with('\\') || statements::first(text).is_some() || text.trim().is_empty();
            let complete = |before: &str| names.complete(before);
            let typed = tokio::task::block_in_place(|| editor.read(&std::mem::take(&mut begun), &is_whole, &complete))?;
            let mut text = match typed {
                Typed::Text(text) => text,
                Typed::Interrupted => continue,
                Typed::End => return Ok(()),
            };
            if text.starts_with('\\') {
                match self.command(&text).await {
                    Ok(Next::Goes) => {}
                    Ok(Next::Ends) => return Ok(()),
                    Ok(Next::Edited(edited)) => begun = edited,
                    Err(error) => tell(&error),
                }
                continue;
            }
            while let Some((statement, rest)) = statements::first(&text) {
                if !statements::is_empty(statement) {
                    self.last = format!("{};", statement.trim());
                    if let Err(error) = self.answer(statement).await {
                        tell(&error);
                        break;
                    }
                }
                text = rest.to_owned();
            }
        }
    }

    /// Answers the statements of a text, up to the first that fails.
    async fn read(&mut self, mut text: &str) -> anyhow::Result<()> {
        loop {
            text = text.trim_start();
            if text.starts_with('\\') {
                let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
                match self.command(line).await? {
                    Next::Ends => return Ok(()),
                    Next::Goes => text = rest,
                    Next::Edited(_) => bail!("\\e needs a terminal"),
                }
                continue;
            }
            let (statement, rest) = statements::first(text).unwrap_or((text, ""));
            if !statements::is_empty(statement) {
                self.answer(statement).await?;
            }
            if rest.is_empty() {
                return Ok(());
            }
            text = rest;
        }
    }

    async fn command(&mut self, line: &str) -> anyhow::Result<Next> {
        let (command, argument) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        match (command.trim_end_matches(';'), argument.trim().trim_end_matches(';')) {
            ("\\q", _) => return Ok(Next::Ends),
            ("\\?" | "\\h", _) => println!("{HELP}"),
            ("\\timing", _) => {
                self.times = !self.times;
                println!("times are {}", if self.times { "shown" } else { "not shown" });
            }
            ("\\e", _) => {
                let edited = tokio::task::block_in_place(|| edit(&self.last))?;
                return Ok(Next::Edited(edited.trim_end().to_owned()));
            }
            ("\\d" | "\\dt" | "\\d+", "") => {
                let rows: Vec<Vec<String>> = self
                    .tables()
                    .await?
                    .iter()
                    .map(|(name, schema)| vec![(*name).to_owned(), schema.fields().len().to_string()])
                    .collect();
                print!("{}", text_table::render(&["table", "columns"], &rows));
            }
            ("\\d" | "\\d+", table) => {
                let tables = self.tables().await?;
                let Some((_, schema)) = tables.iter().find(|(name, _)| *name == table) else {
                    bail!("there is no table {table}: \\d shows them");
                };
                let row = |field: &Arc<arrow::datatypes::Field>| {
                    let null = if field.is_nullable() { "" } else { "not null" };
                    vec![field.name().clone(), sql_type(field.data_type()), null.to_owned()]
                };
                let rows: Vec<Vec<String>> = schema.fields().iter().map(row).collect();
                print!("{}", text_table::render(&["column", "type", ""], &rows));
            }
            (command, _) => bail!("{command} is not known: \\? shows what is"),
        }
        Ok(Next::Goes)
    }

    async fn tables(&self) -> anyhow::Result<Vec<(&'static str, SchemaRef)>> {
        let view = self.views.view().await.map_err(anyhow::Error::new)?;
        Ok(view.session(&self.scope)?.schemas().await?)
    }

    async fn names(&self) -> anyhow::Result<Names> {
        let view = self.views.view().await.map_err(anyhow::Error::new)?;
        let session = view.session(&self.scope)?;
        let columns = |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect();
        let tables =
            session.schemas().await?.iter().map(|(name, schema)| ((*name).to_owned(), columns(schema))).collect();
        Ok(Names { tables, functions: session.function_names() })
    }

    /// Answers one statement. Ctrl-C ends it.
    async fn answer(&self, sql: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let progress = Progress::new(self.is_shown);
        let answering = self.find(sql, &progress);
        let found = tokio::select! {
            found = answering => found,
            _ = tokio::signal::ctrl_c(), if self.is_shown => {
                progress.end();
                println!("cancelled after {}", seconds(began.elapsed()));
                return Ok(());
            }
        };
        progress.end();
        let (schema, batches) = found.map_err(|error| located(error, sql))?;
        let took = began.elapsed();
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let text = Arc::new(Mutex::new(Vec::new()));
        let mut writer = AnswerWriter::start(self.format, Box::new(Shared(text.clone())), schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()?;
        let text = String::from_utf8_lossy(&std::mem::take(&mut *text.lock())).into_owned();
        if !self.is_shown {
            crate::stdout::Stdout::new().write_all(text.as_bytes())?;
            return Ok(());
        }
        tokio::task::block_in_place(|| show(&text))?;
        let time = if self.times { format!(", {}", seconds(took)) } else { String::new() };
        println!("({rows} {}{time})\n", if rows == 1 { "row" } else { "rows" });
        Ok(())
    }

    async fn find(&self, sql: &str, progress: &Progress) -> Result<(SchemaRef, Vec<RecordBatch>), EngineError> {
        // Another view is made for each statement: it sees what was acknowledged before.
        let view = self.views.engine().view().await?;
        let session = Arc::new(view.session(&self.scope)?);
        let params = params::of_period(Utc::now(), self.site.as_deref(), &self.time_zone);
        let mut rows = session.stream_within(sql, &params, self.limits).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await? {
            progress.found(batch.num_rows());
            batches.push(batch);
        }
        Ok((rows.schema(), batches))
    }
}

/// An error with the place in the statement that it is about.
fn located(error: EngineError, sql: &str) -> anyhow::Error {
    let place = match &error {
        EngineError::Query { line: Some(line), column: Some(column), .. } => Some((*line, *column)),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    let line = |(line, column): (u64, u64)| {
        let text = sql.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let blank = " ".repeat(usize::try_from(column).ok()?.saturating_sub(1));
        Some(format!("{text}\n{blank}^"))
    };
    match place.and_then(line) {
        Some(line) => anyhow::anyhow!("{}\n{line}", whole_text(error.as_ref())),
        None => error,
    }
}

fn tell(error: &anyhow::Error) {
    println!("error: {}\n", whole_text(error.as_ref()));
}

/// Says that a query runs, once it has for a while.
struct Progress {
    bar: ProgressBar,
    began: Instant,
}

impl Progress {
    fn new(is_shown: bool) -> Self {
        let bar = if is_shown { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{spinner} {elapsed}, {pos} rows so far; Ctrl-C ends the query");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        if is_shown {
            let later = bar.clone();
            tokio::spawn(async move {
                tokio::time::sleep(SILENT_FOR).await;
                if !later.is_finished() {
                    later.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                    later.enable_steady_tick(Duration::from_millis(200));
                }
            });
        }
        Self { bar, began: Instant::now() }
    }

    fn found(&self, rows: usize) {
        if self.began.elapsed() > SILENT_FOR || rows > 0 {
            self.bar.inc(rows as u64);
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A buffer that somebody else reads once it is written.
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints an answer, in the pager if it is longer or wider than the terminal.
fn show(text: &str) -> io::Result<()> {
    let (rows, columns) = Term::stdout().size();
    let is_long = text.lines().count() + 2 > usize::from(rows);
    let is_wide = text.lines().take(1_000).any(|line| line.chars().count() > usize::from(columns));
    if is_long || is_wide {
        let pager = std::env::var("PAGER").unwrap_or_else(|_| "less -SRFX".to_owned());
        let started = Command::new("sh").args(["-c", &pager]).stdin(Stdio::piped()).spawn();
        if let Ok(mut pager) = started {
            // One who has seen enough ends the pager.
            let _ = pager.stdin.take().map(|mut input| input.write_all(text.as_bytes()));
            if pager.wait()?.success() {
                return Ok(());
            }
        }
    }
    io::stdout().write_all(text.as_bytes())?;
    io::stdout().flush()
}

/// Lets somebody change a text in the editor of his choice.
fn edit(text: &str) -> anyhow::Result<String> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "vi".to_owned());
    let file = std::env::temp_dir().join(format!("dewpond-{}.sql", uuid::Uuid::new_v4()));
    std::fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
    let status = Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(&file).status();
    let edited = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    if !status.with_context(|| format!("could not start {editor}"))?.success() {
        bail!("{editor} ended with an error: the statement is as it was");
    }
    edited.context("could not read the edited statement")
}

fn seconds(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1_000.0),
        seconds => format!("{seconds:.2} s"),
    }
}

/// A type as it is written in SQL.
fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Dictionary(_, values) => sql_type(values),
        DataType::Int64 => "bigint".into(),
        DataType::Int32 => "integer".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone".into(),
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Decimal128(precision, scale) => format!("numeric({precision}, {scale})"),
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytes".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_place() {
        let error = EngineError::Query { message: "there is no column x".into(), line: Some(2), column: Some(8) };
        assert_eq!(located(error, "-- a\nSELECT x").to_string(), "there is no column x\nSELECT x\n       ^");
    }
}
