//! `dewpond export`: writes raw events to files, a file for each site and date, or all events of one person.
//!
//! Every column is written, so the files can be imported into another lake as they are. A file gets its name when it is
//! whole, so an export that was broken off goes on where it was.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::ValueEnum;
use engine::{AnswerFormat, AnswerWriter, EngineSettings, Param, QueryLimits, Scope, SqlSession, View};
use lake::OwnLake;

use crate::lake_flags::{LakeFlags, engines};

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The sites whose events to export; all if not given.
    #[arg(long = "site", value_name = "ID")]
    sites: Vec<String>,

    /// Events that happened then or later, such as 2026-03-01.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// Events that happened before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,

    /// Only events of the person with this user id, of all sites that are named.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,

    /// Only events of the visitor with this anonymous id. With --user-id, events with either.
    #[arg(long, value_name = "ID")]
    anonymous_id: Option<String>,

    /// Format of the files.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    format: Format,

    /// The directory to write to: SITE/date=DATE.FORMAT, or SITE/person.FORMAT for one person.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,

    /// Go on with an export that was broken off: leave out the files that are there. Each has the events that there were when
    /// it was written.
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    engine: EngineSettings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Parquet: types and compression.
    Parquet,
    /// A JSON object a line.
    Ndjson,
    /// CSV with a header.
    Csv,
}

impl Format {
    fn of_answer(self) -> AnswerFormat {
        match self {
            Self::Parquet => AnswerFormat::Parquet,
            Self::Ndjson => AnswerFormat::Ndjson,
            Self::Csv => AnswerFormat::Csv,
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// Exports take as long as they take, and have all rows.
fn limits() -> QueryLimits {
    QueryLimits { timeout: Duration::from_secs(30 * 86_400), ..QueryLimits::default() }
}

/// Which rows. A person's rows of all dates are few; the others are read date by date.
const OF_DATE: &str =
    "SELECT * EXCEPT (date) FROM events WHERE date = $date AND occurred_at >= $from AND occurred_at < $until";
const OF_PERSON: &str = "SELECT * EXCEPT (date) FROM events \
                         WHERE (user_id = $user_id OR anonymous_id = $anonymous_id) \
                         AND occurred_at >= $from AND occurred_at < $until ORDER BY occurred_at, event_id";
const DATES: &str = "SELECT date, count(*) AS events FROM events \
                     WHERE occurred_at >= $from AND occurred_at < $until GROUP BY date ORDER BY date";

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    let lakes = flags.lake.lakes_existing().await?;
    let known = lakes.main().sites().await?;
    for site in &flags.sites {
        if !known.has_site(site) {
            bail!("there is no site {site}; `dewpond site list` shows them");
        }
    }
    let sites: Vec<String> = match flags.sites.is_empty() {
        true => known.sites().iter().map(|site| site.site_id.to_string()).collect(),
        false => flags.sites.clone(),
    };
    let params = flags.params()?;
    let engines = engines(&lakes, &flags.engine)?;
    flags.check_output()?;
    let (mut events, mut files) = (0, 0);
    let mut seen: HashMap<Option<Arc<OwnLake>>, View> = HashMap::new();
    for site in sites {
        // One view of each lake, so that all files of it are of the same moment.
        let lake = known.site(&site).and_then(|site| site.lake.clone());
        let view = match seen.entry(lake.clone()) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(unseen) => unseen.insert(engines.views(lake.as_ref()).await?.engine().view().await?),
        };
        let session = Arc::new(view.session(&Scope::Site(site.clone()))?);
        let dir = flags.output.join(&site);
        if flags.user_id.is_some() || flags.anonymous_id.is_some() {
            let file = dir.join(format!("person.{}", flags.format.ending()));
            if let Some(rows) = flags.write(&session, OF_PERSON, &params, &file).await? {
                (events, files) = (events + rows, files + usize::from(rows > 0));
            }
            continue;
        }
        for date in dates(&session, &params).await? {
            let file = dir.join(format!("date={date}.{}", flags.format.ending()));
            let mut params = params.clone();
            params.push(("date".into(), Param::Date(date)));
            if let Some(rows) = flags.write(&session, OF_DATE, &params, &file).await? {
                (events, files) = (events + rows, files + 1);
            }
        }
    }
    println!("exported {events} events to {files} file(s) in {}", flags.output.display());
    Ok(())
}

impl Flags {
    fn params(&self) -> anyhow::Result<Vec<(String, Param)>> {
        let time = |text: &Option<String>, otherwise: &str| match text {
            Some(text) => instant::parse(text).map_err(|unreadable| anyhow::anyhow!("{text:?} {unreadable}")),
            None => Ok(otherwise.parse::<DateTime<Utc>>().expect("it is written here")),
        };
        let from = time(&self.from, "1970-01-01T00:00:00Z")?;
        let until = time(&self.until, "2101-01-01T00:00:00Z")?;
        let id = |id: &Option<String>| Param::Text(id.clone());
        Ok(vec![
            ("from".into(), Param::Time(from)),
            ("until".into(), Param::Time(until)),
            ("user_id".into(), id(&self.user_id)),
            ("anonymous_id".into(), id(&self.anonymous_id)),
        ])
    }

    /// Fails if files of something else lie where the export is to go.
    fn check_output(&self) -> anyhow::Result<()> {
        let is_empty = fs::read_dir(&self.output).map_or(true, |mut entries| entries.next().is_none());
        if !is_empty && !self.resume {
            bail!("{} is not empty: name another directory, or go on with --resume", self.output.display());
        }
        fs::create_dir_all(&self.output).with_context(|| format!("could not write to {}", self.output.display()))
    }

    /// Writes rows to a file, unless it is there. Returns how many; none of a file that was there.
    async fn write(
        &self,
        session: &Arc<SqlSession>,
        sql: &str,
        params: &[(String, Param)],
        file: &Path,
    ) -> anyhow::Result<Option<u64>> {
        if file.exists() {
            return Ok(None);
        }
        let failed = || format!("could not write {}", file.display());
        fs::create_dir_all(file.parent().unwrap_or(file)).with_context(failed)?;
        let unfinished = file.with_extension(format!("{}.part", self.format.ending()));
        let mut rows = session.stream_within(sql, params, limits()).await?;
        let output = Box::new(BufWriter::new(File::create(&unfinished).with_context(failed)?));
        let mut answer = AnswerWriter::start(self.format.of_answer(), output, rows.schema())?;
        let mut count = 0;
        while let Some(batch) = rows.next().await? {
            count += batch.num_rows() as u64;
            answer.write(batch)?;
        }
        answer.finish()?;
        fs::rename(&unfinished, file).with_context(failed)?;
        Ok(Some(count))
    }
}

async fn dates(session: &SqlSession, params: &[(String, Param)]) -> anyhow::Result<Vec<NaiveDate>> {
    let counted = session.query(DATES, params).await?;
    let rows = engine::to_json_rows(&counted)?;
    let date = |row: &Vec<serde_json::Value>| row.first()?.as_str()?.get(..10)?.parse().ok();
    Ok(rows.iter().filter_map(date).collect())
}
