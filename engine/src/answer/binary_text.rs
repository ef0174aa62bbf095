//! Binary values as text: an id as the UUID that people write, any other bytes in hexadecimal.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use uuid::Uuid;

/// The batch with its binary columns as text. A value of 16 bytes is taken for a UUID, as the ids of events are.
///
/// Binary values inside lists and structs stay as they are.
pub fn binary_as_text(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let texts: Vec<Option<ArrayRef>> = batch.columns().iter().map(text_of).collect();
    if texts.iter().all(Option::is_none) {
        return Ok(batch.clone());
    }
    let columns: Vec<ArrayRef> =
        texts.into_iter().zip(batch.columns()).map(|(text, column)| text.unwrap_or_else(|| column.clone())).collect();
    let schema = batch.schema();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), field.is_nullable()))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A binary column as text; `None` for any other column.
pub(crate) fn text_of(column: &ArrayRef) -> Option<ArrayRef> {
    let texts: LargeStringArray = match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().iter().map(|value| value.map(text)).collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().map(|value| value.map(text)).collect(),
        DataType::BinaryView => column.as_binary_view().iter().map(|value| value.map(text)).collect(),
        DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().iter().map(|value| value.map(text)).collect(),
        _ => return None,
    };
    Some(Arc::new(texts))
}

fn text(bytes: &[u8]) -> String {
    if let Ok(id) = Uuid::from_slice(bytes) {
        return id.to_string();
    }
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("writing to a string cannot fail");
        digits
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::{BinaryViewArray, FixedSizeBinaryArray, Int64Array, LargeBinaryArray};

    use super::*;

    #[test]
    fn sixteen_bytes_are_a_uuid_and_other_bytes_are_hexadecimal() {
        let id: &[u8] = &[0x01, 0x93, 0x5c, 0x2e, 0x77, 0x10, 0x7a, 0xbc, 0x8d, 0xef, 0, 1, 2, 3, 4, 0xff];
        let (uuid, hex) = ("01935c2e-7710-7abc-8def-0001020304ff", "00ff7a");
        let short: &[u8] = &[0x00, 0xff, 0x7a];
        check(BinaryViewArray::from_iter([Some(id), None, Some(short)]), &[Some(uuid), None, Some(hex)]);
        check(LargeBinaryArray::from_iter([Some(id), Some(&[][..])]), &[Some(uuid), Some("")]);
        check(FixedSizeBinaryArray::try_from_iter([id].into_iter()).unwrap(), &[Some(uuid)]);
    }

    #[track_caller]
    fn check(column: impl Array + 'static, expected: &[Option<&str>]) {
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(0..column.len() as i64));
        let batch = RecordBatch::try_from_iter([("id", Arc::new(column) as ArrayRef), ("n", counts.clone())]).unwrap();
        let read = binary_as_text(&batch).unwrap();
        assert_eq!(read.column(0).as_string::<i64>().iter().collect::<Vec<_>>(), expected);
        assert_eq!(read.column(1), &counts);
    }
}
