//! `dewpond import`: imports events from files of this and other products, and from logs of servers.
//!
//! | File | Question |
//! |---|---|
//! | `places` | where the files lie |
//! | `unpacked` | what is in a file that is compressed, or in a zip |
//! | `sniff` | what the files are, before anything is written |
//! | `rows`: `json_items`, `csv_rows`, `parquet_rows`, `cells`, `names` | which rows a file has, and which of them need not become JSON first |
//! | `reading` | what a row is |
//! | `days` | numbers of days, which are no events |
//! | `nth` | which of several equal records without an id one is |
//! | `gathered` | what a thread makes of some thousand rows |
//! | `writer` | how events become durable, and which files are done |
//! | `summary` | what to say |
//!
//! Repeating an import adds nothing. A record without an id gets one from its content and its position among equal records
//! of its file, so its id is the same each time.

mod days;
mod gathered;
mod nth;
mod places;
mod progress;
mod reading;
mod rows;
mod sniff;
mod summary;
mod unpacked;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use chrono::Utc;
use futures::StreamExt;
use intake::history::{DaysSource, Format, Told, told};
use intake::{Client, Context, Geography, Ids, Window};
use lake::{Lake, SiteSettings};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use self::days::DaysImport;
use self::gathered::Gathered;
use self::nth::Nth;
use self::places::Place;
use self::progress::Progress;
use self::reading::Reading;
use self::sniff::{Found, Sample};
use self::summary::Summary;
use self::writer::Writer;
use crate::lake_flags::{LakeFlags, lakes};

