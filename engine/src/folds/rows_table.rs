//! The rows of a fold as a table: what stands in a query for the events that it groups.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions};

/// Rows for which a thread of its own is worth it.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What rows stand in a place of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Those of a fold of the query, by its number.
    Fold(usize),
    /// Those of the table `identities`.
    Identities,
    /// Those of a tally of the query, by its number.
    Tally(usize),
}

/// Rows in a place of a plan, or the place for them.
pub(super) struct RowsTable {
    place: Place,
    schema: SchemaRef,
    /// None in a place that is not filled yet.
    batches: Option<Vec<RecordBatch>>,
}

impl fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.batches.iter().flatten().map(RecordBatch::num_rows).sum();
        write!(f, "{:?} of {rows} rows", self.place)
    }
}

impl RowsTable {
    pub(super) fn new(place: Place, schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        Self { place, schema, batches: Some(batches) }
    }

    /// A place for rows.
    pub(super) fn empty_place(place: Place, schema: SchemaRef) -> Self {
        Self { place, schema, batches: None }
    }

    /// Rows that it has.
    pub(super) fn rows(&self) -> usize {
        self.batches.iter().flatten().map(RecordBatch::num_rows).sum()
    }

    fn scan_of(&self, projection: Option<&Vec<usize>>, threads_max: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(batches) = &self.batches else { return Ok(Arc::new(EmptyPlaceExec::new(self, projection)?)) };
        let threads = (self.rows() / ROWS_PER_THREAD).clamp(1, threads_max);
        let partitions = divide(batches, self.rows(), threads);
        Ok(MemorySourceConfig::try_new_exec(&partitions, self.schema.clone(), projection.cloned())?)
    }

    /// The place for which a scan stands, if it stands for one.
    pub(super) fn place_of(scan: &TableScan) -> Option<Place> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|rows| rows.place)
    }
}

/// The places of a plan, each once, with the columns of their rows.
pub(super) fn places_in(plan: &LogicalPlan) -> Result<Vec<(Place, SchemaRef)>> {
    let mut places: Vec<(Place, SchemaRef)> = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(place) = RowsTable::place_of(scan)
            && places.iter().all(|(known, _)| *known != place)
        {
            places.push((place, scan.source.schema()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(places)
}

/// A plan with rows in its places.
pub(super) fn fill_places(plan: LogicalPlan, tables: &[Arc<RowsTable>]) -> Result<LogicalPlan> {
    let filled = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::no(node)) };
        let place = RowsTable::place_of(&scan);
        match tables.iter().find(|rows| Some(rows.place) == place) {
            Some(rows) => {
                let source = provider_as_source(rows.clone());
                Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        }
    })?;
    Ok(filled.data)
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
        self.scan_of(projection, state.config().target_partitions())
    }
}

/// Stands in a physical plan for rows that are not there yet, so that the plan is made once for many scopes.
#[derive(Debug)]
struct EmptyPlaceExec {
    place: Place,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl EmptyPlaceExec {
    fn new(table: &RowsTable, projection: Option<&Vec<usize>>) -> Result<Self> {
        let schema = match projection {
            Some(projection) => Arc::new(table.schema.project(projection)?),
            None => table.schema.clone(),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { place: table.place, projection: projection.cloned(), properties: Arc::new(properties) })
    }
}

impl DisplayAs for EmptyPlaceExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmptyPlaceExec: {:?}", self.place)
    }
}

impl ExecutionPlan for EmptyPlaceExec {
    fn name(&self) -> &str {
        "EmptyPlaceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal(format!("the place of {:?} was not filled", self.place)))
    }
}

/// A physical plan that was made for one thread, with rows in its places, and as if it had never run.
pub(super) fn fill_physical_places(
    plan: &Arc<dyn ExecutionPlan>,
    tables: &[Arc<RowsTable>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let filled = reset_plan_states(plan.clone())?.transform_up(|node| {
        let Some(empty) = node.downcast_ref::<EmptyPlaceExec>() else { return Ok(Transformed::no(node)) };
        match tables.iter().find(|rows| rows.place == empty.place) {
            Some(rows) => Ok(Transformed::yes(rows.scan_of(empty.projection.as_ref(), 1)?)),
            None => Ok(Transformed::no(node)),
        }
    })?;
    Ok(filled.data)
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
