//! Deleting what no reader of a log needs any more: old checkpoints and checksums, which together are many times larger than
//! the log and can be made again from its entries, and in some logs old entries.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;

use super::{VacuumSettings, Vacuumed};
use crate::error::Result;
use crate::lake::Lake;
use crate::layout::log_object;
use crate::schema::tables::TableSpec;
use crate::table::cleaned_log::last_to_go;
use crate::table::log_times::is_as_old;

/// Of older checkpoints one in this many versions stays, which bounds the entries that an old version is read from. None
/// does where those entries are deleted.
const CHECKPOINT_KEPT_EVERY: u64 = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Entry,
    Checksum,
    Checkpoint,
}

/// An object of the log that belongs to a version.
struct LogObject {
    version: u64,
    kind: Kind,
    path: Path,
    size_bytes: u64,
    /// Whether it is old enough to go.
    is_old: bool,
}

impl LogObject {
    fn of(object: ObjectMeta, now: DateTime<Utc>, settings: VacuumSettings) -> Option<Self> {
        let (version, kind) = log_object(&object.location)?;
        let (kind, grace) = match kind {
            "json" => (Kind::Entry, settings.entry_grace),
            "crc" => (Kind::Checksum, settings.checkpoint_grace),
            "checkpoint.parquet" => (Kind::Checkpoint, settings.checkpoint_grace),
            _ => return None,
        };
        let is_old = is_as_old(object.last_modified, now, grace);
        Some(Self { version, kind, is_old, size_bytes: object.size, path: object.location })
    }
}

impl Lake {
    /// Deletes what no reader begins with any more.
    pub(super) async fn vacuum_log(
        &self,
        spec: &'static TableSpec,
        now: DateTime<Utc>,
        settings: VacuumSettings,
    ) -> Result<Vacuumed> {
        let table = self.table(spec);
        let Some(hint) = table.last_checkpoint().await? else { return Ok(Vacuumed::default()) };
        let mut log_swept_until = table.vacuum_state().log_swept_until.lock().await;
        let (mut log, mut objects) = (Vec::new(), table.list_log(*log_swept_until));
        while let Some(object) = objects.try_next().await? {
            log.extend(LogObject::of(object, now, settings));
        }
        let Some(needed_from) = needed_from(&log, hint) else { return Ok(Vacuumed::default()) };
        let last_entry = match spec.log_is_cleaned {
            true => last_entry(&log, needed_from, table.log_entries_kept()),
            false => None,
        };
        if last_entry.is_some() {
            // From here on nobody could make it again.
            table.read_log_at(needed_from).await?;
        }
        let swept_until = swept_until(&log, needed_from, spec.log_is_cleaned, last_entry);
        let goes = needless(log, needed_from, spec.log_is_cleaned, last_entry);
        let (_, bytes) = self.delete(goes.map(|object| (object.path, object.size_bytes)).collect()).await?;
        *log_swept_until = swept_until;
        Ok(Vacuumed { bytes, ..Vacuumed::default() })
    }
}

/// The version from which on all summaries stay: of checkpoints that are old enough the last but one, in case that the last is
/// damaged. `None` if there are not two.
///
/// - `hint`: the version of the checkpoint that readers are told to begin with.
fn needed_from(log: &[LogObject], hint: u64) -> Option<u64> {
    let old = log.iter().filter(|object| object.kind == Kind::Checkpoint && object.is_old);
    let mut checkpoints: Vec<u64> = old.map(|object| object.version).collect();
    checkpoints.sort_unstable();
    let [.., last_but_one, _] = checkpoints[..] else { return None };
    Some(last_but_one.min(hint))
}

/// The last entry that goes, if it is old enough.
fn last_entry(log: &[LogObject], needed_from: u64, kept: u64) -> Option<u64> {
    let newest = log.iter().filter(|object| object.kind == Kind::Entry).map(|object| object.version).max()?;
    last_to_go(needed_from, newest, kept)
}

/// The version from which on the next vacuum looks.
fn swept_until(log: &[LogObject], needed_from: u64, is_cleaned: bool, last_entry: Option<u64>) -> u64 {
    let stays = |object: &&LogObject| {
        object.kind == Kind::Entry && object.version > 0 && !(object.is_old && Some(object.version) <= last_entry)
    };
    let first_left = log.iter().filter(stays).map(|object| object.version).min();
    first_left.filter(|_| is_cleaned).map_or(needed_from, |first| first.min(needed_from))
}

