//! Erasing a person: their events leave the lake and do not come back.
//!
//! The registry keeps a [`list`] of erased persons and events as salted hashes. An event is left out of every query and
//! publish if it belongs to an erased person and happened or arrived before the erasure, or if its id is on the list.
//! Ids are listed because a late copy without a time of its own seems to have happened now.
//!
//! The list is written first. Then a commit to the table `events` names its version. That commit makes every publish
//! void that was planned before it, and every later plan follows the list. So from that commit on none of the person's
//! rows enters the table, and the rows in it can be removed date by date.
//!
//! Clocks differ: an event acknowledged before the erasure may carry a later time from its collector's clock. So the
//! ids of pending and recent events are listed together with the person. The person's later events are not touched,
//! unless a collector with a slow clock stamps them before the erasure.
//!
//! The process may die after any step. The list holds only hashes, so everything that needs the person's real id is
//! done before the list is written; whoever removes the rows finishes the rest. Before a publish or a removal takes an
//! erased row away, it lists the event's id: an interrupted erasure would not find the row any more, and nothing else
//! would identify a late copy.

pub(crate) mod list;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;

use self::list::{COPIES_SPAN, ERASURE_COLUMNS, ERASURES_DOCUMENT, Erasures, ErasuresDocument, Person};
use crate::error::{LakeError, Result};
use crate::event::{EventId, EventKey};
use crate::lake::Lake;
use crate::parquet::reader::{catch_damage, read_batches};
use crate::raw::damaged::DamagedFile;
use crate::schema::tables::EVENTS;
use crate::table::TableSnapshot;
use crate::table::change::Change;
use crate::table::file::TableFile;

/// Events of a person whose ids belong on the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PersonsEvents {
    /// Pending events that are not on the list of erasures.
    pub pending: BTreeSet<EventKey>,
    /// Events of the table that came so lately that clients may send them again, or by a clock that is ahead.
    pub recent: BTreeSet<EventKey>,
}

impl Lake {
    /// The list that `table`'s version tells readers and publishers to honour.
    pub async fn erasures_of(&self, table: &Arc<TableSnapshot>) -> Result<Arc<Erasures>> {
        let version = table.erasures_version().await?;
        if version == 0 {
            return Ok(Arc::default());
        }
        if let Some((known, erasures)) = &*self.known_erasures().lock()
            && *known == version
        {
            return Ok(erasures.clone());
        }
        let erasures = Arc::new(Erasures::new(self.read_version_of(ERASURES_DOCUMENT, version).await?));
        *self.known_erasures().lock() = Some((version, erasures.clone()));
        Ok(erasures)
    }

