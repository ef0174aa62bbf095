//! Erasure: a person's events leave the lake and do not come back.
//!
//! The registry keeps a list of who was erased, as salted hashes. An event is left out of everything that
//! reads or publishes pending events if it is of an erased person and happened or came before the erasure, or if
//! its id is that of an event that was erased: a late copy without a time of its own seems to have happened now.
//!
//! How nothing slips through: the list is written first, and then a commit to the table `events` names its
//! version. A publish that was planned before that commit is void; a plan made after it honours the list. So
//! from that commit on no row of the person comes into the table, and those in it can be removed date by date.
//! Clocks differ: what was acknowledged before the erasure may have come, by its collector's clock, after it. Of that the
//! lake has, the ids go on the list, too. Later events of the person, by whichever clock, are not touched.
//! Whoever consumes or removes a row of an erased event has put its id on the list before: an erasure that crashed
//! would not find the row any more, and nothing else would tell what its late copy is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::copy_times::RETRY_WINDOW;
use crate::damaged::DamagedFile;
use crate::error::{LakeError, Result};
use crate::event::{EventId, EventKey};
use crate::file::{catch_damage, read_batches};
use crate::store::Lake;
use crate::table::TableSnapshot;
use crate::table_file::TableFile;
use crate::tables::EVENTS;

/// The document that has the list.
pub(crate) const ERASURES_DOCUMENT: &str = "erasures";

/// Whose events to erase: everything of a site that carries this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The tenant.
    pub site_id: Arc<str>,
    /// Which of an event's ids.
    pub id: PersonId,
}

/// An id that an event carries of the person who caused it, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonId {
    /// `user_id`.
    User(String),
    /// `anonymous_id`.
    Anonymous(String),
}

impl PersonId {
    /// The column that has it.
    pub fn column(&self) -> &'static str {
        match self {
            Self::User(_) => "user_id",
            Self::Anonymous(_) => "anonymous_id",
        }
    }

    /// The id.
    pub fn value(&self) -> &str {
        match self {
            Self::User(value) | Self::Anonymous(value) => value,
        }
    }
}

/// What an erasure list asks of an event.
#[derive(Clone, Copy, Debug)]
struct Subject<'a> {
    site_id: &'a str,
    event_id: &'a [u8],
    user_id: Option<&'a str>,
    anonymous_id: Option<&'a str>,
    /// The earlier of when it happened and when it came.
    known_since_us: i64,
}

/// The list as it is stored. It names nobody: the ids are salted hashes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ErasuresDocument {
    /// Random, so that the hashes cannot be looked up in a table made before.
    salt: String,
    persons: Vec<ErasedPerson>,
    /// Hashes of the ids of erased events that a client may still send again.
    events: Vec<ErasedEvents>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ErasedPerson {
    hash: String,
    /// Events up to then.
    erased_at: DateTime<Utc>,
    /// When the last of the events had left the table; none while some may be there.
    done_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ErasedEvents {
    erased_at: DateTime<Utc>,
    /// When the last of them had left the table; none while some may be there.
    done_at: Option<DateTime<Utc>>,
    hashes: Vec<String>,
}

/// Who and what was erased, for looking events up.
#[derive(Clone, Debug, Default)]
pub struct Erasures {
    salt: String,
    /// Until when a person's events are erased.
    persons: HashMap<String, DateTime<Utc>>,
    events: HashSet<String>,
    unfinished: Unfinished,
}

/// What the table may still have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unfinished {
    /// Events of some person.
    persons: bool,
    /// Events on the list that came at this time or later.
    events_since: Option<DateTime<Utc>>,
}

/// The columns by which an event is known to be erased.
pub const ERASURE_COLUMNS: [&str; 6] = ["site_id", "event_id", "user_id", "anonymous_id", "occurred_at", "received_at"];

impl Erasures {
    fn new(document: ErasuresDocument) -> Self {
        let oldest_events =
            document.events.iter().filter(|events| events.done_at.is_none()).map(|events| events.erased_at).min();
        let unfinished = Unfinished {
            persons: document.persons.iter().any(|person| person.done_at.is_none()),
            // A copy came at most that long before the one that was listed; twice, for clocks that differ.
            events_since: oldest_events.map(|erased_at| erased_at - 2 * RETRY_WINDOW),
        };
        let mut persons = HashMap::new();
        for person in document.persons {
            let until = persons.entry(person.hash).or_insert(person.erased_at);
            *until = person.erased_at.max(*until);
        }
        let events = document.events.into_iter().flat_map(|events| events.hashes).collect();
        Self { salt: document.salt, persons, events, unfinished }
    }

