//! Turns rows of a Parquet file into JSON objects. Pure.
//!
//! Each program has types of its own for the same value:
//!
//! | Value | Types, and who writes them | In JSON |
//! |---|---|---|
//! | whole number | integers; doubles, where pandas has a null beside it or DuckDB a HUGEINT; decimals without a fraction (BigQuery, Spark, Oracle) | `1` |
//! | missing | null; NaN (pandas, Polars) | left out, or null |
//! | id | text; 16 bytes (UUID of DuckDB); a number; text without the mark of one (Impala, old Spark) | text or number |
//! | time | timestamps of any unit and zone; a date | RFC 3339 in UTC |
//! | text | text of any kind; dictionaries (categories of pandas and Polars, enums of DuckDB) | string |
//!
//! What lost its value before it came here is refused with the row: an id in a double beyond 2⁵³, a time out of range.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Schema, TimeUnit};
use arrow::json::{WriterBuilder, writer::LineDelimited};
use uuid::Uuid;

use super::names::{self, Names};

/// Fields that name something. Another value would be another visitor or another event.
const IDS: [&str; 4] = ["event_id", "user_id", "anonymous_id", "session_id"];

const TIMES: [&str; 4] = ["timestamp", "occurred_at", "received_at", "sent_at"];

/// From here on not every whole number is a double.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Fails if a column has a type whose values have no form in JSON.
pub(in crate::commands::import) fn check(schema: &Schema) -> anyhow::Result<()> {
    for field in schema.fields() {
        if is_variant(field.data_type()) {
            bail!(
                "the column {} is a VARIANT, whose bytes only its own program can read; write it as JSON text",
                field.name()
            );
        }
    }
    Ok(())
}

/// The semi-structured type of Spark, Snowflake and DuckDB.
fn is_variant(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let is_bytes = |name: &str| {
        fields.find(name).is_some_and(|(_, field)| {
            matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        })
    };
    is_bytes("metadata") && (is_bytes("value") || fields.find("typed_value").is_some())
}

/// Turns the rows of a batch into JSON objects; a row that cannot be right into the reason why.
pub(in crate::commands::import) fn json(batch: &RecordBatch) -> anyhow::Result<Vec<Result<String, String>>> {
    let schema = batch.schema();
    let names = Names::new(schema.fields().iter().map(|field| field.name().as_str()));
    let mut refused = BTreeMap::new();
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    let mut named: Vec<_> = names.iter().zip(batch.columns()).filter(|(name, _)| !names::is_row_number(name)).collect();
    // An event without an id gets one from its JSON: the same whatever the order of columns.
    named.sort_by(|a, b| a.0.cmp(b.0));
    for (name, column) in named {
        let column = plain_column(name, column, &mut refused)?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)?;
    let builder = WriterBuilder::new().with_explicit_nulls(names.are_exported());
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let lines = String::from_utf8(writer.into_inner())?;
    Ok(lines
        .lines()
        .enumerate()
        .map(|(row, line)| refused.remove(&row).map_or_else(|| Ok(plain_numbers(line)), Err))
        .collect())
}

