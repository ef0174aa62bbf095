//! Reading the log of a table: its entries, checkpoints and checksums in order, then the kernel's answer for the same
//! version.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::FutureExt;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::replay::{Listed, Log, Replay, first_difference};
use super::summaries::{check_hint, read_checkpoint};
use super::{CONCURRENT_OBJECTS, Finding, relative};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::layout::LaneId;
use crate::schema::tables::TableSpec;
use crate::table::file::parse_stats;

/// Listings after which an entry that was deleted since counts as lost.
const LISTINGS: u32 = 4;

impl Log {
    /// Reads the whole log.
    ///
    /// - `objects`: an earlier listing of the table.
    pub(super) async fn read(lake: &Lake, spec: &'static TableSpec, objects: &[ObjectMeta]) -> Result<Self> {
        if let Some(log) = Self::read_listed(lake, spec, objects, spec.log_is_cleaned).await? {
            return Ok(log);
        }
        // What vacuum deleted since the listing is no longer in the next one.
        let mut tries = 1;
        loop {
            let objects = lake.list(spec.name).await?;
            if let Some(log) = Self::read_listed(lake, spec, &objects, tries < LISTINGS).await? {
                return Ok(log);
            }
            tries += 1;
        }
    }

    /// `None` if entries were deleted since the listing.
    ///
    /// - `may_be_cleaned`: whether that is to be expected.
    async fn read_listed(
        lake: &Lake,
        spec: &'static TableSpec,
        objects: &[ObjectMeta],
        may_be_cleaned: bool,
    ) -> Result<Option<Self>> {
        let root = lake.path(spec.name);
        let log_dir = root.clone().join("_delta_log");
        let listed = Listed::new(&log_dir, objects);
        let born = listed.entries.get(&0).map(|entry| entry.last_modified);
        let mut log = Self { version: listed.newest(), born, chain_is_whole: true, ..Self::default() };
        let Some(newest) = log.version else {
            let has_files = objects.iter().any(|object| object.location.extension() == Some("parquet"));
            // The pages of one listing may be of different times, before and after the file was written.
            if has_files && lake.read_small(&log_dir.join(format!("{:020}.json", 0))).await?.is_none() {
                log.findings.push(Finding::error(
                    &root,
                    "there are files and no log, so nothing reads or writes the table; restore the directory _delta_log \
                     from a backup or from older versions of its objects",
                ));
            }
            return Ok(Some(log));
        };
        let first_checkpoint = match spec.log_is_cleaned {
            true => listed.first_checkpoint(lake.runtime().log_entries_kept),
            false => None,
        };
        let present = objects.iter().map(|object| relative(&root, &object.location)).collect();
        let mut replay = Replay::new(spec, &mut log, &listed, &present);
        replay.is_known = first_checkpoint.is_none();
        let mut versions = stream::iter(first_checkpoint.unwrap_or(0)..=newest)
            .map(|version| {
                let (lake, entry) = (lake.clone(), log_dir.clone().join(format!("{version:020}.json")));
                let checksum = listed.checksums.get(&version).map(|object| object.location.clone());
                async move {
                    let bytes = lake.read_small(&entry).await?;
                    let checksum_bytes = match &checksum {
                        Some(checksum) => lake.read_small(checksum).await?,
                        None => None,
                    };
                    Ok::<_, LakeError>((version, entry, bytes, checksum.zip(checksum_bytes)))
                }
                .boxed()
            })
            .buffered(CONCURRENT_OBJECTS);
        let (mut last_good_checksum, mut last_good_checkpoint) = (0, 0);
        while let Some((version, entry, bytes, checksum)) = versions.try_next().await? {
            if first_checkpoint != Some(version) {
                if bytes.is_none() && may_be_cleaned && listed.entries.contains_key(&version) {
                    return Ok(None);
                }
                replay.follow(version, &entry, bytes.as_deref());
            }
            if let Some(object) = listed.checkpoints.get(&version)
                && let Some(read) = read_checkpoint(lake, object).await?
                && replay.compare_checkpoint(version, object, read)
            {
                last_good_checkpoint = version;
            }
            if let Some((path, bytes)) = checksum
                && replay.compare_checksum(version, path, &bytes)
            {
                last_good_checksum = version;
            }
        }
        drop(versions);
        if !replay.is_known && first_checkpoint.is_some() {
            if may_be_cleaned {
                return Ok(None);
            }
            log.chain_is_whole = false;
        }
        check_hint(lake, &log_dir, &listed, &mut log).await?;
        for path in &listed.foreign_checkpoints {
            log.findings.push(Finding::warning(
                path,
                "it is a checkpoint in a form that Dewpond does not write and that is not checked; keep other engines \
                 from writing to the table",
            ));
        }
        let newest_checksum = log_dir.clone().join(format!("{newest:020}.crc"));
        // A writer may have written it just after the log was listed.
        let came_later = !listed.checksums.contains_key(&newest) && lake.read_small(&newest_checksum).await?.is_some();
        if last_good_checksum < newest && !came_later {
            log.wants_checksum = true;
            log.findings.push(Finding::warning(
                newest_checksum,
                "the newest version has no good checksum, so loading it takes longer; the next commit writes one, or \
                 `dewpond lake check --repair`",
            ));
        }
        if newest - last_good_checkpoint > lake.runtime().checkpoint_every {
            log.wants_checkpoint = true;
            log.findings.push(Finding::warning(
                &log_dir,
                format!(
                    "who loads the table replays {} versions, since there is no good checkpoint after version \
                     {last_good_checkpoint}; `dewpond lake check --repair` writes one",
                    newest - last_good_checkpoint
                ),
            ));
        }
        if log.is_sound() {
            compare_with_kernel(lake, spec, &mut log).await?;
        }
        Ok(Some(log))
    }
}

