//! States: what a recurring query keeps of each immutable file of `events`, so that its next run reads only what is new.
//!
//! A state lies under the hash of its definition and the name of the file that it was made of. The same definition over the
//! same file always gives the same rows, so several writers may race, and a state that is lost or damaged is made again: an
//! answer never depends on what is stored here. A state holds people's ids and goes with its file:
//! [`vacuum`](Lake::vacuum) deletes it once no version of the table has the file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::STATES_DIR;
use crate::parquet::reader::catch_damage;
use crate::schema::tables::EVENTS;
use crate::table::file::TableFile;
use crate::table::log_times::is_as_old;

/// States of a definition of which no file got one for this long belong to a query that was changed or deleted.
const DEFINITION_UNUSED: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The metadata of a state under which the rows of its file stand.
const EVENT_ROWS: &str = "dewpond.event_rows";

/// What a state is a state of: a hash of everything that its rows depend on, but for the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateDefinition(pub [u8; 16]);

impl fmt::Display for StateDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for StateDefinition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).map_err(drop)?;
        if digits { Ok(Self(number.to_be_bytes())) } else { Err(()) }
    }
}

/// A state in the store.
pub(crate) struct StoredState {
    pub(crate) object: ObjectMeta,
    pub(crate) definition: StateDefinition,
    /// The name of the file of `events`, without its directory.
    pub(crate) file: String,
}

/// How much the states of a lake take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatesSize {
    /// Definitions that have states.
    pub definitions: usize,
    /// States.
    pub states: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl StoredState {
    fn parse(object: ObjectMeta) -> Option<Self> {
        let mut parts = object.location.parts().rev();
        let (file, definition) = (parts.next()?, parts.next()?);
        let (file, definition) = (file.as_ref().to_owned(), definition.as_ref().parse().ok()?);
        file.ends_with(".parquet").then_some(Self { object, definition, file })
    }
}

/// The name by which a state knows the file of a path in the log.
pub(crate) fn name_in(log_path: &str) -> &str {
    log_path.rsplit('/').next().unwrap_or(log_path)
}

fn name_of(file: &TableFile) -> &str {
    name_in(&file.log_path)
}

impl Lake {
    /// Where the state of a file lies.
    pub fn state_path(&self, definition: StateDefinition, file: &TableFile) -> Path {
        self.path(&format!("{STATES_DIR}/{definition}/{}", name_of(file)))
    }

    /// The rows of a state, or `None` if there is none. A state that cannot be read as one of `file` counts as none.
    pub async fn read_state(&self, definition: StateDefinition, file: &TableFile) -> Result<Option<Vec<RecordBatch>>> {
        let path = self.state_path(definition, file);
        match self.decode_state(&path, file.rows).await {
            Ok(rows) => Ok(Some(rows)),
            Err(LakeError::Gone { .. }) => Ok(None),
            Err(error @ LakeError::Corrupt { .. }) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(state = %path, error, "a kept state cannot be read; it is made again");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The rows of a state.
    ///
    /// - `event_rows`: how many rows its file has.
    ///
    /// Fails with [`LakeError::Gone`] if there is none, with [`LakeError::Corrupt`] if it is none of that file.
    pub(crate) async fn decode_state(&self, path: &Path, event_rows: u64) -> Result<Vec<RecordBatch>> {
        let read = async { self.store().get(path).await?.bytes().await };
        let bytes = read.await.map_err(|error| LakeError::store(format!("read {path}"), error))?;
        catch_damage(path, async { decode(path, bytes, event_rows) }).await
    }

    /// Keeps the rows of a state unless they take more than `bytes_max`. Returns the bytes they take, whether kept or not.
    pub async fn write_state(
        &self,
        definition: StateDefinition,
        file: &TableFile,
        schema: &SchemaRef,
        rows: &[RecordBatch],
        bytes_max: u64,
    ) -> Result<u64> {
        let path = self.state_path(definition, file);
        let encoded = encode(schema, rows, file.rows).map_err(|error| LakeError::parquet(&path, error))?;
        let bytes = encoded.len() as u64;
        if bytes <= bytes_max {
            let put = self.store().put(&path, encoded.into()).await;
            put.map_err(|error| LakeError::store(format!("write {path}"), error))?;
        }
        Ok(bytes)
    }

    /// Those of some files that have a state of a definition.
    pub async fn files_with_states<'a>(
        &self,
        definition: StateDefinition,
        files: impl IntoIterator<Item = &'a TableFile>,
    ) -> Result<Vec<&'a TableFile>> {
        let kept = self.list(&format!("{STATES_DIR}/{definition}")).await?;
        let kept: HashSet<String> = kept.into_iter().filter_map(StoredState::parse).map(|state| state.file).collect();
        Ok(files.into_iter().filter(|file| kept.contains(name_of(file))).collect())
    }