/// Values that belong to records of other files are held in memory, up to this size.
const JOINED_BYTES_MAX: usize = 256 << 20;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The site to import into; it is added if it does not exist. Exported events with another site_id are left out.
    #[arg(long, value_name = "ID")]
    site: String,

    /// Whose export the files are, or what log: ga4, snowplow, segment, rudderstack, posthog, umami, plausible,
    /// goatcounter, amplitude, mixpanel, combined, vhost, common, cloudfront, alb, s3, nginx-json, caddy, traefik, iis, haproxy; or auto, to find
    /// out. Without it they have the fields of the native protocol.
    #[arg(long, value_name = "NAME", conflicts_with = "map")]
    format: Option<String>,

    /// A mapping file that says what becomes of the records.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,

    /// The zone of times without one, such as Europe/Berlin.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,

    /// A value for the mapping, such as host=shop.example for logs that do not name it.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    variables: Vec<String>,

    /// Import only records with this value in a field of theirs, such as app_id=shop.
    #[arg(long, value_name = "FIELD=VALUE")]
    only: Vec<String>,

    /// A MaxMind file that tells countries, regions and cities of addresses. Addresses are not stored.
    #[arg(long, env = "DEWPOND_GEOIP", value_name = "FILE")]
    geoip: Option<PathBuf>,

    /// Write nothing: count, and show the first rows and refusals.
    #[arg(long)]
    dry_run: bool,

    /// Leave out files that earlier imports into the site have read to their end.
    #[arg(long)]
    resume: bool,

    /// Import nothing, and remove the numbers of days that were imported from plausible or goatcounter.
    #[arg(long, value_name = "SOURCE", conflicts_with = "files")]
    forget_days: Option<String>,

    /// Files, directories, s3://…, gs://… or az://… (with a slash at the end: all objects below it), or - for standard
    /// input. JSON, CSV, Parquet, Avro or lines of logs; gzip, zstd and zip are unpacked.
    #[arg(required_unless_present = "forget_days", value_name = "FILE")]
    files: Vec<String>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    if let Some(source) = &flags.forget_days {
        return forget_days(&flags.lake, &flags.site, source).await;
    }
    let wanted = flags.wanted().await?;
    let days = flags.format.as_deref().and_then(DaysSource::named);
    let is_open = flags.format.as_deref() == Some("auto");
    let told = told(&flags.zone, &flags.variables).map_err(anyhow::Error::msg)?;
    let only = flags.only.iter().map(|text| text.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned())));
    let only = only.collect::<Option<Vec<_>>>().context("--only must be FIELD=VALUE")?;
    let geography = flags.geoip.as_deref().map(Geography::open).transpose()?.map(Arc::new);
    let mut places = Vec::new();
    for file in &flags.files {
        places.extend(Place::all(file).await?);
    }
    sniff::refuse_intraday_beside_its_day(places.iter().map(|place| &*place.name))?;

    let mut lake = lake_of(flags.lake.open()?, &flags.site).await?;
    let mut done_before = 0;
    if flags.resume {
        let done = lake.imported_files(&flags.site).await?;
        let count = places.len();
        places.retain(|place| writer::mark(place).is_none_or(|mark| !done.contains(&mark)));
        done_before = count - places.len();
    }

    // All files are looked at before the first event is written, so that a mistyped name or format changes nothing.
    let files = look_at(places, wanted, days, is_open).await?;
    if !flags.dry_run {
        lake = lake_of(flags.lake.open_for_writing().await?, &flags.site).await?;
    }
    if is_open {
        for format in files.formats() {
            eprintln!("reading as {format}");
        }
    }
    let site_settings = match flags.dry_run {
        true => settings_of(&lake, &flags.site).await.unwrap_or_default(),
        false => {
            if lake.ensure_site(&flags.site, Utc::now()).await? {
                eprintln!("added the site {0}; `dewpond site key add {0}` issues a write key for it", flags.site);
            }
            settings_of(&lake, &flags.site).await?
        }
    };
    let read_bytes = Arc::new(AtomicU64::new(0));
    if !files.days.is_empty() {
        let lake = (!flags.dry_run).then(|| lake.clone());
        let import = DaysImport::new(lake, &flags.site, told.clone(), read_bytes.clone());
        let places = files.days.clone();
        spawn_blocking(move || import.run(&places)).await??;
        if files.records.is_empty() {
            return Ok(());
        }
    }
    let context = Context {
        site_id: flags.site.as_str().into(),
        received_at_us: Utc::now().timestamp_micros(),
        window: Window::History,
        client: Client { geography, ..Client::default() },
        ids: Ids::new(lake.new_rng()),
    };
    // Nobody knows it once the import is over: then nobody can find out from whom an id was made.
    let salt = site_settings.cookieless.then(|| {
        let random = [context.ids.random(), context.ids.random()].map(uuid::Uuid::into_bytes).concat();
        *blake3::hash(&random).as_bytes()
    });
    let import = Import {
        told,
        context,
        salt,
        only,
        progress: Progress::start(files.total_bytes())?,
        summary: Summary::new(flags.dry_run),
        writer: (!flags.dry_run).then(|| Writer::start(lake.clone(), &flags.site)),
        noted: (!flags.dry_run).then(|| Noted {
            lake: lake.clone(),
            site: flags.site.clone(),
            formats: files.formats(),
        }),
    };
    let summary = import.run(files, read_bytes).await?;
    summary.print(&flags.site, done_before);
    if summary.accepted == 0 && summary.refused + summary.of_other_sites > 0 {
        bail!("no event could be imported");
    }
    Ok(())
}

impl Flags {
    /// The format that the files should be of, if one is named.
    async fn wanted(&self) -> anyhow::Result<Option<Arc<Format>>> {
        if let Some(path) = &self.map {
            let name = path.display().to_string();
            let toml = tokio::fs::read_to_string(path).await.with_context(|| format!("could not read {name}"))?;
            let format = Format::parse(&name, &toml).map_err(anyhow::Error::msg);
            return Ok(Some(Arc::new(format.with_context(|| format!("{name} is no mapping file"))?)));
        }
        match self.format.as_deref() {
            None | Some("auto" | "native") => Ok(None),
            Some(name)
                if DaysSource::named(name).is_some() && !Format::shipped().iter().any(|format| format.name == name) =>
            {
                Ok(None)
            }
            Some(name) => match Format::shipped().iter().find(|format| format.name == name) {
                Some(format) => Ok(Some(Arc::new(format.clone()))),
                None => bail!("there is no format {name:?}; the formats are: auto, {}", sniff::names_of_formats()),
            },
        }
    }
}

