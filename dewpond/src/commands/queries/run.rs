//! `dewpond queries run`.

use analytics::MetricScope;
use anyhow::{anyhow, bail};

use super::Dir;
use crate::commands::query::{self, Asked};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    /// The name of the query: its file's, without `.sql`.
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    dir: Dir,

    #[command(flatten)]
    asked: Asked,
}

pub(super) async fn run(flags: Flags) -> anyhow::Result<()> {
    let query = flags.dir.find(&flags.name)?;
    let sql = query.sql.map_err(|reason| anyhow!("{}: {reason}", query.path.display()))?;
    match (query.header.scope, &flags.asked.site) {
        (MetricScope::Site, None) => bail!("{} is a query of one site: add --site ID", query.name),
        (MetricScope::Lake, Some(_)) => bail!("{} is a query of the whole lake: leave --site out", query.name),
        _ => {}
    }
    query::answer(flags.asked, &sql, Some(&query.path)).await
}
