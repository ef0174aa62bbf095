//! Values of an answer as PostgreSQL writes them, in text and in binary.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Decimal256Type, DurationMicrosecondType, Field, Float32Type, Float64Type,
    Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit, Schema, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, NaiveDate, NaiveTime};
use engine::binary_as_text;

use crate::format::types::ValueType;
use crate::messages::Format;

/// Days and microseconds from 1970 to 2000, where PostgreSQL counts from.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
pub(crate) const EPOCH_US: i64 = 946_684_800_000_000;

const DAY_US: i64 = 86_400_000_000;

/// A column of an answer, of one of the types that [`put`](Column::put) knows.
pub(crate) struct Column {
    values: ArrayRef,
    value_type: ValueType,
}

/// The columns of some rows, ready to be written.
pub(crate) fn columns(batch: &RecordBatch) -> Result<Vec<Column>, ArrowError> {
    let batch = binary_as_text(batch)?;
    batch.columns().iter().map(Column::new).collect()
}

impl Column {
    fn new(values: &ArrayRef) -> Result<Self, ArrowError> {
        let value_type = ValueType::of_arrow(values.data_type());
        let values = match values.data_type() {
            DataType::Dictionary(_, inner) => return Self::new(&cast(values, inner)?),
            DataType::RunEndEncoded(_, inner) => return Self::new(&cast(values, inner.data_type())?),
            DataType::Int8 | DataType::UInt8 => cast(values, &DataType::Int16)?,
            DataType::UInt16 => cast(values, &DataType::Int32)?,
            DataType::UInt32 => cast(values, &DataType::Int64)?,
            DataType::UInt64 => cast(values, &DataType::Decimal128(20, 0))?,
            DataType::Decimal32(digits, scale) | DataType::Decimal64(digits, scale) => {
                cast(values, &DataType::Decimal128(*digits, *scale))?
            }
            DataType::Float16 => cast(values, &DataType::Float32)?,
            DataType::Date64 => cast(values, &DataType::Date32)?,
            DataType::Time32(_) | DataType::Time64(_) => cast(values, &DataType::Time64(TimeUnit::Microsecond))?,
            DataType::Timestamp(_, zone) => cast(values, &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()))?,
            DataType::Duration(_) => cast(values, &DataType::Duration(TimeUnit::Microsecond))?,
            DataType::Interval(_) => cast(values, &DataType::Interval(IntervalUnit::MonthDayNano))?,
            _ if value_type == ValueType::One(crate::format::types::JSON) => json_texts(values)?,
            DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                cast(values, &DataType::List(item.clone()))?
            }
            DataType::ListView(item) | DataType::LargeListView(item) => cast(values, &DataType::List(item.clone()))?,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Null => cast(values, &DataType::Utf8View)?,
            _ => values.clone(),
        };
        Ok(Self { values, value_type })
    }

    /// Writes a value behind its length, or that there is none.
    pub(crate) fn put(&self, row: usize, format: Format, out: &mut BytesMut) -> Result<(), ArrowError> {
        if self.values.is_null(row) {
            out.put_i32(-1);
            return Ok(());
        }
        let start = out.len();
        out.put_i32(0);
        match format {
            Format::Text => self.put_text(row, out)?,
            Format::Binary => self.put_binary(row, out)?,
        }
        let length = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Whether there is no value in a row.
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.values.is_null(row)
    }

    /// Writes a value that is not null, as text.
    pub(crate) fn put_text(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let values = &self.values;
        match values.data_type() {
            DataType::Boolean => out.put_u8(if values.as_boolean().value(row) { b't' } else { b'f' }),
            DataType::Int16 => put_display(out, values.as_primitive::<Int16Type>().value(row)),
            DataType::Int32 => put_display(out, values.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => put_display(out, values.as_primitive::<Int64Type>().value(row)),
            DataType::Float32 => put_float(out, values.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => put_float(out, values.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) | DataType::Decimal256(..) => out.put_slice(self.decimal(row).as_bytes()),
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>().value(row);
                let date = NaiveDate::from_epoch_days(days).ok_or_else(|| too_far(days.into()))?;
                put_display(out, date.format("%Y-%m-%d"));
            }
            DataType::Time64(_) => put_time(out, values.as_primitive::<Time64MicrosecondType>().value(row)),
            DataType::Timestamp(_, zone) => {
                let us = values.as_primitive::<TimestampMicrosecondType>().value(row);
                let time = DateTime::from_timestamp_micros(us).ok_or_else(|| too_far(us))?;
                put_display(out, time.format("%Y-%m-%d "));
                put_time(out, us.rem_euclid(DAY_US));
                if zone.is_some() {
                    out.put_slice(b"+00");
                }
            }
            DataType::Interval(_) | DataType::Duration(_) => put_interval(out, self.interval(row)),
            DataType::Utf8View => out.put_slice(values.as_string_view().value(row).as_bytes()),
            DataType::List(_) => {
                let items = Self::new(&values.as_list::<i32>().value(row))?;
                out.put_u8(b'{');
                for item in 0..items.values.len() {
                    if item > 0 {
                        out.put_u8(b',');
                    }
                    items.put_item(item, out)?;
                }
                out.put_u8(b'}');
            }
            other => return Err(ArrowError::NotYetImplemented(format!("values of {other} as text"))),
        }
        Ok(())
    }

    /// An item of an array, in quotes where it needs them.
    fn put_item(&self, item: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        if self.values.is_null(item) {
            out.put_slice(b"NULL");
            return Ok(());
        }
        let mut text = BytesMut::new();
        self.put_text(item, &mut text)?;
        let special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
        if !text.is_empty() && !text.iter().any(special) && !text.eq_ignore_ascii_case(b"null") {
            out.put_slice(&text);
            return Ok(());
        }
        out.put_u8(b'"');
        for byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.put_u8(b'\\');
            }
            out.put_u8(byte);
        }
        out.put_u8(b'"');
        Ok(())
    }

    fn put_binary(&self, row: usize, out: &mut BytesMut) -> Result<(), ArrowError> {
        let values = &self.values;
        match values.data_type() {
            DataType::Boolean => out.put_u8(values.as_boolean().value(row).into()),
            DataType::Int16 => out.put_i16(values.as_primitive::<Int16Type>().value(row)),
            DataType::Int32 => out.put_i32(values.as_primitive::<Int32Type>().value(row)),
            DataType::Int64 => out.put_i64(values.as_primitive::<Int64Type>().value(row)),
            DataType::Float32 => out.put_f32(values.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => out.put_f64(values.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) | DataType::Decimal256(..) => put_numeric(out, &self.decimal(row)),
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>().value(row);
                out.put_i32(days.checked_sub(EPOCH_DAYS).ok_or_else(|| too_far(days.into()))?);
            }
            DataType::Time64(_) => out.put_i64(values.as_primitive::<Time64MicrosecondType>().value(row)),
            DataType::Timestamp(..) => {
                let us = values.as_primitive::<TimestampMicrosecondType>().value(row);
                out.put_i64(us.checked_sub(EPOCH_US).ok_or_else(|| too_far(us))?);
            }
            DataType::Interval(_) | DataType::Duration(_) => {
                let Interval { months, days, us } = self.interval(row);
                out.put_i64(us);
                out.put_i32(days);
                out.put_i32(months);
            }
            DataType::List(_) => {
                let items = Self::new(&values.as_list::<i32>().value(row))?;
                let ValueType::Array(of) = self.value_type else {
                    return Err(ArrowError::NotYetImplemented("arrays of arrays in binary".into()));
                };
                let count = items.values.len() as i32;
                out.put_i32(i32::from(count > 0));
                out.put_i32(i32::from(items.values.null_count() > 0));
                out.put_u32(of.oid);
                if count > 0 {
                    out.put_i32(count);
                    out.put_i32(1);
                }
                for item in 0..items.values.len() {
                    items.put(item, Format::Binary, out)?;
                }
            }
            // The binary form of text and of JSON is its text.
            _ => self.put_text(row, out)?,
        }
        Ok(())
    }

    fn decimal(&self, row: usize) -> String {
        match self.values.data_type() {
            DataType::Decimal256(..) => self.values.as_primitive::<Decimal256Type>().value_as_string(row),
            _ => self.values.as_primitive::<Decimal128Type>().value_as_string(row),
        }
    }

    fn interval(&self, row: usize) -> Interval {
        match self.values.data_type() {
            // The difference of two times is days and what is left, as PostgreSQL has it.
            DataType::Duration(_) => {
                let us = self.values.as_primitive::<DurationMicrosecondType>().value(row);
                Interval { months: 0, days: (us / DAY_US) as i32, us: us % DAY_US }
            }
            _ => {
                let interval = self.values.as_primitive::<IntervalMonthDayNanoType>().value(row);
                Interval { months: interval.months, days: interval.days, us: interval.nanoseconds / 1_000 }
            }
        }
    }
}

