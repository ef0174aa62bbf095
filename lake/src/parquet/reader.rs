//! Reading Parquet files, and telling a damaged file from a store that fails.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::future::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::error::{LakeError, Result};
use crate::parquet::object_reader::{ObjectReader, open_parquet};

/// The first and the last time (µs) of a column in a row group, if its statistics have them.
pub(crate) fn times_us(row_group: &RowGroupMetaData, column: usize) -> Option<(i64, i64)> {
    match row_group.column(column).statistics() {
        Some(Statistics::Int64(times)) => Some((*times.min_opt()?, *times.max_opt()?)),
        _ => None,
    }
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
/// Fails with [`LakeError::Gone`] if the file is not there, [`LakeError::Corrupt`] if it is not Parquet.
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

/// About how much memory a decoded row of a file takes, in bytes, if repeated texts are held once: the mean of the row group
/// where it is largest. Compressed it may be five hundred times smaller.
///
/// Fails as [`read_batches`] does.
pub async fn decoded_row_bytes(store: Arc<dyn ObjectStore>, path: &Path, size_bytes: u64) -> Result<u64> {
    catch_damage(path, async {
        let (_, metadata) = open_parquet(store, path, size_bytes, ArrowReaderOptions::new()).await?;
        let groups = metadata.metadata().row_groups().iter();
        let mean = |group: &RowGroupMetaData| group.total_byte_size().max(0) / group.num_rows().max(1);
        Ok(groups.map(mean).max().unwrap_or(0) as u64)
    })
    .await
}

/// Turns a panic while reading into [`LakeError::Corrupt`], which names the file. Reading a damaged file may panic, because
/// the Parquet decoder relies on more than it checks.
pub(crate) async fn catch_damage<T>(path: &Path, read: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(read).catch_unwind().await.unwrap_or_else(|panic| Err(damage(path, panic)))
}

fn damage(path: &Path, panic: Box<dyn Any + Send>) -> LakeError {
    let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    LakeError::corrupt(path.to_string(), format!("its decoder gave up: {}", words.unwrap_or("it did not say why")))
}