/// Those that nobody needs.
fn needless(
    log: Vec<LogObject>,
    needed_from: u64,
    is_cleaned: bool,
    last_entry: Option<u64>,
) -> impl Iterator<Item = LogObject> {
    log.into_iter().filter(move |object| {
        let goes = match object.kind {
            Kind::Entry => object.version > 0 && Some(object.version) <= last_entry,
            Kind::Checksum => object.version < needed_from,
            Kind::Checkpoint => {
                object.version < needed_from && (is_cleaned || !object.version.is_multiple_of(CHECKPOINT_KEPT_EVERY))
            }
        };
        goes && object.is_old
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_go_that_no_reader_begins_with() {
        let log = "1.json@0 1.crc@0 2.crc@1 2.checkpoint.parquet@1 3.crc@2 4.checkpoint.parquet@3 4.crc@3 \
                   6.checkpoint.parquet@4 6.crc@4 8.checkpoint.parquet@40 8.crc@40 8.json@40";
        check(log, 8, false, "1.crc 2.crc 2.checkpoint.parquet 3.crc");
        // The hint is late.
        check(log, 2, false, "1.crc");
        // Nothing else can be begun with yet.
        check("1.crc@0 2.checkpoint.parquet@1 3.crc@2", 2, false, "");
        check("", 0, false, "");
    }

    #[test]
    fn one_checkpoint_in_many_stays() {
        let log = "9900.checkpoint.parquet@0 10000.checkpoint.parquet@0 10000.crc@0 10100.checkpoint.parquet@0 \
                   20100.checkpoint.parquet@1 20200.checkpoint.parquet@1";
        check(log, 20_200, false, "9900.checkpoint.parquet 10000.crc 10100.checkpoint.parquet");
        check(log, 20_200, true, "9900.checkpoint.parquet 10000.checkpoint.parquet 10000.crc 10100.checkpoint.parquet");
    }

    #[test]
    fn entries_of_a_log_that_is_cleaned_go_below_the_checkpoint_but_the_first_and_the_last_ten() {
        let log = "0.json@0 1.json@0 2.json@0 3.json@0 4.checkpoint.parquet@0 4.json@0 5.json@0 6.checkpoint.parquet@0 \
                   6.json@0 13.json@47";
        check(log, 6, true, "1.json 2.json");
        check(log, 6, false, "");
        check(&log.replace("13.json", "99.json"), 6, true, "1.json 2.json 3.json");
        // The second is young, perhaps of a writer that came too late.
        check(&log.replace("2.json@0", "2.json@40"), 6, true, "1.json");
    }

    #[test]
    fn the_next_vacuum_looks_at_entries_that_were_too_young() {
        let log = |entries| objects(&format!("{entries} 400.checkpoint.parquet@0 600.checkpoint.parquet@0 999.json@0"));
        let entries = "0.json@0 1.json@0 2.json@40 399.json@40";
        assert_eq!(swept_until(&log(entries), 400, true, Some(399)), 2);
        assert_eq!(swept_until(&log(entries), 400, false, None), 400);
        assert_eq!(swept_until(&log("0.json@0 1.json@0"), 400, true, Some(399)), 400);
    }

    /// Checks which of the objects of a log, written as `name@hours`, are deleted two days after the epoch. Entries and
    /// summaries are old at a day.
    #[track_caller]
    fn check(log: &str, hint: u64, is_cleaned: bool, expected: &str) {
        let log = objects(log);
        let deleted: Vec<String> = match needed_from(&log, hint) {
            None => vec![],
            Some(needed_from) => {
                let last_entry = last_entry(&log, needed_from, 10).filter(|_| is_cleaned);
                needless(log, needed_from, is_cleaned, last_entry)
                    .map(|object| object.path.filename().unwrap().trim_start_matches('0').to_owned())
                    .collect()
            }
        };
        assert_eq!(deleted.join(" "), expected);
    }

    fn objects(log: &str) -> Vec<LogObject> {
        let day = std::time::Duration::from_secs(24 * 3_600);
        let settings = VacuumSettings { checkpoint_grace: day, entry_grace: day, ..VacuumSettings::default() };
        let hour = |hours: i64| DateTime::from_timestamp(hours * 3_600, 0).unwrap();
        let object = |text: &str| {
            let (name, hours) = text.split_once('@').unwrap();
            let (version, kind) = name.split_once('.').unwrap();
            let location = Path::from(format!("events/_delta_log/{version:0>20}.{kind}"));
            ObjectMeta { location, last_modified: hour(hours.parse().unwrap()), size: 1, e_tag: None, version: None }
        };
        log.split_whitespace().filter_map(|text| LogObject::of(object(text), hour(48), settings)).collect()
    }
}
