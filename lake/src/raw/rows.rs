//! Reading raw files.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::metadata::ParquetMetaData;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::RawFile;
use crate::parquet::object_reader::{ObjectReader, open_parquet, with_page_index};
use crate::parquet::reader::{catch_damage, schema_problem};
use crate::schema::events::{event_schema, raw_schema};

/// Some columns of a raw file.
#[derive(Default)]
pub(crate) struct RawRows {
    pub(crate) batches: Vec<RecordBatch>,
    /// A column that only a later release knows.
    pub(crate) unknown_column: Option<String>,
    /// About the memory that all columns of the file take once they are decoded.
    pub(crate) decoded_bytes: u64,
}

/// What a decoded row takes beside its texts: numbers, times, and places in dictionaries.
const DECODED_ROW_BYTES: u64 = 256;

/// About how much memory the rows of a file take once they are [read whole](Lake::read_raw_rows). Compressed they may be five
/// hundred times smaller, so the size of the file does not tell.
fn decoded_bytes(file: &ParquetMetaData) -> u64 {
    let row_groups = file.row_groups().iter();
    row_groups
        .map(|group| {
            // Wrong counts are damage, which is found elsewhere.
            let count = |number: i64| u64::try_from(number).unwrap_or(0);
            let rows_bytes = count(group.num_rows()).saturating_mul(DECODED_ROW_BYTES);
            count(group.total_byte_size()).saturating_add(rows_bytes)
        })
        .fold(0, u64::saturating_add)
}

impl Lake {
    /// Reads some columns of a raw file, after checking that it has all columns with their types.
    pub(crate) async fn read_raw(&self, file: &RawFile, columns: &[&str]) -> Result<RawRows> {
        let (reader, metadata) = self.open_raw(file, ArrowReaderOptions::new()).await?;
        read(file, reader, metadata, columns).await
    }

    /// The rows of a raw file: those columns of `events` that the file has, texts but `site_id` as dictionaries, which
    /// are many times smaller.
    ///
    /// Fails with [`LakeError::Gone`] if the file is not there, [`LakeError::Corrupt`] if it cannot be read.
    pub async fn read_raw_rows(&self, file: &RawFile) -> Result<Vec<RecordBatch>> {
        let read = async {
            let damaged = |error| LakeError::parquet(&file.path, error);
            let (reader, metadata) = self.open_raw(file, ArrowReaderOptions::new()).await?;
            let with_dictionary = |field: &Arc<Field>| match field.data_type() {
                DataType::Utf8 if field.name() != "site_id" => {
                    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                    Arc::new(Field::clone(field).with_data_type(dictionary))
                }
                _ => field.clone(),
            };
            let fields: Vec<_> = metadata.schema().fields().iter().map(with_dictionary).collect();
            let schema = Arc::new(Schema::new_with_metadata(fields, metadata.schema().metadata().clone()));
            let options = ArrowReaderOptions::new().with_schema(schema);
            let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(damaged)?;
            let rows = metadata.metadata().file_metadata().num_rows().max(1) as usize;
            let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
            let known = event_schema();
            let known = known.fields().iter().map(|field| field.name().as_str());
            let mask = ProjectionMask::columns(builder.parquet_schema(), known);
            let rows = builder.with_projection(mask).with_batch_size(rows).build().map_err(damaged)?;
            let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(damaged)?;
            batches.iter().try_for_each(|batch| refuse_nulls(file, batch))?;
            Ok(batches)
        };
        catch_damage(&file.path, read).await
    }

    /// Reads a raw file whole. Returns its rows.
    pub(crate) async fn count_raw_rows(&self, file: &RawFile) -> Result<u64> {
        let damaged = |error| LakeError::parquet(&file.path, error);
        let (reader, metadata) = self.open_raw(file, with_page_index()).await?;
        let mut batches =
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).build().map_err(damaged)?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await.map_err(damaged)? {
            refuse_nulls(file, &batch)?;
            rows += batch.num_rows() as u64;
        }
        Ok(rows)
    }
    /// Opens a raw file that is an intact one as far as its footer shows.
    pub(crate) async fn open_raw(
        &self,
        file: &RawFile,
        options: ArrowReaderOptions,
    ) -> Result<(ObjectReader, ArrowReaderMetadata)> {
        let (reader, metadata) = open_parquet(self.store(), &file.path, file.size_bytes, options).await?;
        match schema_problem(metadata.schema(), &raw_schema()) {
            Some(problem) => Err(LakeError::corrupt(file.path.to_string(), problem)),
            None => Ok((reader, metadata)),
        }
    }
}

async fn read(
    file: &RawFile,
    reader: ObjectReader,
    metadata: ArrowReaderMetadata,
    columns: &[&str],
) -> Result<RawRows> {
    let damaged = |error| LakeError::parquet(&file.path, error);
    let is_known = |name: &str| raw_schema().field_with_name(name).is_ok();
    let mut names = metadata.schema().fields().iter().map(|field| field.name());
    let unknown_column = names.find(|name| !is_known(name)).cloned();
    let decoded_bytes = decoded_bytes(metadata.metadata());
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata);
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let rows = builder.with_projection(mask).build().map_err(damaged)?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(damaged)?;
    batches.iter().try_for_each(|batch| refuse_nulls(file, batch))?;
    Ok(RawRows { batches, unknown_column, decoded_bytes })
}

/// What every event has must be there in each row, though another writer's schema may allow that it is not.
fn refuse_nulls(file: &RawFile, rows: &RecordBatch) -> Result<()> {
    let schema = raw_schema();
    let required = schema.fields().iter().filter(|field| !field.is_nullable());
    let has_nulls = |name: &str| rows.column_by_name(name).is_some_and(|column| column.null_count() > 0);
    match required.map(|field| field.name()).find(|name| has_nulls(name)) {
        Some(name) => Err(LakeError::corrupt(file.path.to_string(), format!("its column {name} has nulls"))),
        None => Ok(()),
    }
}
