//! Checks that every event is in the table once: no pair of site and id repeats, on any dates.
//!
//! The keys of all rows are hashed to 16 bytes and spread by their first bits over temporary files, each small enough
//! to sort in memory. So memory is bounded however large the table is, the lake is read once, and the cost is 16 bytes
//! of temporary disk per event. Ids are read again only if some event repeats, to say where.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::Path as FsPath;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use parking_lot::Mutex;

use super::{CONCURRENT_FILES, Finding};
use crate::copies::times::CopyReach;
use crate::error::{LakeError, Result};
use crate::event::{EventId, EventKey};
use crate::lake::Lake;
use crate::parquet::reader::read_batches;
use crate::schema::tables::TableSpec;

/// Rows sorted at a time: 16 bytes each.
const CHUNK_ROWS: u64 = 16 << 20;

/// At most this many repeated events are looked up. A list of millions would help nobody.
const LOOKED_UP_MAX: usize = 100_000;

const HASH_BYTES: usize = 16;

/// Hashed keys, spread over temporary files for sorting. Clones share the files.
#[derive(Clone)]
pub(super) struct SpilledIds {
    parts: Arc<[Mutex<BufWriter<File>>]>,
}

impl SpilledIds {
    /// Opens as many temporary files as `rows` need. They have no names and vanish when this is dropped.
    pub(super) fn start(dir: &FsPath, rows: u64) -> Result<Self> {
        let parts = (0..rows.div_ceil(CHUNK_ROWS).max(1))
            .map(|_| Ok(Mutex::new(BufWriter::new(tempfile::tempfile_in(dir)?))))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|error| spill_failed(dir, error))?;
        Ok(Self { parts: parts.into() })
    }

    /// Adds the keys of a batch with `site_id` and `event_id`.
    pub(super) fn add(&self, batch: &RecordBatch) -> Result<()> {
        for key in keys(batch, &mut HashSet::new()) {
            let hash = hash(&key);
            let first = u128::from_be_bytes(hash) >> 64;
            let part = (first * self.parts.len() as u128) >> 64;
            let written = self.parts[part as usize].lock().write_all(&hash);
            written.map_err(|error| LakeError::unavailable("write ids to the temporary disk", error))?;
        }
        Ok(())
    }

    /// The hashes that occur more than once, at most [`LOOKED_UP_MAX`], and how many there are in total.
    fn find_repeated(&self) -> std::io::Result<(HashSet<[u8; HASH_BYTES]>, u64)> {
        let (mut repeated, mut count) = (HashSet::new(), 0);
        for part in &*self.parts {
            let mut part = part.lock();
            part.flush()?;
            let file = part.get_mut();
            file.rewind()?;
            let mut bytes = Vec::with_capacity(file.metadata()?.len() as usize);
            file.read_to_end(&mut bytes)?;
            let (hashes, _) = bytes.as_chunks_mut::<HASH_BYTES>();
            hashes.sort_unstable();
            for same in hashes.chunk_by(|a, b| a == b).filter(|same| same.len() > 1) {
                count += 1;
                if repeated.len() < LOOKED_UP_MAX {
                    repeated.insert(same[0]);
                }
            }
        }
        Ok((repeated, count))
    }
}

fn spill_failed(dir: &FsPath, error: std::io::Error) -> LakeError {
    LakeError::Unusable { reason: format!("cannot use {} as temporary disk: {error}", dir.display()) }
}

/// The keys of a batch with `site_id` and `event_id`; equal sites share one allocation through `sites`.
fn keys<'a>(batch: &'a RecordBatch, sites: &'a mut HashSet<Arc<str>>) -> impl Iterator<Item = EventKey> + 'a {
    let site_ids = batch["site_id"].as_string::<i32>();
    let event_ids = batch["event_id"].as_binary::<i32>();
    (0..batch.num_rows()).map(move |row| {
        let site_id = match sites.get(site_ids.value(row)) {
            Some(site_id) => site_id.clone(),
            None => {
                let site_id: Arc<str> = site_ids.value(row).into();
                sites.insert(site_id.clone());
                site_id
            }
        };
        EventKey { site_id, event_id: EventId::of_bytes(event_ids.value(row)) }
    })
}

fn hash(key: &EventKey) -> [u8; HASH_BYTES] {
    EventId::derived(&[key.site_id.as_bytes(), &key.event_id.0]).0
}

/// One row of a repeated event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Copy {
    occurred_at_us: i64,
    /// The index of its file.
    file: usize,
}

impl Copy {
    /// Whether deduplication should have dropped one of the two, whichever came first.
    ///
    /// For rows farther apart it depends on where their times came from, which the table does not store.
    fn is_one_with(&self, other: &Self) -> bool {
        CopyReach::Slack.spans(self.occurred_at_us, other.occurred_at_us)
    }
}

