//! `dewpond import`: imports events from files.
//!
//! Repeating an import adds nothing. An event without an id gets one from its content and its position among equal events, so
//! its id is the same each time.

mod csv_rows;
mod names;
mod parquet_rows;
mod progress;
mod sources;

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use chrono::Utc;
use intake::protocol::imported::{self, Imported};
use intake::{Client, Context, Ids, Window};
use lake::{EventId, Lake, Lane, LaneSettings, RawBatch};

use self::progress::Progress;
use self::sources::{Entry, Place, Source};
use crate::lake_flags::LakeFlags;

/// Events are written once they take this much memory. The raw file is several times smaller.
const BATCH_BYTES: usize = 64 << 20;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The site to import into; it is added if it does not exist. Exported events with another site_id are left out.
    #[arg(long, value_name = "ID")]
    site: String,

    /// Files with events in the fields of the native protocol: .ndjson (or .jsonl), .csv with a header, or .parquet.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    // All files are opened before the first event is written, so that a mistyped name changes nothing.
    let sources = flags.files.iter().map(|path| Source::open(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let lake = flags.lake.open_for_writing().await?;
    if lake.ensure_site(&flags.site, Utc::now()).await? {
        eprintln!("added the site {}; `dewpond site key add {}` issues a write key for it", flags.site, flags.site);
    }
    let total_bytes = sources.iter().map(|source| source.size_bytes).sum();
    let mut progress = Progress::start(total_bytes)?;
    let mut import = Import::start(lake, &flags.site);
    for source in sources {
        import.file(source, &mut progress).await?;
    }
    let done = import.finish().await?;
    progress.finish();
    println!(
        "imported {} events from {} file(s) into site {}; {} rejected",
        done.accepted,
        flags.files.len(),
        flags.site,
        done.rejected
    );
    if done.of_other_sites > 0 {
        println!(
            "left out {} events with the site_id of another site: import them into that site, or remove the column to import \
             them into this one",
            done.of_other_sites
        );
    }
    println!(
        "Events already in the lake, or repeated in the files, are stored once. New events are visible to `dewpond query` now."
    );
    if done.accepted == 0 && done.rejected + done.of_other_sites > 0 {
        bail!("no event could be imported");
    }
    Ok(())
}

#[derive(Debug, Default)]
struct Done {
    accepted: u64,
    rejected: u64,
    /// Exported events that name another site.
    of_other_sites: u64,
}

struct Import {
    lake: Lake,
    lane: Option<Lane>,
    context: Context,
    batch: RawBatch,
    /// For events without an id: how many with the same content have come so far.
    seen: HashMap<[u8; 32], u64>,
    done: Done,
}

impl Import {
    fn start(lake: Lake, site: &str) -> Self {
        let context = Context {
            site_id: site.into(),
            received_at_us: Utc::now().timestamp_micros(),
            window: Window::History,
            client: Client::default(),
            ids: Ids::new(lake.new_rng()),
        };
        let lane = Some(Lane::start(lake.clone(), lake.new_lane_id(Utc::now()), LaneSettings::default()));
        Self { lake, lane, context, batch: RawBatch::default(), seen: HashMap::new(), done: Done::default() }
    }

    async fn file(&mut self, mut source: Source, progress: &mut Progress) -> anyhow::Result<()> {
        while let Some((place, entry)) = source.next()? {
            match entry {
                Entry::Event(json) => self.event(&json, place, progress),
                Entry::Unreadable(reason) => self.reject(&reason, place, progress),
            }
            progress.read(source.read_bytes);
            if self.batch.estimated_bytes() >= BATCH_BYTES {
                self.write().await?;
                progress.wrote(self.done.accepted);
            }
        }
        progress.end_file(source.size_bytes);
        Ok(())
    }

    fn event(&mut self, json: &str, place: Place<'_>, progress: &mut Progress) {
        let seen = &mut self.seen;
        // Equal events without an id are different events, told apart by their position among each other.
        let derived = || {
            let content = blake3::hash(json.as_bytes());
            let nth = seen.entry(*content.as_bytes()).or_default();
            *nth += 1;
            EventId::derived(&[b"import", content.as_bytes(), &nth.to_le_bytes()])
        };
        match imported::parse(json, &self.context, derived) {
            Ok(Imported::OfOtherSite) => self.done.of_other_sites += 1,
            Ok(Imported::Event(event)) => {
                self.done.accepted += 1;
                self.batch.push(&event);
            }
            Err(reason) => self.reject(&reason, place, progress),
        }
    }

    fn reject(&mut self, reason: &str, place: Place<'_>, progress: &mut Progress) {
        self.done.rejected += 1;
        progress.rejected(place, reason);
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let file = tokio::task::spawn_blocking(move || batch.encode()).await?;
        let lane = self.lane.take().context("an earlier write failed")?;
        let (lane, _) =
            lane.append(file, Utc::now()).await.context("could not write the events; run the import again")?;
        self.lane = Some(lane);
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<Done> {
        self.write().await?;
        tracing::debug!(lake = %self.lake.url(), "imported");
        Ok(self.done)
    }
}
