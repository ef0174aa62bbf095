//! When files left the table and when lanes were consumed, as the log's entries say. Vacuum keeps this between runs, so
//! each entry is read once.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::Table;
use crate::error::Result;
use crate::layout::{RawFile, log_object};
use crate::table::change::ERASURES;

/// Entries read at the same time.
const CONCURRENT: usize = 16;

/// What vacuum remembers of a table's log between runs.
#[derive(Default)]
pub(crate) struct VacuumState {
    pub(crate) log_times: Mutex<LogTimes>,
    /// What could be deleted of versions before this one was deleted already.
    pub(crate) log_swept_until: Mutex<u64>,
}

/// When files left the table and lanes were consumed, as far as the log was read.
#[derive(Default)]
pub(crate) struct LogTimes {
    read_until: Option<u64>,
    /// When each path left the table, and how.
    pub(crate) removed: HashMap<String, Removed>,
    /// The last version that took rows away: events that expired, or of a person who was erased.
    pub(crate) last_deletion: Option<u64>,
    /// When each lane was consumed, by the last sequence number that was.
    consumed_at: HashMap<String, BTreeMap<u64, DateTime<Utc>>>,
}

/// How a file left the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removed {
    /// When.
    pub(crate) at: DateTime<Utc>,
    /// In which version.
    pub(crate) version: u64,
    /// Whether its rows are in another file.
    pub(crate) by_merge: bool,
}

impl LogTimes {
    /// When a raw file that the table has consumed was consumed; `None` if that was before what was read.
    pub(crate) fn consumed_at(&self, file: &RawFile) -> Option<DateTime<Utc>> {
        let lane = self.consumed_at.get(&file.lane.to_string())?;
        lane.range(file.seq..).next().map(|(_, at)| *at)
    }

    /// Reads the log's entries up to version `until` that were not read yet. The first call starts at the oldest entry that
    /// is younger than `horizon`.
    pub(crate) async fn read(
        &mut self,
        table: &Table,
        until: Option<u64>,
        now: DateTime<Utc>,
        horizon: Duration,
    ) -> Result<()> {
        let Some(until) = until else { return Ok(()) };
        let first = match self.read_until {
            Some(read_until) => read_until + 1,
            None => {
                // A lost entry is taken for an old one: what it says cannot be read.
                let is_young = move |version| async move {
                    let at = table.entry_time(version).await?;
                    Ok(at.is_some_and(|at| !is_as_old(at, now, horizon)))
                };
                first_young(until, is_young).await?
            }
        };
        if first <= until {
            self.read_entries(table, first, until, now).await?;
        }
        // What went out of use that long ago is deleted by now, or is old enough without a record.
        self.removed.retain(|_, removed| !is_as_old(removed.at, now, horizon * 2));
        self.consumed_at.retain(|_, lane| {
            lane.retain(|_, at| !is_as_old(*at, now, horizon * 2));
            !lane.is_empty()
        });
        Ok(())
    }

    async fn read_entries(&mut self, table: &Table, first: u64, until: u64, now: DateTime<Utc>) -> Result<()> {
        let times = entry_times(table, first).await?;
        let mut reads: Vec<BoxFuture<'_, Result<_>>> = Vec::new();
        for version in first..=until {
            // An entry that the listing does not have is younger.
            let at = times.get(&version).copied().unwrap_or(now);
            let read = async move {
                match table.spec().log_is_cleaned {
                    // What was deleted is older than all that is asked for.
                    true => Ok((version, at, table.find_version(version).await?.unwrap_or_default())),
                    false => Ok((version, at, table.read_version(version).await?)),
                }
            };
            reads.push(read.boxed());
        }
        let mut reads = stream::iter(reads).buffered(CONCURRENT);
        while let Some((version, at, found)) = reads.try_next().await? {
            if found.removed.iter().any(|(_, is_fewer)| *is_fewer) || found.lanes.iter().any(|(id, _)| id == ERASURES) {
                self.last_deletion = Some(version);
            }
            let removed = |by_merge| Removed { at, version, by_merge };
            self.removed.extend(found.removed.into_iter().map(|(path, is_fewer)| (path, removed(!is_fewer))));
            for (lane, seq) in found.lanes {
                self.consumed_at.entry(lane).or_default().insert(seq, at);
            }
            self.read_until = Some(version);
        }
        Ok(())
    }
}

/// The first version up to `until` that is young, or the one after `until` if none is. Later versions are younger, so a few
/// entries tell; a listing of the log has millions after a year.
async fn first_young<F>(until: u64, is_young: impl Fn(u64) -> F) -> Result<u64>
where
    F: Future<Output = Result<bool>>,
{
    let (mut first, mut end) = (0, until + 1);
    while first < end {
        let middle = first + (end - first) / 2;
        match is_young(middle).await? {
            true => end = middle,
            false => first = middle + 1,
        }
    }
    Ok(first)
}

/// When versions from `first` on were committed, by the store's clock.
async fn entry_times(table: &Table, first: u64) -> Result<BTreeMap<u64, DateTime<Utc>>> {
    let mut times = BTreeMap::new();
    let mut objects = table.list_log(first);
    while let Some(object) = objects.try_next().await? {
        if let Some((version, "json")) = log_object(&object.location) {
            times.insert(version, object.last_modified);
        }
    }
    Ok(times)
}

/// Whether something is at least `as_this` old. Stores that tell whole seconds give a new object an age of zero, which is
/// enough where the grace is zero.
pub(crate) fn is_as_old(at: DateTime<Utc>, now: DateTime<Utc>, as_this: Duration) -> bool {
    (now - at).to_std().is_ok_and(|age| age >= as_this)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn reading_begins_at_the_first_young_version_and_few_entries_are_looked_at() {
        for until in [0, 1, 9, 1_000_000] {
            for young_from in [0, 1, until / 2, until, until + 1] {
                let looks = Cell::new(0);
                let is_young = |version| {
                    looks.set(looks.get() + 1);
                    async move { Ok(version >= young_from) }
                };
                assert_eq!(first_young(until, is_young).await.unwrap(), young_from.min(until + 1));
                assert!(looks.get() <= 21);
            }
        }
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
