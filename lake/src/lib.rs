//! The lake: what an event is, and where and how it lies in object storage.
//!
//! Only this crate knows a path, a schema or a file format. It reads neither the clock nor the
//! environment: both are passed in. It knows nothing of HTTP, SQL or schedules.
//!
//! An event's way through this crate: [`Event`] → [`RawBatch`] → [`Lane::append`] (durable) →
//! [`Lake::snapshot`] (visible) → [`Table::commit`] (published).
//!
//! The rooms, lowest first. A file uses its own room and those before it; `tests/rooms.rs` reads this list.
//!
//! - `error`: why an operation failed, by what the caller can do.
//! - `layout`: the names of directories and raw files.
//! - `event`: what an event is.
//! - `schema`: the tables, their columns and how their files are encoded.
//! - `store`: the object store and the threads that everything runs on.
//! - `parquet`: reading and writing Parquet in a store.
//! - `table`: a Delta table, its versions and its files.
//! - `copies/times`: how far apart in time two copies of an event may lie.
//! - `copies/recent_ids`: the cache of published ids, which an open lake keeps in memory.
//! - `erasure/list`: who was erased, which an open lake keeps in memory.
//! - `registry/known`: documents as they were last read, which an open lake keeps in memory.
//! - `lake`: an open lake, and where its objects lie.
//! - `snapshot`: which files are live.
//! - `imported_days`: numbers of days that other products counted.
//! - `raw`: the raw tier, from a batch of events to rows read again.
//! - `states`: what recurring queries keep of each file of events.
//! - `follow`: what each version of the events brought, and how far who follows them has come.
//! - `registry`: the documents that roles share, and the salts of the day.
//! - `sign_ins`: who is signed in, in objects that expire.
//! - `mails`: which mails were sent, in objects that expire.
//! - `audit`: what people did.
//! - `quarantine`: events that were refused.
//! - `erasure`: erasing a person's events.
//! - `copies`: which pending rows are copies, of each other or of published events.
//! - `vacuum`: deleting what no reader needs.
//! - `check`: reading everything and saying what is wrong.

mod audit;
mod check;
mod copies;
mod erasure;
mod error;
mod event;
mod follow;
mod imported_days;
mod lake;
mod layout;
mod mails;
mod parquet;
mod quarantine;
mod raw;
mod registry;
mod schema;
mod sign_ins;
mod snapshot;
mod states;
mod store;
mod table;
mod vacuum;

pub use self::audit::{AuditEntry, audit_schema};
pub use self::check::{Amount, CheckSettings, Checked, CheckedTable, Finding, Severity};
pub use self::copies::times::CLIENT_TIMED_SLACK;
pub use self::copies::{LeftOut, PendingSurvey};
pub use self::erasure::PersonsEvents;
pub use self::erasure::list::{ERASURE_COLUMNS, Erasures, Person, PersonId};
pub use self::error::{LakeError, Result, whole_text};
pub use self::event::{Event, EventId, EventKey, Salt, daily_visitor_id, visitor_id};
pub use self::follow::{Cursor, HeldCursor, Position, Scan};
pub use self::imported_days::{DayKind, ImportedDay, ImportedDays};
pub use self::lake::Lake;
pub use self::layout::{Hour, LaneId, QUARANTINE, RawFile, in_order_of_arrival};
pub use self::mails::{Mail, MailState};
pub use self::parquet::reader::{decoded_row_bytes, read_batches};
pub use self::quarantine::{QuarantineFile, RefusedEvent, encode_refused, quarantine_schema};
pub use self::raw::batch::{EventColumns, RawBatch, RawParts};
pub use self::raw::damaged::DamagedFile;
pub use self::raw::lane::{AppendError, Lane, LaneSettings};
pub use self::registry::accounts::{Accounts, Invitation, Member, Organisation, Passkey, Role, User};
pub use self::registry::destinations::{DestinationSpec, SaslMechanism, Target};
pub use self::registry::imports::ImportRun;
pub use self::registry::lakes::Lakes;
pub use self::registry::names::domain_form;
pub use self::registry::own_lake::OwnLake;
pub use self::registry::read_keys::{IssuedReadKey, ReadKey, ReadKeys, is_read_key};
pub use self::registry::salts::salt_dates;
pub use self::registry::saved::{SavedItem, SavedKind};
pub use self::registry::scram::ScramVerifier;
pub use self::registry::sites::{IssuedKey, Site, SiteDirectory, SiteSettings, WriteKey, is_write_key};
pub use self::schema::events::{Column, PROTOCOLS, Source, event_column, event_columns, event_schema};
pub use self::schema::tables::{
    DAY_DIMENSIONS, DAY_NUMBERS, EVENTS, IMPORTED_DAYS, REPORTS, SESSIONS, TABLES, TableSpec,
};
pub use self::sign_ins::{SignIn, SignInFamily};
pub use self::snapshot::{Fingerprint, Snapshot};
pub use self::states::{StateDefinition, StatesSize};
pub use self::store::beside::open_store;
pub use self::store::runtime::{LakeRuntime, Panicked, Threads, on_own_task};
#[cfg(feature = "sabotage")]
pub use self::store::sabotage::Sabotage;
pub use self::table::change::{Change, CommitKind};
pub use self::table::file::{FileRange, TableFile, Value};
pub use self::table::writer::TableWriter;
pub use self::table::{Table, TableSnapshot, VersionEntry};
pub use self::vacuum::{VacuumSettings, Vacuumed};
