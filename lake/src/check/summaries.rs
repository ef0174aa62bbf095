//! Checks what a log holds beside its entries to make loading cheaper: checkpoints, checksums, and the hint
//! (`_last_checkpoint`). They must agree with the entries.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, RecordBatch, StructArray};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use serde::Deserialize;
use serde_json::Value as Json;

use super::Finding;
use super::replay::{Listed, LiveFile, Log, Replay, Txn, first_difference};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::parquet::object_reader::ObjectReader;
use crate::table::LastCheckpoint;
use crate::table::as_of::find_missing;

/// Tells the operator what `--repair` does about a bad one.
const REPAIR: &str = "stop the compactors, run `dewpond lake check --repair`, and restart all roles, which remember what \
                      they have read";

/// The state that a checkpoint holds.
pub(super) struct Checkpoint {
    live: BTreeMap<String, LiveFile>,
    lanes: HashMap<String, u64>,
    /// The table's schema, as Delta writes it.
    schema: Option<String>,
}

/// The fields of a checksum file that Dewpond or other engines use.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    table_size_bytes: u64,
    num_files: u64,
    set_transactions: Option<Vec<Txn>>,
    metadata: Json,
    protocol: Json,
    file_size_histogram: Option<Histogram>,
}

/// The number of files by size.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Histogram {
    sorted_bin_boundaries: Vec<u64>,
    file_counts: Vec<u64>,
    total_bytes: Vec<u64>,
}

impl Histogram {
    fn is_of(&self, files: u64, bytes: u64) -> bool {
        let bins = &self.sorted_bin_boundaries;
        bins.first() == Some(&0)
            && bins.is_sorted()
            && bins.len() == self.file_counts.len()
            && bins.len() == self.total_bytes.len()
            && (self.file_counts.iter().sum::<u64>(), self.total_bytes.iter().sum::<u64>()) == (files, bytes)
    }
}

/// Reads a checkpoint; the inner error says why it is unreadable. `None` if vacuum deleted it after the listing.
pub(super) async fn read_checkpoint(lake: &Lake, object: &ObjectMeta) -> Result<Option<Result<Checkpoint, String>>> {
    match try_read_checkpoint(lake, object).await {
        Ok(checkpoint) => Ok(Some(Ok(checkpoint))),
        Err(LakeError::Gone { .. }) => Ok(None),
        Err(error @ LakeError::Unavailable { .. }) => Err(error),
        Err(error) => Ok(Some(Err(whole_text(&error)))),
    }
}

async fn try_read_checkpoint(lake: &Lake, object: &ObjectMeta) -> Result<Checkpoint> {
    let damaged = |error| LakeError::parquet(&object.location, error);
    let reader = ObjectReader { store: lake.store(), path: object.location.clone(), size_bytes: object.size };
    let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(damaged)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["add", "txn", "metaData"]);
    let mut batches = builder.with_projection(mask).build().map_err(damaged)?;
    let mut checkpoint = Checkpoint { live: BTreeMap::new(), lanes: HashMap::new(), schema: None };
    while let Some(batch) = batches.try_next().await.map_err(damaged)? {
        read_actions(&batch, &mut checkpoint).ok_or_else(|| {
            LakeError::corrupt(object.location.to_string(), "it does not have a checkpoint's columns")
        })?;
    }
    Ok(checkpoint)
}

/// `None` if the rows are not those of a checkpoint.
fn read_actions(batch: &RecordBatch, checkpoint: &mut Checkpoint) -> Option<()> {
    let part = |name: &str| -> Option<&StructArray> { batch.column_by_name(name)?.as_struct_opt() };
    let (add, txn, metadata) = (part("add")?, part("txn")?, part("metaData")?);
    let (paths, sizes) = (text(add, "path")?, add.column_by_name("size")?.as_primitive_opt::<Int64Type>()?);
    let stats = text(add, "stats");
    let partitions = add.column_by_name("partitionValues")?.as_map_opt()?;
    for row in (0..batch.num_rows()).filter(|&row| add.is_valid(row)) {
        let entries = partitions.value(row);
        let (keys, values) = (entries.column(0).as_string_opt::<i32>()?, entries.column(1).as_string_opt::<i32>()?);
        let date = (0..entries.len())
            .find(|&entry| keys.value(entry) == "date" && values.is_valid(entry))
            .map(|entry| values.value(entry));
        let stats = stats.filter(|stats| stats.is_valid(row)).map(|stats| stats.value(row).to_owned());
        let file = LiveFile::new(sizes.value(row) as u64, date, stats);
        checkpoint.live.insert(paths.value(row).to_owned(), file);
    }
    let (lanes, seqs) = (text(txn, "appId")?, txn.column_by_name("version")?.as_primitive_opt::<Int64Type>()?);
    for row in (0..batch.num_rows()).filter(|&row| txn.is_valid(row)) {
        checkpoint.lanes.insert(lanes.value(row).to_owned(), seqs.value(row) as u64);
    }
    let schemas = text(metadata, "schemaString")?;
    let mut found = (0..batch.num_rows()).filter(|&row| metadata.is_valid(row) && schemas.is_valid(row));
    checkpoint.schema = found.next().map(|row| schemas.value(row).to_owned()).or(checkpoint.schema.take());
    Some(())
}

