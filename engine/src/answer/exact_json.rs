//! JSON in which every value arrives as it is: whole numbers that a double does not hold are text, and null is written.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{DataType, FieldRef, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, WriterBuilder};

use super::json_rows::EXACT_INTEGER_MAX;

/// Makes writers of such JSON.
pub(super) fn writer() -> WriterBuilder {
    WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(ExactIntegers))
}

#[derive(Debug)]
struct ExactIntegers;

impl EncoderFactory for ExactIntegers {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Int64 => Box::new(Integers(array.as_primitive::<Int64Type>())),
            DataType::UInt64 => Box::new(Integers(array.as_primitive::<UInt64Type>())),
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Integers<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Integers<'_, T>
where
    T::Native: Into<i128>,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value: i128 = self.0.value(row).into();
        let quote = if value.unsigned_abs() <= EXACT_INTEGER_MAX.into() { "" } else { "\"" };
        write!(out, "{quote}{value}{quote}").expect("writing to memory cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, ListArray, RecordBatch, UInt64Array};

    use super::*;

    #[test]
    fn a_number_that_a_double_does_not_hold_is_text_also_in_a_list() {
        let large = (1 << 53) + 1;
        check(
            Arc::new(Int64Array::from(vec![Some(7), Some(-large), None])),
            r#"{"x":7}{"x":"-9007199254740993"}{"x":null}"#,
        );
        check(
            Arc::new(UInt64Array::from(vec![1 << 53, u64::MAX])),
            r#"{"x":9007199254740992}{"x":"18446744073709551615"}"#,
        );
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(large), None])]);
        check(Arc::new(list), r#"{"x":["9007199254740993",null]}"#);
    }

    #[track_caller]
    fn check(column: ArrayRef, expected: &str) {
        let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
        let mut writer = writer().build::<_, arrow::json::writer::LineDelimited>(Vec::new());
        writer.write(&batch).unwrap();
        let lines = String::from_utf8(writer.into_inner()).unwrap();
        assert_eq!(lines.replace('\n', ""), expected);
    }
}