    /// Lists a person as erased, together with some of their events, and makes every reader and publisher follow the list.
    ///
    /// When this returns, neither these events nor any that happened or arrived up to `now` enter the table any more, and
    /// pending ones are in no answer. Rows that the table has already are still to be removed.
    pub async fn record_erasure<'a>(
        &self,
        person: &Person,
        events: impl IntoIterator<Item = &'a EventKey> + Clone,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.update_erasures(now, |document| {
            document.add_person(person, now);
            document.add_events(events.clone(), now);
        })
        .await
    }

    /// The events of a person whose ids belong on the list, because a later copy may carry a later time: pending events, and
    /// events that arrived recently by any clock.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since it was listed: do it again.
    pub async fn find_events_of(&self, person: &Person, now: DateTime<Utc>) -> Result<PersonsEvents> {
        let theirs = Erasures::of(person);
        let snapshot = self.snapshot().await?;
        let listed = self.erasures_of(&snapshot.events).await?;
        let recent = self.find_erased(&snapshot.events, &theirs, now).await?.into_iter().collect();
        let mut pending = BTreeSet::new();
        for file in &snapshot.pending {
            match catch_damage(&file.path, self.read_raw(file, &ERASURE_COLUMNS)).await {
                Ok(read) => {
                    pending.extend(read.batches.iter().flat_map(|rows| keys_of(rows, &theirs.covered_rows(rows))))
                }
                // It has no part in any answer; its bytes stay.
                Err(error) => {
                    let DamagedFile { reason, .. } = DamagedFile::of(file, error)?;
                    tracing::warn!(file = %file.path, reason, "a pending file is damaged and was not looked into");
                }
            }
        }
        pending.retain(|key| !listed.lists(key));
        Ok(PersonsEvents { pending, recent })
    }

    /// Erased events of the table that arrived so recently that clients may send them again.
    ///
    /// Skips damaged and lost files: the removal of the rows cannot read them either, and reports them. Fails with
    /// [`LakeError::Gone`] if a file was replaced meanwhile.
    pub async fn find_erased(
        &self,
        table: &TableSnapshot,
        erasures: &Erasures,
        now: DateTime<Utc>,
    ) -> Result<Vec<EventKey>> {
        let since_us = (now - COPIES_SPAN).timestamp_micros();
        let mut found = Vec::new();
        for file in table.files.iter().filter(|file| file.may_have_received(since_us)) {
            match self.find_erased_in(file, erasures, since_us).await {
                Ok(keys) => found.extend(keys),
                Err(LakeError::Corrupt { .. }) => {}
                Err(LakeError::Gone { .. }) if self.table(&EVENTS).has(file).await? => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn find_erased_in(&self, file: &TableFile, erasures: &Erasures, since_us: i64) -> Result<Vec<EventKey>> {
        let mut found = Vec::new();
        let mut batches = read_batches(self.store(), &file.path, file.size_bytes, &ERASURE_COLUMNS).await?;
        while let Some(rows) = batches.try_next().await? {
            let received = rows["received_at"].as_primitive::<TimestampMicrosecondType>();
            let erased = erasures.covered_rows(&rows);
            let is_recent = |row| Some(erased.value(row) && received.value(row) >= since_us);
            found.extend(keys_of(&rows, &(0..rows.num_rows()).map(is_recent).collect()));
        }
        Ok(found)
    }

    /// Lists erased events by their ids, so that copies of them are left out even if they seem to have happened after the
    /// erasure. Plans made before are void.
    pub async fn record_erased_events(&self, events: &[EventKey], now: DateTime<Utc>) -> Result<()> {
        self.update_erasures(now, |document| document.add_events(events, now)).await
    }

    /// Notes that the table has no event left that a list covers.
    pub async fn finish_erasures(&self, erasures: &Erasures, now: DateTime<Utc>) -> Result<()> {
        self.update_erasures(now, |document| document.finish(erasures, now)).await
    }

    async fn update_erasures(&self, now: DateTime<Utc>, change: impl Fn(&mut ErasuresDocument)) -> Result<()> {
        let asked = self.table(&EVENTS).load().await?.erasures_version().await?;
        let new_salt = self.new_uuid().to_string();
        self.update_document(ERASURES_DOCUMENT, |newest, document: &mut ErasuresDocument| {
            // Extending an older version would bring back people erased since.
            if newest < asked {
                return Err(LakeError::Unusable {
                    reason: format!(
                        "the list of erased persons was lost: version {asked} is not in registry/{ERASURES_DOCUMENT}; \
                         restore it from a backup or from an older version of the object"
                    ),
                });
            }
            document.prepare(&new_salt, now);
            change(document);
            Ok(())
        })
        .await?;
        self.announce_erasures().await
    }

    /// Commits the version of the newest list to the table if the table names an older one: the process that wrote the list
    /// may have died before its commit.
    pub async fn announce_erasures(&self) -> Result<()> {
        let table = self.table(&EVENTS);
        loop {
            let base = table.load().await?;
            let (version, _) = self.read_document::<ErasuresDocument>(ERASURES_DOCUMENT).await?;
            if base.erasures_version().await? >= version {
                return Ok(());
            }
            match table.commit(Change::erase(version), base).await {
                // Somebody else's erasure was committed. Its list may be older or newer than ours.
                Err(LakeError::Conflict { .. }) => {}
                other => return other.map(drop),
            }
        }
    }
}

fn keys_of(rows: &RecordBatch, chosen: &BooleanArray) -> Vec<EventKey> {
    let (sites, ids) = (rows["site_id"].as_string::<i32>(), rows["event_id"].as_binary::<i32>());
    let key = |row| EventKey { site_id: sites.value(row).into(), event_id: EventId::of_bytes(ids.value(row)) };
    chosen.values().set_indices().map(key).collect()
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::list::{PersonId, Subject};
    use super::*;
    use crate::copies::times::RETRY_WINDOW;
    use crate::table::file::{FileRange, Value};

    #[tokio::test]
    async fn an_erased_persons_events_are_left_out_until_the_erasure_and_not_later() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9));
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        let key = |id: &str| EventKey { site_id: "shop".into(), event_id: EventId::from_client(id) };
        lake.record_erasure(&person, [], now).await.unwrap();
        lake.record_erased_events(&[key("known")], now).await.unwrap();
        let table = lake.table(&EVENTS).load().await.unwrap();
        let erasures = lake.erasures_of(&table).await.unwrap();

        let (before, after) = (now.timestamp_micros(), now.timestamp_micros() + 1);
        let check = |id: &str, user_id, anonymous_id, at_us, expected| {
            let event_id = &key(id).event_id.0;
            let (occurred_at_us, received_at_us) = (at_us, at_us + 1);
            let on = |site_id| {
                erasures.cover(Subject { site_id, event_id, user_id, anonymous_id, occurred_at_us, received_at_us })
            };
            assert_eq!((on("shop"), on("other")), (expected, false));
        };
        check("1", Some("ada"), None, before, true);
        check("1", Some("ada"), Some("device"), before, true);
        check("1", Some("ada"), None, after, false);
        check("1", Some("bob"), None, before, false);
        check("1", None, Some("ada"), before, false);
        check("known", None, None, after, true);
        // Somebody else's event of the same id, from before any copy.
        check("known", None, None, (now - 3 * RETRY_WINDOW).timestamp_micros(), false);
    }

    #[tokio::test]
    async fn an_erasure_is_done_when_the_removal_knew_of_it_and_reached_as_far() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9));
        let later = now + chrono::TimeDelta::seconds(5);
        let person = |id: &str| Person { site_id: "shop".into(), id: PersonId::User(id.into()) };
        let newest = async || lake.erasures_of(&lake.table(&EVENTS).load().await.unwrap()).await.unwrap();
        lake.record_erasure(&person("ada"), [], later).await.unwrap();
        let without_bob = newest().await;
        lake.record_erasure(&person("bob"), [], now).await.unwrap();
        lake.finish_erasures(&without_bob, later).await.unwrap();
        assert!(newest().await.are_unfinished());
        lake.finish_erasures(&*newest().await, later).await.unwrap();
        assert!(!newest().await.are_unfinished());

        // Once more, by somebody who began before: it reaches as far as before, and is to be done again.
        lake.record_erasure(&person("ada"), [], now).await.unwrap();
        let again = newest().await;
        assert!(again.are_unfinished());
        let event = Subject {
            site_id: "shop",
            event_id: &[],
            user_id: Some("ada"),
            anonymous_id: None,
            occurred_at_us: later.timestamp_micros(),
            received_at_us: later.timestamp_micros(),
        };
        assert!(again.cover(event));
    }

    #[tokio::test]
    async fn a_list_whose_writer_died_before_the_commit_is_announced_by_whoever_completes_it() {
        let lake = Lake::open("memory:///", []).unwrap();
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        lake.update_document(ERASURES_DOCUMENT, |_, document: &mut ErasuresDocument| {
            document.add_person(&person, DateTime::UNIX_EPOCH);
            Ok(())
        })
        .await
        .unwrap();
        let newest = async || lake.erasures_of(&lake.table(&EVENTS).load().await.unwrap()).await.unwrap();
        assert!(!newest().await.are_unfinished());
        for _ in 0..2 {
            lake.announce_erasures().await.unwrap();
            assert!(newest().await.are_unfinished());
            assert_eq!(lake.table(&EVENTS).load().await.unwrap().version, Some(1));
        }
    }

    #[tokio::test]
    async fn events_on_the_list_are_done_when_the_removal_knew_of_them() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(99));
        let newest = async || lake.erasures_of(&lake.table(&EVENTS).load().await.unwrap()).await.unwrap();
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        lake.record_erasure(&person, [], now).await.unwrap();
        let without_event = newest().await;
        let key = EventKey { site_id: "shop".into(), event_id: EventId::from_client("ahead") };
        lake.record_erased_events(std::slice::from_ref(&key), now).await.unwrap();
        let (old, recent) = (file_received_at(now - COPIES_SPAN * 2), file_received_at(now - RETRY_WINDOW));
        let may_be_left = async || {
            let newest = newest().await;
            (newest.may_be_left_in(&old), newest.may_be_left_in(&recent))
        };
        assert_eq!(may_be_left().await, (true, true));
        lake.finish_erasures(&without_event, now).await.unwrap();
        assert_eq!(may_be_left().await, (false, true));

        // However long it takes, they stay on the list until they are done, and as long as copies may come after.
        let (done_at, later) = (now + COPIES_SPAN * 2, now + COPIES_SPAN * 4);
        lake.finish_erasures(&*newest().await, done_at).await.unwrap();
        assert!(!newest().await.are_unfinished() && newest().await.lists(&key));
        lake.record_erasure(&person, [], later).await.unwrap();
        assert!(!newest().await.lists(&key));
    }

    fn file_received_at(time: DateTime<Utc>) -> TableFile {
        let time = || Value::TimeUs(time.timestamp_micros());
        let range = FileRange { min: time(), max: time(), nulls: None };
        TableFile {
            path: Path::default(),
            log_path: String::new(),
            date: None,
            size_bytes: 0,
            checksum: None,
            rows: 1,
            ranges: [("received_at".into(), range)].into(),
        }
    }

    #[tokio::test]
    async fn the_list_names_nobody() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH);
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada@example.com".into()) };
        lake.record_erasure(&person, [], now).await.unwrap();
        let (_, document) = lake.read_document::<ErasuresDocument>(ERASURES_DOCUMENT).await.unwrap();
        let document = serde_json::to_string(&document).unwrap();
        // Not "ada", which hexadecimal digits may spell.
        assert!(!document.contains("ada@") && !document.contains("example"), "{document}");
    }
}