/// A column in a type that has one form in JSON.
///
/// - `refused`: the rows whose value was lost, with the reason.
fn plain_column(name: &str, column: &ArrayRef, refused: &mut BTreeMap<usize, String>) -> anyhow::Result<ArrayRef> {
    let mut column = column.clone();
    if let DataType::Dictionary(_, values) = column.data_type().clone() {
        column = cast(&column, &values)?;
    }
    let data_type = match column.data_type() {
        DataType::Date32 | DataType::Date64 if TIMES.contains(&name) => time(),
        other => plain_type(other),
    };
    if column.data_type().is_floating() && IDS.contains(&name) {
        refuse_inexact(name, &column, refused)?;
    }
    if let Some(text) = text_of_bytes(name, &column) {
        return Ok(text);
    }
    let cast = cast_with_options(&column, &data_type, &CastOptions { safe: true, ..CastOptions::default() })?;
    for row in (0..column.len()).filter(|&row| column.is_valid(row) && cast.is_null(row)) {
        refused.entry(row).or_insert_with(|| format!("`{name}` is out of range"));
    }
    Ok(cast)
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// A type with the same values that JSON can hold. A time without a zone is UTC.
fn plain_type(data_type: &DataType) -> DataType {
    let plain_field = |field: &FieldRef| Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())));
    match data_type {
        DataType::Timestamp(_, _) => time(),
        DataType::Date64 => DataType::Date32,
        DataType::Float16 => DataType::Float32,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::List(field) | DataType::ListView(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) | DataType::LargeListView(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(plain_field(field), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => {
                // The names in JSON are texts.
                let key = Arc::new(fields[0].as_ref().clone().with_data_type(DataType::Utf8));
                let fields: Fields = vec![key, plain_field(&fields[1])].into();
                let entries = entries.as_ref().clone().with_data_type(DataType::Struct(fields));
                DataType::Map(Arc::new(entries), *sorted)
            }
            _ => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// Refuses the rows whose id was rounded: of a double beyond 2⁵³ the last digits are lost.
fn refuse_inexact(name: &str, column: &ArrayRef, refused: &mut BTreeMap<usize, String>) -> anyhow::Result<()> {
    let numbers = cast(column, &DataType::Float64)?;
    for (row, number) in numbers.as_primitive::<Float64Type>().iter().enumerate() {
        if number.is_some_and(|number| number.is_finite() && number.abs() >= WHOLE_MAX) {
            refused.insert(
                row,
                format!(
                    "`{name}` is a floating-point number beyond 2^53, whose last digits are lost; write the column as \
                     integers or text"
                ),
            );
        }
    }
    Ok(())
}

/// A column of bytes as text: 16 bytes as a UUID, valid text as itself, other bytes in hexadecimal. `None` for a column of
/// another type.
///
/// A fixed length is that of a UUID, an event's id has the bytes of one; other bytes are mostly text whose writer did not
/// mark it as such.
pub(in crate::commands::import) fn text_of_bytes(name: &str, column: &ArrayRef) -> Option<ArrayRef> {
    let is_fixed = matches!(column.data_type(), DataType::FixedSizeBinary(_));
    let text = |bytes: &[u8]| {
        let uuid = || Uuid::from_slice(bytes).ok().map(|id| id.hyphenated().to_string());
        let plain =
            || std::str::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control)).map(str::to_owned);
        let text = if is_fixed || name == "event_id" { uuid().or_else(plain) } else { plain().or_else(uuid) };
        text.unwrap_or_else(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    };
    let texts: StringArray = match column.data_type() {
        DataType::Binary => column.as_binary::<i32>().iter().map(|value| value.map(text)).collect(),
        DataType::LargeBinary => column.as_binary::<i64>().iter().map(|value| value.map(text)).collect(),
        DataType::BinaryView => column.as_binary_view().iter().map(|value| value.map(text)).collect(),
        DataType::FixedSizeBinary(_) => column.as_fixed_size_binary().iter().map(|value| value.map(text)).collect(),
        _ => return None,
    };
    Some(Arc::new(texts))
}

/// JSON with whole numbers written as such: `1.0` and `1.000` are 1, as JavaScript writes it. No digit is lost: what has a
/// fraction stays as it is.
fn plain_numbers(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(start) = rest.find(|char: char| char == '"' || char == '-' || char.is_ascii_digit()) {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = if rest.starts_with('"') { end_of_text(rest) } else { end_of_number(rest) };
        let (token, after) = rest.split_at(end);
        rest = after;
        match whole_number(token) {
            Some(whole) => plain.push_str(&whole),
            None => plain.push_str(token),
        }
    }
    plain.push_str(rest);
    plain
}

/// A number that JSON wrote with a point although it is whole; `None` for any other token. Large ones have an exponent.
fn whole_number(token: &str) -> Option<Cow<'_, str>> {
    let (whole, fraction) = token.split_once('.').filter(|_| !token.starts_with('"'))?;
    if fraction.bytes().all(|digit| digit == b'0') {
        return Some(if whole == "-0" { "0" } else { whole }.into());
    }
    let number: f64 = token.parse().ok().filter(|_| fraction.contains('e'))?;
    (number.fract() == 0.0 && number.abs() < WHOLE_MAX).then(|| format!("{number:.0}").into())
}

fn end_of_text(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn end_of_number(json: &str) -> usize {
    json.find(|char: char| !(char.is_ascii_digit() || "+-.eE".contains(char))).unwrap_or(json.len())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray, DurationSecondArray,
        FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
        ListArray, MapBuilder, NullArray, StringArray, StringBuilder, StringViewArray, StructArray,
        Time64MicrosecondArray, TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
        TimestampSecondArray, UInt64Array,
    };
    use arrow::array::{Float64Builder, Int32Builder};
    use arrow::datatypes::{Int32Type, Int64Type};

    use super::*;

    const NOON_S: i64 = 1_772_366_400;
    const UUID: [u8; 16] =
        [0x4b, 0xe2, 0xb2, 0xdd, 0x4a, 0x59, 0x4b, 0x91, 0xb3, 0x9d, 0x2d, 0xb8, 0x4c, 0xdf, 0x31, 0xc5];

    #[test]
    fn numbers_are_the_numbers_they_were() {
        // pandas: a column of integers with a null beside them is one of doubles, and null is NaN there.
        check("user_id", Float64Array::from(vec![Some(1.0), None, Some(f64::NAN)]), "1 | - | null");
        check("user_id", Float64Array::from(vec![1.5, 1e15, -0.0, -7.0]), "1.5 | 1000000000000000 | 0 | -7");
        check("user_id", Float32Array::from(vec![7.0]), "7");
        // DuckDB: HUGEINT; numpy: float64 of a count.
        check("items", Float64Array::from(vec![3.0, 0.1, 1e300, f64::INFINITY]), "3 | 0.1 | 1.0e300 | null");
        check("price", Float32Array::from(vec![19.99]), "19.99");
        // Polars, Spark, BigQuery: INT64. DuckDB: UBIGINT.
        check("user_id", Int64Array::from(vec![9_007_199_254_740_993]), "9007199254740993");
        check("user_id", UInt64Array::from(vec![u64::MAX]), "18446744073709551615");
        // BigQuery: NUMERIC; Spark and Oracle: DECIMAL(20,0); money.
        check("user_id", decimal(1_000_000_000, 38, 9), "1");
        check("user_id", decimal(12_345_678_901_234_567_890, 20, 0), "12345678901234567890");
        check("revenue", decimal(199_900, 18, 4), "19.9900");
        // A text that looks like a number is a text.
        check("user_id", StringArray::from(vec!["1.0", "007"]), r#""1.0" | "007""#);
        check("active", BooleanArray::from(vec![Some(true), None]), "true | -");
        check("nothing", NullArray::new(1), "-");
    }

    #[test]
    fn texts_of_every_kind_are_texts() {
        // pandas: category; Polars: Categorical and Enum; DuckDB: ENUM.
        check("name", DictionaryArray::<Int32Type>::from_iter([Some("a"), None, Some("a")]), r#""a" | - | "a""#);
        check("name", LargeStringArray::from(vec!["a"]), r#""a""#);
        check("name", StringViewArray::from(vec!["a"]), r#""a""#);
        // Impala, Hive and Spark with spark.sql.parquet.binaryAsString: text without its mark.
        check("name", BinaryArray::from_vec(vec![b"page_view", "ä".as_bytes()]), r#""page_view" | "ä""#);
        check("note", BinaryArray::from_vec(vec![b"\x00\xff"]), r#""00ff""#);
    }

    #[test]
    fn ids_in_bytes_are_uuids() {
        let uuid = r#""4be2b2dd-4a59-4b91-b39d-2db84cdf31c5""#;
        // DuckDB: UUID; ClickHouse: FixedString(16).
        let fixed = || FixedSizeBinaryArray::try_from_iter([UUID].into_iter()).unwrap();
        check("event_id", fixed(), uuid);
        check("user_id", fixed(), uuid);
        // The table itself; BigQuery: BYTES.
        check("event_id", BinaryArray::from_vec(vec![&UUID]), uuid);
        check(
            "anonymous_id",
            BinaryArray::from_vec(vec![&UUID, b"visitor-0000000x"]),
            &format!("{uuid} | \"visitor-0000000x\""),
        );
    }

    #[test]
    fn times_of_every_unit_and_zone_are_the_same_time() {
        let noon = r#""2026-03-01T12:00:00Z""#;
        check("timestamp", TimestampSecondArray::from(vec![NOON_S]), noon);
        // pandas 2 and Java: ms; Polars, DuckDB, BigQuery: us; pandas and Spark (INT96): ns.
        check("timestamp", TimestampMillisecondArray::from(vec![NOON_S * 1_000]), noon);
        check("timestamp", TimestampMicrosecondArray::from(vec![NOON_S * 1_000_000]), noon);
        check("timestamp", TimestampNanosecondArray::from(vec![NOON_S * 1_000_000_000]), noon);
        for zone in ["UTC", "+02:00", "Europe/Berlin", "Etc/UTC"] {
            check("timestamp", TimestampMillisecondArray::from(vec![NOON_S * 1_000]).with_timezone(zone), noon);
        }
        check(
            "timestamp",
            TimestampMicrosecondArray::from(vec![NOON_S * 1_000_000 + 1]),
            r#""2026-03-01T12:00:00.000001Z""#,
        );
        check("timestamp", Date32Array::from(vec![20_513]), r#""2026-03-01T00:00:00Z""#);
        check("born", Date32Array::from(vec![20_513]), r#""2026-03-01""#);
        check("born", Date64Array::from(vec![20_513 * 86_400_000]), r#""2026-03-01""#);
        check("at", Time64MicrosecondArray::from(vec![43_200_000_000]), r#""12:00:00""#);
        check("took", DurationSecondArray::from(vec![90]), r#""PT90S""#);
    }

    #[test]
    fn nested_values_are_properties() {
        let numbers = || vec![Some(vec![Some(1), None]), None];
        check("list", ListArray::from_iter_primitive::<Int64Type, _, _>(numbers()), "[1,null] | -");
        let doubles = Arc::new(Float64Array::from(vec![1.0, 2.5])) as ArrayRef;
        let field = Arc::new(Field::new("item", DataType::Float64, true));
        // Polars: Array; embeddings.
        check("vector", FixedSizeListArray::new(field, 2, doubles.clone(), None), "[1,2.5]");
        let parts: Vec<(&str, ArrayRef)> = vec![
            ("a", doubles),
            ("at", Arc::new(TimestampNanosecondArray::from(vec![0, 1_000]).with_timezone("Europe/Berlin"))),
            ("kind", Arc::new(DictionaryArray::<Int32Type>::from_iter(["x", "1.0"]))),
        ];
        let fields: Fields =
            parts.iter().map(|(name, part)| Field::new(*name, part.data_type().clone(), true)).collect();
        let parts = StructArray::new(fields, parts.into_iter().map(|(_, part)| part).collect(), None);
        check(
            "properties",
            parts,
            r#"{"a":1,"at":"1970-01-01T00:00:00Z","kind":"x"} | {"a":2.5,"at":"1970-01-01T00:00:00.000001Z","kind":"1.0"}"#,
        );
        // Spark and DuckDB: MAP.
        let mut map = MapBuilder::new(None, StringBuilder::new(), Float64Builder::new());
        map.keys().append_value("a");
        map.values().append_value(2.0);
        map.append(true).unwrap();
        check("properties", map.finish(), r#"{"a":2}"#);
        let mut map = MapBuilder::new(None, Int32Builder::new(), StringBuilder::new());
        map.keys().append_value(7);
        map.values().append_value("x");
        map.append(true).unwrap();
        check("properties", map.finish(), r#"{"7":"x"}"#);
    }

    #[test]
    fn a_value_that_was_lost_refuses_its_row_only() {
        check(
            "user_id",
            Float64Array::from(vec![1.0, 9_007_199_254_740_993.0]),
            "1 | ! `user_id` is a floating-point number beyond 2^53",
        );
        check("event_id", Float64Array::from(vec![1e300]), "! `event_id` is a floating-point number beyond 2^53");
        check(
            "timestamp",
            TimestampSecondArray::from(vec![i64::MAX, NOON_S]),
            r#"! `timestamp` is out of range | "2026-03-01T12:00:00Z""#,
        );
    }

    #[test]
    fn row_numbers_are_no_property() {
        // pandas: to_parquet of a frame with an index.
        check("__index_level_0__", Int64Array::from(vec![7]), "-");
    }

    #[test]
    fn a_variant_is_refused() {
        let bytes = |name: &str| Field::new(name, DataType::Binary, true);
        let variant = DataType::Struct(vec![bytes("metadata"), bytes("value")].into());
        let refused = check_of(variant).unwrap_err().to_string();
        assert!(refused.contains("the column properties is a VARIANT"), "{refused}");
        assert!(check_of(DataType::Struct(vec![bytes("value")].into())).is_ok());
    }

    #[test]
    fn an_export_says_what_is_null() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let nulls: ArrayRef = Arc::new(Int32Array::from(vec![None]));
        let rows = |time: &str| {
            let batch = RecordBatch::try_from_iter([(time, names.clone()), ("channel", nulls.clone())]).unwrap();
            json(&batch).unwrap().remove(0).unwrap()
        };
        assert_eq!(rows("occurred_at"), r#"{"channel":null,"occurred_at":"a"}"#);
        assert_eq!(rows("timestamp"), r#"{"timestamp":"a"}"#);
    }

    fn check_of(data_type: DataType) -> anyhow::Result<()> {
        super::check(&Schema::new(vec![Field::new("properties", data_type, true)]))
    }

    fn decimal(value: i128, precision: u8, scale: i8) -> Decimal128Array {
        Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap()
    }

    /// Compares the values of a column in JSON, `-` for one that is left out and `!` before the beginning of a refusal.
    #[track_caller]
    fn check(name: &str, column: impl Array + 'static, expected: &str) {
        let batch = RecordBatch::try_from_iter([(name, Arc::new(column) as ArrayRef)]).unwrap();
        let rows = json(&batch).unwrap();
        let expected: Vec<&str> = expected.split(" | ").collect();
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.into_iter().zip(expected) {
            match (row, expected) {
                (Ok(json), "-") => assert_eq!(json, "{}"),
                (Ok(json), expected) => assert_eq!(json, format!("{{\"{name}\":{expected}}}")),
                (Err(reason), expected) => {
                    assert!(reason.starts_with(expected.trim_start_matches("! ")), "{reason} {expected}");
                }
            }
        }
    }
}
