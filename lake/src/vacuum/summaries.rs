//! Deleting old checkpoints and checksums of a log. Together they are many times larger than the log, and they can
//! always be made again from its entries, which stay.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::Vacuumed;
use crate::error::Result;
use crate::lake::Lake;
use crate::layout::log_object;
use crate::schema::tables::TableSpec;
use crate::table::log_times::is_as_old;

/// The least age at which they are deleted. A reader that loads a version of that time needs them, and so does a writer that
/// is late to update the hint.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// Of older checkpoints one in this many versions stays, which bounds the entries that an old version is read from.
const CHECKPOINT_KEPT_EVERY: u64 = 10_000;

/// A checkpoint or a checksum of a version.
struct Summary {
    version: u64,
    is_checkpoint: bool,
    path: Path,
    size_bytes: u64,
}

impl Summary {
    /// What an object of a log is, if it is one and old enough to go.
    fn of_old(object: ObjectMeta, now: DateTime<Utc>) -> Option<Self> {
        let (version, kind) = log_object(&object.location)?;
        let is_checkpoint = kind == "checkpoint.parquet";
        let goes = (is_checkpoint || kind == "crc") && is_as_old(object.last_modified, now, KEPT);
        goes.then_some(Self { version, is_checkpoint, size_bytes: object.size, path: object.location })
    }
}

impl Lake {
    /// Deletes what no reader begins with any more.
    pub(super) async fn vacuum_summaries(&self, spec: &'static TableSpec, now: DateTime<Utc>) -> Result<Vacuumed> {
        let table = self.table(spec);
        let Some(hint) = table.last_checkpoint().await? else { return Ok(Vacuumed::default()) };
        let mut summaries_swept_until = table.vacuum_state().summaries_swept_until.lock().await;
        let (mut old, mut objects) = (Vec::new(), table.list_log(*summaries_swept_until));
        while let Some(object) = objects.try_next().await? {
            old.extend(Summary::of_old(object, now));
        }
        let Some(needed_from) = needed_from(&old, hint) else { return Ok(Vacuumed::default()) };
        let goes = needless(old, needed_from).map(|summary| (summary.path, summary.size_bytes)).collect();
        let (_, bytes) = self.delete(goes).await?;
        *summaries_swept_until = needed_from;
        Ok(Vacuumed { bytes, ..Vacuumed::default() })
    }
}

/// The version from which on all summaries stay: of checkpoints that are old enough the last but one, in case that the last is
/// damaged. `None` if there are not two.
///
/// - `hint`: the version of the checkpoint that readers are told to begin with.
fn needed_from(old: &[Summary], hint: u64) -> Option<u64> {
    let mut checkpoints: Vec<u64> =
        old.iter().filter(|summary| summary.is_checkpoint).map(|summary| summary.version).collect();
    checkpoints.sort_unstable();
    let [.., last_but_one, _] = checkpoints[..] else { return None };
    Some(last_but_one.min(hint))
}

/// Those that nobody needs.
fn needless(old: Vec<Summary>, needed_from: u64) -> impl Iterator<Item = Summary> {
    old.into_iter().filter(move |summary| {
        let is_kept = summary.is_checkpoint && summary.version.is_multiple_of(CHECKPOINT_KEPT_EVERY);
        summary.version < needed_from && !is_kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_go_that_no_reader_begins_with() {
        let log = "1.json@0 1.crc@0 2.crc@1 2.checkpoint.parquet@1 3.crc@2 4.checkpoint.parquet@3 4.crc@3 \
                   6.checkpoint.parquet@4 6.crc@4 8.checkpoint.parquet@40 8.crc@40 8.json@40";
        check(log, 8, "1.crc 2.crc 2.checkpoint.parquet 3.crc");
        // The hint is late.
        check(log, 2, "1.crc");
        // Nothing else can be begun with yet.
        check("1.crc@0 2.checkpoint.parquet@1 3.crc@2", 2, "");
        check("", 0, "");
    }

    #[test]
    fn one_checkpoint_in_many_stays() {
        let log = "9900.checkpoint.parquet@0 10000.checkpoint.parquet@0 10000.crc@0 10100.checkpoint.parquet@0 \
                   20100.checkpoint.parquet@1 20200.checkpoint.parquet@1";
        check(log, 20_200, "9900.checkpoint.parquet 10000.crc 10100.checkpoint.parquet");
    }

    /// Checks which of the objects of a log, written as `name@hours`, are deleted two days after the epoch.
    #[track_caller]
    fn check(log: &str, hint: u64, expected: &str) {
        let hour = |hours: i64| DateTime::from_timestamp(hours * 3_600, 0).unwrap();
        let object = |text: &str| {
            let (name, hours) = text.split_once('@').unwrap();
            let (version, kind) = name.split_once('.').unwrap();
            let location = Path::from(format!("events/_delta_log/{version:0>20}.{kind}"));
            ObjectMeta { location, last_modified: hour(hours.parse().unwrap()), size: 1, e_tag: None, version: None }
        };
        let old: Vec<Summary> =
            log.split_whitespace().filter_map(|text| Summary::of_old(object(text), hour(48))).collect();
        let goes = needed_from(&old, hint).map(|needed_from| needless(old, needed_from).collect::<Vec<_>>());
        let deleted: Vec<String> = goes
            .unwrap_or_default()
            .iter()
            .map(|summary| summary.path.filename().unwrap().trim_start_matches('0').to_owned())
            .collect();
        assert_eq!(deleted.join(" "), expected);
    }
}