impl Lake {
    /// Reports the events that are in a table more than once.
    ///
    /// - `files`: the files the ids came from, with their sizes in bytes.
    pub(super) async fn check_ids(
        &self,
        spec: &'static TableSpec,
        files: Vec<(Path, u64)>,
        ids: SpilledIds,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let sorted = tokio::task::spawn_blocking(move || ids.find_repeated()).await;
        let (repeated, count) = match sorted {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(LakeError::unavailable("read ids from the temporary disk", error)),
            Err(error) => return Err(LakeError::unavailable("sort ids", error)),
        };
        if count == 0 {
            return Ok(());
        }
        let copies = self.find_copies(files.clone(), Arc::new(repeated)).await?;
        findings.extend(describe(&files, copies));
        if count > LOOKED_UP_MAX as u64 {
            let message =
                format!("{count} events are stored more than once; only {LOOKED_UP_MAX} of them were looked up");
            findings.push(Finding::error(self.path(spec.name), message));
        }
        Ok(())
    }

    /// Finds the rows of these events.
    async fn find_copies(
        &self,
        files: Vec<(Path, u64)>,
        repeated: Arc<HashSet<[u8; HASH_BYTES]>>,
    ) -> Result<HashMap<EventKey, Vec<Copy>>> {
        let searches = files.into_iter().enumerate().map(|(file, (path, size_bytes))| {
            let (store, repeated) = (self.store(), repeated.clone());
            async move {
                let columns = ["site_id", "event_id", "occurred_at"];
                let mut batches = read_batches(store, &path, size_bytes, &columns).await?;
                let (mut sites, mut found) = (HashSet::new(), Vec::new());
                while let Some(batch) = batches.try_next().await? {
                    let occurred = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>();
                    for (row, key) in keys(&batch, &mut sites).enumerate() {
                        if repeated.contains(&hash(&key)) {
                            found.push((key, Copy { occurred_at_us: occurred.value(row), file }));
                        }
                    }
                }
                Ok::<_, LakeError>(found)
            }
        });
        let mut searches = stream::iter(searches).buffer_unordered(CONCURRENT_FILES);
        let mut copies: HashMap<EventKey, Vec<Copy>> = HashMap::new();
        while let Some(found) = searches.next().await {
            match found {
                Ok(found) => found.into_iter().for_each(|(key, copy)| copies.entry(key).or_default().push(copy)),
                // The file was merged and vacuumed after it was read.
                Err(LakeError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(copies)
    }
}

/// One finding for each pair of files that have events in common.
fn describe(files: &[(Path, u64)], copies: HashMap<EventKey, Vec<Copy>>) -> Vec<Finding> {
    let mut pairs: BTreeMap<(usize, usize, bool), (u64, EventKey)> = BTreeMap::new();
    for (key, mut rows) in copies {
        // The pair nearest in time.
        rows.sort_unstable();
        for pair in rows.windows(2) {
            let must = pair[0].is_one_with(&pair[1]);
            let (a, b) = (pair[0].file.min(pair[1].file), pair[0].file.max(pair[1].file));
            let (count, example) = pairs.entry((a, b, must)).or_insert_with(|| (0, key.clone()));
            *count += 1;
            // The smallest, so that the same lake always gives the same text.
            *example = example.clone().min(key.clone());
        }
    }
    pairs
        .into_iter()
        .map(|((a, b, must), (count, example))| {
            let id: String = example.event_id.0.iter().map(|byte| format!("{byte:02x}")).collect();
            let place = match a == b {
                true => "in it twice".to_owned(),
                false => format!("also in {}", files[b].0),
            };
            let what = format!("{count} of its events are {place}, such as {id} of site {}", example.site_id);
            match must {
                true => Finding::error(
                    &files[a].0,
                    format!("{what}: every query counts them twice; remove the copies by a new commit"),
                ),
                false => Finding::warning(
                    &files[a].0,
                    format!(
                        "{what}, farther apart in time than all copies are looked for: they were sent again too late to \
                         be known, or ids were used again, and count twice"
                    ),
                ),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Severity;

    #[test]
    fn only_copies_near_in_time_must_have_been_found() {
        check(&[(0, 0), (15, 1)], &[(Severity::Error, "two")]);
        check(&[(0, 0), (16, 1)], &[(Severity::Warning, "two")]);
        check(&[(5, 0), (5, 0)], &[(Severity::Error, "in it twice")]);
    }

    #[test]
    fn each_is_compared_with_the_nearest_in_time() {
        check(&[(0, 0), (60, 0), (1, 1)], &[(Severity::Error, "two"), (Severity::Warning, "two")]);
    }

    /// The copies of one event: each has a minute and a file, `one` or `two`.
    #[track_caller]
    fn check(copies: &[(i64, usize)], expected: &[(Severity, &str)]) {
        let key = EventKey { site_id: "shop".into(), event_id: EventId([0; 16]) };
        let files = [(Path::from("one"), 1), (Path::from("two"), 1)];
        let copies = copies.iter().map(|(minute, file)| Copy { occurred_at_us: minute * 60_000_000, file: *file });
        let mut findings = describe(&files, HashMap::from([(key, copies.collect())]));
        findings.sort_by_key(|finding| finding.severity);
        assert_eq!(findings.len(), expected.len());
        for (finding, (severity, words)) in findings.iter().zip(expected) {
            assert_eq!(finding.severity, *severity);
            assert!(finding.message.contains(words), "{}", finding.message);
        }
    }
}
