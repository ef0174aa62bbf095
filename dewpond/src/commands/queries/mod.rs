//! `dewpond queries`: the metrics as files, checked, listed and run by name.

mod check;
mod list;
mod run;

use std::path::PathBuf;

use analytics::{QueryFile, read_queries, typing_distance};
use anyhow::bail;
use clap::Subcommand;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Parse and plan every query; fail if one would not run, with its file, line and column.
    ///
    /// Nothing is read but the names of columns, so this suits a commit hook or CI.
    Check(check::Flags),
    /// List the metrics with what their headers say.
    List(Dir),
    /// Answer one query by its name, now.
    Run(Box<run::Flags>),
}

/// Where the queries are.
#[derive(clap::Args, Clone, Debug)]
struct Dir {
    /// Directory of the metrics: one `.sql` file each.
    #[arg(long, env = "DEWPOND_QUERIES", default_value = "queries", value_name = "DIR")]
    queries: PathBuf,
}

impl Dir {
    fn read(&self) -> anyhow::Result<Vec<QueryFile>> {
        read_queries(&self.queries)
    }

    /// The query of a name, with or without `.sql`.
    fn find(&self, name: &str) -> anyhow::Result<QueryFile> {
        let (mut queries, name) = (self.read()?, name.trim_end_matches(".sql"));
        match queries.iter().position(|query| query.name == name) {
            Some(at) => Ok(queries.swap_remove(at)),
            None => bail!("there is no query {name} in {}{}", self.queries.display(), hint(name, &queries)),
        }
    }
}

/// The name that was meant, if one is near.
fn hint(name: &str, queries: &[QueryFile]) -> String {
    let nearest = queries.iter().min_by_key(|query| typing_distance(name, &query.name));
    match nearest.filter(|query| typing_distance(name, &query.name) <= name.len() / 3) {
        Some(query) => format!("; did you mean {}?", query.name),
        None => "; `dewpond queries list` shows them".to_owned(),
    }
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    match flags.command {
        Command::Check(flags) => check::run(flags).await,
        Command::List(dir) => list::run(&dir),
        Command::Run(flags) => run::run(*flags).await,
    }
}
