//! Reads everything in a lake and reports what is wrong with it.
//!
//! | File | What it checks |
//! |---|---|
//! | [`log`], [`replay`] | the log's entries, replayed without the kernel; the kernel's own answer is compared last |
//! | [`summaries`] | checkpoints, checksums and the hint, against the replay |
//! | [`files`] | live files, read whole: rows, bounds, order, date, bloom filter, checksum |
//! | [`ids`] | that no event is stored twice |
//! | [`raw`] | lanes without gaps, and pending files that can be read |
//! | [`orphans`] | files that are in no version |
//! | [`reports`] | that no report was made of a version newer than the table |
//! | [`states`] | that what recurring queries kept can be read and belongs to live files |
//! | [`quarantine`], [`registry`] | that refused events and documents can be read |
//!
//! The replay uses the entries alone, so a defect in a checkpoint, a checksum or the kernel shows as a difference. Of a log
//! whose old entries were deleted it begins with the first checkpoint after them, which is taken for right.
//!
//! Like a vacuum, a check lists a table before it reads the log, so that files committed in between count as live. It
//! can therefore run at any time. Files are written only after the log exists
//! ([`Table::begin`](crate::table::Table::begin)), so files without a log mean that the log was lost.
//!
//! [`repair`] removes only what repeats the entries, and only if every entry is there.

mod files;
mod ids;
mod log;
mod orphans;
mod quarantine;
mod raw;
mod registry;
mod repair;
mod replay;
mod reports;
mod states;
mod summaries;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use object_store::path::Path;

use self::ids::SpilledIds;
use self::orphans::find_orphans;
use self::replay::Log;
use crate::error::Result;
use crate::lake::Lake;
use crate::layout::RAW_DIR;
use crate::schema::tables::{EVENTS, REPORTS, TableSpec};
use crate::states::name_in;
use crate::table::change::ERASURES;

/// Files read concurrently; each holds a row group in memory.
const CONCURRENT_FILES: usize = 4;

/// Small objects read concurrently.
const CONCURRENT_OBJECTS: usize = 32;

/// Settings of a check.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// The current time, for the ages shown.
    pub now: DateTime<Utc>,
    /// Directory for sorting event ids: 16 bytes of temporary disk per event.
    pub spill_dir: PathBuf,
    /// Whether to repair what can be repaired without touching a row.
    pub repair: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Rows are lost, doubled, unreadable, or answered wrongly.
    Error,
    /// Costs speed or space only.
    Warning,
}

/// A problem found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The object it concerns.
    pub object: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    fn error(object: impl ToString, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, object: object.to_string(), message: message.into() }
    }

    fn warning(object: impl ToString, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, object: object.to_string(), message: message.into() }
    }
}

/// How much of a part of the lake was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Number of objects.
    pub files: u64,
    /// Number of rows, for objects that have rows.
    pub rows: u64,
    /// Total size of the objects.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, rows: u64, bytes: u64) {
        self.files += 1;
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// How much of a table was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTable {
    /// Its name.
    pub name: &'static str,
    /// The version that was checked; `None` while the table does not exist.
    pub version: Option<u64>,
    /// The log's entries, checkpoints and checksums.
    pub log: Amount,
    /// The live files, read completely.
    pub live: Amount,
}

/// What a check read and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The tables.
    pub tables: Vec<CheckedTable>,
    /// The raw files whose events are not in the table yet, read completely.
    pub pending: Amount,
    /// The raw files that the table has consumed: counted, not read.
    pub consumed: Amount,
    /// The states of recurring queries, read completely.
    pub states: Amount,
    /// The files of refused events, read completely.
    pub quarantine: Amount,
    /// The documents of the registry.
    pub registry: Amount,
    /// The problems, errors first.
    pub findings: Vec<Finding>,
    /// The repairs made, in words.
    pub repaired: Vec<String>,
}

impl Checked {
    /// Whether rows are lost, doubled or unreadable.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl Lake {
    /// Reads the whole lake and reports what is wrong with it.
    ///
    /// - `tables`: all tables, including `events`.
    ///
    /// Changes nothing unless `settings.repair` is set. Reads every log entry, checkpoint, checksum, pending raw file and file
    /// of refused events once, every live file twice, and the ids of all events once more if some event repeats. Memory is
    /// bounded except for the list of live files and about 100 bytes per version.
    ///
    /// Fails only if the store does not answer.
    pub async fn check(&self, tables: &[&'static TableSpec], settings: &CheckSettings) -> Result<Checked> {
        let mut checked = Checked::default();
        let raw = self.list(RAW_DIR).await?;
        let states = self.list_states().await?;
        let mut live_files: HashMap<String, u64> = HashMap::new();
        let mut read = Vec::new();
        for spec in tables {
            let objects = self.list(spec.name).await?;
            let mut log = Log::read(self, spec, &objects).await?;
            if settings.repair && log.can_be_repaired() {
                checked.repaired.extend(self.repair_log(spec, &log).await?);
                log = Log::read(self, spec, &self.list(spec.name).await?).await?;
            }
            read.push((*spec, objects, log));
        }
        // Only sound logs tell which files are live; otherwise a live file could be taken for an orphan.
        if settings.repair && read.iter().all(|(_, _, log)| log.is_sound()) {
            checked.repaired.extend(self.remove_orphans(tables).await?);
            for (spec, objects, _) in &mut read {
                let left: HashSet<Path> =
                    self.list(spec.name).await?.into_iter().map(|object| object.location).collect();
                objects.retain(|object| left.contains(&object.location));
            }
        }
        let mut erasures = 0;
        for (spec, objects, log) in read {
            let ids = match spec.name == EVENTS.name {
                true => Some(SpilledIds::start(&settings.spill_dir, log.live.values().map(|file| file.rows).sum())?),
                false => None,
            };
            let (readable, live) = self.check_files(spec, &log, ids.as_ref(), &mut checked.findings).await?;
            if spec.name == REPORTS.name {
                self.check_reported_versions(&readable, &mut checked.findings).await?;
            }
            if let Some(ids) = ids {
                live_files = log.live.iter().map(|(path, file)| (name_in(path).to_owned(), file.rows)).collect();
                self.check_ids(spec, readable, ids, &mut checked.findings).await?;
                self.check_raw(&raw, &log, &mut checked).await?;
                self.check_damaged(&mut checked).await?;
                erasures = log.lanes.get(ERASURES).copied().unwrap_or(0);
            }
            find_orphans(&self.path(spec.name), &objects, &log, settings.now, &mut checked.findings);
            checked.tables.push(CheckedTable { name: spec.name, version: log.version, log: log.amount, live });
            checked.findings.extend(log.findings);
        }
        self.check_states(states, &live_files, &mut checked).await?;
        self.check_quarantine(&mut checked).await?;
        self.check_registry(erasures, &mut checked).await?;
        checked.findings.sort_by(|a, b| (a.severity, &a.object).cmp(&(b.severity, &b.object)));
        Ok(checked)
    }
}

/// The path of an object below the lake's or a table's root.
fn relative(root: &Path, path: &Path) -> String {
    let parts: Option<Vec<_>> =
        path.prefix_match(root).map(|parts| parts.map(|part| part.as_ref().to_owned()).collect());
    parts.map_or_else(|| path.to_string(), |parts| parts.join("/"))
}