/// Compares the replay with the kernel's view of the same version, which every query uses.
async fn compare_with_kernel(lake: &Lake, spec: &'static TableSpec, log: &mut Log) -> Result<()> {
    let Some(version) = log.version else { return Ok(()) };
    let object = lake.path(spec.name).join("_delta_log");
    let loaded = match lake.table(spec).read_log_at(version).await {
        Ok(loaded) => loaded,
        Err(error) if error.is_of_the_store() => return Err(error),
        Err(error) => {
            let message = format!(
                "version {version} does not load ({}), although its entries can be read; no query works until this is fixed",
                whole_text(&error)
            );
            log.findings.push(Finding::error(object, message));
            return Ok(());
        }
    };
    let seen: BTreeMap<&str, _> = loaded
        .files
        .iter()
        .map(|file| (file.log_path.as_str(), (file.size_bytes, file.date, file.rows, file.ranges.clone())))
        .collect();
    let expected: BTreeMap<&str, _> = log
        .live
        .iter()
        .map(|(path, file)| {
            // Unreadable statistics are reported with the file.
            let (rows, ranges) = parse_stats(spec, &file.stats).unwrap_or_default();
            (path.as_str(), (file.size_bytes, file.date, rows, ranges))
        })
        .collect();
    if let Some(difference) = first_difference(&seen, &expected) {
        log.findings.push(Finding::error(
            &object,
            format!(
                "queries read {} files of version {version} and its entries make {}: {difference} differs; restart all \
                 roles, and report this as a defect of Dewpond if it stays",
                seen.len(),
                expected.len()
            ),
        ));
    }
    let lanes = log.lanes.keys().filter_map(|lane| Some(LaneId(lane.parse().ok()?))).collect();
    for (lane, seen) in loaded.consumed(lanes).await? {
        let expected = log.lanes.get(&lane.to_string()).copied().unwrap_or(0);
        if seen != expected {
            log.findings.push(Finding::error(
                &object,
                format!(
                    "queries take lane {lane} for consumed up to {seen} and the entries say {expected}: events between \
                     the two are lost or doubled; stop the compactors and look at the newest checksum and checkpoint"
                ),
            ));
        }
    }
    Ok(())
}

impl Lake {
    /// Reads a small object; `None` if it does not exist.
    pub(super) async fn read_small(&self, path: &Path) -> Result<Option<Bytes>> {
        let read = async { self.store().get(path).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(format!("read {path}"), error)),
        }
    }
}
