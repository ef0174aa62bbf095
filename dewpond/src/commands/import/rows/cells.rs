//! Rows of a table as fields, column by column, where that gives what their JSON would give. Pure.
//!
//! Writing a row as JSON only to read it again is most of the work of an import. It is saved for tables whose columns are
//! texts, times and amounts in the fields of the native protocol, and for rows that have an id: without one it is made of
//! the JSON.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType};
use intake::history::Given;

use super::names::{self, Names};
use super::parquet_rows::text_of_bytes;

/// Longer rows are looked at as JSON, whose length is bounded.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// Times that are surely within the history that an import takes: until 2099.
const TIMES_US: std::ops::Range<i64> = 0..4_070_908_800_000_000;

/// The columns of a batch, in the order of their names.
pub(in crate::commands::import) struct Cells {
    columns: Vec<(String, Column)>,
    id: usize,
}

enum Column {
    Text(StringArray),
    /// With the column as it was: what has no value here and had one there is out of range.
    TimeUs(TimestampMicrosecondArray, ArrayRef),
    Double(Float64Array),
}

impl Cells {
    /// `None` if a column is of another kind.
    pub(in crate::commands::import) fn of(batch: &RecordBatch) -> Option<Self> {
        let schema = batch.schema();
        let names = Names::new(schema.fields().iter().map(|field| field.name().as_str()));
        if names.are_exported() {
            return None;
        }
        let mut columns = Vec::new();
        for (name, column) in names.iter().zip(batch.columns()).filter(|(name, _)| !names::is_row_number(name)) {
            columns.push((name.to_owned(), cells(name, column)?));
        }
        columns.sort_by(|a, b| a.0.cmp(&b.0));
        let is_twice = columns.windows(2).any(|pair| pair[0].0 == pair[1].0);
        let id = columns.iter().position(|(name, _)| name == "event_id").filter(|_| !is_twice)?;
        Some(Self { columns, id })
    }

    /// The fields of a row; `None` if its JSON has to be looked at.
    pub(in crate::commands::import) fn row(&self, row: usize) -> Option<Vec<(Cow<'_, str>, Given<'_>)>> {
        match &self.columns[self.id].1 {
            Column::Text(ids) if ids.is_valid(row) && !ids.value(row).is_empty() => {}
            _ => return None,
        }
        let (mut fields, mut bytes) = (Vec::with_capacity(self.columns.len()), 0);
        for (name, cells) in &self.columns {
            let given = match cells {
                Column::Text(texts) if texts.is_valid(row) => {
                    bytes += texts.value(row).len();
                    Given::Text(texts.value(row))
                }
                Column::TimeUs(times, _) if times.is_valid(row) => {
                    Some(times.value(row)).filter(|at_us| TIMES_US.contains(at_us)).map(Given::TimeUs)?
                }
                Column::TimeUs(_, before) if before.is_valid(row) => return None,
                Column::Double(numbers) if numbers.is_valid(row) => {
                    let is_plain = |number: &f64| *number == 0.0 || (1e-4..1e14).contains(&number.abs());
                    Some(numbers.value(row)).filter(is_plain).map(Given::Double)?
                }
                _ => continue,
            };
            fields.push((Cow::Borrowed(name.as_str()), given));
        }
        (bytes <= TEXT_BYTES_MAX).then_some(fields)
    }
}

