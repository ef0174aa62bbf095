//! Pending events as rows: those that collectors wrote and the table does not have yet, each event once.
//!
//! Queries read them beside the published table, and a publish writes the same rows into it. Both skip the rows that the
//! lake's search for copies names, so publishing cannot change an answer.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetRowSelection;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, cast, col};
use datafusion::parquet::arrow::arrow_reader::RowSelection;
use datafusion::prelude::SessionContext;
use lake::{DamagedFile, EVENTS, LeftOut, PendingSurvey, RawFile};
use object_store::path::Path;

use crate::tables::files::{Files, FilesTable, immutable, view_types};

/// Raw files, and which of their rows are skipped.
#[derive(Clone)]
pub(crate) struct PendingEvents {
    /// The raw files to read.
    pub(crate) files: Vec<RawFile>,
    duplicates: Arc<PendingSurvey>,
}

impl PendingEvents {
    /// The events in those of `files` that can be read.
    pub(crate) fn new(files: &[RawFile], duplicates: Arc<PendingSurvey>) -> Self {
        Self { files: DamagedFile::leave_out(&duplicates.damaged, files), duplicates }
    }

    /// How many rows they have, copies not among them.
    pub(crate) fn rows(&self) -> u64 {
        self.duplicates.rows.saturating_sub(self.duplicates.rows_left_out() as u64)
    }

    /// The events of files that others do not have with the same rows left out; with about how many rows these have.
    pub(crate) fn but_for(&self, others: &Self) -> (Self, u64) {
        let theirs: HashMap<&Path, Option<&LeftOut>> =
            others.files.iter().map(|file| (&file.path, others.duplicates.left_out_of(file))).collect();
        let is_theirs = |file: &RawFile| theirs.get(&file.path) == Some(&self.duplicates.left_out_of(file));
        let files: Vec<RawFile> = self.files.iter().filter(|file| !is_theirs(file)).cloned().collect();
        let bytes = |files: &[RawFile]| files.iter().map(|file| file.size_bytes).sum::<u64>();
        let rows = self.rows() * bytes(&files) / bytes(&self.files).max(1);
        (Self { files, duplicates: self.duplicates.clone() }, rows)
    }

    /// The rows, with the columns of the table `events`, `date` among them. Each event is there once, and none that the
    /// table has already.
    pub(crate) fn plan(&self, context: &SessionContext, store: &ObjectStoreUrl) -> Result<LogicalPlan> {
        let mut columns: Vec<_> = EVENTS.file_schema.fields().iter().map(|field| col(field.name())).collect();
        columns.push(cast(col("occurred_at"), DataType::Date32).alias("date"));
        Ok(context.read_table(Arc::new(self.table(store)))?.select(columns)?.into_unoptimized_plan())
    }

    /// The rows, with the columns that events have in files.
    pub(crate) fn table(&self, store: &ObjectStoreUrl) -> FilesTable {
        let files = self.files.iter().map(|file| self.partitioned(file)).collect();
        FilesTable::new(store.clone(), view_types(&EVENTS.file_schema), vec![], Files::Undescribed(files), &[])
    }

    fn partitioned(&self, file: &RawFile) -> PartitionedFile {
        let place = immutable(file.path.clone(), file.size_bytes);
        match self.duplicates.left_out_of(file) {
            Some(left_out) => place.with_extension(ParquetRowSelection::new(kept_rows(left_out))),
            None => place,
        }
    }
}

fn kept_rows(left_out: &LeftOut) -> RowSelection {
    let begins = std::iter::once(0).chain(left_out.rows.iter().map(|row| *row as usize + 1));
    let ends = left_out.rows.iter().map(|row| *row as usize).chain([left_out.of]);
    let between = begins.zip(ends).map(|(begin, end)| begin..end);
    RowSelection::from_consecutive_ranges(between, left_out.of)
}

/// Both halves of the table `events` as one plan.
pub(crate) fn union(published: LogicalPlan, pending: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(published).union(pending)?.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_skipped_at_either_end_and_between() {
        check(&[0, 1, 4], 5, &[2, 3]);
        check(&[2], 4, &[0, 1, 3]);
        check(&[0, 1, 2], 3, &[]);
    }

    #[track_caller]
    fn check(left_out: &[u32], of: usize, expected: &[usize]) {
        let selection = kept_rows(&LeftOut { rows: left_out.to_vec(), of });
        let (mut row, mut stay) = (0, Vec::new());
        for selector in selection.iter() {
            stay.extend((row..row + selector.row_count).filter(|_| !selector.skip));
            row += selector.row_count;
        }
        assert_eq!((stay.as_slice(), row), (expected, of));
    }
}