async fn forget_days(lake: &LakeFlags, site: &str, source: &str) -> anyhow::Result<()> {
    if DaysSource::named(source).is_none() {
        let known = DaysSource::ALL.map(DaysSource::name).join(", ");
        bail!("there are no numbers of days from {source:?}; they come from {known}");
    }
    let rows = lake.open_of_site(Some(site)).await?.remove_imported_days(site, source).await?;
    println!("removed {rows} numbers of days by {source} from site {site}");
    Ok(())
}

/// The lake that the site lies in, or will lie in when it is added.
async fn lake_of(main: Lake, site: &str) -> anyhow::Result<Lake> {
    let directory = main.sites().await?;
    let own = directory.site(site).and_then(|site| site.lake.clone());
    Ok(lakes(main).lake(own.as_ref()).await?)
}

async fn settings_of(lake: &Lake, site: &str) -> anyhow::Result<SiteSettings> {
    let sites = lake.sites().await?;
    Ok(sites.site(site).map(|site| site.settings.clone()).unwrap_or_default())
}

/// The files of an import, and what they are.
struct Files {
    /// Those with records, in order.
    records: Vec<(Place, FormatOf)>,
    /// Those with values of records, which are read first.
    joined: Vec<Place>,
    /// Those with numbers of days.
    days: Vec<(Place, DaysSource)>,
}

/// What a file is read as: a place may be a zip with files of several formats.
type FormatOf = Arc<HashMap<String, Option<Arc<Format>>>>;

impl Files {
    fn total_bytes(&self) -> u64 {
        self.records.iter().map(|(place, _)| place.size_bytes).sum()
    }

    fn formats(&self) -> Vec<String> {
        let named = self.records.iter().flat_map(|(_, formats)| formats.values());
        let mut titles: Vec<String> = named
            .map(|format| match format {
                Some(format) => format!("{} (--format {})", format.title, format.name),
                None => "events in the fields of the native protocol".to_owned(),
            })
            .collect();
        titles.extend(self.days.iter().map(|(_, source)| format!("{} (--format {})", source.title(), source.name())));
        titles.sort();
        titles.dedup();
        titles
    }
}

/// Finds out what all files are.
///
/// - `days`: the product whose numbers of days they may have.
async fn look_at(
    places: Vec<Place>,
    wanted: Option<Arc<Format>>,
    days: Option<DaysSource>,
    is_open: bool,
) -> anyhow::Result<Files> {
    let runtime = tokio::runtime::Handle::current();
    spawn_blocking(move || {
        let mut files = Files { records: vec![], joined: vec![], days: vec![] };
        for place in places {
            let (mut formats, mut is_joined, mut of_days) = (HashMap::new(), false, None);
            unpacked::each(&place, &runtime, &Arc::new(AtomicU64::new(0)), |file| {
                let name = file.name.clone();
                match Sample::take(file, wanted.as_deref())?.judge(wanted.as_ref(), days, is_open)? {
                    Found::Records(format) => drop(formats.insert(name, format)),
                    Found::Joined => is_joined = true,
                    Found::Days(source) => of_days = Some(source),
                    Found::Empty => {}
                }
                Ok(())
            })?;
            if is_joined {
                files.joined.push(place.clone());
            }
            if let Some(source) = of_days {
                files.days.push((place.clone(), source));
            }
            if of_days.is_none() || !formats.is_empty() {
                files.records.push((place, Arc::new(formats)));
            }
        }
        Ok(files)
    })
    .await?
}

