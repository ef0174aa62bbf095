//! Replays a log: builds the table's state from the entries alone, version by version. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;
use serde::Deserialize;
use serde_json::Value as Json;

use super::{Amount, Finding, Severity};
use crate::layout::log_object;
use crate::schema::tables::TableSpec;
use crate::table::change::ERASURES;
use crate::table::checksums::{CHECKSUMS, from_parameter};
use crate::table::cleaned_log::last_to_go;
use crate::table::committer::COMMIT_ID;

/// The state a table's log describes, and the problems found in it.
#[derive(Default)]
pub(super) struct Log {
    /// The newest version; `None` while the table does not exist.
    pub(super) version: Option<u64>,
    /// When its first entry was written.
    pub(super) born: Option<DateTime<Utc>>,
    /// Entries, checkpoints and checksums that were read.
    pub(super) amount: Amount,
    /// The live files by their log path; incomplete if the log is broken.
    pub(super) live: BTreeMap<String, LiveFile>,
    /// The last sequence number of each lane.
    pub(super) lanes: HashMap<String, u64>,
    /// The table's last definition: its metadata and its protocol.
    pub(super) metadata: Option<Json>,
    pub(super) protocol: Option<Json>,
    /// When each removed file that is still in the store was removed, by its log path.
    pub(super) removed_at: HashMap<String, DateTime<Utc>>,
    pub(super) findings: Vec<Finding>,
    /// Checkpoints, checksums and hints that cannot be read or disagree with the entries.
    pub(super) bad_summaries: Vec<Path>,
    /// Whether a new checkpoint and a new checksum should be written for readers.
    pub(super) wants_checkpoint: bool,
    pub(super) wants_checksum: bool,
    /// Whether every entry from 0, or from the checkpoint where a cleaned log begins, to the newest version exists and is
    /// readable.
    pub(super) chain_is_whole: bool,
}

/// A live file, as the log describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveFile {
    pub(super) size_bytes: u64,
    pub(super) rows: u64,
    pub(super) date: Option<NaiveDate>,
    pub(super) stats: String,
    /// The checksum that the commit gives; the first releases gave none.
    pub(super) checksum: Option<String>,
}

impl Log {
    /// Whether the live files are known for certain and are what readers see.
    pub(super) fn is_sound(&self) -> bool {
        self.chain_is_whole && self.findings.iter().all(|finding| finding.severity == Severity::Warning)
    }

    /// Whether checkpoints or checksums need repair, and all entries needed for it exist.
    pub(super) fn can_be_repaired(&self) -> bool {
        self.chain_is_whole && (!self.bad_summaries.is_empty() || self.wants_checkpoint || self.wants_checksum)
    }
}

/// The objects of a log, sorted by name.
#[derive(Default)]
pub(super) struct Listed {
    pub(super) entries: BTreeMap<u64, ObjectMeta>,
    pub(super) checksums: BTreeMap<u64, ObjectMeta>,
    pub(super) checkpoints: BTreeMap<u64, ObjectMeta>,
    pub(super) foreign_checkpoints: Vec<Path>,
    /// `_last_checkpoint`, which tells readers where to begin.
    pub(super) hint: Option<ObjectMeta>,
}

impl Listed {
    pub(super) fn new(log_dir: &Path, objects: &[ObjectMeta]) -> Self {
        let mut listed = Self::default();
        for object in objects {
            let Some(mut parts) = object.location.prefix_match(log_dir) else { continue };
            let (Some(name), None) = (parts.next(), parts.next()) else { continue };
            let name = name.as_ref();
            if name == "_last_checkpoint" {
                listed.hint = Some(object.clone());
                continue;
            }
            let Some((version, kind)) = log_object(&object.location) else { continue };
            match kind {
                "json" => drop(listed.entries.insert(version, object.clone())),
                "crc" => drop(listed.checksums.insert(version, object.clone())),
                "checkpoint.parquet" => drop(listed.checkpoints.insert(version, object.clone())),
                other if other.starts_with("checkpoint.") => listed.foreign_checkpoints.push(object.location.clone()),
                _ => {}
            }
        }
        listed
    }

