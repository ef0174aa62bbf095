//! The rows of a fold as a table: what stands in a query for the events that it groups.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableType, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableScan};
use datafusion::physical_plan::ExecutionPlan;

/// Rows for which a thread of its own is worth it.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What rows stand in a place of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Those of a fold of the query, by its number.
    Fold(usize),
    /// Those of the table `identities`.
    Identities,
}

/// Rows in a place of a plan, or, without any, the place for them.
pub(super) struct RowsTable {
    place: Place,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        write!(f, "{:?} of {rows} rows", self.place)
    }
}

impl RowsTable {
    pub(super) fn new(place: Place, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { place, schema, batches }
    }

    /// The place for which a scan stands, if it stands for one.
    pub(super) fn place_of(scan: &TableScan) -> Option<Place> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|rows| rows.place)
    }
}

#[async_trait]
impl TableProvider for RowsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let threads = (rows / ROWS_PER_THREAD).clamp(1, state.config().target_partitions());
        let partitions = divide(&self.batches, rows, threads);
        Ok(MemorySourceConfig::try_new_exec(&partitions, self.schema.clone(), projection.cloned())?)
    }
}

/// The rows in parts of about the same size, in order.
fn divide(batches: &[RecordBatch], rows: usize, parts: usize) -> Vec<Vec<RecordBatch>> {
    let part_rows = rows.div_ceil(parts).max(1);
    let mut divided = vec![Vec::new()];
    let mut room = part_rows;
    for batch in batches {
        let mut start = 0;
        while start < batch.num_rows() {
            if room == 0 {
                divided.push(Vec::new());
                room = part_rows;
            }
            let taken = room.min(batch.num_rows() - start);
            divided.last_mut().expect("there is one from the start").push(batch.slice(start, taken));
            (start, room) = (start + taken, room - taken);
        }
    }
    divided
}
