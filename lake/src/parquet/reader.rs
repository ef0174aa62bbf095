//! Parquet: how the lake's files are written and read.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use futures::future::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_writer::AsyncArrowWriter;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::parquet::object_reader::ObjectReader;
use crate::parquet::object_writer::ChecksummedObject;
use crate::schema::encoding::{divide, table_properties};
use crate::schema::tables::TableSpec;
use crate::table::Table;
use crate::table::file::{FileRange, TableFile, Value};

/// Writes one file of a table. Nobody sees the file before a commit names it.
pub struct TableWriter {
    writer: AsyncArrowWriter<ChecksummedObject>,
    path: Path,
    log_path: String,
    date: NaiveDate,
    rows: u64,
    contents: Contents,
    table: Arc<Table>,
}

/// What some rows hold of the bounded columns, gathered batch by batch.
#[derive(Default)]
pub(crate) struct Contents {
    /// Columns all null are not among them.
    pub(crate) bounds: BTreeMap<&'static str, Bounds>,
    pub(crate) nulls: BTreeMap<&'static str, u64>,
}

impl Contents {
    /// Adds rows. A column that they lack, since their file is older, is null in all of them.
    pub(crate) fn take(&mut self, spec: &TableSpec, batch: &RecordBatch) {
        for &name in spec.bounded {
            let column = batch.column_by_name(name);
            *self.nulls.entry(name).or_default() +=
                column.map_or(batch.num_rows(), |column| column.null_count()) as u64;
            let Some(new) = column.and_then(bounds) else { continue };
            self.bounds
                .entry(name)
                .and_modify(|old| {
                    old.min = old.min.clone().min(new.min.clone());
                    old.max = old.max.clone().max(new.max.clone());
                })
                .or_insert(new);
        }
    }
}

/// Smallest and largest value of some rows.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) min: Value,
    pub(crate) max: Value,
}

impl TableWriter {
    /// Starts a file in partition `date` of a table.
    pub fn start(lake: &Lake, spec: &'static TableSpec, date: NaiveDate) -> Result<Self> {
        let log_path = format!("date={date}/{}.parquet", lake.new_uuid());
        let path = lake.path(&format!("{}/{log_path}", spec.name));
        let object = ChecksummedObject::new(BufWriter::new(lake.store(), path.clone()));
        let properties = table_properties(spec, lake.runtime().table_compression);
        let writer = AsyncArrowWriter::try_new(object, spec.file_schema.clone(), Some(properties))
            .map_err(|error| LakeError::parquet(&path, error))?;
        Ok(Self { writer, path, log_path, date, rows: 0, contents: Contents::default(), table: lake.table(spec) })
    }

    /// Appends rows of the table's file schema. They must continue the table's sort order.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let spec = self.table.spec();
        let batch =
            batch_as(batch, &spec.file_schema).map_err(|error| LakeError::corrupt(self.path.to_string(), error))?;
        self.rows += batch.num_rows() as u64;
        self.contents.take(spec, &batch);
        for part in divide(&batch) {
            self.writer.write(&part).await.map_err(|error| LakeError::parquet(&self.path, error))?;
        }
        Ok(())
    }

    /// Rows written so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes encoded so far, about.
    pub fn size_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Completes the file. It is durable when this returns, and still in no table.
    pub async fn finish(mut self) -> Result<TableFile> {
        self.table.begin().await?;
        self.writer.finish().await.map_err(|error| LakeError::parquet(&self.path, error))?;
        Ok(TableFile {
            size_bytes: self.writer.bytes_written() as u64,
            checksum: Some(self.writer.into_inner().checksum()),
            path: self.path,
            log_path: self.log_path,
            date: Some(self.date),
            rows: self.rows,
            ranges: self
                .contents
                .bounds
                .into_iter()
                .map(|(name, bounds)| {
                    let nulls = self.contents.nulls.get(name).copied();
                    (name.to_owned(), FileRange { min: bounds.min, max: bounds.max, nulls })
                })
                .collect(),
        })
    }
}

/// Smallest and largest value of a column, or `None` if all are null.
pub(crate) fn bounds(column: &ArrayRef) -> Option<Bounds> {
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            Some(Bounds { min: Value::Integer(compute::min(values)?), max: Value::Integer(compute::max(values)?) })
        }
        DataType::Timestamp(_, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            Some(Bounds { min: Value::TimeUs(compute::min(values)?), max: Value::TimeUs(compute::max(values)?) })
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            Some(Bounds {
                min: Value::Text(compute::min_string(values)?.to_owned()),
                max: Value::Text(compute::max_string(values)?.to_owned()),
            })
        }
        other => unreachable!("no table is bounded by a column of type {other}"),
    }
}

