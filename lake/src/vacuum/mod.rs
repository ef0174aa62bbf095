//! Deleting what no reader can need any more.
//!
//! | What | Deleted when |
//! |---|---|
//! | raw files at or below their lane's watermark | `raw_grace` (1 h) after the log entry that consumed them |
//! | table files that were replaced | `replaced_grace` (1 day) after the log entry that removed them; files of `events` that a merge replaced, and that a destination's cursor is not past yet, `followed_grace` (7 days), or once rows were removed since |
//! | Parquet files in no version | `orphan_grace` (7 days) old, and not older than the log itself |
//! | checkpoints and checksums that no reader starts from | `checkpoint_grace` (1 day) old; [`log`] |
//! | entries of logs that are cleaned | no reader needs them, and `entry_grace` (7 days) old; [`log`] |
//! | states of recurring queries | no version has their file, or nobody used their query for 30 days; [`states`](crate::states) |
//! | files of refused events | `quarantine_retention` (30 days) old |
//! | salts | their date is over |
//! | which mails were sent | 400 days old; [`mails`](crate::mails) |
//! | on a local disk, what a killed process was writing | an hour old; [`staging`], because listings do not show them |
//!
//! Vacuum acts only on a freshly loaded log. It lists a table before it loads the log, so a file that is written and
//! committed in between counts as live. Ages are differences between times of the store's own clock; "now" is the
//! Last-Modified of an object written for this purpose.
//!
//! The log is never listed as a whole, except once per process for its checkpoints and checksums: it has millions of
//! entries after a year. Each run reads the entries since the last one, which the [table
//! keeps](crate::table::log_times).
//!
//! Entries of the log of `events` are never deleted. A part that fails does not keep the other parts from being done.

mod log;
mod staging;

use std::collections::HashSet;
use std::ops::Add;
use std::time::Duration;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::{QUARANTINE, RAW_DIR};
use crate::schema::tables::{EVENTS, TableSpec};
use crate::table::log_times::{Removed, is_as_old};

/// Early releases wrote the files of the first publish before the first log entry, by up to this much. A file older than that
/// belongs to a log that was lost. It may be all that is left of the events, so it is no orphan.
const FIRST_PUBLISH: Duration = Duration::from_secs(24 * 3_600);

/// How long what nobody needs is kept, by the store's clock.
#[derive(Clone, Copy, Debug)]
pub struct VacuumSettings {
    /// Raw files that the table has consumed: longer than the longest query.
    pub raw_grace: Duration,
    /// Table files that a merge has replaced: longer than the longest query.
    pub replaced_grace: Duration,
    /// Files of events that a merge has replaced before all destinations had their rows: for how long these may be away
    /// without getting some rows again.
    pub followed_grace: Duration,
    /// Table files that are in no version: longer than the longest publish or merge. Files from before the log began
    /// are kept: if the log was lost, they are the events.
    pub orphan_grace: Duration,
    /// Files of refused events.
    pub quarantine_retention: Duration,
    /// Checkpoints and checksums. A reader that loads a version of that time needs them, and so does a writer that is late to
    /// update the hint.
    pub checkpoint_grace: Duration,
    /// Entries of logs that are cleaned: longer than what vacuum itself asks them for.
    pub entry_grace: Duration,
}

impl Default for VacuumSettings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            raw_grace: HOUR,
            replaced_grace: 24 * HOUR,
            followed_grace: 7 * 24 * HOUR,
            orphan_grace: 7 * 24 * HOUR,
            quarantine_retention: 30 * 24 * HOUR,
            checkpoint_grace: 24 * HOUR,
            entry_grace: 7 * 24 * HOUR,
        }
    }
}

impl VacuumSettings {
    /// How far back the log must be read: what went out of use before may be deleted in any case.
    fn horizon(&self) -> Duration {
        self.orphan_grace.max(self.replaced_grace).max(self.followed_grace).max(self.raw_grace)
    }
}

