//! A lane: one writer of one collector process. Only a lane makes an event durable.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use tokio::time::{Instant, sleep, timeout_at};

use crate::lake::Lake;
use crate::layout::{Hour, LaneId, RawFile};

/// How long a lane tries.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// One try of a put is given up after this long and the same put tried again.
    pub try_timeout: Duration,
    /// The pause before the second try; it doubles up to ten times this.
    pub retry_pause: Duration,
    /// After this long without a confirmed put the lane is abandoned.
    pub give_up_after: Duration,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self {
            try_timeout: Duration::from_secs(10),
            retry_pause: Duration::from_millis(50),
            give_up_after: Duration::from_secs(30),
        }
    }
}

/// Why a batch is not durable.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The store did not confirm the file in time. It may still land later; since event ids deduplicate,
    /// sending the events again is safe. This lane is finished: start another one.
    #[error("the store did not confirm {path} within {waited:?}")]
    Abandoned {
        /// The file.
        path: String,
        /// How long it was tried.
        waited: Duration,
        /// What the store said last.
        #[source]
        source: Option<object_store::Error>,
    },
}

/// One writer. Its files are numbered without gaps, and file *n + 1* is put only after file *n* is
/// confirmed: this is what lets the published table remember all it has consumed by one number a lane.
///
/// A put creates a path that only this lane can write, with the same bytes at each try. An ambiguous
/// failure is therefore simply tried again, and "already exists" means that an earlier try landed.
pub struct Lane {
    lake: Lake,
    id: LaneId,
    next_seq: u64,
    settings: LaneSettings,
}

impl Lane {
    /// Starts a lane. `id` must be new: a UUIDv7 made by the caller and never used before.
    pub fn start(lake: Lake, id: LaneId, settings: LaneSettings) -> Self {
        Self { lake, id, next_seq: 1, settings }
    }

    /// The lane's id.
    pub fn id(&self) -> LaneId {
        self.id
    }

    /// Puts one encoded [`RawBatch`](crate::RawBatch) as the lane's next file. When this returns `Ok`, its
    /// events are durable and every snapshot taken from now on has them.
    ///
    /// - `file`: the bytes of a Parquet file.
    /// - `now`: the time of arrival, which chooses the directory.
    ///
    /// An error takes the lane with it, so that its number can never carry two different files.
    pub async fn append(mut self, file: Bytes, now: DateTime<Utc>) -> Result<(Self, RawFile), AppendError> {
        let path =
            self.lake.path(&format!("{}/{}", Hour::containing(now).dir(), RawFile::name(self.id, self.next_seq)));
        put_until_confirmed(&self.lake, &path, &file, self.settings).await?;
        let written =
            RawFile { path, lane: self.id, seq: self.next_seq, size_bytes: file.len() as u64, modified_at: now };
        self.next_seq += 1;
        Ok((self, written))
    }
}

/// Creates an object whose path only the caller can write, and tries again until the store confirms it.
pub(crate) async fn put_until_confirmed(
    lake: &Lake,
    path: &Path,
    file: &Bytes,
    settings: LaneSettings,
) -> Result<(), AppendError> {
    let started = Instant::now();
    let deadline = started + settings.give_up_after;
    let mut pause = settings.retry_pause;
    loop {
        let try_until = deadline.min(Instant::now() + settings.try_timeout);
        let last = match timeout_at(try_until, put(lake, path, file)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => Some(error),
            Err(_elapsed) => None,
        };
        if let Some(error) = &last {
            tracing::warn!(%path, error = error as &dyn std::error::Error, "a put failed; trying again");
        } else {
            tracing::warn!(%path, "a put timed out; trying again");
        }
        if Instant::now() + pause >= deadline {
            return Err(AppendError::Abandoned { path: path.to_string(), waited: started.elapsed(), source: last });
        }
        sleep(pause).await;
        pause = (pause * 2).min(settings.retry_pause * 10);
    }
}

async fn put(lake: &Lake, path: &Path, file: &Bytes) -> object_store::Result<()> {
    let store = lake.store();
    match store.put_opts(path, file.clone().into(), PutOptions::from(PutMode::Create)).await {
        Ok(_) => Ok(()),
        // Only the caller writes this path, so this is our own earlier try, unless the store says it of
        // a conflict in which nothing landed (S3's 409): look.
        Err(error @ object_store::Error::AlreadyExists { .. }) => match store.head(path).await {
            Ok(found) if found.size == file.len() as u64 => Ok(()),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Err(error),
            Err(unreadable) => Err(unreadable),
        },
        Err(error) => Err(error),
    }
}
