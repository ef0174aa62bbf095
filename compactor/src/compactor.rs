//! The compactor's jobs (publish, merge, vacuum, sessions) and how each handles failure.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use engine::Engine;
use futures::FutureExt;
use lake::{EVENTS, IMPORTED_DAYS, LakeError, Person, REPORTS, TABLES, TableFile, TableSpec, VacuumSettings, Vacuumed};
use parking_lot::Mutex;
use schedule::Schedule;

use crate::archive::Archive;
use crate::merge::{Merged, merge};
use crate::plan::{MergePolicy, plan_merges};
use crate::publish::{PublishCommit, Published, publish_next};
use crate::removal::{ErasureDone, Removal, Removed, complete_erasures, erase, remove};
use crate::retention::{Expiry, UnexpiredFiles};
use crate::sessions::{SessionsKept, keep_sessions, keep_sessions_of_today};
use crate::settings::{CompactorCrons, CompactorSettings};
use crate::thinning::ThinnedDates;
use crate::work::{WorkError, with_new_plans};

/// Publishes, merges and vacuums one lake.
#[derive(Clone)]
pub struct Compactor {
    engine: Engine,
    settings: CompactorSettings,
    clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    archive: Option<Archive>,
    unexpired_files: Arc<UnexpiredFiles>,
    thinned_dates: Arc<ThinnedDates>,
}