/// The first and the last time (µs) of a column of times in a row group, if its statistics have them.
pub(crate) fn times_us(row_group: &RowGroupMetaData, column: usize) -> Option<(i64, i64)> {
    match row_group.column(column).statistics() {
        Some(Statistics::Int64(times)) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
}

/// The same rows with exactly the columns of `schema` and their types: views become plain ones, and columns that the rows
/// lack are null. Dictionaries stay: a writer takes their values.
fn batch_as(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            match batch.column_by_name(field.name()) {
                Some(column) if is_dictionary_of(column.data_type(), field.data_type()) => Ok(column.clone()),
                Some(column) => compute::cast(column, field.data_type()),
                // Rows of a file that is older than the column.
                None if field.is_nullable() => Ok(new_null_array(field.data_type(), batch.num_rows())),
                None => Err(ArrowError::SchemaError(format!("the rows have no column {}", field.name()))),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let fields = schema.fields().iter().zip(&columns);
    let fields: Vec<Field> =
        fields.map(|(field, column)| Field::clone(field).with_data_type(column.data_type().clone())).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn is_dictionary_of(found: &DataType, wanted: &DataType) -> bool {
    matches!(found, DataType::Dictionary(_, values) if **values == *wanted)
}

/// Why a file of this schema cannot be read as one of `expected`, if it cannot. Columns that may be null may be
/// missing: earlier releases did not have them.
pub(crate) fn schema_problem(found: &Schema, expected: &Schema) -> Option<String> {
    expected.fields().iter().find_map(|field| match found.field_with_name(field.name()) {
        Ok(found) if found.data_type() == field.data_type() => None,
        Ok(found) => {
            Some(format!("its column {} is {} and should be {}", field.name(), found.data_type(), field.data_type()))
        }
        Err(_) if field.is_nullable() => None,
        Err(_) => Some(format!("it has no column {}", field.name())),
    })
}

/// Reads chosen columns of one Parquet file of the lake, in the file's order.
///
/// Fails with [`LakeError::Gone`] if the file is not there, [`LakeError::Corrupt`] if it is no Parquet.
pub async fn read_batches(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    size_bytes: u64,
    columns: &[&str],
) -> Result<BoxStream<'static, Result<RecordBatch>>> {
    let reader = ObjectReader { store, path: path.clone(), size_bytes };
    let stream = catch_damage(path, async {
        let builder =
            ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|error| LakeError::parquet(path, error))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder.with_projection(mask).build().map_err(|error| LakeError::parquet(path, error))
    });
    let path = path.clone();
    let batches = AssertUnwindSafe(stream.await?).catch_unwind().map(move |batch| match batch {
        Ok(batch) => batch.map_err(|error| LakeError::parquet(&path, error)),
        Err(panic) => Err(damage(&path, panic)),
    });
    Ok(batches.boxed())
}

impl Lake {
    /// About the memory that a row of a table's file takes once it is decoded, in bytes, where texts that repeat are held once:
    /// the mean of the row group in which it is most. Compressed it may be five hundred times smaller.
    ///
    /// Fails as [`read_batches`] does.
    pub async fn decoded_row_bytes(&self, file: &TableFile) -> Result<u64> {
        catch_damage(&file.path, async {
            let (_, metadata) = self.open_parquet(&file.path, file.size_bytes, ArrowReaderOptions::new()).await?;
            let groups = metadata.metadata().row_groups().iter();
            let mean = |group: &RowGroupMetaData| group.total_byte_size().max(0) / group.num_rows().max(1);
            Ok(groups.map(mean).max().unwrap_or(0) as u64)
        })
        .await
    }
}

/// Reads of a damaged file may panic, since the Parquet decoder checks less than it relies on: they become
/// [`LakeError::Corrupt`], so that whoever reads knows which file it was.
pub(crate) async fn catch_damage<T>(path: &Path, read: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(read).catch_unwind().await.unwrap_or_else(|panic| Err(damage(path, panic)))
}

fn damage(path: &Path, panic: Box<dyn Any + Send>) -> LakeError {
    let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    LakeError::corrupt(path.to_string(), format!("its decoder gave up: {}", words.unwrap_or("it did not say why")))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::event::{Event, EventId};
    use crate::raw::batch::RawBatch;
    use crate::schema::tables::EVENTS;

    #[tokio::test]
    async fn pages_of_large_texts_stay_small() {
        let lake = Lake::open("memory:///", []).unwrap();
        let mut batch = RawBatch::default();
        for number in 0..2_000 {
            let properties = Some(format!("{{\"{number}\":\"{}\"}}", "-".repeat(8 << 10)));
            let event_id = EventId::from_client(&number.to_string());
            batch.push(&Event { event_id, site_id: "shop".into(), properties, ..Event::default() });
        }
        let mut writer = TableWriter::start(&lake, &EVENTS, NaiveDate::default()).unwrap();
        // As a publish has it.
        let mut batch = batch.into_batch();
        let properties = batch.schema().index_of("properties").unwrap();
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let column = compute::cast(&batch.remove_column(properties), &dictionary).unwrap();
        let field = Field::new("properties", dictionary, true);
        let fields: Vec<Field> =
            batch.schema().fields().iter().map(|field| Field::clone(field)).chain([field]).collect();
        let columns = batch.columns().iter().cloned().chain([column]).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        writer.write(&batch).await.unwrap();
        let written = writer.finish().await.unwrap();
        let bytes = lake.store().get(&written.path).await.unwrap().bytes().await.unwrap();
        let reader = SerializedFileReader::new(bytes).unwrap();
        let column = EVENTS.file_schema.index_of("properties").unwrap();
        let pages = reader.get_row_group(0).unwrap().get_column_page_reader(column).unwrap();
        let sizes: Vec<usize> = pages.map(|page| page.unwrap().buffer().len()).collect();
        assert!(sizes.iter().sum::<usize>() > 15 << 20 && sizes.iter().all(|bytes| *bytes < 4 << 20), "{sizes:?}");
        assert_eq!(lake.decoded_row_bytes(&written).await.unwrap() >> 10, 8);
    }
}
