//! Making the next version of a table.
//!
//! A change is planned on a version. If others have committed since, [`Change::is_void_after`] compares each of their
//! commits with the change. A void change is thrown away and its files are deleted: the caller plans again from a new
//! snapshot. Otherwise the change is tried as the next version, after a random pause. `committer` makes one try safe on
//! a store whose answers get lost.
//!
//! A try that ends without a known outcome is repeated as the same version with the same commit id, up to
//! [`UNKNOWN_TRIES_MAX`] times. Then the caller hears [`LakeError::Unavailable`]: the commit may have landed or may
//! land yet, and a plan from the next snapshot is right either way.
//!
//! Where old entries are deleted, a version that was created may still not be the next one: see [`cleaned_log`](super::cleaned_log).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use delta_kernel::engine::arrow_conversion::TryFromArrow;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::schema::{StructField, StructType};
use delta_kernel::snapshot::SnapshotRef;
use delta_kernel::transaction::{CommitResult, UpdateTableOperation};
use delta_kernel::{Engine, FilteredEngineData, KernelError, KernelResult};
use object_store::ObjectStoreExt;
use rand::Rng;
use tokio::time::Instant;

use super::checksums::{self, CHECKSUMS};
use super::{ENGINE_INFO, Table, TableSnapshot, run_kernel};
use crate::error::{LakeError, Result, whole_text};
use crate::schema::tables::TableSpec;
use crate::store::sabotage::Sabotage;
use crate::store::watched::REPORTED_AFTER;
use crate::table::change::{Change, CommitKind, ERASURES};
use crate::table::cleaned_log::is_too_late;
use crate::table::committer::{COMMIT_ID, ReadBackCommitter};
use crate::table::file::{TableFile, to_add_rows};

/// Tries of a commit whose outcome is unknown before the caller is told to come back later.
const UNKNOWN_TRIES_MAX: u32 = 8;

/// How one try to commit ended.
enum CommitAttempt {
    Committed { version: u64 },
    Lost,
    Unknown(KernelError),
}

impl Table {
    /// Commits a change that was planned on `base`.
    ///
    /// Returns the version it became. Fails with [`LakeError::Conflict`] if somebody's commit since `base`
    /// makes the plan void: plan again from a new snapshot. Fails with [`LakeError::Unavailable`] if the
    /// store does not say what happened: the commit may have landed or may land yet, and a plan made from
    /// the next snapshot is right in both cases. The files that the change adds are deleted again where it is certain
    /// that it did not land and will not: they must be this change's alone.
    pub async fn commit(&self, change: Change, base: Arc<TableSnapshot>) -> Result<u64> {
        let (change, mut in_doubt) = (Arc::new(change), false);
        let committed = self.commit_on(base, &change, &mut in_doubt).await;
        if committed.is_err() && !in_doubt {
            self.discard(&change.adds).await;
        }
        committed
    }

    /// - `in_doubt`: set while a version may become this change although no more is known of it.
    async fn commit_on(&self, base: Arc<TableSnapshot>, change: &Arc<Change>, in_doubt: &mut bool) -> Result<u64> {
        // However much of the log is in memory: to go on with one that was lost would hide what it had.
        self.begin().await?;
        let commit_id = self.new_uuid().to_string();
        let planned_on = base.version.unwrap_or(0);
        let mut checked = planned_on;
        let mut on = match &base.log {
            Some(_) => base,
            None => self.load().await?,
        };
        let mut unknown_tries = 0;
        let mut wait = Wait::start(self.spec.name);
        let blind = self.runtime.sabotage == Some(Sabotage::CommitWithoutReadingBack);
        let is_cleaned = self.spec.log_is_cleaned && self.runtime.sabotage != Some(Sabotage::LateCommitsTrusted);
        loop {
            let newest = on.version.unwrap_or(0);
            if is_cleaned && is_too_late(planned_on, newest, self.runtime.log_entries_kept) {
                return Err(LakeError::Conflict { table: self.spec.name.into(), version: newest });
            }
            for version in checked + 1..=newest {
                if self.runtime.sabotage == Some(Sabotage::NoConflictRule) {
                    break;
                }
                let mut found = self.read_version(version).await?;
                if self.runtime.sabotage == Some(Sabotage::ErasuresUnseen) {
                    found.lanes.retain(|(app_id, _)| app_id != ERASURES);
                }
                if change.is_void_after(&found) {
                    return Err(LakeError::Conflict { table: self.spec.name.into(), version });
                }
            }
            checked = checked.max(newest);
            let new_columns = new_columns(self.spec, &on)?;
            *in_doubt = true;
            match self.try_commit(change.clone(), on.clone(), new_columns, commit_id.clone()).await? {
                CommitAttempt::Committed { version } => {
                    if is_cleaned && !self.is_surely_in(version, change).await? {
                        let action = format!("say whether version {version} of {} is still read", self.spec.name);
                        let why = "it was created so late that it may have been there before and been deleted";
                        return Err(LakeError::unavailable(action, why));
                    }
                    self.write_summaries_of(version).await;
                    return Ok(version);
                }
                CommitAttempt::Lost => {
                    // That version is somebody else's for good, so any put of ours that is still under way fails.
                    *in_doubt = false;
                    wait.say("others commit before us, and we try the next version");
                    // Full jitter: two compactors that met once should not meet again.
                    self.pause(Duration::from_millis(100)).await;
                    on = self.load().await?;
                }
                // The same version again, with the same id: if the first put lands after all, the second
                // one reads its own id back.
                CommitAttempt::Unknown(_) if blind => {
                    on = self.load().await?;
                    checked = on.version.unwrap_or(0);
                }
                CommitAttempt::Unknown(error) => {
                    unknown_tries += 1;
                    if unknown_tries == UNKNOWN_TRIES_MAX {
                        return Err(LakeError::unavailable(format!("commit to {}", self.spec.name), error));
                    }
                    let failure = whole_text(&error);
                    wait.say(&format!("the store does not say whether it landed, and we try again: {failure}"));
                    self.pause(Duration::from_millis(50 << unknown_tries)).await;
                }
            }
        }
    }

