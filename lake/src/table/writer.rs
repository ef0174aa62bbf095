//! Writing one file of a table.

use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::async_writer::AsyncArrowWriter;

use super::Table;
use super::bounds::Contents;
use super::file::{FileRange, TableFile, object_path};
use crate::error::{LakeError, Result};
use crate::parquet::object_writer::ChecksummedObject;
use crate::schema::encoding::{divide, table_properties};

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

impl TableWriter {
    /// Starts a file in partition `date` of a table.
    pub fn start(table: &Arc<Table>, date: NaiveDate) -> Result<Self> {
        let (spec, table) = (table.spec, table.clone());
        let log_path = format!("date={date}/{}.parquet", table.new_uuid());
        let path = object_path(&table.root, &log_path);
        let object = ChecksummedObject::new(BufWriter::new(table.store.clone(), path.clone()));
        let properties = table_properties(spec, table.runtime.table_compression);
        let writer = AsyncArrowWriter::try_new(object, spec.file_schema.clone(), Some(properties))
            .map_err(|error| LakeError::parquet(&path, error))?;
        Ok(Self { writer, path, log_path, date, rows: 0, contents: Contents::default(), table })
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

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;
    use crate::event::{Event, EventId};
    use crate::lake::Lake;
    use crate::parquet::reader::decoded_row_bytes;
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
        let mut writer = TableWriter::start(&lake.table(&EVENTS), NaiveDate::default()).unwrap();
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
        assert_eq!(decoded_row_bytes(lake.store(), &written.path, written.size_bytes).await.unwrap() >> 10, 8);
    }
}