/// What is read of files, in their order.
enum Step {
    /// Rows of the file that this is the name of.
    Rows(Arc<str>, Arc<Reading>, rows::Rows),
    /// The file within a place has ended; records of the next are counted anew.
    EndOfFile,
    /// The place has ended.
    EndOfPlace(Box<Place>),
}

struct Import {
    told: Told,
    context: Context,
    salt: Option<lake::Salt>,
    only: Vec<(String, String)>,
    progress: Progress,
    summary: Summary,
    writer: Option<Writer>,
    noted: Option<Noted>,
}

/// Where an import is remembered.
struct Noted {
    lake: Lake,
    site: String,
    formats: Vec<String>,
}

impl Noted {
    /// The import stays done if that fails.
    async fn note(&self, summary: &Summary, failed: Option<String>) {
        let run = summary.run(Utc::now(), &self.formats, failed);
        if let Err(error) = self.lake.note_import(&self.site, &run).await {
            tracing::warn!("could not note the import in the registry: {}", lake::whole_text(&error));
        }
    }
}

impl Import {
    async fn run(mut self, files: Files, read_bytes: Arc<AtomicU64>) -> anyhow::Result<Summary> {
        let joined = Arc::new(self.join(&files, &read_bytes).await?);
        let (sender, receiver) = mpsc::channel(4);
        let base = Base {
            told: self.told.clone(),
            context: self.context.clone(),
            salt: self.salt,
            only: self.only.clone(),
            is_dry: self.summary.is_dry,
            joined,
        };
        let runtime = tokio::runtime::Handle::current();
        let counted = read_bytes.clone();
        let reader = spawn_blocking(move || read_all(files, &base, &runtime, &counted, &sender));
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let steps = futures::stream::unfold(receiver, async |mut receiver: mpsc::Receiver<Step>| {
            receiver.recv().await.map(|step| (step, receiver))
        });
        let mut read = Box::pin(steps.map(take_step).buffered(2 * threads));
        let mut nth = Nth::default();
        while let Some(taken) = read.next().await {
            match taken? {
                Taken::Rows { file, are_lines, mut gathered } => {
                    gathered.number_on(&mut nth);
                    self.take(&file, are_lines, *gathered);
                    if let Some(writer) = &mut self.writer
                        && writer.is_full()
                    {
                        writer.write().await?;
                        self.progress.wrote(self.summary.accepted);
                    }
                    self.progress.read(read_bytes.load(Ordering::Relaxed));
                }
                Taken::EndOfFile => nth = Nth::default(),
                Taken::EndOfPlace(place) => {
                    self.summary.files += 1;
                    if let Some(writer) = &mut self.writer {
                        writer.end_file(&place);
                    }
                }
            }
        }
        let ended = reader.await?;
        // What was read before a file that is cut off stays: it need not be read again.
        if let Some(writer) = self.writer.take() {
            writer.finish().await?;
        }
        self.progress.finish();
        if let Some(noted) = &self.noted {
            noted.note(&self.summary, ended.as_ref().err().map(|error| format!("{error:#}"))).await;
        }
        if let Err(error) = ended {
            self.summary.print_refusals();
            let accepted = self.summary.accepted;
            let kept = if accepted > 0 && !self.summary.is_dry {
                format!(
                    "{accepted} events before it are imported. Repair or leave out the file and run the import again: \
                         nothing is stored twice"
                )
            } else {
                "nothing was imported".to_owned()
            };
            return Err(error.context(kept));
        }
        Ok(self.summary)
    }

    fn take(&mut self, file: &str, are_lines: bool, gathered: Gathered) {
        let Gathered { events, refused, summary, .. } = gathered;
        for (number, refused) in refused {
            let place = if are_lines { format!("{file}:{number}") } else { format!("{file}, row {number}") };
            self.progress.refused(&place, &refused.reason);
            if let Some(writer) = &mut self.writer {
                writer.refuse(&self.context, &place, refused);
            }
        }
        self.summary.add(summary);
        if let Some(writer) = &mut self.writer {
            writer.add(events);
        }
    }