struct Interval {
    months: i32,
    days: i32,
    us: i64,
}

fn too_far(value: i64) -> ArrowError {
    ArrowError::ComputeError(format!("a time is too far away to be written: {value}"))
}

fn put_display(out: &mut BytesMut, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("a buffer grows");
}

/// A float in the fewest digits that give it back, with an exponent where it would be long.
fn put_float<T: Into<f64> + std::fmt::Display + std::fmt::LowerExp + Copy>(out: &mut BytesMut, value: T) {
    let wide: f64 = value.into();
    match wide {
        _ if wide.is_nan() => out.put_slice(b"NaN"),
        f64::INFINITY => out.put_slice(b"Infinity"),
        f64::NEG_INFINITY => out.put_slice(b"-Infinity"),
        _ if wide != 0.0 && !(1e-5..1e15).contains(&wide.abs()) => {
            let text = format!("{value:e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            put_display(out, format_args!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
        }
        _ => put_display(out, value),
    }
}

/// A time of day, with a fraction if it has one.
fn put_time(out: &mut BytesMut, us: i64) {
    let time = NaiveTime::from_num_seconds_from_midnight_opt((us / 1_000_000) as u32, 0).unwrap_or_default();
    put_display(out, time.format("%H:%M:%S"));
    put_fraction(out, us % 1_000_000);
}

fn put_fraction(out: &mut BytesMut, us: i64) {
    if us != 0 {
        let digits = format!("{us:06}");
        put_display(out, format_args!(".{}", digits.trim_end_matches('0')));
    }
}

fn put_interval(out: &mut BytesMut, interval: Interval) {
    let Interval { months, days, us } = interval;
    let start = out.len();
    for (count, one, several) in [(months / 12, "year", "years"), (months % 12, "mon", "mons"), (days, "day", "days")] {
        if count != 0 {
            let space = if out.len() > start { " " } else { "" };
            put_display(out, format_args!("{space}{count} {}", if count == 1 { one } else { several }));
        }
    }
    if us != 0 || out.len() == start {
        let space = if out.len() > start { " " } else { "" };
        let (sign, us) = if us < 0 { ("-", us.unsigned_abs()) } else { ("", us.unsigned_abs()) };
        let seconds = us / 1_000_000;
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        put_display(out, format_args!("{space}{sign}{hours:02}:{minutes:02}:{:02}", seconds % 60));
        put_fraction(out, (us % 1_000_000) as i64);
    }
}

/// A decimal in groups of four digits, before and behind the point.
fn put_numeric(out: &mut BytesMut, text: &str) {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    let padded = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
    let all = format!("{whole}{padded}");
    let mut groups: Vec<i16> = all.as_bytes().chunks(4).map(group).collect();
    let mut weight = whole.len() as i16 / 4 - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= zeros as i16;
    if groups.is_empty() {
        weight = 0;
    }
    out.put_i16(groups.len() as i16);
    out.put_i16(weight);
    out.put_u16(if is_negative && !groups.is_empty() { 0x4000 } else { 0 });
    out.put_i16(fraction.len() as i16);
    groups.into_iter().for_each(|group| out.put_i16(group));
}

fn group(digits: &[u8]) -> i16 {
    digits.iter().fold(0, |number, digit| number * 10 + i16::from(digit - b'0'))
}

/// Nested values as the text of JSON.
fn json_texts(values: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const NAME: &str = "v";
    let schema = Arc::new(Schema::new(vec![Field::new(NAME, values.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![values.clone()])?;
    let mut lines = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let lines = String::from_utf8(lines).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    // {"v":…} or {} for null.
    let texts = lines.lines().map(|line| line.strip_prefix("{\"v\":")?.strip_suffix('}'));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

#[cfg(test)]
mod tests {
    use arrow::array::*;
    use arrow::datatypes::{Int32Type, IntervalMonthDayNano};

    use super::*;

    fn column(values: impl Array + 'static) -> Column {
        Column::new(&(Arc::new(values) as ArrayRef)).unwrap()
    }

    #[track_caller]
    fn check_text(values: impl Array + 'static, expected: &[&str]) {
        let column = column(values);
        let texts: Vec<String> = (0..column.values.len())
            .map(|row| {
                let mut out = BytesMut::new();
                if column.is_null(row) {
                    return "∅".into();
                }
                column.put_text(row, &mut out).unwrap();
                String::from_utf8(out.to_vec()).unwrap()
            })
            .collect();
        assert_eq!(texts, expected);
    }

    #[track_caller]
    fn check_binary(values: impl Array + 'static, expected: &[&[u8]]) {
        let column = column(values);
        for (row, expected) in expected.iter().enumerate() {
            let mut out = BytesMut::new();
            column.put_binary(row, &mut out).unwrap();
            assert_eq!(&out[..], *expected, "row {row}");
        }
    }

    #[test]
    fn values_are_written_as_postgresql_writes_them() {
        check_text(BooleanArray::from(vec![Some(true), Some(false), None]), &["t", "f", "∅"]);
        check_text(Int8Array::from(vec![-128]), &["-128"]);
        check_text(UInt64Array::from(vec![u64::MAX]), &["18446744073709551615"]);
        check_text(
            Float64Array::from(vec![0.0, 1.5, -0.1, 1e15, 1.5e-7, f64::NAN, f64::NEG_INFINITY]),
            &["0", "1.5", "-0.1", "1e+15", "1.5e-07", "NaN", "-Infinity"],
        );
        check_text(Float32Array::from(vec![0.1]), &["0.1"]);
        check_text(Decimal128Array::from(vec![-12345]).with_precision_and_scale(18, 4).unwrap(), &["-1.2345"]);
        check_text(Date32Array::from(vec![20_513, -1]), &["2026-03-01", "1969-12-31"]);
        let times = TimestampMicrosecondArray::from(vec![1_772_359_200_000_000, 1_772_359_200_120_000, -1]);
        check_text(times.clone(), &["2026-03-01 10:00:00", "2026-03-01 10:00:00.12", "1969-12-31 23:59:59.999999"]);
        check_text(
            times.with_timezone("UTC"),
            &["2026-03-01 10:00:00+00", "2026-03-01 10:00:00.12+00", "1969-12-31 23:59:59.999999+00"],
        );
        check_text(StringArray::from(vec![Some("ä"), None]), &["ä", "∅"]);
        check_text(NullArray::new(1), &["∅"]);
        let intervals = vec![
            IntervalMonthDayNano::new(14, 3, 14_706_789_000_000),
            IntervalMonthDayNano::new(0, 0, 0),
            IntervalMonthDayNano::new(0, 1, -1_000_000_000),
        ];
        check_text(
            IntervalMonthDayNanoArray::from(intervals),
            &["1 year 2 mons 3 days 04:05:06.789", "00:00:00", "1 day -00:00:01"],
        );
        check_text(DurationMicrosecondArray::from(vec![93_600_000_000]), &["1 day 02:00:00"]);
        check_text(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]), &["a", "b", "a"]);
    }

    #[test]
    fn arrays_and_nested_values_are_written() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a"), Some("b c"), None, Some("null"), Some(""), Some("q\"\\")]);
        lists.append_value([] as [Option<&str>; 0]);
        check_text(lists.finish(), &[r#"{a,"b c",NULL,"null","","q\"\\"}"#, "{}"]);
        let numbers = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None])]);
        check_binary(
            numbers,
            &[&[
                0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 255,
                255, 255, 255,
            ]],
        );
        let pair = StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![Some(1)])) as ArrayRef,
        )]);
        check_text(pair, &[r#"{"a":1}"#]);
    }

    #[test]
    fn binary_values_count_from_2000_and_numbers_are_in_groups_of_four() {
        check_binary(Date32Array::from(vec![10_958]), &[&[0, 0, 0, 1]]);
        check_binary(TimestampMicrosecondArray::from(vec![EPOCH_US + 1]), &[&[0, 0, 0, 0, 0, 0, 0, 1]]);
        check_binary(BooleanArray::from(vec![true]), &[&[1]]);
        let decimals = |text: &str, expected: &[u16]| {
            let mut out = BytesMut::new();
            put_numeric(&mut out, text);
            let words: Vec<u16> = out.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect();
            assert_eq!(words, expected, "{text}");
        };
        decimals("0", &[0, 0, 0, 0]);
        decimals("0.00", &[0, 0, 0, 2]);
        decimals("12345.678", &[3, 1, 0, 3, 1, 2345, 6780]);
        decimals("-0.0001", &[1, 0xffff, 0x4000, 4, 1]);
        decimals("10000", &[1, 1, 0, 0, 1]);
    }
}
