//! The list of erasures: who and which events were erased, and whether it covers an event. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::copies::times::RETRY_WINDOW;
use crate::event::EventKey;
use crate::table::file::TableFile;

/// The document that has the list.
pub(crate) const ERASURES_DOCUMENT: &str = "erasures";

/// How far apart copies of one event may come: for as long as clients try, by clocks that differ.
pub(super) const COPIES_SPAN: TimeDelta = TimeDelta::seconds(2 * RETRY_WINDOW.as_secs() as i64);

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
pub(super) struct Subject<'a> {
    pub(super) site_id: &'a str,
    pub(super) event_id: &'a [u8],
    pub(super) user_id: Option<&'a str>,
    pub(super) anonymous_id: Option<&'a str>,
    pub(super) occurred_at_us: i64,
    pub(super) received_at_us: i64,
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
    /// The time from which copies of an event may have come. An earlier row with its id is another event.
    events: HashMap<String, DateTime<Utc>>,
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

impl ErasuresDocument {
    /// Prepares the list for a change: a new list gets a salt, and events drop out once no client sends copies of them.
    pub(super) fn prepare(&mut self, new_salt: &str, now: DateTime<Utc>) {
        if self.salt.is_empty() {
            new_salt.clone_into(&mut self.salt);
        }
        self.events.retain(|events| events.done_at.is_none_or(|done_at| now - done_at <= COPIES_SPAN));
    }

    /// Adds a person, whose events up to `now` are erased.
    pub(super) fn add_person(&mut self, person: &Person, now: DateTime<Utc>) {
        let hash = hash_person(&self.salt, &person.site_id, person.id.column(), person.id.value());
        // Two processes may erase the same person, and the one that began first may arrive here last.
        let known = self.persons.iter().filter(|known| known.hash == hash).map(|known| known.erased_at);
        let erased_at = known.fold(now, DateTime::max);
        self.persons.retain(|known| known.hash != hash);
        self.persons.push(ErasedPerson { hash, erased_at, done_at: None });
    }

    /// Adds events by their ids.
    pub(super) fn add_events<'a>(&mut self, events: impl IntoIterator<Item = &'a EventKey>, now: DateTime<Utc>) {
        let hash = |key: &EventKey| hash_event(&self.salt, &key.site_id, &key.event_id.0);
        let hashes: Vec<String> = events.into_iter().map(hash).collect();
        if !hashes.is_empty() {
            self.events.push(ErasedEvents { erased_at: now, done_at: None, hashes });
        }
    }

    /// Notes that the table has no event left that `erasures` covers.
    pub(super) fn finish(&mut self, erasures: &Erasures, now: DateTime<Utc>) {
        // Other persons may have been erased since, or the same one again.
        let is_done = |person: &&mut ErasedPerson| erasures.persons.get(&person.hash) >= Some(&person.erased_at);
        for person in self.persons.iter_mut().filter(is_done) {
            person.done_at.get_or_insert(now);
        }
        let are_done = |events: &&mut ErasedEvents| events.hashes.iter().all(|hash| erasures.events.contains_key(hash));
        for events in self.events.iter_mut().filter(are_done) {
            events.done_at.get_or_insert(now);
        }
    }
}

impl Erasures {
    pub(super) fn new(document: ErasuresDocument) -> Self {
        let copies_since = |events: &ErasedEvents| {
            events.erased_at.checked_sub_signed(COPIES_SPAN).unwrap_or(DateTime::<Utc>::MIN_UTC)
        };
        let unfinished = Unfinished {
            persons: document.persons.iter().any(|person| person.done_at.is_none()),
            events_since: document.events.iter().filter(|events| events.done_at.is_none()).map(copies_since).min(),
        };
        let mut persons = HashMap::new();
        for person in document.persons {
            let until = persons.entry(person.hash).or_insert(person.erased_at);
            *until = person.erased_at.max(*until);
        }
        let mut events = HashMap::new();
        for listed in document.events {
            let since = copies_since(&listed);
            for hash in listed.hashes {
                let earliest = events.entry(hash).or_insert(since);
                *earliest = since.min(*earliest);
            }
        }
        Self { salt: document.salt, persons, events, unfinished }
    }

    /// A list of all events of one person.
    pub(super) fn of(person: &Person) -> Self {
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
        let covered = |row| {
            self.cover(Subject {
                site_id: sites.value(row),
                event_id: ids.value(row),
                user_id: text_at(users, row),
                anonymous_id: text_at(anonymous, row),
                occurred_at_us: occurred.value(row),
                received_at_us: received.value(row),
            })
        };
        (0..rows.num_rows()).map(|row| Some(covered(row))).collect()
    }

    /// Whether an event's id is on the list, so that its copies are erased whatever their time.
    pub fn lists(&self, key: &EventKey) -> bool {
        self.events.contains_key(&hash_event(&self.salt, &key.site_id, &key.event_id.0))
    }

    pub(super) fn cover(&self, event: Subject<'_>) -> bool {
        let known_since_us = event.occurred_at_us.min(event.received_at_us);
        let erased = |column: &str, id: Option<&str>| {
            let until = id.and_then(|id| self.persons.get(&hash_person(&self.salt, event.site_id, column, id)));
            until.is_some_and(|until| known_since_us <= until.timestamp_micros())
        };
        let listed = || {
            let since = self.events.get(&hash_event(&self.salt, event.site_id, event.event_id));
            since.is_some_and(|since| event.received_at_us >= since.timestamp_micros())
        };
        erased("user_id", event.user_id)
            || erased("anonymous_id", event.anonymous_id)
            || (!self.events.is_empty() && listed())
    }
}

fn text_at(column: Option<&StringArray>, row: usize) -> Option<&str> {
    column.filter(|column| column.is_valid(row)).map(|column| column.value(row))
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
