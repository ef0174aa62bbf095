//! Follows the events for one destination.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, TimeDelta, Utc};
use lake::{DestinationSpec, Erasures, HeldCursor, Lake, LaneSettings, Position, RefusedEvent, encode_refused};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::batch::Batch;
use crate::destination::{Destination, SendError};
use crate::feed::{Feed, Next, Rows};
use crate::message::{Event, add_fields, events_of};
use crate::selection::Selection;
use crate::settings::ForwardSettings;

/// The pause after the first failure; it doubles up to `forward_pause_max`.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// How many rows are read at a time: enough that few batches are smaller than they might be.
const ROWS_MIN: usize = 8_192;
const ROWS_MAX: usize = 65_536;

/// Follows the events for a destination, until it is stopped or another process does.
pub(crate) struct Follower {
    pub(crate) lake: Lake,
    pub(crate) spec: DestinationSpec,
    pub(crate) destination: Arc<dyn Destination>,
    pub(crate) selection: Selection,
    pub(crate) settings: ForwardSettings,
    pub(crate) clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    pub(crate) stop: CancellationToken,
}

/// Why a follower has nothing more to do.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Stopped,
    /// The cursor is another's, or was set.
    Lost,
}

/// What became of messages.
enum Sent {
    /// They are delivered, or refused for good.
    All,
    /// Somebody was erased while they waited: what is left of them is to be sent.
    Anew,
    Ended(Ended),
}

/// A message to be sent, the row that it is, and where the row behind it is.
struct Ready {
    /// Bytes of the message as JSON.
    bytes: usize,
    row: u32,
    after: Position,
    message: Result<Json, String>,
    event: Event,
}

