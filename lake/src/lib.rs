//! The lake: what an event is, and where and how it lies in object storage.
//!
//! Only this crate knows a path, a schema or a file format. It reads neither the clock nor the
//! environment: both are passed in. It knows nothing of HTTP, SQL or schedules.
//!
//! An event's way through this crate: [`Event`] → [`RawBatch`] → [`Lane::append`] (durable) →
//! [`Lake::snapshot`] (visible) → [`Table::commit`] (published).

mod as_of;
mod batch;
mod change;
mod check;
mod checksum;
mod committer;
mod copy_candidates;
mod copy_times;
mod damaged;
mod duplicates;
mod encoding;
mod erasure;
mod error;
mod event;
mod file;
mod fsync;
mod lane;
mod layout;
mod object_reader;
mod pending_rows;
mod published_copies;
mod quarantine;
mod raw_rows;
mod recent_ids;
mod registry;
mod runtime;
mod sabotage;
mod salts;
mod snapshot;
mod store;
mod strict_engine;
mod table;
mod table_file;
mod tables;
mod vacuum;

pub use batch::{RawBatch, event_schema};
pub use change::{Change, CommitKind};
pub use check::{Amount, CheckSettings, Checked, CheckedTable, Finding, Severity};
pub use copy_times::CLIENT_TIMED_SLACK;
pub use damaged::DamagedFile;
pub use duplicates::{Duplicates, LeftOut};
pub use erasure::{ERASURE_COLUMNS, Erasures, Person, PersonId, PersonsEvents};
pub use error::{LakeError, Result};
pub use event::{Event, EventId, EventKey, daily_visitor_id, visitor_id};
pub use file::{TableWriter, read_batches};
pub use lane::{AppendError, Lane, LaneSettings};
pub use layout::{Hour, LaneId, RawFile, in_order_of_arrival};
pub use quarantine::{QUARANTINE, QuarantineFile, RefusedEvent, encode_refused, quarantine_schema};
pub use registry::{IssuedKey, Site, SiteDirectory, SiteSettings, WriteKey, is_write_key};
pub use runtime::{LakeRuntime, Panicked, Threads, on_own_task};
#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;
pub use salts::{Salt, salt_dates};
pub use snapshot::Snapshot;
pub use store::Lake;
pub use table::{Table, TableSnapshot, VersionEntry};
pub use table_file::{FileRange, TableFile, Value};
pub use tables::{EVENTS, REPORTS, TableSpec};
pub use vacuum::{VacuumSettings, Vacuumed};
