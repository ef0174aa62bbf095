//! Columns of texts and bytes that lie one after the other, for readers elsewhere; those within lists and structs stay as they are. In memory they are views, which share what they
//! were read of: sent, each takes 16 bytes and more, and a reader that checks texts has to check them one by one.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ByteView, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;

/// Bytes of a column in one batch, unless a single text has more: a text that many rows share is there once for each of them.
const COLUMN_BYTES_MAX: u64 = 16 << 20;

/// The columns as they are sent.
pub(super) fn schema_of(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match contiguous(field.data_type()) {
        Some(data_type) => Arc::new(Field::clone(field).with_data_type(data_type)),
        None => field.clone(),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The same rows as they are sent, in as few batches as can hold them.
pub(super) fn batches_of(batch: &RecordBatch) -> Result<Vec<RecordBatch>, ArrowError> {
    batches_within(batch, COLUMN_BYTES_MAX)
}

fn batches_within(batch: &RecordBatch, column_bytes_max: u64) -> Result<Vec<RecordBatch>, ArrowError> {
    let rows = batch.num_rows();
    if rows > 1 && batch.columns().iter().any(|column| bytes_of(column) > column_bytes_max) {
        let halves = [batch.slice(0, rows / 2), batch.slice(rows / 2, rows - rows / 2)];
        let halves = halves.iter().map(|half| batches_within(half, column_bytes_max));
        return Ok(halves.collect::<Result<Vec<_>, _>>()?.concat());
    }
    let columns = batch.columns().iter().map(|column| match contiguous(column.data_type()) {
        Some(data_type) => cast(column, &data_type),
        None => Ok(column.clone()),
    });
    let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
    if columns.is_empty() {
        return Ok(vec![batch.clone()]);
    }
    Ok(vec![RecordBatch::try_new(schema_of(&batch.schema()), columns)?])
}

fn contiguous(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View => Some(DataType::Utf8),
        DataType::BinaryView => Some(DataType::Binary),
        _ => None,
    }
}

/// The bytes of a column's views; none of a column of another type.
fn bytes_of(column: &ArrayRef) -> u64 {
    let views = match column.data_type() {
        DataType::Utf8View => column.as_string_view().views(),
        DataType::BinaryView => column.as_binary_view().views(),
        _ => return 0,
    };
    views.iter().map(|view| u64::from(ByteView::from(*view).length)).sum()
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryViewArray, Int64Array, StringViewArray};

    use super::*;

    fn batch() -> RecordBatch {
        let texts: ArrayRef =
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("longer than twelve bytes"), Some("")]));
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from(vec![None, Some(&b"\xff"[..]), None, Some(&[7; 40])]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        RecordBatch::try_from_iter([("text", texts), ("bytes", bytes), ("number", numbers)]).unwrap()
    }

    #[test]
    fn rows_are_the_same_in_columns_that_lie_one_after_the_other() {
        let batch = batch();
        let [sent] = &batches_of(&batch).unwrap()[..] else { panic!("they fit into one batch") };
        let types: Vec<&DataType> = sent.schema_ref().fields().iter().map(|field| field.data_type()).collect();
        assert_eq!(types, [&DataType::Utf8, &DataType::Binary, &DataType::Int64]);
        for (column, data_type) in [(0, DataType::Utf8View), (1, DataType::BinaryView)] {
            assert_eq!(&cast(sent.column(column), &data_type).unwrap(), batch.column(column));
        }
        assert_eq!(sent.schema(), schema_of(&batch.schema()));
    }

    #[test]
    fn a_batch_whose_texts_are_too_many_for_one_column_is_sent_in_parts() {
        let (batch, whole) = (batch(), batches_of(&batch()).unwrap().remove(0));
        for (bytes_max, parts) in [(100, 1), (40, 2), (24, 3), (1, 3)] {
            let sent = batches_within(&batch, bytes_max).unwrap();
            assert_eq!(arrow::compute::concat_batches(&whole.schema(), &sent).unwrap(), whole, "{bytes_max}");
            assert!(sent.len() >= parts, "{} parts for {bytes_max}", sent.len());
        }
    }
}
