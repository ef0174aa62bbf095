//! Deleting what no reader can need any more.
//!
//! Acts only on what a freshly loaded log says, and by the store's own clock: ages are differences between
//! the Last-Modified of an object written now and that of the object in question.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Add;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tokio::sync::Mutex;

use crate::error::{LakeError, Result};
use crate::layout::{RAW_DIR, RawFile, log_object};
use crate::quarantine::QUARANTINE;
use crate::store::Lake;
use crate::table::Table;
use crate::tables::{EVENTS, TableSpec};

/// Requests under way at the same time.
const CONCURRENT: usize = 16;

/// So long before the first entry of a table's log the first publish of early releases may have begun to write. A file that is
/// older belongs to a log that is lost, and may be all that is left of somebody's events: it is no orphan.
const FIRST_PUBLISH: Duration = Duration::from_secs(24 * 3_600);

/// Checkpoints and checksums of a log are kept so long at least: whoever loads a version of that time, or is late to say which
/// checkpoint is the last, needs those.
const SUMMARIES_KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Of older checkpoints, one in so many versions stays: to read a version that long ago takes no more entries than these.
const CHECKPOINT_KEPT_EVERY: u64 = 10_000;

/// How long what nobody needs is kept, by the store's clock.
#[derive(Clone, Copy, Debug)]
pub struct VacuumSettings {
    /// Raw files that the table has consumed: longer than the longest query.
    pub raw_grace: Duration,
    /// Table files that a merge has replaced: longer than the longest query.
    pub replaced_grace: Duration,
    /// Table files that are in no version: longer than the longest publish or merge. Files from before the log began
    /// are kept: if the log was lost, they are the events.
    pub orphan_grace: Duration,
    /// Files of refused events.
    pub quarantine_retention: Duration,
}

impl Default for VacuumSettings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            raw_grace: HOUR,
            replaced_grace: 24 * HOUR,
            orphan_grace: 7 * 24 * HOUR,
            quarantine_retention: 30 * 24 * HOUR,
        }
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
    /// Bytes of all of them, and of checkpoints and checksums of the log.
    pub bytes: u64,
}

impl Add for Vacuumed {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            raw_files: self.raw_files + more.raw_files,
            table_files: self.table_files + more.table_files,
            quarantine_files: self.quarantine_files + more.quarantine_files,
            bytes: self.bytes + more.bytes,
        }
    }
}

/// When files went out of use, as far as the log was read; kept between runs, so that each entry of the log is
/// read once.
#[derive(Default)]
pub(crate) struct Departures {
    read_until: Option<u64>,
    /// When each path left the table.
    removed_at: HashMap<String, DateTime<Utc>>,
    /// When each lane was consumed, by the last sequence number that was.
    consumed_at: HashMap<String, BTreeMap<u64, DateTime<Utc>>>,
}

impl Departures {
    /// When a raw file that the table has consumed was consumed; `None` if that was before what was read.
    fn consumed_at(&self, file: &RawFile) -> Option<DateTime<Utc>> {
        let lane = self.consumed_at.get(&file.lane.to_string())?;
        lane.range(file.seq..).next().map(|(_, at)| *at)
    }
}

/// One for each table.
pub(crate) type SharedDepartures = Mutex<Departures>;

