//! A file of a table as the Delta log describes it, converted to and from the kernel's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, MapBuilder, MapFieldNames, RecordBatch, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema};
use chrono::{DateTime, NaiveDate, SecondsFormat};
use delta_kernel::engine::arrow_data::ArrowEngineData;
use object_store::path::Path;
use serde_json::Value as Json;

use crate::error::{LakeError, Result};
use crate::schema::tables::TableSpec;

/// A value of a bounded column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A 64-bit integer.
    Integer(i64),
    /// Microseconds since the Unix epoch.
    TimeUs(i64),
    /// A string.
    Text(String),
}

/// What a file holds of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// No value is smaller.
    pub min: Value,
    /// No value is larger.
    pub max: Value,
    /// How many are null, if the log says.
    pub nulls: Option<u64>,
}

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    /// Path in the store.
    pub path: Path,
    /// Path relative to the table's root, as the log names it.
    pub log_path: String,
    /// The partition; `None` only in tables that another engine wrote to.
    pub date: Option<NaiveDate>,
    /// Size.
    pub size_bytes: u64,
    /// 128 bits of BLAKE3 over its bytes in hexadecimal digits; `None` of a file that was not written just now.
    pub checksum: Option<String>,
    /// Rows.
    pub rows: u64,
    /// Ranges of bounded columns by name. A column all null, or without statistics, is not among them.
    pub ranges: BTreeMap<String, FileRange>,
}

impl TableFile {
    /// The range of a time column, `[min, max]` in microseconds, if the log has it.
    pub fn times_us(&self, column: &str) -> Option<(i64, i64)> {
        match self.ranges.get(column) {
            Some(FileRange { min: Value::TimeUs(min), max: Value::TimeUs(max), .. }) => Some((*min, *max)),
            _ => None,
        }
    }

    /// Whether some of the events may have come at a time, in microseconds, or later.
    pub(crate) fn may_have_received(&self, since_us: i64) -> bool {
        self.times_us("received_at").is_none_or(|(_, newest)| newest >= since_us)
    }
}

/// The place in the store of a file that the log names.
pub(crate) fn object_path(table_root: &Path, log_path: &str) -> Path {
    log_path.split('/').fold(table_root.clone(), |path, part| path.join(part))
}

/// The kernel's input for adds: one row a file, statistics as nested columns.
pub(crate) fn to_add_rows(spec: &TableSpec, files: &[TableFile]) -> Result<ArrowEngineData> {
    let mut partitions = MapBuilder::new(
        Some(MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() }),
        StringBuilder::new(),
        StringBuilder::new(),
    );
    for file in files {
        partitions.keys().append_value("date");
        partitions.values().append_option(file.date.map(|date| date.to_string()));
        partitions.append(true).expect("one key for one value");
    }
    let rows = |of: fn(&TableFile) -> i64| Arc::new(Int64Array::from_iter_values(files.iter().map(of))) as ArrayRef;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("path", Arc::new(StringArray::from_iter_values(files.iter().map(|file| &file.log_path)))),
        ("partitionValues", Arc::new(partitions.finish())),
        ("size", rows(|file| file.size_bytes as i64)),
        // Delta requires a time. Nothing is decided by it: ages come from the store's listing.
        ("modificationTime", rows(|_| 0)),
        ("stats", stats(spec, files)),
    ];
    let fields: Vec<Field> =
        columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), *name == "stats")).collect();
    let (_, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| LakeError::unavailable("describe new files", error))?;
    Ok(ArrowEngineData::new(batch))
}

