//! What is in the lake at one moment: published events and pending ones.
//!
//! This is the only answer to "which files are live". It lists the raw tier first and loads the log second: whatever
//! was consumed and deleted before the listing is in the table version loaded after it. The other order would lose
//! events that are published and deleted between the two reads.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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
    /// Raw files that the table has consumed and vacuum has not deleted yet.
    pub consumed: Vec<RawFile>,
    /// For each lane with raw files: the last sequence number that the table has.
    pub watermarks: BTreeMap<LaneId, u64>,
}

/// A name for what a snapshot shows of the table `events`, as 32 hexadecimal digits.
///
/// Two snapshots of one lake with the same fingerprint show the same rows of `events` to this release, in any process and
/// at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Snapshot {
    /// A name for what this snapshot shows: a hash of the table's version and the paths of the pending files.
    ///
    /// The version stands for the list of erasures, too: a list is honoured from the commit that names it, and that
    /// commit is a version of its own. A raw file never changes, so its path stands for its events. Consumed files are
    /// left out because they show nothing: deleting them changes no answer.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        // Before there is a table its version is another than any number.
        hasher.update(&self.events.version.map_or(-1, i128::from).to_le_bytes());
        for file in &self.pending {
            let path = file.path.as_ref().as_bytes();
            // With its length, so that no two lists of paths are the same bytes.
            hasher.update(&(path.len() as u64).to_le_bytes());
            hasher.update(path);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Fingerprint(bytes)
    }
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

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::{Change, Event, EventId, Lane, LaneSettings, Person, PersonId, RawBatch};

    #[tokio::test]
    async fn a_fingerprint_changes_with_what_queries_see_and_with_nothing_else() {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut seen = BTreeSet::new();
        let mut changes = async |what: &str| {
            let (once, again) = (lake.snapshot().await.unwrap(), lake.snapshot().await.unwrap());
            assert_eq!(once.fingerprint(), again.fingerprint(), "asked twice after {what}");
            assert!(seen.insert(once.fingerprint()), "{what} changed nothing");
            once
        };
        changes("nothing").await;
        let lane = append(&lake, "1").await;
        changes("a pending file").await;
        append(&lake, "2").await;
        changes("another pending file").await;
        publish(&lake, lane).await;
        changes("a publish").await;
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        lake.record_erasure(&person, [], now()).await.unwrap();
        let snapshot = changes("an erasure").await;

        // A consumed file that vacuum deletes was in no answer before.
        let without_consumed = Snapshot { consumed: vec![], watermarks: BTreeMap::new(), ..snapshot.clone() };
        assert_eq!((snapshot.consumed.len(), without_consumed.fingerprint()), (1, snapshot.fingerprint()));
        assert_eq!(snapshot.fingerprint().to_string().len(), 32);
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9)
    }

    /// One raw file of a lane of its own.
    async fn append(lake: &Lake, id: &str) -> LaneId {
        let mut batch = RawBatch::default();
        batch.push(&Event {
            event_id: EventId::from_client(id),
            site_id: "shop".into(),
            name: "page_view".into(),
            occurred_at_us: now().timestamp_micros(),
            received_at_us: now().timestamp_micros(),
            protocol: "native",
            ..Event::default()
        });
        let id = LaneId(Uuid::now_v7());
        let lane = Lane::start(lake.clone(), id, LaneSettings::default());
        lane.append(batch.encode(), now()).await.unwrap();
        id
    }

    /// Marks a lane's first file as consumed.
    async fn publish(lake: &Lake, lane: LaneId) {
        let table = lake.table(&EVENTS);
        let change = Change::publish(vec![], vec![(lane, 1)], BTreeSet::new());
        table.commit(change, table.load().await.unwrap()).await.unwrap();
    }
}
