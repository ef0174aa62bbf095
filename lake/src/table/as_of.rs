//! The table as it was: which version a moment means, and whether the files of a version still exist.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::file::object_path;
use super::{Table, TableSnapshot};
use crate::error::{LakeError, Result};

/// Requests under way at the same time.
const CONCURRENT: usize = 16;

/// How many versions are looked at for the oldest one that still reads. Beyond, the search would cost more
/// than its answer is worth.
const SEARCHED_VERSIONS_MAX: u64 = 2_000;

impl Table {
    /// The last version committed at `time` or before, by the clocks of its writers.
    ///
    /// Found by bisection, in about twenty small reads for a million versions: a version at or before `time`
    /// whose successor is after it. Where writers' clocks differ, that is as exact as they are.
    ///
    /// Fails with [`LakeError::NotFound`] if nothing had been committed by then.
    pub async fn version_at(&self, time: DateTime<Utc>) -> Result<u64> {
        let name = self.spec().name;
        let newest = self.load().await?.version.unwrap_or(0);
        // Version 0 defines the table and has no time; the first version with rows is 1.
        let first = if newest == 0 { None } else { self.committed_at(1).await? };
        match first {
            Some(first) if first <= time => {}
            Some(first) => {
                let reason = format!("nothing was in {name} at {time}: its first commit is of {first}");
                return Err(LakeError::NotFound { reason });
            }
            None => {
                return Err(LakeError::NotFound { reason: format!("nothing has been committed to {name} yet") });
            }
        }
        let (mut before, mut after) = (1, newest + 1);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.committed_at(middle).await?.is_some_and(|at| at <= time) {
                before = middle;
            } else {
                after = middle;
            }
        }
        Ok(before)
    }

    async fn committed_at(&self, version: u64) -> Result<Option<DateTime<Utc>>> {
        Ok(self.read_version(version).await?.committed_at())
    }

    /// A version as it was, with all its files still there.
    ///
    /// Costs a request for each file that is no longer live. Fails with [`LakeError::NotFound`] if there is no
    /// such version, or if vacuum has deleted files of it.
    pub async fn load_readable_at(&self, version: u64) -> Result<Arc<TableSnapshot>> {
        let snapshot = self.load_at(version).await?;
        let newest = self.load().await?;
        let live: HashSet<&Path> = newest.files.iter().map(|file| &file.path).collect();
        let replaced = snapshot.files.iter().map(|file| &file.path).filter(|path| !live.contains(path));
        let missing = find_missing(&self.store, replaced.cloned().collect()).await?;
        let Some(example) = missing.first() else { return Ok(snapshot) };
        let oldest = match self.oldest_readable(version, newest.version.unwrap_or(0)).await? {
            Some(oldest) => format!("all versions from {oldest} on still read"),
            None => "`dewpond lake history` lists later versions".to_owned(),
        };
        Err(LakeError::NotFound {
            reason: format!(
                "version {version} of {} cannot be read any more: later versions replaced {} of its files, such as \
                 {example}, and those were deleted, after --replaced-grace or by a purge; {oldest}",
                self.spec.name,
                missing.len(),
            ),
        })
    }

    /// The oldest version after `unreadable` from which on all versions read; `None` if it is too far from the
    /// newest to look for.
    ///
    /// A deleted file makes unreadable what came before the version that removed it. So the last version that
    /// removed one is the answer.
    async fn oldest_readable(&self, unreadable: u64, newest: u64) -> Result<Option<u64>> {
        let stop = newest.saturating_sub(SEARCHED_VERSIONS_MAX).max(unreadable);
        for version in (stop + 1..=newest).rev() {
            let removed = self.read_version(version).await?.removed;
            let paths = removed.iter().map(|(log_path, _)| object_path(&self.root, log_path)).collect();
            if !find_missing(&self.store, paths).await?.is_empty() {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }
}

/// Those of some objects that are not there.
pub(crate) async fn find_missing(store: &Arc<dyn ObjectStore>, paths: Vec<Path>) -> Result<Vec<Path>> {
    let mut looks: Vec<BoxFuture<'_, Result<Option<Path>>>> = Vec::new();
    for path in paths {
        looks.push(
            async move {
                match store.head(&path).await {
                    Ok(_) => Ok(None),
                    Err(object_store::Error::NotFound { .. }) => Ok(Some(path)),
                    Err(error) => Err(LakeError::store(format!("look for {path}"), error)),
                }
            }
            .boxed(),
        );
    }
    stream::iter(looks).buffered(CONCURRENT).try_filter_map(|missing| async { Ok(missing) }).try_collect().await
}