fn text<'a>(part: &'a StructArray, name: &str) -> Option<&'a arrow::array::StringArray> {
    part.column_by_name(name)?.as_string_opt::<i32>()
}

impl Replay<'_> {
    /// Compares a checkpoint with the entries up to its version. If those are not known, the replay continues
    /// from the checkpoint. Returns whether it is good, as far as can be told.
    pub(super) fn compare_checkpoint(
        &mut self,
        version: u64,
        object: &ObjectMeta,
        read: Result<Checkpoint, String>,
    ) -> bool {
        self.log.amount.add(0, object.size);
        let checkpoint = match read {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                return self.condemn(
                    object,
                    format!("the checkpoint cannot be read ({why}), so no version from {version} on loads"),
                );
            }
        };
        if !self.is_known {
            self.log.live = checkpoint.live;
            self.log.lanes = checkpoint.lanes;
            self.is_known = true;
            return true;
        }
        if let Some(what) = self.damage_of_entries(&checkpoint) {
            let message = format!(
                "{what}: one of the entries before it is damaged. Do not repair, since the checkpoint is all that is right; \
                 restore the entries from a backup or from older versions of the objects"
            );
            self.log.findings.push(Finding::error(&object.location, message));
            // Later versions are right if they continue from it.
            (self.log.live, self.log.lanes) = (checkpoint.live, checkpoint.lanes);
            (self.log.metadata, self.log.protocol) = (None, None);
            return true;
        }
        let schema = self.log.metadata.as_ref().map(|metadata| metadata["schemaString"].as_str());
        if schema.is_some_and(|schema| schema != checkpoint.schema.as_deref()) {
            return self.condemn(
                object,
                "the checkpoint's schema differs from that of the entries, so queries fail or leave columns out".into(),
            );
        }
        let (held, expected) = (&checkpoint.live, &self.log.live);
        let differs = |path: &&String| match (held.get(*path), expected.get(*path)) {
            (Some(held), Some(expected)) => !held.is_described_as(expected),
            _ => true,
        };
        if let Some(path) = held.keys().chain(expected.keys()).find(differs) {
            return self.condemn(object, format!(
                "the checkpoint holds {} files and the entries make {}: {path} differs, so versions from {version} on \
                 are answered wrongly",
                held.len(),
                expected.len()
            ));
        }
        let (held, expected) = (by_name(&checkpoint.lanes, |seq| *seq), by_name(&self.log.lanes, |seq| *seq));
        if let Some(lane) = first_difference(&held, &expected) {
            return self.condemn(object, format!(
                "the checkpoint has another last number of lane {lane} than the entries, so its pending events may be \
                 lost or doubled"
            ));
        }
        true
    }

    /// Records that a checkpoint is bad. Returns `false`.
    fn condemn(&mut self, object: &ObjectMeta, what: String) -> bool {
        self.log.findings.push(Finding::error(&object.location, format!("{what}; {REPAIR}")));
        self.log.bad_summaries.push(object.location.clone());
        false
    }

    /// Evidence that the entries are wrong, rather than the checkpoint that differs from them.
    fn damage_of_entries(&self, checkpoint: &Checkpoint) -> Option<String> {
        let (held, made) = (&checkpoint.live, &self.log.live);
        let is_gone = |path: &&String| !self.present.contains(*path);
        let lost = made.keys().filter(|path| !held.contains_key(*path)).find(is_gone);
        if let Some(path) = lost
            && held.keys().filter(|path| !made.contains_key(*path)).any(|path| self.present.contains(path))
        {
            return Some(format!(
                "the entries name a file {path}, which is missing, and the checkpoint one that exists"
            ));
        }
        let is_known = |name: &str| name == "date" || self.spec.file_schema.field_with_name(name).is_ok();
        let unknown = |schema: Option<&str>| columns(schema?).into_iter().find(|name| !is_known(name));
        let column = unknown(self.log.metadata.as_ref().and_then(|metadata| metadata["schemaString"].as_str()))?;
        let is_in_checkpoint = columns(checkpoint.schema.as_deref()?).contains(&column);
        (!is_in_checkpoint)
            .then(|| format!("the entries have a column {column}, which neither this release nor the checkpoint knows"))
    }

    /// Compares a checksum with the entries up to its version. Returns whether it is good.
    pub(super) fn compare_checksum(&mut self, version: u64, path: Path, bytes: &[u8]) -> bool {
        self.log.amount.add(0, bytes.len() as u64);
        let checksum: Checksum = match serde_json::from_slice(bytes) {
            Ok(checksum) => checksum,
            Err(why) => {
                let message = format!(
                    "the checksum cannot be read ({why}); readers do without it, and `dewpond lake check --repair` \
                     removes it"
                );
                self.log.findings.push(Finding::warning(&path, message));
                self.log.bad_summaries.push(path);
                return false;
            }
        };
        if !self.is_known {
            return false;
        }
        let live = &self.log.live;
        let (files, bytes) = (live.len() as u64, live.values().map(|file| file.size_bytes).sum::<u64>());
        let expected = by_name(&self.log.lanes, |seq| *seq);
        let lanes = checksum
            .set_transactions
            .map(|lanes| lanes.into_iter().map(|lane| (lane.app_id, lane.version)).collect::<HashMap<String, u64>>());
        let lanes_agree = lanes.is_none_or(|lanes| first_difference(&by_name(&lanes, |seq| *seq), &expected).is_none());
        let definition_agrees =
            self.log.metadata.as_ref().is_none_or(|metadata| defines_same(metadata, &checksum.metadata))
                && self.log.protocol.as_ref().is_none_or(|protocol| defines_same(protocol, &checksum.protocol));
        let sizes_agree = (checksum.num_files, checksum.table_size_bytes) == (files, bytes);
        let histogram_agrees = checksum.file_size_histogram.is_none_or(|histogram| histogram.is_of(files, bytes));
        if definition_agrees && lanes_agree && sizes_agree && histogram_agrees {
            return true;
        }
        let what = match (definition_agrees, lanes_agree) {
            (false, _) => "the checksum's schema or protocol differs from that of the entries, so queries fail or leave \
                           columns out"
                .to_owned(),
            (true, true) if sizes_agree => {
                "the checksum's sizes of files differ from those of the entries".to_owned()
            }
            (true, true) => format!(
                "the checksum counts {} files of {} bytes, and the entries {files} of {bytes}",
                checksum.num_files, checksum.table_size_bytes
            ),
            (true, false) => {
                "the checksum's last numbers of lanes differ from those of the entries, and readers tell pending events \
                      by them"
                    .to_owned()
            }
        };
        let is_read = self.listed.checksums.last_key_value().is_some_and(|(last, _)| *last == version);
        self.log.findings.push(match is_read {
            true => Finding::error(&path, format!("{what}; {REPAIR}")),
            false => Finding::warning(&path, format!("{what}; nobody reads it while there is a newer one")),
        });
        self.log.bad_summaries.push(path);
        false
    }
}