    /// A list of all events of one person.
    fn of(person: &Person) -> Self {
        let hash = hash_person("", &person.site_id, person.id.column(), person.id.value());
        Self { persons: HashMap::from([(hash, DateTime::<Utc>::MAX_UTC)]), ..Self::default() }
    }

    /// Whether nobody was ever erased.
    pub fn is_empty(&self) -> bool {
        self.persons.is_empty() && self.events.is_empty()
    }

    /// Whether the table may still have erased events.
    pub fn are_unfinished(&self) -> bool {
        self.unfinished != Unfinished::default()
    }

    /// Whether a file of the table may still have erased events, by what the log says of it.
    pub fn may_be_left_in(&self, file: &TableFile) -> bool {
        self.unfinished.persons
            || self.unfinished.events_since.is_some_and(|since| file.may_have_received(since.timestamp_micros()))
    }

    /// Which rows must not be seen. The rows have the [`ERASURE_COLUMNS`] of `events`.
    pub fn covered_rows(&self, rows: &RecordBatch) -> BooleanArray {
        let sites = rows["site_id"].as_string::<i32>();
        // Files of other writers may lack what an event need not have.
        let text = |name: &str| rows.column_by_name(name).map(|column| column.as_string::<i32>());
        let (users, anonymous) = (text("user_id"), text("anonymous_id"));
        let ids = rows["event_id"].as_binary::<i32>();
        let time = |name: &str| rows[name].as_primitive::<TimestampMicrosecondType>();
        let (occurred, received) = (time("occurred_at"), time("received_at"));
        let value = |column: Option<&'_ StringArray>, row: usize| {
            column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_owned())
        };
        (0..rows.num_rows())
            .map(|row| {
                let (user_id, anonymous_id) = (value(users, row), value(anonymous, row));
                Some(self.cover(Subject {
                    site_id: sites.value(row),
                    event_id: ids.value(row),
                    user_id: user_id.as_deref(),
                    anonymous_id: anonymous_id.as_deref(),
                    known_since_us: occurred.value(row).min(received.value(row)),
                }))
            })
            .collect()
    }

    /// Whether copies of an event are known to be erased by its id, whatever their times are.
    pub fn lists(&self, key: &EventKey) -> bool {
        self.events.contains(&hash_event(&self.salt, &key.site_id, &key.event_id.0))
    }

    fn cover(&self, event: Subject<'_>) -> bool {
        let erased = |column: &str, id: Option<&str>| {
            let until = id.and_then(|id| self.persons.get(&hash_person(&self.salt, event.site_id, column, id)));
            until.is_some_and(|until| event.known_since_us <= until.timestamp_micros())
        };
        erased("user_id", event.user_id)
            || erased("anonymous_id", event.anonymous_id)
            || (!self.events.is_empty() && self.events.contains(&hash_event(&self.salt, event.site_id, event.event_id)))
    }
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

    /// Puts a person on the list of erased ones, and makes sure that everybody honours it: when this returns,
    /// no event of theirs up to `now` comes into the table any more, and pending ones are in no answer. What
    /// the table has already is still to be removed.
    pub async fn forget(&self, person: &Person, now: DateTime<Utc>) -> Result<()> {
        self.update_erasures(now, |document| {
            let hash = hash_person(&document.salt, &person.site_id, person.id.column(), person.id.value());
            // Two may erase one person at a time, and whoever began first may come here last.
            let known = document.persons.iter().filter(|known| known.hash == hash).map(|known| known.erased_at);
            let erased_at = known.fold(now, DateTime::max);
            document.persons.retain(|known| known.hash != hash);
            document.persons.push(ErasedPerson { hash, erased_at, done_at: None });
        })
        .await
    }

    /// The events of a person that the lake has already and that happened and came only after `now`, by clocks that
    /// are ahead of ours.
    ///
    /// Fails with [`LakeError::Gone`] if a file vanished since it was listed: do it again.
    pub async fn find_events_ahead(&self, person: &Person, now: DateTime<Utc>) -> Result<Vec<EventKey>> {
        let theirs = Erasures::of(person);
        let snapshot = self.snapshot().await?;
        let now_us = now.timestamp_micros();
        let are_ahead = |rows: &RecordBatch| {
            let time = |name: &str| rows[name].as_primitive::<TimestampMicrosecondType>();
            let (occurred, received) = (time("occurred_at"), time("received_at"));
            let is_ahead = |row| occurred.value(row).min(received.value(row)) > now_us;
            let theirs = theirs.covered_rows(rows);
            (0..rows.num_rows()).map(|row| Some(theirs.value(row) && is_ahead(row))).collect()
        };
        let mut found = self.find_in_table(&snapshot.events, now_us, are_ahead).await?;
        for file in &snapshot.pending {
            match catch_damage(&file.path, self.read_raw(file, &ERASURE_COLUMNS)).await {
                Ok(read) => found.extend(read.batches.iter().flat_map(|rows| keys_of(rows, &are_ahead(rows)))),
                // A damaged file has no part in any answer.
                Err(error) => drop(DamagedFile::of(file, error)?),
            }
        }
        Ok(found)
    }

    /// Events of the table that are erased and came at a time or later.
    pub async fn find_erased(
        &self,
        table: &TableSnapshot,
        erasures: &Erasures,
        since: DateTime<Utc>,
    ) -> Result<Vec<EventKey>> {
        let since_us = since.timestamp_micros();
        let are_recent = |rows: &RecordBatch| {
            let received = rows["received_at"].as_primitive::<TimestampMicrosecondType>();
            let erased = erasures.covered_rows(rows);
            (0..rows.num_rows()).map(|row| Some(erased.value(row) && received.value(row) >= since_us)).collect()
        };
        self.find_in_table(table, since_us, are_recent).await
    }

    /// The events that `choose` picks in files of the table that may have some received at a time, in microseconds, or
    /// later.
    async fn find_in_table(
        &self,
        table: &TableSnapshot,
        since_us: i64,
        choose: impl Fn(&RecordBatch) -> BooleanArray,
    ) -> Result<Vec<EventKey>> {
        let mut found = Vec::new();
        for file in table.files.iter().filter(|file| file.may_have_received(since_us)) {
            let mut batches = read_batches(self.store(), &file.path, file.size_bytes, &ERASURE_COLUMNS).await?;
            while let Some(rows) = batches.try_next().await? {
                found.extend(keys_of(&rows, &choose(&rows)));
            }
        }
        Ok(found)
    }

    /// Puts erased events on the list, so that copies of them are left out even if they seem to have happened after
    /// their person was erased. Plans that were made before are void.
    pub async fn forget_events(&self, events: &[EventKey], now: DateTime<Utc>) -> Result<()> {
        self.update_erasures(now, |document| {
            let hash = |key: &EventKey| hash_event(&document.salt, &key.site_id, &key.event_id.0);
            let hashes = events.iter().map(hash).collect();
            document.events.push(ErasedEvents { erased_at: now, done_at: None, hashes });
        })
        .await
    }

    /// Notes that the table has no event any more that some list covers.
    pub async fn finish_erasures(&self, erasures: &Erasures, now: DateTime<Utc>) -> Result<()> {
        self.update_erasures(now, |document| {
            // Others may have been erased since, or somebody once more, with later events or events by clocks ahead.
            let is_done = |person: &&mut ErasedPerson| erasures.persons.get(&person.hash) >= Some(&person.erased_at);
            for person in document.persons.iter_mut().filter(is_done) {
                person.done_at.get_or_insert(now);
            }
            let are_done = |events: &&mut ErasedEvents| events.hashes.iter().all(|hash| erasures.events.contains(hash));
            for events in document.events.iter_mut().filter(are_done) {
                events.done_at.get_or_insert(now);
            }
        })
        .await
    }

    async fn update_erasures(&self, now: DateTime<Utc>, change: impl Fn(&mut ErasuresDocument)) -> Result<()> {
        let asked = self.table(&EVENTS).load().await?.erasures_version().await?;
        let new_salt = self.new_uuid().to_string();
        self.update_document(ERASURES_DOCUMENT, |newest, document: &mut ErasuresDocument| {
            // A list that went on from an older one would let those back who were erased since.
            if newest < asked {
                return Err(LakeError::Refused {
                    reason: format!(
                        "the list of erased persons was lost: version {asked} is not in registry/{ERASURES_DOCUMENT}; \
                         restore it from a backup or from an older version of the object"
                    ),
                });
            }
            if document.salt.is_empty() {
                document.salt.clone_from(&new_salt);
            }
            // Nobody sends copies of these any more.
            document.events.retain(|events| events.done_at.is_none_or(|done_at| now <= done_at + RETRY_WINDOW));
            change(document);
            Ok(())
        })
        .await?;
        self.announce_erasures().await
    }

    /// Commits the number of the newest list to the table.
    async fn announce_erasures(&self) -> Result<()> {
        let table = self.table(&EVENTS);
        loop {
            let base = table.load().await?;
            let (version, _) = self.read_document::<ErasuresDocument>(ERASURES_DOCUMENT).await?;
            if base.erasures_version().await? >= version {
                return Ok(());
            }
            match table.commit(Change::erase(version), base).await {
                // Somebody else erased somebody: their list may be older than ours, or newer.
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

fn hash_person(salt: &str, site_id: &str, column: &str, id: &str) -> String {
    hash(&[salt.as_bytes(), site_id.as_bytes(), column.as_bytes(), id.as_bytes()])
}

fn hash_event(salt: &str, site_id: &str, event_id: &[u8]) -> String {
    hash(&[salt.as_bytes(), site_id.as_bytes(), b"event_id", event_id])
}

/// 128 bits of BLAKE3 over the parts, each with its length, so that no two lists of parts are the same bytes.
fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;
    use crate::event::EventId;
    use crate::table_file::{FileRange, Value};

    #[tokio::test]
    async fn an_erased_persons_events_are_left_out_until_the_erasure_and_not_later() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9));
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        let key = |id: &str| EventKey { site_id: "shop".into(), event_id: EventId::from_client(id) };
        lake.forget(&person, now).await.unwrap();
        lake.forget_events(&[key("known")], now).await.unwrap();
        let table = lake.table(&EVENTS).load().await.unwrap();
        let erasures = lake.erasures_of(&table).await.unwrap();

        let (before, after) = (now.timestamp_micros(), now.timestamp_micros() + 1);
        let check = |id: &str, user_id, anonymous_id, known_since_us, expected| {
            let event_id = &key(id).event_id.0;
            let on = |site_id| erasures.cover(Subject { site_id, event_id, user_id, anonymous_id, known_since_us });
            assert_eq!((on("shop"), on("other")), (expected, false));
        };
        check("1", Some("ada"), None, before, true);
        check("1", Some("ada"), Some("device"), before, true);
        check("1", Some("ada"), None, after, false);
        check("1", Some("bob"), None, before, false);
        check("1", None, Some("ada"), before, false);
        check("known", None, None, after, true);
    }

    #[tokio::test]
    async fn an_erasure_is_done_when_the_removal_knew_of_it_and_reached_as_far() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9));
        let later = now + chrono::TimeDelta::seconds(5);
        let person = |id: &str| Person { site_id: "shop".into(), id: PersonId::User(id.into()) };
        let newest = async || lake.erasures_of(&lake.table(&EVENTS).load().await.unwrap()).await.unwrap();
        lake.forget(&person("ada"), later).await.unwrap();
        let without_bob = newest().await;
        lake.forget(&person("bob"), now).await.unwrap();
        lake.finish_erasures(&without_bob, later).await.unwrap();
        assert!(newest().await.are_unfinished());
        lake.finish_erasures(&*newest().await, later).await.unwrap();
        assert!(!newest().await.are_unfinished());

        // Once more, by somebody who began before: it reaches as far as before, and is to be done again.
        lake.forget(&person("ada"), now).await.unwrap();
        let again = newest().await;
        assert!(again.are_unfinished());
        let known_since_us = later.timestamp_micros();
        let event =
            Subject { site_id: "shop", event_id: &[], user_id: Some("ada"), anonymous_id: None, known_since_us };
        assert!(again.cover(event));
    }

    #[tokio::test]
    async fn events_on_the_list_are_done_when_the_removal_knew_of_them() {
        let (lake, now) = (Lake::open("memory:///", []).unwrap(), DateTime::UNIX_EPOCH + chrono::TimeDelta::days(9));
        let newest = async || lake.erasures_of(&lake.table(&EVENTS).load().await.unwrap()).await.unwrap();
        let person = Person { site_id: "shop".into(), id: PersonId::User("ada".into()) };
        lake.forget(&person, now).await.unwrap();
        let without_event = newest().await;
        let key = EventKey { site_id: "shop".into(), event_id: EventId::from_client("ahead") };
        lake.forget_events(std::slice::from_ref(&key), now).await.unwrap();
        let (old, recent) = (file_received_at(now - 3 * RETRY_WINDOW), file_received_at(now - RETRY_WINDOW));
        let may_be_left = async || {
            let newest = newest().await;
            (newest.may_be_left_in(&old), newest.may_be_left_in(&recent))
        };
        assert_eq!(may_be_left().await, (true, true));
        lake.finish_erasures(&without_event, now).await.unwrap();
        assert_eq!(may_be_left().await, (false, true));

        // However long it takes, they stay on the list until they are done, and as long as copies may come after.
        let (done_at, later) = (now + 2 * RETRY_WINDOW, now + 4 * RETRY_WINDOW);
        lake.finish_erasures(&*newest().await, done_at).await.unwrap();
        assert!(!newest().await.are_unfinished() && newest().await.lists(&key));
        lake.forget(&person, later).await.unwrap();
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
        lake.forget(&person, now).await.unwrap();
        let (_, document) = lake.read_document::<ErasuresDocument>(ERASURES_DOCUMENT).await.unwrap();
        assert!(!serde_json::to_string(&document).unwrap().contains("ada"));
    }
}
