//! The raw tier: lanes have no gaps above their watermark, and pending files can be read.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use object_store::ObjectMeta;

use super::replay::Log;
use super::{CONCURRENT_FILES, Checked, Finding};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::layout::{DAMAGED_DIR, LaneId, RAW_DIR, RawFile};
use crate::schema::tables::EVENTS;

/// What a lost raw file means, and what to do.
const RESTORE: &str = "its events were acknowledged and nothing of its lane is published from it on; restore it from a \
                       backup or from an older version of the object";

impl Lake {
    /// Checks the raw tier.
    ///
    /// - `objects`: a listing of it, taken before the log was read.
    pub(super) async fn check_raw(&self, objects: &[ObjectMeta], log: &Log, checked: &mut Checked) -> Result<()> {
        let mut lanes: BTreeMap<LaneId, Vec<RawFile>> = BTreeMap::new();
        for object in objects {
            match RawFile::parse(object) {
                Some(file) => lanes.entry(file.lane).or_default().push(file),
                None if is_probe(object) => {}
                None => checked.findings.push(Finding::warning(
                    &object.location,
                    "its name is not a raw file's, so nobody reads it; give it its old name back or remove it",
                )),
            }
        }
        let mut pending = Vec::new();
        for (lane, mut files) in lanes {
            files.sort_by_key(|file| file.seq);
            let watermark = log.lanes.get(&lane.to_string()).copied().unwrap_or(0);
            let consumed = files.partition_point(|file| file.seq <= watermark);
            for file in files.drain(..consumed) {
                checked.consumed.add(0, file.size_bytes);
            }
            for pair in files.windows(2).filter(|pair| pair[0].seq == pair[1].seq) {
                let message = format!(
                    "{} has the same number: the events of both are read, and some may be copies",
                    pair[0].path
                );
                checked.findings.push(Finding::error(&pair[1].path, message));
            }
            for seq in self.confirm_gaps(lane, watermark, &files).await? {
                checked.findings.push(Finding::error(
                    format!("{}/…/{}", self.path(RAW_DIR), RawFile::name(lane, seq)),
                    format!("it is missing, although later files of its lane exist: {RESTORE}"),
                ));
            }
            pending.extend(files);
        }
        let reads = pending.into_iter().map(|file| {
            let lake = self.clone();
            let read = tokio::spawn({
                let file = file.clone();
                async move { lake.count_raw_rows(&file).await }
            });
            async move { (file, read.await) }
        });
        let mut reads = stream::iter(reads).buffer_unordered(CONCURRENT_FILES);
        while let Some((file, read)) = reads.next().await {
            let why = match read {
                Ok(Ok(rows)) => {
                    checked.pending.add(rows, file.size_bytes);
                    continue;
                }
                // Consumed and deleted since the listing, or else a gap that the next check reports.
                Ok(Err(LakeError::Gone { .. })) => continue,
                Ok(Err(error @ LakeError::Corrupt { .. })) => whole_text(&error),
                Ok(Err(error)) => return Err(error),
                Err(panicked) => panicked.to_string(),
            };
            checked.findings.push(Finding::error(
                &file.path,
                format!(
                    "it cannot be read ({why}): the next publish puts its bytes aside in damaged/ and goes on without \
                     its events, which were acknowledged; restore it before from an older version of the object"
                ),
            ));
        }
        Ok(())
    }

    /// Reports the raw files that were put aside: their events are missing.
    pub(super) async fn check_damaged(&self, checked: &mut Checked) -> Result<()> {
        for object in self.list(DAMAGED_DIR).await? {
            checked.findings.push(Finding::error(
                object.location,
                "a raw file that could not be read, put aside; import what can be saved from it, then remove it",
            ));
        }
        Ok(())
    }

    /// The numbers missing from a lane above its watermark, by a listing and a log newer than `files`.
    ///
    /// A listing is not atomic: it may show a file but not the one before it. Because a file is written only after
    /// the previous one is confirmed, a second listing shows that one, unless it is lost or consumed.
    async fn confirm_gaps(&self, lane: LaneId, watermark: u64, files: &[RawFile]) -> Result<Vec<u64>> {
        let missing = gaps(watermark, files.iter().map(|file| file.seq));
        if missing.is_empty() {
            return Ok(vec![]);
        }
        let listed = self.list(RAW_DIR).await?;
        let there: BTreeSet<u64> =
            listed.iter().filter_map(RawFile::parse).filter(|file| file.lane == lane).map(|file| file.seq).collect();
        let newest = self.table(&EVENTS).load().await?;
        let consumed = newest.consumed(vec![lane]).await?.first().map_or(0, |(_, seq)| *seq);
        Ok(missing.into_iter().filter(|seq| *seq > consumed && !there.contains(seq)).collect())
    }
}

/// The numbers above `watermark` that are missing below the largest of `seqs`, which ascend.
fn gaps(watermark: u64, seqs: impl Iterator<Item = u64>) -> Vec<u64> {
    let (mut missing, mut next) = (Vec::new(), watermark + 1);
    for seq in seqs {
        missing.extend(next..seq);
        next = next.max(seq + 1);
    }
    missing
}

fn is_probe(object: &ObjectMeta) -> bool {
    object.location.filename().is_some_and(|name| name.starts_with("probe-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_without_gaps_lacks_nothing() {
        check(0, &[], &[]);
        check(0, &[1, 2, 3], &[]);
        check(7, &[8, 9], &[]);
    }

    #[test]
    fn what_is_missing_behind_the_watermark_is_named() {
        check(0, &[2], &[1]);
        check(7, &[8, 11, 12], &[9, 10]);
        check(7, &[8, 8, 10], &[9]);
    }

    #[track_caller]
    fn check(watermark: u64, seqs: &[u64], expected: &[u64]) {
        assert_eq!(gaps(watermark, seqs.iter().copied()), expected);
    }
}