impl Lake {
    /// Deletes what is older than the settings say and needed by no version. Safe beside everything else,
    /// also beside another vacuum.
    ///
    /// Whatever fails, perhaps for a permission or a damaged log, does not keep the rest from being deleted; the first
    /// error is returned in the end.
    pub async fn vacuum(&self, tables: &[&'static TableSpec], settings: VacuumSettings) -> Result<Vacuumed> {
        let now = self.store_now().await?;
        let mut parts = vec![
            self.delete_old_salts(now).await.map(|_| Vacuumed::default()),
            self.vacuum_quarantine(now, settings).await,
            self.vacuum_raw(now, settings).await,
        ];
        for spec in tables {
            // Before the log is read: a file that is written and committed between the two is live, not an orphan.
            match self.list(spec.name).await {
                Ok(objects) => {
                    parts.push(self.vacuum_table(spec, &objects, now, settings).await);
                    parts.push(self.vacuum_summaries(spec, &objects, now).await);
                }
                Err(error) => parts.push(Err(error)),
            }
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
        let log = self.list(&format!("{}/_delta_log", EVENTS.name)).await?;
        let table = self.table(&EVENTS);
        let mut departures = table.departures().lock().await;
        read_departures(&table, snapshot.events.version, &log, &mut departures, now, settings).await?;
        let old: Vec<_> = snapshot
            .consumed
            .iter()
            // The grace is for queries that began before the commit, so it counts from the commit.
            .filter(|file| departures.consumed_at(file).is_none_or(|at| is_as_old(at, now, settings.raw_grace)))
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
        let mut departures = table.departures().lock().await;
        read_departures(&table, snapshot.version, objects, &mut departures, now, settings).await?;

        let root = self.path(spec.name);
        let born = entry_times(objects).remove(&0);
        let dead = objects
            .iter()
            .filter(|object| object.location.extension() == Some("parquet") && !live.contains(&object.location))
            .filter_map(|object| {
                let log_path: Vec<_> =
                    object.location.prefix_match(&root)?.map(|part| part.as_ref().to_owned()).collect();
                let log_path = log_path.join("/");
                if log_path.starts_with('_') {
                    return None;
                }
                let dead = match departures.removed_at.get(&log_path) {
                    Some(&removed_at) => is_as_old(removed_at, now, settings.replaced_grace),
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

    /// Deletes checkpoints and checksums of a table's log that no reader begins with any more. They are many times the log,
    /// and can always be made again from its entries, which stay.
    async fn vacuum_summaries(
        &self,
        spec: &'static TableSpec,
        objects: &[ObjectMeta],
        now: DateTime<Utc>,
    ) -> Result<Vacuumed> {
        let Some(hint) = self.table(spec).last_checkpoint().await? else { return Ok(Vacuumed::default()) };
        let (_, bytes) = self.delete(old_summaries(objects, hint, now)).await?;
        Ok(Vacuumed { bytes, ..Vacuumed::default() })
    }

    /// Every object in a directory of the lake; none if it does not exist.
    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<ObjectMeta>> {
        match self.store().list(Some(&self.path(dir))).try_collect().await {
            Ok(objects) => Ok(objects),
            Err(object_store::Error::NotFound { .. }) => Ok(vec![]),
            Err(error) => Err(LakeError::store(format!("list {dir}"), error)),
        }
    }

    /// Deletes objects; one that is gone already counts as nothing. Returns how many and their bytes.
    pub(crate) async fn delete(&self, objects: Vec<(Path, u64)>) -> Result<(usize, u64)> {
        let (mut count, mut total_bytes) = (0, 0);
        let store = self.store();
        let mut deletions: Vec<BoxFuture<'_, _>> = Vec::new();
        for (path, bytes) in objects {
            let store = store.clone();
            deletions.push(async move { (store.delete(&path).await, path, bytes) }.boxed());
        }
        let mut deletions = stream::iter(deletions).buffer_unordered(CONCURRENT);
        while let Some((deleted, path, bytes)) = deletions.next().await {
            match deleted {
                Ok(()) => {
                    count += 1;
                    total_bytes += bytes;
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("delete {path}"), error)),
            }
        }
        Ok((count, total_bytes))
    }
}

/// Reads the log's entries up to version `until` that were not read yet; on the first call, from those on that
/// are young enough to matter.
///
/// - `listed`: a listing with the log's entries, for their times. An entry that is not in it is younger.
async fn read_departures(
    table: &Table,
    until: Option<u64>,
    listed: &[ObjectMeta],
    departures: &mut Departures,
    now: DateTime<Utc>,
    settings: VacuumSettings,
) -> Result<()> {
    let Some(until) = until else { return Ok(()) };
    let horizon = settings.orphan_grace.max(settings.replaced_grace).max(settings.raw_grace);
    let times = entry_times(listed);
    let first = match departures.read_until {
        Some(read_until) => read_until + 1,
        None => {
            let young = times.iter().find(|(_, at)| !is_as_old(**at, now, horizon)).map(|(version, _)| *version);
            young.unwrap_or_else(|| times.last_key_value().map_or(0, |(version, _)| version + 1))
        }
    };
    let mut reads: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
    for version in first..=until {
        let at = times.get(&version).copied().unwrap_or(now);
        reads.push(async move { Ok((version, at, table.read_version(version).await?)) }.boxed());
    }
    let mut reads = stream::iter(reads).buffered(CONCURRENT);
    while let Some((version, at, found)) = reads.try_next().await? {
        departures.removed_at.extend(found.removed.into_iter().map(|(path, _)| (path, at)));
        for (lane, seq) in found.lanes {
            departures.consumed_at.entry(lane).or_default().insert(seq, at);
        }
        departures.read_until = Some(version);
    }
    // What went out of use that long ago is deleted by now, or is old enough without a record.
    departures.removed_at.retain(|_, at| !is_as_old(*at, now, horizon * 2));
    departures.consumed_at.retain(|_, lane| {
        lane.retain(|_, at| !is_as_old(*at, now, horizon * 2));
        !lane.is_empty()
    });
    Ok(())
}

/// Which checkpoints and checksums of a log nobody needs.
///
/// - `objects`: a listing that has the log.
/// - `hint`: the version of the checkpoint that readers are told to begin with.
///
/// The last two that are old enough stay, in case that one of them is damaged, and so does whatever is younger.
fn old_summaries(objects: &[ObjectMeta], hint: u64, now: DateTime<Utc>) -> Vec<(Path, u64)> {
    let summaries: Vec<(u64, bool, &ObjectMeta)> = objects
        .iter()
        .filter(|object| is_as_old(object.last_modified, now, SUMMARIES_KEPT))
        .filter_map(|object| {
            let (version, kind) = log_object(&object.location)?;
            let is_checkpoint = kind == "checkpoint.parquet";
            (is_checkpoint || kind == "crc").then_some((version, is_checkpoint, object))
        })
        .collect();
    let mut checkpoints: Vec<u64> =
        summaries.iter().filter(|(_, is_checkpoint, _)| *is_checkpoint).map(|(version, ..)| *version).collect();
    checkpoints.sort_unstable();
    let [.., last_but_one, _] = checkpoints[..] else { return vec![] };
    let needed_from = last_but_one.min(hint);
    let is_old = |version: u64, is_checkpoint: bool| {
        version < needed_from && !(is_checkpoint && version.is_multiple_of(CHECKPOINT_KEPT_EVERY))
    };
    let old = summaries.into_iter().filter(|(version, is_checkpoint, _)| is_old(*version, *is_checkpoint));
    old.map(|(.., object)| (object.location.clone(), object.size)).collect()
}

/// When each version of a table was committed, by a listing that has its log's entries.
fn entry_times(listed: &[ObjectMeta]) -> BTreeMap<u64, DateTime<Utc>> {
    let entries = listed.iter().filter_map(|object| {
        let (version, kind) = log_object(&object.location)?;
        (kind == "json").then_some((version, object.last_modified))
    });
    entries.collect()
}

/// Whether a file that is in no version is from before the log's first entry was written.
pub(crate) fn is_older_than_log(object: &ObjectMeta, born: Option<DateTime<Utc>>) -> bool {
    born.is_none_or(|born| object.last_modified + FIRST_PUBLISH < born)
}

/// Whether something is at least so old. Stores that tell whole seconds give what was written just now no age at all, which
/// is enough if there is no grace.
fn is_as_old(at: DateTime<Utc>, now: DateTime<Utc>, as_this: Duration) -> bool {
    (now - at).to_std().is_ok_and(|age| age >= as_this)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks which of the objects of a log, written as `name@hours`, are deleted two days after the epoch.
    #[track_caller]
    fn check_summaries(log: &str, hint: u64, expected: &str) {
        let hour = |hours: i64| DateTime::from_timestamp(hours * 3_600, 0).unwrap();
        let object = |text: &str| {
            let (name, hours) = text.split_once('@').unwrap();
            let (version, kind) = name.split_once('.').unwrap();
            let location = Path::from(format!("events/_delta_log/{version:0>20}.{kind}"));
            ObjectMeta { location, last_modified: hour(hours.parse().unwrap()), size: 1, e_tag: None, version: None }
        };
        let log: Vec<ObjectMeta> = log.split_whitespace().map(object).collect();
        let deleted: Vec<String> = old_summaries(&log, hint, hour(48))
            .into_iter()
            .map(|(path, _)| path.filename().unwrap().trim_start_matches('0').to_owned())
            .collect();
        assert_eq!(deleted.join(" "), expected);
    }

    #[test]
    fn summaries_go_that_no_reader_begins_with() {
        let log = "1.json@0 1.crc@0 2.crc@1 2.checkpoint.parquet@1 3.crc@2 4.checkpoint.parquet@3 4.crc@3 \
                   6.checkpoint.parquet@4 6.crc@4 8.checkpoint.parquet@40 8.crc@40 8.json@40";
        check_summaries(log, 8, "1.crc 2.crc 2.checkpoint.parquet 3.crc");
        // The hint is late.
        check_summaries(log, 2, "1.crc");
        // Nothing else can be begun with yet.
        check_summaries("1.crc@0 2.checkpoint.parquet@1 3.crc@2", 2, "");
        check_summaries("", 0, "");
    }

    #[test]
    fn one_checkpoint_in_many_stays() {
        let log = "9900.checkpoint.parquet@0 10000.checkpoint.parquet@0 10000.crc@0 10100.checkpoint.parquet@0 \
                   20100.checkpoint.parquet@1 20200.checkpoint.parquet@1";
        check_summaries(log, 20_200, "9900.checkpoint.parquet 10000.crc 10100.checkpoint.parquet");
    }

    #[test]
    fn what_was_written_now_has_an_age_and_the_future_is_young() {
        let at = |s: i64| DateTime::from_timestamp(s, 0).unwrap();
        assert!(is_as_old(at(0), at(10), Duration::from_secs(10)));
        assert!(!is_as_old(at(1), at(10), Duration::from_secs(10)));
        assert!(is_as_old(at(10), at(10), Duration::ZERO));
        assert!(!is_as_old(at(20), at(10), Duration::ZERO));
    }
}
