//! Rows of a part of the events, in memory, and where the rows of each site begin.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;

use crate::scope::Scope;

/// The site of rows that count on every site.
pub(super) const EVERYWHERE: &str = "";

/// Rows of some part of the events, ordered by site.
#[derive(Debug)]
pub(crate) struct Piece {
    rows: RecordBatch,
    sites: HashMap<String, Range<usize>>,
}

impl Piece {
    /// - `batches`: ordered by their first column, the site.
    pub(super) fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Arc<Self>> {
        let rows = concat_batches(schema, batches)?;
        // Views would keep everything alive that they were cut from.
        let columns: Vec<ArrayRef> = rows.columns().iter().map(compacted).collect();
        let rows = match columns.is_empty() {
            true => rows,
            false => RecordBatch::try_new(schema.clone(), columns)?,
        };
        let sites = sites_of(&rows);
        Ok(Arc::new(Self { rows, sites }))
    }

    /// The rows of a scope.
    pub(super) fn rows(&self, scope: &Scope) -> Option<RecordBatch> {
        let rows = match scope {
            Scope::Lake => self.rows.clone(),
            Scope::Site(site) => {
                let range = self.sites.get(site)?;
                self.rows.slice(range.start, range.len())
            }
        };
        (rows.num_rows() > 0).then_some(rows)
    }

    /// The rows of a scope, and those that count on every site.
    pub(super) fn rows_everywhere_and(&self, scope: &Scope) -> Vec<RecordBatch> {
        let everywhere = match scope {
            Scope::Lake => None,
            Scope::Site(_) => self.rows(&Scope::Site(EVERYWHERE.to_owned())),
        };
        self.rows(scope).into_iter().chain(everywhere).collect()
    }

    /// The rows of the lake, of which there may be none.
    pub(super) fn all_rows(&self) -> &RecordBatch {
        &self.rows
    }

    pub(super) fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }
}

fn compacted(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

fn sites_of(rows: &RecordBatch) -> HashMap<String, Range<usize>> {
    let mut sites = HashMap::new();
    let site = rows.column(0).as_string_view();
    let mut start = 0;
    while start < site.len() {
        let name = site.value(start);
        let (mut end, mut beyond) = (start + 1, site.len());
        while end < beyond {
            let middle = end + (beyond - end) / 2;
            match site.value(middle) == name {
                true => end = middle + 1,
                false => beyond = middle,
            }
        }
        sites.insert(name.to_owned(), start..end);
        start = end;
    }
    sites
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    #[test]
    fn each_site_has_its_rows_whatever_their_number() {
        for counts in [vec![], vec![1], vec![3, 1, 2], vec![100, 1, 37, 64, 65], vec![1, 1, 1, 1]] {
            let names: Vec<String> = (0..counts.len()).map(|n| format!("site{n}")).collect();
            let rows: Vec<&str> = names
                .iter()
                .zip(&counts)
                .flat_map(|(name, count)| std::iter::repeat_n(name.as_str(), *count))
                .collect();
            let schema = Arc::new(Schema::new(vec![
                Field::new("site", DataType::Utf8View, false),
                Field::new("p0", DataType::Int64, true),
            ]));
            let numbers = Int64Array::from_iter_values(0..rows.len() as i64);
            let columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(&rows)), Arc::new(numbers)];
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            let piece = Piece::new(&schema, &[batch]).unwrap();
            for (name, count) in names.iter().zip(&counts) {
                let own = piece.rows(&Scope::Site(name.clone())).unwrap();
                assert_eq!(own.num_rows(), *count, "{name} of {counts:?}");
                assert!(own.column(0).as_string_view().iter().all(|site| site == Some(name)));
            }
            assert!(piece.rows(&Scope::Site("another".into())).is_none());
        }
    }
}