impl Follower {
    /// Runs until it is stopped. Whatever fails is logged and tried again.
    pub(crate) async fn run(self) {
        while !self.stop.is_cancelled() {
            let failed = match self.follow().await {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Lost) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                tracing::warn!(destination = %self.spec.name, error = format!("{error:#}"), "could not follow the events; trying again");
            }
            self.pause(self.settings.forward_poll.max(Duration::from_millis(50))).await;
        }
    }

    async fn follow(&self) -> anyhow::Result<Ended> {
        let held_for = TimeDelta::from_std(self.settings.forward_take_over)?;
        let Some(mut held) = self.lake.hold_cursor(&self.spec.name, (self.clock)(), held_for).await? else {
            return Ok(Ended::Lost);
        };
        let ended = self.follow_from(&mut held).await;
        match &ended {
            Ok(Ended::Stopped) => self.lake.release_cursor(held).await?,
            Ok(Ended::Lost) | Err(_) => {}
        }
        ended
    }

    async fn follow_from(&self, held: &mut HeldCursor) -> anyhow::Result<Ended> {
        let mut position = match held.cursor.position {
            Some(position) => position,
            // A new destination gets what is new from now on.
            None => {
                let newest = self.lake.newest_events().await?;
                let version = newest.map_or(0, |newest| newest + 1);
                Position { version, ..Position::default() }
            }
        };
        held.cursor.position = Some(position);
        let rows_min = self.destination.limits().events_max.clamp(ROWS_MIN, ROWS_MAX);
        let mut feed = Feed::new(self.lake.clone(), rows_min);
        let mut moved_at = Instant::now();
        if !self.lake.move_cursor(held, (self.clock)()).await? {
            return Ok(Ended::Lost);
        }
        loop {
            if self.stop.is_cancelled() {
                return Ok(Ended::Stopped);
            }
            let is_idle = match feed.next(position).await? {
                Next::Rows(rows) => {
                    match self.deliver(held, &mut feed, &rows).await? {
                        Some(ended) => return Ok(ended),
                        None => position = held.cursor.position.unwrap_or(position),
                    }
                    false
                }
                Next::Nothing(at) => {
                    let is_elsewhere = at != position;
                    position = at;
                    held.cursor.position = Some(position);
                    !is_elsewhere
                }
            };
            if moved_at.elapsed() * 3 > self.settings.forward_take_over {
                if !self.lake.move_cursor(held, (self.clock)()).await? {
                    return Ok(Ended::Lost);
                }
                moved_at = Instant::now();
            }
            if is_idle {
                self.pause(self.settings.forward_poll).await;
            }
        }
    }

    /// Delivers rows, batch by batch, and moves the cursor behind each.
    async fn deliver(&self, held: &mut HeldCursor, feed: &mut Feed, rows: &Rows) -> anyhow::Result<Option<Ended>> {
        let end = Position { row: rows.at.row + rows.batch.num_rows() as u64, ..rows.at };
        let erasures = feed.erasures().await?;
        let chosen = self.selection.chosen(&rows.batch, &erasures)?;
        let indices: UInt32Array =
            (0..rows.batch.num_rows() as u32).filter(|row| chosen.value(*row as usize)).map(Some).collect();
        let ours = take_record_batch(&rows.batch, &indices)?;
        let events = events_of(&ours)?;
        let mut ready = Vec::with_capacity(events.len());
        for (row, event) in events.into_iter().enumerate() {
            let message = self.destination.message(&event).map(|mut message| {
                add_fields(&mut message, &event, &self.spec.fields);
                message
            });
            let after = Position { row: rows.at.row + u64::from(indices.value(row)) + 1, ..rows.at };
            let bytes = message.as_ref().map_or(0, |message| message.to_string().len());
            ready.push(Ready { bytes, row: row as u32, after, message, event });
        }
        let mut from = 0;
        while from < ready.len() {
            if self.stop.is_cancelled() {
                return Ok(Some(Ended::Stopped));
            }
            // A person may have been erased while earlier batches were sent.
            let erasures = feed.erasures().await?;
            let count = self.size_of_batch(&ready[from..]);
            let part = &ready[from..from + count];
            let erased = erasures.covered_rows(&ours.slice(from, count));
            let (wanted, refused): (Vec<&Ready>, Vec<&Ready>) = part
                .iter()
                .zip(erased.iter())
                .filter(|(_, erased)| *erased != Some(true))
                .map(|(ready, _)| ready)
                .partition(|ready| ready.message.is_ok());
            let refused = refused.into_iter().map(|ready| {
                let reason = ready.message.as_ref().err().cloned().unwrap_or_default();
                (reason, Json::Object(ready.event.clone()))
            });
            let mut refused: Vec<(String, Json)> = refused.collect();
            if !wanted.is_empty() {
                match self.send_all(held, feed, &erasures, &ours, &wanted, &mut refused).await? {
                    Sent::All => {}
                    Sent::Anew => continue,
                    Sent::Ended(ended) => return Ok(Some(ended)),
                }
            }
            self.keep_refused(&refused).await?;
            held.cursor.refused += refused.len() as u64;
            held.cursor.position = Some(part.last().map_or(end, |last| last.after));
            if !self.lake.move_cursor(held, (self.clock)()).await? {
                return Ok(Some(Ended::Lost));
            }
            self.keep_to_rate(wanted.len()).await;
            from += count;
        }
        held.cursor.position = Some(end);
        Ok(None)
    }

    /// How many of the next messages make a batch: one at the least.
    fn size_of_batch(&self, ready: &[Ready]) -> usize {
        let limits = self.destination.limits();
        let (mut count, mut bytes, mut first) = (0, 0, None);
        for next in ready {
            if let Ok(message) = &next.message {
                bytes += next.bytes + 1;
                let first = *first.get_or_insert(message);
                let fits = bytes <= limits.bytes_max && self.destination.share_a_batch(first, message);
                if count > 0 && !fits {
                    break;
                }
            }
            count += 1;
            if count == limits.events_max {
                break;
            }
        }
        count.max(1)
    }

    /// Sends messages until they are delivered, or refused for good.
    async fn send_all(
        &self,
        held: &mut HeldCursor,
        feed: &mut Feed,
        erasures: &Arc<Erasures>,
        rows: &RecordBatch,
        wanted: &[&Ready],
        refused: &mut Vec<(String, Json)>,
    ) -> anyhow::Result<Sent> {
        let indices: UInt32Array = wanted.iter().map(|ready| Some(ready.row)).collect();
        let after = wanted[wanted.len() - 1].after;
        let whole = Batch {
            id: format!("{}-{}-{}-{}", self.spec.name, after.version, after.file, after.row),
            rows: take_record_batch(rows, &indices)?,
            messages: wanted.iter().filter_map(|ready| ready.message.clone().ok()).collect(),
            sent_at: (self.clock)(),
        };
        let mut waiting = vec![whole];
        let mut pauses = self.pauses();
        while let Some(mut batch) = waiting.pop() {
            batch.sent_at = (self.clock)();
            match self.destination.send(&batch).await {
                Ok(()) => {
                    let count = batch.messages.len() as u64;
                    held.cursor.delivered += count;
                    held.cursor.delivered_at = Some((self.clock)());
                    held.cursor.failing = None;
                    pauses = self.pauses();
                    metrics::counter!("dewpond_forward_events_delivered_total", "destination" => self.spec.name.clone())
                        .increment(count);
                }
                Err(SendError::Never { reason }) => match batch.halves() {
                    // Somewhere in it is an event that the destination does not want. The others are to go on.
                    Some([first, second]) => waiting.extend([second, first]),
                    None => refused.extend(batch.messages.into_iter().map(|message| (reason.clone(), message))),
                },
                Err(SendError::Later { reason, after }) => {
                    metrics::counter!("dewpond_forward_failures_total", "destination" => self.spec.name.clone())
                        .increment(1);
                    let now = (self.clock)();
                    let since = held.cursor.failing.take().map_or(now, |(since, _)| since);
                    if since == now {
                        tracing::warn!(destination = %self.spec.name, reason, "a destination takes no events; trying again");
                    }
                    held.cursor.failing = Some((since, reason));
                    waiting.push(batch);
                    let pause = pauses.next().unwrap_or(self.settings.forward_pause_max);
                    // Within the time in which nobody else takes over.
                    let until = Instant::now() + after.unwrap_or(pause).min(self.settings.forward_pause_max.max(pause));
                    loop {
                        if !self.lake.move_cursor(held, (self.clock)()).await? {
                            return Ok(Sent::Ended(Ended::Lost));
                        }
                        let left = until.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            break;
                        }
                        if !Arc::ptr_eq(&feed.erasures().await?, erasures) {
                            return Ok(Sent::Anew);
                        }
                        self.pause(left.min(self.settings.forward_take_over / 3)).await;
                        if self.stop.is_cancelled() {
                            return Ok(Sent::Ended(Ended::Stopped));
                        }
                    }
                }
            }
        }
        Ok(Sent::All)
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE.min(self.settings.forward_pause_max))
            .with_max_delay(self.settings.forward_pause_max)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// Keeps what a destination does not want, for people to look at.
    async fn keep_refused(&self, refused: &[(String, Json)]) -> anyhow::Result<()> {
        if refused.is_empty() {
            return Ok(());
        }
        let now = (self.clock)();
        let kept: Vec<RefusedEvent> = refused
            .iter()
            .map(|(reason, message)| RefusedEvent {
                site_id: self.spec.site_id.clone(),
                received_at_us: now.timestamp_micros(),
                protocol: "forward",
                reason: format!("{}: {reason}", self.spec.name),
                event: message.to_string(),
            })
            .collect();
        metrics::counter!("dewpond_forward_events_refused_total", "destination" => self.spec.name.clone())
            .increment(kept.len() as u64);
        tracing::warn!(destination = %self.spec.name, events = kept.len(), reason = kept[0].reason, "a destination refused events; they are in quarantine");
        let file = self.lake.run_aside(move || encode_refused(&kept)).await?;
        self.lake.put_refused(file, now, LaneSettings::default()).await?;
        Ok(())
    }

    async fn keep_to_rate(&self, sent: usize) {
        if let Some(rate) = self.spec.events_per_second_max {
            self.pause(Duration::from_secs_f64(sent as f64 / f64::from(rate.max(1)))).await;
        }
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