fn cells(name: &str, column: &ArrayRef) -> Option<Column> {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text = |column: &ArrayRef| Some(Column::Text(cast(column, &DataType::Utf8).ok()?.as_string::<i32>().clone()));
    match column.data_type() {
        own if is_text(own) => text(column),
        DataType::Dictionary(_, values) if is_text(values) => text(column),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            text(&text_of_bytes(name, column)?)
        }
        DataType::Timestamp(..) if name == "timestamp" => {
            let plain = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
            let options = CastOptions { safe: true, ..CastOptions::default() };
            let times = cast_with_options(column, &plain, &options).ok()?;
            Some(Column::TimeUs(times.as_primitive::<TimestampMicrosecondType>().clone(), column.clone()))
        }
        DataType::Float64 if name == "revenue" => Some(Column::Double(column.as_primitive::<Float64Type>().clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{FixedSizeBinaryArray, StringViewArray, TimestampMillisecondArray};
    use arrow::datatypes::{Field, Schema};
    use intake::history::{read_native, read_row};
    use intake::{Client, Context, Ids, Window};

    use super::super::parquet_rows;
    use super::*;

    #[test]
    fn a_row_becomes_what_its_json_becomes() {
        let ids = [Some([7_u8; 16]), Some([8; 16]), None, Some([9; 16]), Some([1; 16]), Some([2; 16]), Some([3; 16])];
        let ids = FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap();
        let long = "x".repeat(600);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("event_id", Arc::new(ids)),
            (
                "name",
                texts([
                    Some("page_view"),
                    Some("a\"b\\c\n\u{1}\u{fffd}"),
                    Some("a"),
                    Some(""),
                    Some("a"),
                    Some("a"),
                    Some("a"),
                ]),
            ),
            (
                "timestamp",
                Arc::new(TimestampMillisecondArray::from(vec![
                    Some(1_772_366_400_123),
                    Some(0),
                    Some(1),
                    Some(2),
                    None,
                    Some(i64::MAX),
                    Some(-5_000),
                ])),
            ),
            ("anonymous_id", texts([Some("v"), Some(""), None, Some("v"), Some("v"), Some("v"), Some("v")])),
            ("url", texts([Some("https://shop.example/käse?utm_source=x"), Some("/a"), None, None, None, None, None])),
            ("referrer", texts([Some("https://www.google.com/"), Some("$direct"), None, None, None, None, None])),
            ("browser", texts([Some("Chrome"), Some(&long), None, None, None, None, None])),
            ("country", texts([Some("DE"), None, None, None, Some(&long), None, None])),
            (
                "revenue",
                Arc::new(Float64Array::from(vec![
                    Some(19.99),
                    Some(0.1 + 0.2),
                    None,
                    Some(1e300),
                    Some(-0.0),
                    Some(5.0),
                    Some(f64::NAN),
                ])),
            ),
            ("plan", texts([Some("pro \u{1f600}"), Some(""), None, None, None, None, None])),
            ("properties", texts([Some("{\"b\":1,\"a\":[1.50]}"), Some("no"), None, None, None, None, None])),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let batch = RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            columns.into_iter().map(|(_, column)| column).collect(),
        )
        .unwrap();
        let cells = Cells::of(&batch).unwrap();
        let rows: Vec<_> = (0..batch.num_rows()).map(|row| cells.row(row)).collect();
        let are_read: Vec<bool> = rows.iter().map(Option::is_some).collect();
        assert_eq!(are_read, [true, true, false, false, true, false, false], "rows that their JSON is not needed of");
        for (row, (fields, json)) in rows.into_iter().zip(parquet_rows::json(&batch).unwrap()).enumerate() {
            if let Some(fields) = fields {
                assert_eq!(read_row(fields, &context()), read_native(&json.unwrap(), &context()), "row {row}");
            }
        }
    }

    #[test]
    fn other_columns_are_looked_at_as_json() {
        let of = |name: &str, column: ArrayRef| {
            let id: ArrayRef = texts([Some("a")]);
            Cells::of(&RecordBatch::try_from_iter([("event_id", id), (name, column)]).unwrap()).is_some()
        };
        assert!(of("name", texts([Some("a")])));
        assert!(!of("occurred_at", texts([Some("2026-01-01")])), "an export");
        assert!(!of("user_id", Arc::new(Float64Array::from(vec![1.0]))));
        assert!(!of("at", Arc::new(TimestampMillisecondArray::from(vec![1]))));
        assert!(!of("is_bot", Arc::new(arrow::array::BooleanArray::from(vec![true]))));
    }

    fn texts<const N: usize>(texts: [Option<&str>; N]) -> ArrayRef {
        Arc::new(StringViewArray::from_iter(texts))
    }

    fn context() -> Context {
        Context {
            site_id: "shop".into(),
            received_at_us: 1_772_366_400_000_000,
            window: Window::History,
            client: Client::default(),
            ids: Ids::seeded(1),
        }
    }
}