    /// Deletes a state. It is made again when it is needed.
    pub async fn delete_state(&self, definition: StateDefinition, file: &TableFile) -> Result<()> {
        let path = self.state_path(definition, file);
        match self.store().delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(LakeError::store(format!("delete {path}"), error)),
        }
    }

    /// How much the states take.
    pub async fn states_size(&self) -> Result<StatesSize> {
        let states = self.list_states().await?;
        let definitions: HashSet<StateDefinition> = states.iter().map(|state| state.definition).collect();
        let bytes = states.iter().map(|state| state.object.size).sum();
        Ok(StatesSize { definitions: definitions.len(), states: states.len(), bytes })
    }

    pub(crate) async fn list_states(&self) -> Result<Vec<StoredState>> {
        Ok(self.list(STATES_DIR).await?.into_iter().filter_map(StoredState::parse).collect())
    }

    /// Deletes the states of files that no version of the table has, and of definitions that are out of use. `now` is by the
    /// store's clock. Returns the objects and bytes deleted.
    ///
    /// The states are listed before the log is read: a file whose state was listed was committed by then, so one that is not
    /// live will never be again.
    pub(crate) async fn vacuum_states(&self, now: DateTime<Utc>) -> Result<(usize, u64)> {
        let states = self.list_states().await?;
        if states.is_empty() {
            return Ok((0, 0));
        }
        let table = self.table(&EVENTS).load().await?;
        let live: HashSet<&str> = table.files.iter().map(name_of).collect();
        let chosen = choose_unneeded(&states, &live, now);
        self.delete(chosen.into_iter().map(|state| (state.object.location.clone(), state.object.size)).collect()).await
    }

    /// Deletes the states of files that the table `events` does not have.
    pub async fn delete_states_of_replaced_files(&self) -> Result<()> {
        // Every state is as young as can be, so that none is out of use.
        self.vacuum_states(DateTime::<Utc>::MIN_UTC).await.map(drop)
    }
}

/// The states that no run will read. Pure.
fn choose_unneeded<'a>(states: &'a [StoredState], live: &HashSet<&str>, now: DateTime<Utc>) -> Vec<&'a StoredState> {
    let mut newest: BTreeMap<StateDefinition, DateTime<Utc>> = BTreeMap::new();
    for state in states {
        let newest = newest.entry(state.definition).or_insert(state.object.last_modified);
        *newest = state.object.last_modified.max(*newest);
    }
    let is_unused = |state: &StoredState| is_as_old(newest[&state.definition], now, DEFINITION_UNUSED);
    states.iter().filter(|state| !live.contains(state.file.as_str()) || is_unused(state)).collect()
}