/// Checks that the hint names a checkpoint that exists: otherwise the table does not load.
pub(super) async fn check_hint(lake: &Lake, log_dir: &Path, listed: &Listed, log: &mut Log) -> Result<()> {
    let checkpoint = |version: u64| log_dir.clone().join(format!("{version:020}.checkpoint.parquet"));
    let Some(object) = &listed.hint else { return Ok(()) };
    let Some(bytes) = lake.read_small(&object.location).await? else { return Ok(()) };
    let finding = match serde_json::from_slice::<LastCheckpoint>(&bytes) {
        Ok(hint) if listed.checkpoints.range(hint.version..).next().is_some() => return Ok(()),
        // It may name a checkpoint in another writer's form, which is reported by itself.
        Ok(_) if !listed.foreign_checkpoints.is_empty() => return Ok(()),
        // A commit may have written both after the log was listed.
        Ok(hint) if find_missing(&lake.store(), vec![checkpoint(hint.version)]).await?.is_empty() => return Ok(()),
        Ok(hint) => Finding::error(
            &object.location,
            format!(
                "it names a checkpoint of version {} and there is none from there on, so the table does not load; \
                 {REPAIR}",
                hint.version
            ),
        ),
        Err(why) => Finding::warning(
            &object.location,
            format!("it cannot be read ({why}), so loading the table takes longer; the next checkpoint replaces it"),
        ),
    };
    log.findings.push(finding);
    log.bad_summaries.push(object.location.clone());
    Ok(())
}

/// Whether a checksum's metadata or protocol equals the entry's.
fn defines_same(entry: &Json, checksum: &Json) -> bool {
    let Some(parts) = entry.as_object() else { return false };
    parts.iter().all(|(name, part)| part.is_null() || checksum.get(name) == Some(part))
}

/// The column names of a schema in Delta's JSON.
fn columns(schema: &str) -> Vec<String> {
    let schema: Json = serde_json::from_str(schema).unwrap_or_default();
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    fields.iter().filter_map(|field| Some(field["name"].as_str()?.to_owned())).collect()
}

fn by_name<'a, T, V>(
    all: impl IntoIterator<Item = (&'a String, &'a T)>,
    value: impl Fn(&T) -> V,
) -> BTreeMap<&'a str, V>
where
    T: 'a,
{
    all.into_iter().map(|(name, item)| (name.as_str(), value(item))).collect()
}
