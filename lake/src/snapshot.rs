//! What is in the lake at one moment: published events and pending ones.
//!
//! This is the only answer to "which files are live". It lists the raw tier first and loads the log second: whatever
//! was consumed and deleted before the listing is in the table version loaded after it. The other order would lose
//! events that are published and deleted between the two reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectMeta;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::{LaneId, RAW_DIR, RawFile};
use crate::schema::tables::EVENTS;
use crate::store::sabotage::Sabotage;
use crate::table::TableSnapshot;

/// All events acknowledged before it was taken, each in at least one of its files.
#[derive(Clone)]
pub struct Snapshot {
    /// The published table `events`.
    pub events: Arc<TableSnapshot>,
    /// Raw files whose events the table does not have yet, by lane and sequence.
    pub pending: Vec<RawFile>,
    /// Raw files that the table has consumed and nobody has deleted yet.
    pub consumed: Vec<RawFile>,
    /// For each lane with raw files: the last sequence number that the table has.
    pub watermarks: BTreeMap<LaneId, u64>,
}

impl Lake {
    /// Takes a snapshot. Costs a listing of the raw tier and what was committed since the last snapshot.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        if self.runtime().sabotage == Some(Sabotage::LogBeforeListing) {
            let events = self.table(&EVENTS).load().await?;
            return divide(self.list_raw().await?, events).await;
        }
        let listed = self.list_raw().await?;
        let events = self.table(&EVENTS).load().await?;
        divide(listed, events).await
    }

    async fn list_raw(&self) -> Result<Vec<RawFile>> {
        let objects: Vec<ObjectMeta> = match self.store().list(Some(&self.path(RAW_DIR))).try_collect().await {
            Ok(objects) => objects,
            Err(object_store::Error::NotFound { .. }) => vec![],
            Err(error) => return Err(LakeError::store("list the raw tier", error)),
        };
        let mut files: Vec<RawFile> = objects.iter().filter_map(RawFile::parse).collect();
        files.sort_by_key(|file| (file.lane, file.seq));
        Ok(files)
    }
}

async fn divide(listed: Vec<RawFile>, events: Arc<TableSnapshot>) -> Result<Snapshot> {
    let lanes: BTreeSet<LaneId> = listed.iter().map(|file| file.lane).collect();
    let watermarks: BTreeMap<LaneId, u64> = events.consumed(lanes.into_iter().collect()).await?.into_iter().collect();
    let (consumed, pending) = listed.into_iter().partition(|file| file.seq <= watermarks[&file.lane]);
    Ok(Snapshot { events, pending, consumed, watermarks })
}
