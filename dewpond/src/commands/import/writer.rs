//! Makes the events of an import durable, and keeps in mind which files are done.

use anyhow::Context as _;
use chrono::Utc;
use intake::Context;
use lake::{EventColumns, Lake, Lane, LaneSettings, RawParts, RefusedEvent, encode_refused};
use tokio::task::JoinHandle;

use super::gathered::Refused;
use super::places::Place;

/// Events are written once they take this much memory. The raw file is several times smaller.
const BATCH_BYTES: usize = 32 << 20;

/// So many refused rows are kept for people to look at. Others are only counted.
const REFUSED_MAX: usize = 10_000;

/// How many refused rows are written together.
const REFUSED_FILE_ROWS: usize = 1_000;

/// Writes batches one after the other, each while the next one grows.
pub(super) struct Writer {
    lake: Lake,
    site: String,
    events: RawParts,
    /// Files whose last row is in `events`, or in one before it.
    ended: Vec<String>,
    refused: Vec<RefusedEvent>,
    refused_before: usize,
    lane: Writing,
}

enum Writing {
    Idle(Lane),
    Busy(JoinHandle<anyhow::Result<Lane>>),
    Lost,
}

/// What a file that is done is known by; none of standard input.
pub(super) fn mark(place: &Place) -> Option<String> {
    Some(format!("{} {}", place.name, place.version.as_ref()?))
}

impl Writer {
    pub(super) fn start(lake: Lake, site: &str) -> Self {
        let lane = Lane::start(lake.clone(), lake.new_lane_id(Utc::now()), LaneSettings::default());
        Self {
            lake,
            site: site.to_owned(),
            events: RawParts::default(),
            ended: vec![],
            refused: vec![],
            refused_before: 0,
            lane: Writing::Idle(lane),
        }
    }

    pub(super) fn add(&mut self, events: EventColumns) {
        self.events.add(events);
    }

    /// A file has been read to its end. It is done when its last row is durable.
    pub(super) fn end_file(&mut self, place: &Place) {
        self.ended.extend(mark(place));
    }

    pub(super) fn refuse(&mut self, context: &Context, place: &str, refused: Refused) {
        if self.refused_before + self.refused.len() < REFUSED_MAX {
            self.refused.push(RefusedEvent {
                site_id: context.site_id.clone(),
                received_at_us: context.received_at_us,
                protocol: "native",
                reason: format!("{place}: {}", refused.reason),
                event: refused.kept,
            });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.events.estimated_bytes() >= BATCH_BYTES || self.refused.len() >= REFUSED_FILE_ROWS
    }

    /// Begins to write what has gathered, as soon as what was begun before is durable.
    pub(super) async fn write(&mut self) -> anyhow::Result<()> {
        let mut lane = self.idle().await?;
        let events = std::mem::take(&mut self.events);
        let refused = std::mem::take(&mut self.refused);
        let ended = std::mem::take(&mut self.ended);
        self.refused_before += refused.len();
        let (lake, site) = (self.lake.clone(), self.site.clone());
        self.lane = Writing::Busy(tokio::spawn(async move {
            if !events.is_empty() {
                let file = tokio::task::spawn_blocking(move || events.encode()).await?;
                let (same, _) =
                    lane.append(file, Utc::now()).await.context("could not write the events; run the import again")?;
                lane = same;
            }
            if !refused.is_empty() {
                let file = tokio::task::spawn_blocking(move || encode_refused(&refused)).await?;
                // They were shown and are counted; an import does not fail for its quarantine.
                if let Err(error) = lake.put_refused(file, Utc::now(), LaneSettings::default()).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "could not keep refused rows");
                }
            }
            if !ended.is_empty() {
                lake.note_imported_files(&site, &ended).await?;
            }
            Ok(lane)
        }));
        Ok(())
    }

    async fn idle(&mut self) -> anyhow::Result<Lane> {
        match std::mem::replace(&mut self.lane, Writing::Lost) {
            Writing::Idle(lane) => Ok(lane),
            Writing::Busy(writing) => writing.await?,
            Writing::Lost => anyhow::bail!("an earlier write failed"),
        }
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<()> {
        self.write().await?;
        self.idle().await?;
        tracing::debug!(lake = %self.lake.url(), "imported");
        Ok(())
    }
}