/// What a vacuum deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Consumed raw files.
    pub raw_files: usize,
    /// Table files that were replaced, or were never in a version.
    pub table_files: usize,
    /// Files of refused events.
    pub quarantine_files: usize,
    /// States of recurring queries.
    pub states: usize,
    /// On a local disk, files that a process was writing when it was killed.
    pub unfinished_files: usize,
    /// Bytes of all of them, and of objects of the log.
    pub bytes: u64,
}

impl Vacuumed {
    /// All files together.
    pub fn files(&self) -> usize {
        self.raw_files + self.table_files + self.quarantine_files + self.states + self.unfinished_files
    }
}

impl Add for Vacuumed {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            raw_files: self.raw_files + more.raw_files,
            table_files: self.table_files + more.table_files,
            quarantine_files: self.quarantine_files + more.quarantine_files,
            states: self.states + more.states,
            unfinished_files: self.unfinished_files + more.unfinished_files,
            bytes: self.bytes + more.bytes,
        }
    }
}

impl Lake {
    /// Deletes what is older than the settings say and needed by no version. Safe beside everything else,
    /// also beside another vacuum.
    ///
    /// A part that fails, perhaps for a missing permission or a damaged log, does not keep the rest from being deleted. The
    /// first error is returned at the end.
    pub async fn vacuum(&self, tables: &[&'static TableSpec], settings: VacuumSettings) -> Result<Vacuumed> {
        let now = self.store_now().await?;
        let mut parts = vec![
            self.delete_old_salts(now).await.map(|_| Vacuumed::default()),
            self.delete_old_sign_ins(now).await.map(|_| Vacuumed::default()),
            self.delete_old_mails(now).await.map(|_| Vacuumed::default()),
            self.tidy_audit_log(now).await.map(|_| Vacuumed::default()),
            self.vacuum_quarantine(now, settings).await,
            self.vacuum_raw(now, settings).await,
            self.vacuum_states(now).await.map(|(states, bytes)| Vacuumed { states, bytes, ..Vacuumed::default() }),
            self.vacuum_staging(tables, now).await,
        ];
        for spec in tables {
            // Before the log is read: a file that is written and committed between the two is live, not an orphan.
            match self.list_partitions(spec).await {
                Ok(objects) => parts.push(self.vacuum_table(spec, &objects, now, settings).await),
                Err(error) => parts.push(Err(error)),
            }
            parts.push(self.vacuum_log(spec, now, settings).await);
        }
        for error in parts.iter().filter_map(|part| part.as_ref().err()) {
            tracing::warn!(error = error as &dyn std::error::Error, "a part of the vacuum failed; the others go on");
        }
        parts.into_iter().try_fold(Vacuumed::default(), |total, part| Ok(total + part?))
    }

    async fn vacuum_quarantine(&self, now: DateTime<Utc>, settings: VacuumSettings) -> Result<Vacuumed> {
        let refused = self.list(QUARANTINE).await?.into_iter();
        let old = refused.filter(|object| is_as_old(object.last_modified, now, settings.quarantine_retention));
        let (quarantine_files, bytes) = self.delete(old.map(|object| (object.location, object.size)).collect()).await?;
        Ok(Vacuumed { quarantine_files, bytes, ..Vacuumed::default() })
    }

    /// The time by the store's clock: the Last-Modified of an object written for this.
    pub async fn store_now(&self) -> Result<DateTime<Utc>> {
        let path = self.path(&format!("{RAW_DIR}/probe-{}", self.new_uuid()));
        let asked = async {
            self.store().put(&path, "now".into()).await?;
            let now = self.store().head(&path).await?.last_modified;
            self.store().delete(&path).await?;
            Ok(now)
        };
        asked.await.map_err(|error| LakeError::store("tell the time", error))
    }

    async fn vacuum_raw(&self, now: DateTime<Utc>, settings: VacuumSettings) -> Result<Vacuumed> {
        let snapshot = self.snapshot().await?;
        let table = self.table(&EVENTS);
        let mut log_times = table.vacuum_state().log_times.lock().await;
        log_times.read(&table, snapshot.events.version, now, settings.horizon()).await?;
        let old: Vec<_> = snapshot
            .consumed
            .iter()
            // The grace is for queries that began before the commit, so it counts from the commit.
            .filter(|file| log_times.consumed_at(file).is_none_or(|at| is_as_old(at, now, settings.raw_grace)))
            .map(|file| (file.path.clone(), file.size_bytes))
            .collect();
        let (raw_files, bytes) = self.delete(old).await?;
        let probes = self.list(RAW_DIR).await?.into_iter().filter(|object| {
            object.location.filename().is_some_and(|name| name.starts_with("probe-"))
                && is_as_old(object.last_modified, now, settings.orphan_grace)
        });
        self.delete(probes.map(|probe| (probe.location, 0)).collect()).await?;
        Ok(Vacuumed { raw_files, bytes, ..Vacuumed::default() })
    }

    /// Deletes what is in a directory of a table and in none of its versions any more.
    ///
    /// - `objects`: what was in the directory before.
    pub(crate) async fn vacuum_table(
        &self,
        spec: &'static TableSpec,
        objects: &[ObjectMeta],
        now: DateTime<Utc>,
        settings: VacuumSettings,
    ) -> Result<Vacuumed> {
        let table = self.table(spec);
        let snapshot = table.load().await?;
        let live: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        let mut log_times = table.vacuum_state().log_times.lock().await;
        log_times.read(&table, snapshot.version, now, settings.horizon()).await?;

        let followed_from = match spec.name == EVENTS.name {
            true => self.followed_from().await?,
            false => None,
        };
        // What was erased, or has expired, is in the files that were merged before it, too.
        let waits_for_a_follower = |removed: &Removed| {
            removed.by_merge
                && followed_from.is_some_and(|version| removed.version > version)
                && log_times.last_deletion.is_none_or(|deletion| removed.version > deletion)
                && !is_as_old(removed.at, now, settings.followed_grace)
        };
        let root = self.path(spec.name);
        let born = table.entry_time(0).await?;
        let dead = objects
            .iter()
            .filter(|object| object.location.extension() == Some("parquet") && !live.contains(&object.location))
            .filter_map(|object| {
                let log_path: Vec<_> =
                    object.location.prefix_match(&root)?.map(|part| part.as_ref().to_owned()).collect();
                let log_path = log_path.join("/");
                if !is_in_a_partition(&log_path) {
                    return None;
                }
                let dead = match log_times.removed.get(&log_path) {
                    Some(removed) => {
                        is_as_old(removed.at, now, settings.replaced_grace) && !waits_for_a_follower(removed)
                    }
                    None => {
                        is_as_old(object.last_modified, now, settings.orphan_grace) && !is_older_than_log(object, born)
                    }
                };
                dead.then(|| (object.location.clone(), object.size))
            })
            .collect();
        let (table_files, bytes) = self.delete(dead).await?;
        Ok(Vacuumed { table_files, bytes, ..Vacuumed::default() })
    }

    /// The first version whose files some destination still needs; `None` if there are no destinations.
    async fn followed_from(&self) -> Result<Option<u64>> {
        let mut first = None;
        for destination in self.destinations_here().await? {
            let position = self.cursor(&destination.name).await?.position;
            first = first.into_iter().chain(position.map(|position| position.version)).min();
        }
        Ok(first)
    }

    /// Every object in the partitions of a table. Its log, which has millions of entries after a year, is passed over: its
    /// name comes before those of the partitions.
    async fn list_partitions(&self, spec: &TableSpec) -> Result<Vec<ObjectMeta>> {
        self.list_after(spec.name, "date=").await
    }
}

/// Whether a path relative to a table's root is where the table's own files lie. Anything else is left alone.
pub(crate) fn is_in_a_partition(log_path: &str) -> bool {
    log_path.starts_with("date=")
}

/// Whether a file that is in no version is from before the log's first entry was written.
pub(crate) fn is_older_than_log(object: &ObjectMeta, born: Option<DateTime<Utc>>) -> bool {
    born.is_none_or(|born| object.last_modified + FIRST_PUBLISH < born)
}