    /// Deletes files that are in no version and will be in none. What cannot be deleted, vacuum finds.
    pub async fn discard(&self, files: &[TableFile]) {
        for file in files {
            if let Err(error) = self.store.delete(&file.path).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %file.path, error, "could not delete a file of a commit that failed; vacuum will");
            }
        }
    }

    /// Makes sure that files written by this release would lose no column of the table. To be asked before they are
    /// written; a commit asks again.
    pub fn require_known_columns(&self, snapshot: &TableSnapshot) -> Result<()> {
        new_columns(self.spec, snapshot).map(drop)
    }

    async fn try_commit(
        &self,
        change: Arc<Change>,
        on: Arc<TableSnapshot>,
        new_columns: Vec<StructField>,
        commit_id: String,
    ) -> Result<CommitAttempt> {
        let (kernel, spec) = (self.runtime.kernel.clone(), self.spec);
        let blind = self.runtime.sabotage == Some(Sabotage::CommitWithoutReadingBack);
        let adds = to_add_rows(spec, &change.adds)?;
        run_kernel(&self.runtime, format!("commit to {}", spec.name), move || {
            let log = on.log.clone().ok_or_else(|| KernelError::generic("the table was not created"))?;
            let operation = match change.kind {
                CommitKind::Publish => UpdateTableOperation::Write,
                CommitKind::Merge => UpdateTableOperation::Optimize,
                CommitKind::Delete => UpdateTableOperation::Delete,
            };
            let mut parameters = vec![(COMMIT_ID, Some(commit_id.clone()))];
            parameters.extend(checksums::to_parameter(&change.adds).map(|checksums| (CHECKSUMS, Some(checksums))));
            let mut builder = log
                .clone()
                .update_table(operation, ENGINE_INFO, change.kind != CommitKind::Merge)
                .with_operation_parameters(parameters);
            for (lane, seq) in &change.lanes {
                builder = builder.with_transaction_id(lane.to_string(), *seq as i64);
            }
            if let Some(version) = change.erasures {
                builder = builder.with_transaction_id(ERASURES.to_owned(), version as i64);
            }
            for column in new_columns {
                builder = builder.add_column(column);
            }
            let mut transaction = builder.build(&*kernel, Box::new(ReadBackCommitter { commit_id, blind }))?;
            if !change.adds.is_empty() {
                transaction.add_files(Box::new(adds));
            }
            if !change.removes.is_empty() {
                for rows in remove_rows(&log, &*kernel, &change.removes)? {
                    transaction.remove_files(rows);
                }
            }
            match transaction.commit(&*kernel) {
                Ok(CommitResult::Committed(done)) => Ok(CommitAttempt::Committed { version: done.commit_version() }),
                Ok(CommitResult::Conflicted(_)) => Ok(CommitAttempt::Lost),
                Ok(CommitResult::Retryable(retryable)) => Ok(CommitAttempt::Unknown(retryable.error)),
                Err(error) => Ok(CommitAttempt::Unknown(error)),
            }
        })
        .await
    }

    /// Writes a version's checksum and, every [`checkpoint_every`](crate::LakeRuntime::checkpoint_every) versions, a
    /// checkpoint. Both only make loading cheaper, so a failure is a warning.
    async fn write_summaries_of(&self, version: u64) {
        let tended = async {
            let snapshot = self.load().await?;
            let due = version > 0 && version.is_multiple_of(self.runtime.checkpoint_every);
            self.write_summaries(&snapshot, due).await
        };
        if let Err(error) = tended.await {
            tracing::warn!(
                table = self.spec.name,
                version,
                error = &error as &dyn std::error::Error,
                "could not write a checksum or checkpoint; the next version will try again"
            );
        }
    }

    async fn pause(&self, longest: Duration) {
        let pause = longest.mul_f64(self.rng.lock().random());
        tokio::time::sleep(pause).await;
    }
}

