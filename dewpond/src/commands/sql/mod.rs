//! `dewpond sql`: SQL over the lake or over a server of one, one statement after the other, in a terminal or from a pipe.

mod answers;
mod buffer;
mod completion;
mod editor;
mod server;
mod source;
mod statements;
mod types;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use arrow::array::RecordBatch;
use cluster::WorkersFlags;
use console::Term;
use engine::{AnswerFormat, AnswerWriter, Engine, EngineSettings, QueryLimits, text_table};
use indicatif::{ProgressBar, ProgressStyle};
use lake::whole_text;
use parking_lot::Mutex;

use self::answers::Table;
use self::completion::Names;
use self::editor::{Editor, Typed};
use self::server::Server;
use self::source::{OfLake, Source};
use crate::lake_flags::OneLakeFlags;

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
    lake: OneLakeFlags,

    /// Ask a server (`dewpond analytics`) instead of reading the lake: http://HOST:8081 or https://HOST.
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// The read key for the server, or its token.
    // The certificates of workers have the name of the field.
    #[arg(id = "server_key", long = "key", env = "DEWPOND_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,

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

    #[command(flatten)]
    workers: WorkersFlags,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    if flags.format == AnswerFormat::Parquet {
        bail!("Parquet needs a file: use `dewpond query --format parquet -o answer.parquet`");
    }
    let source = match &flags.url {
        Some(url) => Source::Server(Server::new(url, flags.key, flags.site.as_deref(), flags.limits)?),
        None => {
            let engine = Engine::new(flags.lake.open_existing(flags.site.as_deref()).await?, &flags.engine)?;
            let engine = cluster::with_workers(engine, &flags.workers).await?;
            Source::Lake(Box::new(OfLake::new(engine, flags.site, flags.limits).await?))
        }
    };
    let is_shown = io::stdout().is_terminal();
    let mut console = Console { source, format: flags.format, times: is_shown, is_shown, last: String::new() };
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
    source: Source,
    format: AnswerFormat,
    times: bool,
    /// Whether answers go to a terminal.
    is_shown: bool,
    /// The last statement.
    last: String,
}

impl Console {
    /// Asks and answers in a terminal.
    async fn converse(&mut self) -> anyhow::Result<()> {
        // From now on Ctrl-C is for queries. In the editor it is a key.
        let _ = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
        let names = self.names().await?;
        println!("Dewpond {} on {}. \\? helps, \\q ends.", env!("CARGO_PKG_VERSION"), self.source.name());
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
                let row = |table: &Table| vec![table.name.clone(), table.columns.len().to_string()];
                let rows: Vec<Vec<String>> = self.source.tables().await?.iter().map(row).collect();
                print!("{}", text_table::render(&["table", "columns"], &rows));
            }
            ("\\d" | "\\d+", table) => {
                let table = self.source.table(table).await?;
                let rows: Vec<Vec<String>> = table
                    .columns
                    .into_iter()
                    .map(|column| {
                        let null = if column.is_nullable { "" } else { "not null" };
                        vec![column.name, column.sql_type, null.to_owned()]
                    })
                    .collect();
                print!("{}", text_table::render(&["column", "type", ""], &rows));
            }
            (command, _) => bail!("{command} is not known: \\? shows what is"),
        }
        Ok(Next::Goes)
    }

    async fn names(&self) -> anyhow::Result<Names> {
        let columns = |table: Table| table.columns.into_iter().map(|column| column.name).collect();
        let tables = self.source.tables().await?;
        let tables = tables.into_iter().map(|table| (table.name.clone(), columns(table))).collect();
        Ok(Names { tables, functions: self.source.functions().await? })
    }

    /// Answers one statement. Ctrl-C ends it.
    async fn answer(&self, sql: &str) -> anyhow::Result<()> {
        let began = Instant::now();
        let progress = Progress::new(self.is_shown);
        let answering = self.source.rows(sql, |rows| progress.found(rows));
        let found = tokio::select! {
            found = answering => found,
            _ = tokio::signal::ctrl_c(), if self.is_shown => {
                progress.end();
                println!("cancelled after {}", seconds(began.elapsed()));
                return Ok(());
            }
        };
        progress.end();
        let (schema, batches) = found.map_err(|refusal| refusal.of(sql))?;
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