    /// Where a log whose old entries are deleted begins: the first checkpoint from which on every entry is left. `None` if
    /// none was deleted.
    ///
    /// An entry that is younger than the next one counts as deleted: it is of a writer that came too late.
    ///
    /// - `kept`: how many of the newest entries are never deleted.
    pub(super) fn first_checkpoint(&self, kept: u64) -> Option<u64> {
        let last_but_one = *self.checkpoints.keys().nth_back(1)?;
        let last = last_to_go(last_but_one, self.newest()?, kept)?;
        let is_left = |version: u64| match (self.entries.get(&version), self.entries.get(&(version + 1))) {
            (Some(entry), Some(next)) => entry.last_modified <= next.last_modified,
            (entry, _) => entry.is_some(),
        };
        let deleted = (1..=last).rev().find(|&version| !is_left(version))?;
        self.checkpoints.range(deleted..).next().map(|(version, _)| *version)
    }

    /// The newest version that any object names.
    pub(super) fn newest(&self) -> Option<u64> {
        [&self.entries, &self.checksums, &self.checkpoints]
            .into_iter()
            .filter_map(|kind| kind.last_key_value().map(|(version, _)| *version))
            .max()
    }
}

/// A line of an entry.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    commit_info: Option<CommitInfo>,
    add: Option<Add>,
    remove: Option<Remove>,
    txn: Option<Txn>,
    meta_data: Option<Json>,
    protocol: Option<Json>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitInfo {
    operation_parameters: Option<HashMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    path: String,
    size: u64,
    data_change: bool,
    #[serde(default)]
    partition_values: HashMap<String, Option<String>>,
    stats: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remove {
    path: String,
    data_change: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Txn {
    pub(super) app_id: String,
    pub(super) version: u64,
}

impl LiveFile {
    /// Whether two parts of the log describe it in the same way.
    pub(super) fn is_described_as(&self, other: &Self) -> bool {
        let parsed = |stats: &str| serde_json::from_str::<Json>(stats).ok();
        // Nearly always identical text, and there may be very many.
        let stats_agree = self.stats == other.stats || parsed(&self.stats) == parsed(&other.stats);
        stats_agree && (self.size_bytes, self.date) == (other.size_bytes, other.date)
    }

    pub(super) fn new(size_bytes: u64, date: Option<&str>, stats: Option<String>) -> Self {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: u64,
        }
        let stats = stats.unwrap_or_default();
        let rows = serde_json::from_str(&stats).map_or(0, |stats: Stats| stats.num_records);
        let date = date.and_then(|date| date.parse().ok());
        Self { size_bytes, rows, date, stats, checksum: None }
    }
}

/// The replay so far.
pub(super) struct Replay<'a> {
    pub(super) spec: &'static TableSpec,
    pub(super) log: &'a mut Log,
    pub(super) listed: &'a Listed,
    /// Objects of the table by their log path.
    pub(super) present: &'a HashSet<String>,
    commits: HashMap<String, u64>,
    /// Whether the state is known: nothing is missing since version 0 or since a checkpoint.
    pub(super) is_known: bool,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        spec: &'static TableSpec,
        log: &'a mut Log,
        listed: &'a Listed,
        present: &'a HashSet<String>,
    ) -> Self {
        Self { spec, log, listed, present, commits: HashMap::new(), is_known: true }
    }

    /// Applies the next version.
    ///
    /// - `bytes`: its entry; `None` if it is missing.
    pub(super) fn follow(&mut self, version: u64, entry: &Path, bytes: Option<&[u8]>) {
        let applied = match bytes {
            Some(bytes) => {
                self.log.amount.add(0, bytes.len() as u64);
                self.apply(version, entry, bytes).map_err(|why| format!("it cannot be read ({why})"))
            }
            None => Err("it is missing, although later versions exist: a stalled writer could create it again".into()),
        };
        if let Err(why) = applied {
            self.log.findings.push(Finding::error(
                entry,
                format!(
                    "{why}. What it added and removed is unknown; restore it from a backup or from an older version of \
                     the object"
                ),
            ));
            (self.log.chain_is_whole, self.is_known) = (false, false);
            (self.log.metadata, self.log.protocol) = (None, None);
        }
    }

    fn apply(&mut self, version: u64, entry: &Path, bytes: &[u8]) -> Result<(), String> {
        let actions: Vec<Action> = serde_json::Deserializer::from_slice(bytes)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string())?;
        if actions.is_empty() {
            return Err("it is empty".to_owned());
        }
        let committed_at = self.listed.entries.get(&version).map(|object| object.last_modified);
        let (mut rows_in, mut rows_out, mut brings_rows) = (0, 0, false);
        // Removes first: a file that one version removes and adds is live.
        for remove in actions.iter().filter_map(|action| action.remove.as_ref()) {
            brings_rows |= remove.data_change;
            if self.present.contains(&remove.path) {
                // An entry missing from the listing is newer than the listing.
                let removed_at = committed_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
                self.log.removed_at.insert(remove.path.clone(), removed_at);
            }
            match self.log.live.remove(&remove.path) {
                Some(file) => rows_in += file.rows,
                None if self.is_known => self.log.findings.push(Finding::error(
                    entry,
                    format!(
                        "it removes {}, which was not live: two versions replaced the same file, so its rows may be \
                         there twice; the copies are among the other findings",
                        remove.path
                    ),
                )),
                None => {}
            }
        }
        let parameters = actions.iter().find_map(|action| action.commit_info.as_ref()?.operation_parameters.as_ref());
        let parameter = |name: &str| parameters.and_then(|all| all.get(name)?.clone());
        let id = parameter(COMMIT_ID);
        let checksums = from_parameter(parameter(CHECKSUMS).as_deref());
        let mut checksums = checksums.map_err(|error| format!("its checksums: {error}"))?;
        for action in actions {
            self.log.metadata = action.meta_data.or(self.log.metadata.take());
            self.log.protocol = action.protocol.or(self.log.protocol.take());
            if let Some(add) = action.add {
                brings_rows |= add.data_change;
                let Some(date) = add.partition_values.get("date") else {
                    return Err(format!("it does not say which date {} belongs to", add.path));
                };
                let mut file = LiveFile::new(add.size, date.as_deref(), add.stats);
                file.checksum = checksums.remove(&add.path);
                rows_out += file.rows;
                self.log.removed_at.remove(&add.path);
                self.log.live.insert(add.path, file);
            }
            if let Some(txn) = action.txn {
                let before = self.log.lanes.insert(txn.app_id.clone(), txn.version);
                // Two concurrent erasures may both name the same list.
                let is_list = txn.app_id == ERASURES;
                let goes_back = |before: &u64| *before > txn.version || (*before == txn.version && !is_list);
                if let Some(before) = before.filter(goes_back) {
                    self.log.findings.push(Finding::error(
                        entry,
                        format!(
                            "it sets lane {} to {}, which was at {before} already, so events of its raw files may have \
                             been published twice; the copies are among the other findings",
                            txn.app_id, txn.version
                        ),
                    ));
                }
            }
        }
        if let Some(id) = id
            && let Some(first) = self.commits.insert(id, version)
        {
            self.log.findings.push(Finding::error(
                entry,
                format!(
                    "it is the same commit as version {first}, so its rows may be there twice; the copies are among \
                     the other findings. Do not delete the entry"
                ),
            ));
        }
        if self.is_known && !brings_rows && rows_in != rows_out {
            self.log.findings.push(Finding::error(
                entry,
                format!(
                    "a merge made {rows_out} rows of {rows_in}, so rows were lost or doubled; `dewpond query --as-of` \
                     reads the version before it while its files are there"
                ),
            ));
        }
        Ok(())
    }
}

/// The first name that only one side has, or whose values differ.
pub(super) fn first_difference<'a, V: PartialEq>(
    left: &BTreeMap<&'a str, V>,
    right: &BTreeMap<&'a str, V>,
) -> Option<&'a str> {
    let differs = |from: &BTreeMap<&'a str, V>, to: &BTreeMap<&'a str, V>| {
        from.iter().find(|(name, value)| to.get(*name) != Some(value)).map(|(name, _)| *name)
    };
    differs(left, right).or_else(|| differs(right, left))
}