fn stats(spec: &TableSpec, files: &[TableFile]) -> ArrayRef {
    let column_of = |name: &str, side: fn(&FileRange) -> &Value| -> (Arc<Field>, ArrayRef) {
        let field = spec.file_schema.field_with_name(name).expect("bounded columns are the table's own");
        let values = files.iter().map(|file| file.ranges.get(name).map(side));
        let array: ArrayRef = match field.data_type() {
            DataType::Timestamp(_, _) => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::TimeUs(us)) => Some(*us),
                        _ => None,
                    })
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            DataType::Int64 => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Integer(integer)) => Some(*integer),
                        _ => None,
                    })
                    .collect::<Int64Array>(),
            ),
            _ => Arc::new(
                values
                    .map(|value| match value {
                        Some(Value::Text(text)) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
        };
        (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
    };
    let bounds = |side: fn(&FileRange) -> &Value| -> ArrayRef {
        Arc::new(StructArray::from(spec.bounded.iter().map(|name| column_of(name, side)).collect::<Vec<_>>()))
    };
    let nulls: ArrayRef = Arc::new(StructArray::from(
        spec.bounded
            .iter()
            .map(|name| {
                // A column without a range is null in every row.
                let counts = files
                    .iter()
                    .map(|file| Some(file.ranges.get(*name).map_or(file.rows, |range| range.nulls.unwrap_or(0)) as i64))
                    .collect::<Int64Array>();
                (Arc::new(Field::new(*name, DataType::Int64, true)), Arc::new(counts) as ArrayRef)
            })
            .collect::<Vec<_>>(),
    ));
    let parts: Vec<(&str, ArrayRef)> = vec![
        ("numRecords", Arc::new(Int64Array::from_iter_values(files.iter().map(|file| file.rows as i64)))),
        ("nullCount", nulls),
        ("minValues", bounds(|range| &range.min)),
        ("maxValues", bounds(|range| &range.max)),
        ("tightBounds", Arc::new(BooleanArray::from(vec![true; files.len()]))),
    ];
    let fields: Fields = parts.iter().map(|(name, part)| Field::new(*name, part.data_type().clone(), true)).collect();
    Arc::new(StructArray::new(fields, parts.into_iter().map(|(_, part)| part).collect(), None))
}

/// The files in one batch of the kernel's scan rows, of which `selected` are live (rows beyond its end are).
pub(crate) fn from_scan_rows(
    spec: &TableSpec,
    table_root: &Path,
    batch: &RecordBatch,
    selected: &[bool],
) -> Result<Vec<TableFile>> {
    let column = |name: &str| {
        batch
            .column_by_name(name)
            .ok_or_else(|| LakeError::corrupt(spec.name, format!("the kernel's scan rows have no column {name}")))
    };
    let (paths, sizes, stats) = (column("path")?, column("size")?, column("stats")?);
    let paths = paths.as_string::<i32>();
    let sizes = sizes.as_primitive::<Int64Type>();
    let stats = stats.as_string::<i32>();
    let constants = column("fileConstantValues")?.as_struct();
    let partitions = constants
        .column_by_name("partitionValues")
        .ok_or_else(|| LakeError::corrupt(spec.name, "the kernel's scan rows have no partition values"))?
        .as_map();

    let mut files = Vec::new();
    for row in 0..batch.num_rows() {
        if !selected.get(row).copied().unwrap_or(true) {
            continue;
        }
        let log_path = paths.value(row).to_owned();
        let corrupt = |why: String| LakeError::corrupt(format!("the log's entry of {log_path}"), why);
        let entries = partitions.value(row);
        let (keys, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_string::<i32>());
        let date = (0..entries.len())
            .find(|&entry| keys.value(entry) == "date" && values.is_valid(entry))
            .map(|entry| values.value(entry).parse::<NaiveDate>())
            .transpose()
            .map_err(|error| corrupt(error.to_string()))?;
        let (rows, ranges) = if stats.is_valid(row) {
            parse_stats(spec, stats.value(row)).map_err(corrupt)?
        } else {
            Default::default()
        };
        let path = object_path(table_root, &log_path);
        let size_bytes = sizes.value(row) as u64;
        files.push(TableFile { path, date, size_bytes, checksum: None, rows, ranges, log_path });
    }
    Ok(files)
}

pub(crate) fn parse_stats(spec: &TableSpec, stats: &str) -> Result<(u64, BTreeMap<String, FileRange>), String> {
    let stats: Json = serde_json::from_str(stats).map_err(|error| error.to_string())?;
    let rows = stats["numRecords"].as_u64().ok_or("it has no row count")?;
    let mut ranges = BTreeMap::new();
    for name in spec.bounded {
        let field = spec.file_schema.field_with_name(name).expect("bounded columns are the table's own");
        let value = |side: &str| parse_value(field.data_type(), &stats[side][name]);
        if let (Some(min), Some(mut max)) = (value("minValues")?, value("maxValues")?) {
            if let Value::TimeUs(us) = &mut max {
                // Delta allows times cut to milliseconds: the true maximum may lie up to one above.
                if *us % 1_000 == 0 {
                    *us += 999;
                }
            }
            ranges.insert((*name).to_owned(), FileRange { min, max, nulls: stats["nullCount"][name].as_u64() });
        }
    }
    Ok((rows, ranges))
}

fn parse_value(data_type: &DataType, json: &Json) -> Result<Option<Value>, String> {
    Ok(match (data_type, json) {
        (_, Json::Null) => None,
        (DataType::Timestamp(_, _), Json::String(text)) => {
            let time =
                DateTime::parse_from_rfc3339(text).map_err(|error| format!("{text:?} is not a time: {error}"))?;
            Some(Value::TimeUs(time.timestamp_micros()))
        }
        (DataType::Int64, Json::Number(number)) => number.as_i64().map(Value::Integer),
        (DataType::Utf8, Json::String(text)) => Some(Value::Text(text.clone())),
        (_, other) => return Err(format!("{other} is no {data_type}")),
    })
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(integer) => integer.fmt(f),
            Self::TimeUs(us) => match DateTime::from_timestamp_micros(*us) {
                Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                None => us.fmt(f),
            },
            Self::Text(text) => text.fmt(f),
        }
    }
}
