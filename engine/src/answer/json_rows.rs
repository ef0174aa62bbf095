//! An answer as rows of JSON values, exact wherever JSON can be.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Number, Value as Json};

use super::binary_text::text_of;
use crate::session::QueryResult;

/// The names of an answer's columns.
pub fn column_names(result: &QueryResult) -> Vec<String> {
    result.schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// The largest whole number that every reader of JSON has exactly: most read numbers as doubles.
pub(super) const EXACT_INTEGER_MAX: u64 = 1 << 53;

/// An answer as JSON: numbers as numbers, and as their digits in text if a double does not hold them; times in RFC 3339,
/// binary as UUIDs or in hexadecimal, anything else as Arrow prints it. Not-a-number and infinities are null, since JSON
/// has none.
pub fn to_json_rows(result: &QueryResult) -> Result<Vec<Vec<Json>>, arrow::error::ArrowError> {
    let mut rows = Vec::new();
    for batch in &result.batches {
        let columns: Vec<Vec<Json>> = batch.columns().iter().map(column_values).collect::<Result<_, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column[row].clone()).collect());
        }
    }
    Ok(rows)
}

fn column_values(column: &ArrayRef) -> Result<Vec<Json>, arrow::error::ArrowError> {
    macro_rules! numbers {
        ($type:ty) => {
            column.as_primitive::<$type>().iter().map(|value| value.map_or(Json::Null, Json::from)).collect()
        };
    }
    Ok(match column.data_type() {
        DataType::Null => vec![Json::Null; column.len()],
        DataType::Boolean => column.as_boolean().iter().map(Json::from).collect(),
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => column.as_primitive::<Int64Type>().iter().map(|v| integer(v.map(i128::from))).collect(),
        DataType::UInt8 => numbers!(UInt8Type),
        DataType::UInt16 => numbers!(UInt16Type),
        DataType::UInt32 => numbers!(UInt32Type),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().iter().map(|v| integer(v.map(i128::from))).collect(),
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().map(|v| float(v.map(f64::from))).collect(),
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().map(float).collect(),
        DataType::Decimal128(_, _) => {
            let decimals = column.as_primitive::<Decimal128Type>();
            (0..column.len())
                .map(|row| if column.is_null(row) { Json::Null } else { decimal(&decimals.value_as_string(row)) })
                .collect()
        }
        _ => {
            let text = text_of(column);
            let column = text.as_ref().unwrap_or(column);
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column, &options)?;
            (0..column.len())
                .map(|row| {
                    if column.is_null(row) {
                        return Ok(Json::Null);
                    }
                    formatter.value(row).try_to_string().map(Json::String)
                })
                .collect::<Result<_, _>>()?
        }
    })
}

/// A whole number, as its digits in text if a double does not hold it.
fn integer(value: Option<i128>) -> Json {
    match value {
        None => Json::Null,
        Some(value) => match i64::try_from(value) {
            Ok(exact) if value.unsigned_abs() <= EXACT_INTEGER_MAX.into() => Json::from(exact),
            _ => Json::String(value.to_string()),
        },
    }
}

fn float(value: Option<f64>) -> Json {
    value.and_then(Number::from_f64).map_or(Json::Null, Json::Number)
}

/// A decimal as the number it is if a double can hold it, else as its digits.
fn decimal(digits: &str) -> Json {
    let significant = digits.bytes().filter(u8::is_ascii_digit).count();
    match digits.parse::<f64>() {
        Ok(number) if significant <= 15 => float(Some(number)),
        _ => Json::String(digits.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt64Array,
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn every_type_has_a_form_in_json() {
        let exact = 9_007_199_254_740_992_i64;
        check(Arc::new(Int64Array::from(vec![Some(exact), Some(-exact), None])), json!([exact, -exact, null]));
        check(
            Arc::new(Int64Array::from(vec![exact + 1, -exact - 1, i64::MIN])),
            json!(["9007199254740993", "-9007199254740993", "-9223372036854775808"]),
        );
        check(Arc::new(UInt64Array::from(vec![7, u64::MAX])), json!([7, "18446744073709551615"]));
        check(Arc::new(Float64Array::from(vec![0.5, f64::NAN])), json!([0.5, null]));
        check(Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC")), json!(["1970-01-01T00:00:00Z"]));
        check(Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]])), json!(["01ff"]));
        let money = Decimal128Array::from(vec![123_400]).with_precision_and_scale(18, 4).unwrap();
        check(Arc::new(money), json!([12.34]));
        let large = Decimal128Array::from(vec![123_456_789_012_345_678]).with_precision_and_scale(18, 4).unwrap();
        check(Arc::new(large), json!(["12345678901234.5678"]));
    }

    #[track_caller]
    fn check(column: ArrayRef, expected: Json) {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let result = QueryResult { schema: batch.schema(), batches: vec![batch] };
        let rows: Vec<Json> = to_json_rows(&result).unwrap().into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(Json::Array(rows), expected);
    }
}
