//! The smallest and largest value of each bounded column, gathered while rows are written or checked.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};

use super::file::Value;
use crate::schema::tables::TableSpec;

/// What some rows hold of the bounded columns, gathered batch by batch.
#[derive(Default)]
pub(crate) struct Contents {
    /// Columns all null are not among them.
    pub(crate) bounds: BTreeMap<&'static str, Bounds>,
    pub(crate) nulls: BTreeMap<&'static str, u64>,
}

impl Contents {
    /// Adds rows. A column that they lack, because their file is older than it, is null in all of them.
    pub(crate) fn take(&mut self, spec: &TableSpec, batch: &RecordBatch) {
        for &name in spec.bounded {
            let column = batch.column_by_name(name);
            *self.nulls.entry(name).or_default() +=
                column.map_or(batch.num_rows(), |column| column.null_count()) as u64;
            let Some(new) = column.and_then(bounds) else { continue };
            self.bounds
                .entry(name)
                .and_modify(|old| {
                    old.min = old.min.clone().min(new.min.clone());
                    old.max = old.max.clone().max(new.max.clone());
                })
                .or_insert(new);
        }
    }
}

/// Smallest and largest value of some rows.
#[derive(Clone)]
pub(crate) struct Bounds {
    pub(crate) min: Value,
    pub(crate) max: Value,
}

/// Smallest and largest value of a column, or `None` if all are null.
pub(crate) fn bounds(column: &ArrayRef) -> Option<Bounds> {
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>();
            Some(Bounds { min: Value::Integer(compute::min(values)?), max: Value::Integer(compute::max(values)?) })
        }
        DataType::Timestamp(_, _) => {
            let values = column.as_primitive::<TimestampMicrosecondType>();
            Some(Bounds { min: Value::TimeUs(compute::min(values)?), max: Value::TimeUs(compute::max(values)?) })
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            Some(Bounds {
                min: Value::Text(compute::min_string(values)?.to_owned()),
                max: Value::Text(compute::max_string(values)?.to_owned()),
            })
        }
        other => unreachable!("no table is bounded by a column of type {other}"),
    }
}
