//! Rows whose texts are kept as numbers of the different ones: a site, a page or a channel stands in many rows. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, Int32Array, RecordBatch, StringViewArray};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
use datafusion::error::Result;

/// Rows from which on it is worth it.
const ROWS_MIN: usize = 1_024;

/// A text is in so many rows on average, or texts stay as they are.
const ROWS_PER_TEXT: usize = 4;

/// The same rows with numbers for texts, in columns where that saves memory.
pub(in crate::folds) fn encode(rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.num_rows() < ROWS_MIN {
        return Ok(rows.clone());
    }
    let columns = rows.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => encode_texts(column.as_string_view()).unwrap_or_else(|| column.clone()),
        _ => column.clone(),
    });
    with_columns(rows, columns.collect())
}

/// The rows with texts for numbers.
pub(in crate::folds) fn decode(rows: &RecordBatch) -> Result<RecordBatch> {
    let is_text = |column: &&ArrayRef| matches!(column.data_type(), DataType::Dictionary(..));
    if !rows.columns().iter().any(|column| is_text(&column)) {
        return Ok(rows.clone());
    }
    let columns = rows.columns().iter().map(|column| match column.as_dictionary_opt::<Int32Type>() {
        Some(codes) => take(codes.values(), codes.keys(), None),
        None => Ok(column.clone()),
    });
    let columns = columns.collect::<std::result::Result<_, _>>()?;
    with_columns(rows, columns)
}

/// None if there are too many different texts.
fn encode_texts(texts: &StringViewArray) -> Option<ArrayRef> {
    let mut numbers: HashMap<&str, i32> = HashMap::new();
    let mut different: Vec<&str> = Vec::new();
    let mut last: Option<(&str, i32)> = None;
    let mut codes: Vec<Option<i32>> = Vec::with_capacity(texts.len());
    for text in texts {
        let Some(text) = text else {
            codes.push(None);
            continue;
        };
        // Rows are in the order of their groups.
        let code = match last {
            Some((known, code)) if known == text => code,
            _ => *numbers.entry(text).or_insert_with(|| {
                different.push(text);
                different.len() as i32 - 1
            }),
        };
        if different.len() * ROWS_PER_TEXT > texts.len() {
            return None;
        }
        last = Some((text, code));
        codes.push(Some(code));
    }
    let different = StringViewArray::from_iter_values(different);
    let encoded = DictionaryArray::<Int32Type>::try_new(Int32Array::from(codes), Arc::new(different)).ok()?;
    Some(Arc::new(encoded))
}

fn with_columns(rows: &RecordBatch, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    let schema = Schema::new_with_metadata(fields.collect::<Vec<Field>>(), schema.metadata().clone());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

    use super::*;

    #[test]
    fn rows_are_the_same_again_and_take_less_where_texts_repeat() {
        let text = |row: i64, different: i64| format!("a text of some length, {}", row % different);
        for (rows, different, is_smaller) in
            [(10, 2, false), (5_000, 3, true), (5_000, 1_250, true), (5_000, 4_000, false)]
        {
            let texts = (0..rows).map(|row| (row % 7 > 0).then(|| text(row, different)));
            let columns: Vec<(&str, ArrayRef, bool)> = vec![
                ("k0", Arc::new(StringViewArray::from_iter(texts)), true),
                ("p0", Arc::new(Int64Array::from_iter_values(0..rows)), false),
            ];
            let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
            let encoded = encode(&batch).unwrap();
            assert_eq!(decode(&encoded).unwrap(), batch, "{rows} rows of {different}");
            assert_eq!(decode(&encoded.slice(3, 4)).unwrap(), batch.slice(3, 4));
            let (before, after) = (batch.get_array_memory_size(), encoded.get_array_memory_size());
            assert_eq!(after < before, is_smaller, "{after} for {before} bytes of {rows} rows of {different}");
        }
    }
}