    /// Reads the files whose values belong to the records of others.
    async fn join(
        &self,
        files: &Files,
        read_bytes: &Arc<AtomicU64>,
    ) -> anyhow::Result<HashMap<String, reading::Object>> {
        let places = files.joined.clone();
        let formats = files.records.iter().flat_map(|(_, formats)| formats.values().flatten());
        let Some(format) = formats.into_iter().find(|format| format.join.is_some()).cloned() else {
            if let Some(place) = places.first() {
                bail!("{} has values of events; import it together with the events themselves", place.name);
            }
            return Ok(HashMap::new());
        };
        let (runtime, read_bytes) = (tokio::runtime::Handle::current(), read_bytes.clone());
        spawn_blocking(move || {
            let (mut joined, mut bytes) = (HashMap::new(), 0);
            for place in places {
                unpacked::each(&place, &runtime, &read_bytes, |file| {
                    let mut add = |rows| {
                        if let Some(join) = &format.join {
                            bytes += reading::join(join, &mut joined, rows);
                        }
                        if bytes > JOINED_BYTES_MAX {
                            bail!(
                                "{} has more values than fit into memory; export a shorter time, and import one after the other",
                                place.name
                            );
                        }
                        Ok(true)
                    };
                    rows::read(file, Some(&format), &read_bytes, &mut add)
                })?;
            }
            Ok(joined)
        })
        .await?
    }
}

/// What all files of an import have in common.
struct Base {
    told: Told,
    context: Context,
    salt: Option<lake::Salt>,
    only: Vec<(String, String)>,
    is_dry: bool,
    joined: Arc<HashMap<String, reading::Object>>,
}

/// Reads all files and sends their rows, until nobody takes them any more.
fn read_all(
    files: Files,
    base: &Base,
    runtime: &tokio::runtime::Handle,
    read_bytes: &Arc<AtomicU64>,
    sender: &mpsc::Sender<Step>,
) -> anyhow::Result<()> {
    let mut readings: HashMap<Option<String>, Arc<Reading>> = HashMap::new();
    for (place, formats) in files.records {
        if sender.is_closed() {
            return Ok(());
        }
        unpacked::each(&place, runtime, read_bytes, |file| {
            let name: Arc<str> = file.name.as_str().into();
            let Some(format) = formats.get(&*name).cloned() else { return Ok(()) };
            let reading = readings.entry(format.as_ref().map(|format| format.name.clone())).or_insert_with(|| {
                Arc::new(Reading {
                    format: format.clone(),
                    told: base.told.clone(),
                    context: base.context.clone(),
                    salt: base.salt,
                    only: base.only.clone(),
                    is_dry: base.is_dry,
                    joined: base.joined.clone(),
                })
            });
            rows::read(file, format.as_deref(), read_bytes, &mut |rows| {
                Ok(sender.blocking_send(Step::Rows(name.clone(), reading.clone(), rows)).is_ok())
            })?;
            let _ = sender.blocking_send(Step::EndOfFile);
            Ok(())
        })?;
        let _ = sender.blocking_send(Step::EndOfPlace(Box::new(place)));
    }
    Ok(())
}

/// A step that has been taken.
enum Taken {
    Rows { file: Arc<str>, are_lines: bool, gathered: Box<Gathered> },
    EndOfFile,
    EndOfPlace(Box<Place>),
}

async fn take_step(step: Step) -> anyhow::Result<Taken> {
    Ok(match step {
        Step::Rows(file, reading, rows) => {
            let are_lines = rows.are_lines;
            let gathered = Box::new(spawn_blocking(move || reading.read(rows)).await??);
            Taken::Rows { file, are_lines, gathered }
        }
        Step::EndOfFile => Taken::EndOfFile,
        Step::EndOfPlace(place) => Taken::EndOfPlace(place),
    })
}