impl Compactor {
    /// A compactor for the engine's lake. `clock` decides which dates are sealed and which events have expired, and dates
    /// erasures.
    pub fn new(
        engine: Engine,
        settings: CompactorSettings,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Self {
        Self { engine, settings, clock, archive: None, unexpired_files: Arc::default(), thinned_dates: Arc::default() }
    }

    /// The same, which puts expired events into an archive before it removes them.
    pub fn with_archive(self, archive: Option<Archive>) -> Self {
        Self { archive, ..self }
    }

    /// Schedules the jobs.
    pub async fn schedule(&self, schedule: &mut Schedule, crons: &CompactorCrons) -> anyhow::Result<()> {
        let this = self.clone();
        schedule
            .every("publish", &crons.publish_cron, move || {
                let this = this.clone();
                async move { this.publish().await.map(drop) }
            })
            .await?;
        let this = self.clone();
        schedule
            .every("merge", &crons.merge_cron, move || {
                let this = this.clone();
                async move { this.merge().await.map(drop) }
            })
            .await?;
        let this = self.clone();
        schedule
            .every("vacuum", &crons.vacuum_cron, move || {
                let this = this.clone();
                async move { this.remove_and_vacuum().await.map(drop) }
            })
            .await?;
        if crons.no_sessions_table {
            return Ok(());
        }
        let this = self.clone();
        schedule
            .every("sessions", &crons.sessions_cron, move || {
                let this = this.clone();
                async move { this.keep_sessions_of_today().await.map(drop) }
            })
            .await
    }

    /// Publishes everything that is pending when it begins, in as many commits as that takes.
    pub async fn publish(&self) -> anyhow::Result<Published> {
        let started = Instant::now();
        let mut total = Published::default();
        let (raw_bytes_max, file_bytes_max) = (self.settings.publish_bytes_max, self.settings.merge_target_bytes);
        let mut more = true;
        while more {
            let publish_next = || publish_next(self.engine.lake(), raw_bytes_max, file_bytes_max, (self.clock)());
            let Some(PublishCommit { published, more_ready }) = with_new_plans(publish_next).await? else { break };
            // Files that arrive meanwhile wait for the next run. Otherwise, beside a busy collector, this would make one
            // tiny commit after the other and never end.
            more = more_ready;
            metrics::counter!("dewpond_compactor_rows_consumed_total").increment(published.rows_consumed);
            metrics::counter!("dewpond_compactor_rows_published_total").increment(published.rows_published);
            metrics::counter!("dewpond_compactor_rows_duplicate_total").increment(published.duplicates());
            metrics::counter!("dewpond_compactor_bytes_written_total", "job" => "publish")
                .increment(published.bytes_added);
            total.raw_files += published.raw_files;
            total.rows_consumed += published.rows_consumed;
            total.rows_published += published.rows_published;
            total.files_added += published.files_added;
            total.bytes_added += published.bytes_added;
        }
        if total.raw_files > 0 {
            metrics::histogram!("dewpond_compactor_publish_seconds").record(started.elapsed());
            tracing::info!(
                raw_files = total.raw_files,
                rows = total.rows_published,
                duplicates = total.duplicates(),
                seconds = started.elapsed().as_secs_f64(),
                "published"
            );
        }
        Ok(total)
    }

    /// Merges small files of events and reports until nothing is worth merging.
    ///
    /// Files that cannot be merged, for example because one is damaged, are skipped and the others are merged. Returns the
    /// first error after all the work.
    pub async fn merge(&self) -> anyhow::Result<Merged> {
        let started = Instant::now();
        let policy = MergePolicy { target_bytes: self.settings.merge_target_bytes, ..MergePolicy::default() };
        let (mut total, mut failed) = (Merged::default(), None);
        for spec in [&*EVENTS, &*REPORTS, &*IMPORTED_DAYS] {
            let mut left_alone: HashSet<String> = HashSet::new();
            loop {
                let snapshot = match self.engine.lake().table(spec).load().await {
                    Ok(snapshot) => snapshot,
                    Err(error) => {
                        failed = failed.or(Some(error.into()));
                        break;
                    }
                };
                let candidates = snapshot.files.iter().filter(|file| !left_alone.contains(&file.log_path));
                let plan = plan_merges(candidates, policy, (self.clock)());
                let Some(first) = plan.first() else { break };
                // Only the first merge: its result may be part of another merge in the next plan.
                // The Parquet decoder may panic on a damaged file.
                let merged = AssertUnwindSafe(merge(&self.engine, spec, snapshot, first)).catch_unwind().await;
                match merged.unwrap_or(Err(WorkError::Stopped)) {
                    Ok(merged) => {
                        total.files_in += merged.files_in;
                        total.files_out += merged.files_out;
                        total.rows += merged.rows;
                        total.bytes_written += merged.bytes_written;
                    }
                    // Another compactor is working on the same files: leave them to it.
                    Err(error) if error.wants_new_plan() && !self.is_file_lost(spec, &error, &first.files).await => {
                        metrics::counter!("dewpond_compactor_conflicts_total").increment(1);
                        break;
                    }
                    Err(error) => {
                        let files: Vec<&str> = first.files.iter().map(|file| &*file.log_path).collect();
                        tracing::warn!(?files, %error, "could not merge files; the others go on");
                        left_alone.extend(first.files.iter().map(|file| file.log_path.clone()));
                        failed = failed.or(Some(error));
                    }
                }
            }
        }
        if total.files_in > 0 {
            metrics::histogram!("dewpond_compactor_merge_seconds").record(started.elapsed());
            metrics::counter!("dewpond_compactor_files_merged_total").increment(total.files_in as u64);
            metrics::counter!("dewpond_compactor_bytes_written_total", "job" => "merge").increment(total.bytes_written);
            tracing::info!(
                files = total.files_in,
                into = total.files_out,
                rows = total.rows,
                seconds = started.elapsed().as_secs_f64(),
                "merged"
            );
        }
        match failed {
            None => Ok(total),
            Some(error) => Err(error.into()),
        }
    }

    /// Whether the error says that a file is missing from the store although the table still has all `files`.
    async fn is_file_lost(&self, spec: &'static TableSpec, error: &WorkError, files: &[TableFile]) -> bool {
        if !matches!(error, WorkError::Lake(LakeError::Gone { .. })) {
            return false;
        }
        let newest = self.engine.lake().table(spec).load().await;
        newest.is_ok_and(|newest| newest.has_all(files))
    }

    /// Erases a person: their events leave the table and do not come back. Later vacuums delete the bytes from the store.
    pub async fn erase(&self, person: &Person) -> anyhow::Result<ErasureDone> {
        let done = erase(&self.engine, person, self.settings.merge_target_bytes, (self.clock)()).await?;
        tracing::info!(rows = done.published.rows, pending = done.pending_rows, "erased a person");
        Ok(done)
    }

    /// Removes expired events, and completes erasures that were interrupted. A failure in one does not stop the other.
    /// Returns the first error after both.
    pub async fn remove(&self) -> anyhow::Result<Removed> {
        let (lake, now, commit_bytes) = (self.engine.lake(), (self.clock)(), self.settings.merge_target_bytes);
        let removed = Mutex::default();
        let erased = complete_erasures(&self.engine, commit_bytes, &removed, now).await;
        let expired = match self.plan_expiry(now).await {
            Ok(Some(expiry)) => {
                remove(lake, &Removal::Expired(expiry, self.archive.clone()), commit_bytes, &removed).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error.into()),
        };
        let total = *removed.lock();
        if total.rows > 0 {
            metrics::counter!("dewpond_compactor_rows_removed_total").increment(total.rows);
            tracing::info!(rows = total.rows, files = total.files, "removed expired and erased events");
        }
        if let (Err(_), Err(error)) = (&erased, &expired) {
            tracing::error!(%error, "could not remove expired events");
        }
        erased.and(expired)?;
        Ok(total)
    }

    async fn plan_expiry(&self, now: DateTime<Utc>) -> Result<Option<Expiry>, LakeError> {
        let lake = self.engine.lake();
        // A clock that runs ahead would remove events too early, and they cannot be brought back.
        let today = now.min(lake.store_now().await?).date_naive();
        Ok(self.unexpired_files.plan(lake.sites().await?.sites(), today))
    }

    /// Brings the table `sessions` up to date if another day has been over since it was. Returns `None` if it is.
    pub async fn keep_sessions_of_today(&self) -> anyhow::Result<Option<SessionsKept>> {
        let started = Instant::now();
        let kept = keep_sessions_of_today(&self.engine, (self.clock)()).await?;
        if let Some(kept) = kept {
            tracing::info!(
                days = kept.days,
                written = kept.days_written,
                rows = kept.rows_written,
                seconds = started.elapsed().as_secs_f64(),
                "kept the sessions of days that are over"
            );
        }
        Ok(kept)
    }

    /// Brings the table `sessions` up to date: that of all days that are over, as events say now.
    pub async fn keep_sessions(&self) -> anyhow::Result<SessionsKept> {
        Ok(keep_sessions(&self.engine, (self.clock)()).await?)
    }

    /// Removes the runs from the history of reports that are not [kept](crate::ReportsKept) any longer.
    pub async fn thin_reports(&self) -> anyhow::Result<Removed> {
        let (lake, removed) = (self.engine.lake(), Mutex::default());
        if lake.table(&REPORTS).load().await?.files.is_empty() {
            return Ok(Removed::default());
        }
        // Runs that leave cannot be brought back either.
        let now = (self.clock)().min(lake.store_now().await?);
        let plan = || self.thinned_dates.plan(lake, &self.settings.reports, now);
        if let Some(thinning) = with_new_plans(plan).await? {
            remove(lake, &Removal::Thinned(thinning), self.settings.merge_target_bytes, &removed).await?;
        }
        let total = *removed.lock();
        if total.rows > 0 {
            tracing::info!(rows = total.rows, files = total.files, "thinned the history of reports");
        }
        Ok(total)
    }

    /// Removes rows, thins the history of reports, then vacuums. It vacuums even if a removal fails, so that other files are
    /// deleted on time.
    pub async fn remove_and_vacuum(&self) -> anyhow::Result<(Removed, Vacuumed)> {
        let removed = self.remove().await;
        let thinned = self.thin_reports().await;
        // If more than one fails, the removal's error is returned: the vacuum has logged its own.
        let vacuumed = self.vacuum().await;
        let removed = removed?;
        thinned?;
        Ok((removed, vacuumed?))
    }

    /// Deletes consumed raw files, replaced table files and orphans once their grace is over.
    pub async fn vacuum(&self) -> anyhow::Result<Vacuumed> {
        let settings = VacuumSettings {
            raw_grace: self.settings.raw_grace,
            replaced_grace: self.settings.replaced_grace,
            followed_grace: self.settings.followed_grace,
            ..VacuumSettings::default()
        };
        let done = self.engine.lake().vacuum(&*TABLES, settings).await?;
        if done != Vacuumed::default() {
            metrics::counter!("dewpond_compactor_files_deleted_total").increment(done.files() as u64);
            tracing::info!(
                raw_files = done.raw_files,
                table_files = done.table_files,
                quarantine_files = done.quarantine_files,
                states = done.states,
                unfinished_files = done.unfinished_files,
                bytes = done.bytes,
                "vacuumed"
            );
        }
        Ok(done)
    }
}
