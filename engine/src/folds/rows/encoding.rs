//! Rows in fewer bytes: texts as numbers of the different ones, since a site, a page or a channel stands in many rows; whole
//! numbers and dates in no more bytes than they need. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, PrimitiveArray, RecordBatch, StringViewArray,
};
use datafusion::arrow::compute::{cast, max, min, take};
use datafusion::arrow::datatypes::{
    ArrowDictionaryKeyType, DataType, Date32Type, Field, Int8Type, Int16Type, Int32Type, Int64Type, Schema, SchemaRef,
};
use datafusion::error::Result;

/// Rows from which on it is worth it.
const ROWS_MIN: usize = 1_024;

/// A text is in so many rows on average, or texts stay as they are.
const ROWS_PER_TEXT: usize = 4;

/// The same rows in columns of types that take less memory, where there are some.
pub(in crate::folds) fn encode(rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.num_rows() < ROWS_MIN {
        return Ok(rows.clone());
    }
    let mut columns = Vec::new();
    for column in rows.columns() {
        columns.push(match column.data_type() {
            DataType::Utf8View => encode_texts(column.as_string_view()).unwrap_or_else(|| column.clone()),
            DataType::Int64 => {
                let numbers = column.as_primitive::<Int64Type>();
                narrowed(column, min(numbers).zip(max(numbers)))?
            }
            DataType::Date32 => {
                let days = column.as_primitive::<Date32Type>();
                let bounds = min(days).zip(max(days)).map(|(least, greatest)| (least.into(), greatest.into()));
                narrowed(&cast(column, &DataType::Int32)?, bounds)?
            }
            _ => column.clone(),
        });
    }
    with_columns(rows, columns)
}

/// The rows as they were.
///
/// - `schema`: with the types that they had.
pub(in crate::folds) fn decode(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if rows.schema_ref() == schema {
        return Ok(rows.clone());
    }
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| decode_column(column, field.data_type()));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_>>()?)?)
}

/// A column as it was.
///
/// - `data_type`: the type that it had.
pub(in crate::folds) fn decode_column(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    if column.data_type() == data_type {
        return Ok(column.clone());
    }
    if let Some(codes) = column.as_any_dictionary_opt() {
        return Ok(take(codes.values(), codes.keys(), None)?);
    }
    Ok(match data_type {
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, data_type)?,
        _ => cast(column, data_type)?,
    })
}

/// Whole numbers in as few bytes as they need.
///
/// - `bounds`: the least and the greatest of them.
fn narrowed(numbers: &ArrayRef, bounds: Option<(i64, i64)>) -> Result<ArrayRef> {
    let (least, greatest) = bounds.unwrap_or_default();
    let fits = |from: i64, to: i64| from <= least && greatest <= to;
    let narrow = match () {
        () if fits(i8::MIN.into(), i8::MAX.into()) => DataType::Int8,
        () if fits(i16::MIN.into(), i16::MAX.into()) => DataType::Int16,
        () if fits(i32::MIN.into(), i32::MAX.into()) => DataType::Int32,
        () => return Ok(numbers.clone()),
    };
    Ok(cast(numbers, &narrow)?)
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
    let (codes, count) = (Int32Array::from(codes), different.len());
    let different: ArrayRef = Arc::new(StringViewArray::from_iter_values(different));
    if count <= 1 << 7 {
        dictionary::<Int8Type>(&codes, different)
    } else if count <= 1 << 15 {
        dictionary::<Int16Type>(&codes, different)
    } else {
        dictionary::<Int32Type>(&codes, different)
    }
}

fn dictionary<K: ArrowDictionaryKeyType>(codes: &Int32Array, texts: ArrayRef) -> Option<ArrayRef> {
    let codes = cast(codes, &K::DATA_TYPE).ok()?;
    let codes: PrimitiveArray<K> = codes.as_primitive::<K>().clone();
    Some(Arc::new(DictionaryArray::try_new(codes, texts).ok()?))
}

fn with_columns(rows: &RecordBatch, columns: Vec<ArrayRef>) -> Result<RecordBatch> {
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(&columns);
    let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    let schema = Schema::new_with_metadata(fields.collect::<Vec<Field>>(), schema.metadata().clone());
    Ok(RecordBatch::try_new(Arc::new(schema), columns)?)
}

/// The rows with strings of their own: views would keep everything alive that they were cut from.
pub(super) fn compacted(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.num_columns() == 0 {
        return Ok(rows.clone());
    }
    let columns = rows.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Date32Array, Int64Array};

    use super::*;

    #[track_caller]
    fn check(batch: &RecordBatch) -> RecordBatch {
        let (schema, encoded) = (batch.schema(), encode(batch).unwrap());
        assert_eq!(&decode(&encoded, &schema).unwrap(), batch);
        assert_eq!(decode(&encoded.slice(3, 4), &schema).unwrap(), batch.slice(3, 4));
        encoded
    }

    #[test]
    fn texts_are_the_same_again_and_take_less_where_they_repeat() {
        let text = |row: i64, different: i64| format!("a text of some length, {}", row % different);
        for (rows, different, keys) in [
            (10, 2, None),
            (5_000, 3, Some(DataType::Int8)),
            (5_000, 128, Some(DataType::Int8)),
            (5_000, 129, Some(DataType::Int16)),
            (5_000, 1_250, Some(DataType::Int16)),
            (5_000, 4_000, None),
            (1 << 18, 1 << 15, Some(DataType::Int16)),
            (1 << 18, (1 << 15) + 1, Some(DataType::Int32)),
        ] {
            let texts = (0..rows).map(|row| (row % 7 > 0).then(|| text(row, different)));
            let texts: ArrayRef = Arc::new(StringViewArray::from_iter(texts));
            let batch = RecordBatch::try_from_iter_with_nullable([("k0", texts, true)]).unwrap();
            let encoded = check(&batch);
            let expected = keys.map(|keys| DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8View)));
            assert_eq!(encoded.column(0).data_type(), &expected.unwrap_or(DataType::Utf8View), "{different} of {rows}");
        }
    }

    #[test]
    fn numbers_and_dates_take_no_more_bytes_than_they_need() {
        for (least, greatest, narrow) in [
            (-128, 127, DataType::Int8),
            (0, 128, DataType::Int16),
            (-129, 0, DataType::Int16),
            (-32_768, 32_767, DataType::Int16),
            (0, 32_768, DataType::Int32),
            (i64::from(i32::MIN), i64::from(i32::MAX), DataType::Int32),
            (0, 1 << 31, DataType::Int64),
            (i64::MIN, i64::MAX, DataType::Int64),
        ] {
            let numbers = (0..2_000).map(|row| (row % 5 > 0).then_some(if row % 2 == 0 { least } else { greatest }));
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter(numbers));
            let batch = RecordBatch::try_from_iter_with_nullable([("p0", numbers, true)]).unwrap();
            assert_eq!(check(&batch).column(0).data_type(), &narrow, "{least} to {greatest}");
        }
        for (first, narrow) in [(18_000, DataType::Int16), (32_000, DataType::Int32)] {
            let days = (0..2_000).map(|row| (row % 5 > 0).then_some(first + row));
            let days: ArrayRef = Arc::new(Date32Array::from_iter(days));
            let nothing: ArrayRef = Arc::new(Int64Array::new_null(2_000));
            let columns = [("k0", days, true), ("p0", nothing, true)];
            let encoded = check(&RecordBatch::try_from_iter_with_nullable(columns).unwrap());
            assert_eq!((encoded.column(0).data_type(), encoded.column(1).data_type()), (&narrow, &DataType::Int8));
        }
    }
}