/// How long a commit has been tried. What takes long says why: a command that retries in silence seems to hang.
struct Wait {
    table: &'static str,
    started: Instant,
    said: Instant,
}

impl Wait {
    fn start(table: &'static str) -> Self {
        Self { table, started: Instant::now(), said: Instant::now() }
    }

    /// Says in the log why the commit is tried once more, not more often than every [`REPORTED_AFTER`].
    fn say(&mut self, why: &str) {
        if let Some(waited) = self.due() {
            tracing::warn!("waiting to commit to {}, {} s so far: {why}", self.table, waited.as_secs());
        }
    }

    /// How long the commit has been tried, if it is time to say so.
    fn due(&mut self) -> Option<Duration> {
        if self.said.elapsed() < REPORTED_AFTER {
            return None;
        }
        self.said = Instant::now();
        Some(self.started.elapsed())
    }
}

/// The columns of ours that the table does not have yet: it was made by an earlier release.
///
/// Fails if the table has columns that we do not know, because what we write would lack them.
fn new_columns(spec: &TableSpec, snapshot: &TableSnapshot) -> Result<Vec<StructField>> {
    let Some(log) = &snapshot.log else { return Ok(vec![]) };
    let theirs = log.schema();
    let ours = StructType::try_from_arrow(spec.schema().as_ref()).expect("the types of our tables have Delta forms");
    if let Some(unknown) = theirs.fields().find(|field| ours.field(field.name()).is_none()) {
        return Err(LakeError::Unusable {
            reason: format!(
                "the table {} has a column {} that this release ({}) does not know and would lose: run the release \
                 that added it, or a later one",
                spec.name,
                unknown.name(),
                env!("CARGO_PKG_VERSION")
            ),
        });
    }
    Ok(ours.fields().filter(|field| theirs.field(field.name()).is_none()).cloned().collect())
}

/// The kernel's rows of the files to remove, with its own selection narrowed to them.
fn remove_rows(log: &SnapshotRef, kernel: &dyn Engine, removes: &[String]) -> KernelResult<Vec<FilteredEngineData>> {
    use arrow::array::AsArray;

    let removes: HashSet<&str> = removes.iter().map(String::as_str).collect();
    let mut found = 0;
    let mut chosen = Vec::new();
    for rows in log.clone().scan_builder().build()?.scan_metadata(kernel)? {
        let (rows, selected) = rows?.scan_files.into_parts();
        let rows = ArrowEngineData::try_from_engine_data(rows)?;
        let paths = rows
            .record_batch()
            .column_by_name("path")
            .ok_or_else(|| KernelError::generic("the kernel's scan rows have no path"))?
            .as_string::<i32>()
            .clone();
        let narrowed: Vec<bool> = paths
            .iter()
            .enumerate()
            .map(|(row, path)| {
                selected.get(row).copied().unwrap_or(true) && path.is_some_and(|path| removes.contains(path))
            })
            .collect();
        let here = narrowed.iter().filter(|&&chosen| chosen).count();
        if here > 0 {
            found += here;
            chosen.push(FilteredEngineData::try_new(rows, narrowed)?);
        }
    }
    if found != removes.len() {
        return Err(KernelError::generic(format!(
            "{} of {} files to remove are not live",
            removes.len() - found,
            removes.len()
        )));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_is_tried_for_long_says_so_now_and_then() {
        let mut wait = Wait::start("events");
        let mut said_s = vec![];
        for second in 1..=16 {
            tokio::time::advance(Duration::from_secs(1)).await;
            if let Some(waited) = wait.due() {
                assert_eq!(waited.as_secs(), second);
                said_s.push(second);
            }
        }
        assert_eq!(said_s, [5, 10, 15]);
    }
}