fn encode(schema: &SchemaRef, rows: &[RecordBatch], event_rows: u64) -> parquet::errors::Result<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_key_value_metadata(Some(vec![KeyValue::new(EVENT_ROWS.to_owned(), event_rows.to_string())]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
    for batch in rows {
        writer.write(batch)?;
    }
    writer.into_inner()
}

fn decode(path: &Path, bytes: bytes::Bytes, event_rows: u64) -> Result<Vec<RecordBatch>> {
    let damage = |error| LakeError::parquet(path, error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damage)?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let of = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == EVENT_ROWS)?.value.as_deref());
    if of.and_then(|rows| rows.parse().ok()) != Some(event_rows) {
        return Err(LakeError::corrupt(path.to_string(), "it was made of another number of events than its file has"));
    }
    let reader = builder.with_batch_size(1 << 16).build().map_err(damage)?;
    reader.map(|batch| batch.map_err(|error| LakeError::corrupt(path.to_string(), error))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use chrono::TimeDelta;

    use super::*;

    fn file(name: &str, rows: u64) -> TableFile {
        TableFile {
            path: Path::from(format!("events/date=2026-01-01/{name}.parquet")),
            log_path: format!("date=2026-01-01/{name}.parquet"),
            date: None,
            size_bytes: 1,
            checksum: None,
            rows,
            ranges: BTreeMap::new(),
        }
    }

    fn rows(counts: &[i64]) -> (SchemaRef, RecordBatch) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("site_id", DataType::Utf8, false),
            Field::new("count", DataType::Int64, false),
        ]));
        let sites = StringArray::from_iter_values(counts.iter().map(|_| "shop"));
        let columns: Vec<arrow::array::ArrayRef> = vec![Arc::new(sites), Arc::new(Int64Array::from(counts.to_vec()))];
        (schema.clone(), RecordBatch::try_new(schema, columns).unwrap())
    }

    #[tokio::test]
    async fn a_state_reads_back_as_it_was_and_only_for_its_file() {
        let lake = Lake::open("memory:///", []).unwrap();
        let (definition, (schema, batch)) = (StateDefinition([7; 16]), rows(&[1, 2]));
        let read = async |file: &TableFile| lake.read_state(definition, file).await.unwrap();
        assert_eq!(read(&file("a", 3)).await, None);
        lake.write_state(definition, &file("a", 3), &schema, std::slice::from_ref(&batch), u64::MAX).await.unwrap();
        assert_eq!(read(&file("a", 3)).await, Some(vec![batch]));
        assert_eq!(read(&file("b", 3)).await, None);
        // A file of that name with other rows is another file.
        assert_eq!(read(&file("a", 4)).await, None);
        let size = lake.states_size().await.unwrap();
        assert_eq!((size.definitions, size.states), (1, 1));
    }

    #[tokio::test]
    async fn a_damaged_state_counts_as_none_and_one_that_is_too_large_is_not_kept() {
        let lake = Lake::open("memory:///", []).unwrap();
        let (definition, (schema, batch)) = (StateDefinition([7; 16]), rows(&[1, 2]));
        let large = lake.write_state(definition, &file("a", 3), &schema, &[batch], 10).await.unwrap();
        assert!(large > 10);
        assert_eq!(lake.read_state(definition, &file("a", 3)).await.unwrap(), None);
        lake.store().put(&lake.state_path(definition, &file("a", 3)), "PAR1 no PAR1".into()).await.unwrap();
        assert_eq!(lake.read_state(definition, &file("a", 3)).await.unwrap(), None);
    }

    #[test]
    fn a_state_goes_with_its_file_and_with_the_last_use_of_its_definition() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(100);
        let state = |definition: u8, file: &str, age_days: i64| {
            let location = Path::from(format!("states/{}/{file}", StateDefinition([definition; 16])));
            let last_modified = now - TimeDelta::days(age_days);
            StoredState::parse(ObjectMeta { location, last_modified, size: 1, e_tag: None, version: None }).unwrap()
        };
        let states = [
            state(1, "live.parquet", 90),
            state(1, "live-too.parquet", 1),
            state(1, "gone.parquet", 1),
            state(2, "live.parquet", 31),
            state(2, "live-too.parquet", 40),
        ];
        let live = HashSet::from(["live.parquet", "live-too.parquet"]);
        let chosen = choose_unneeded(&states, &live, now);
        let named: Vec<(u8, &str)> = chosen.iter().map(|state| (state.definition.0[0], state.file.as_str())).collect();
        assert_eq!(named, [(1, "gone.parquet"), (2, "live.parquet"), (2, "live-too.parquet")]);
    }
}
