//! The rows of a fold as a table: what stands in a query for the events that it groups.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::project_schema;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::source::{DataSource, DataSourceExec};
use datafusion::datasource::{TableType, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics};
use futures::stream;

use super::changed::Whose;
use super::piece::PieceRows;
use crate::plan_inputs::leaf_plan;

/// Rows for which a thread of its own is worth it.
const ROWS_PER_THREAD: usize = 1 << 16;

/// What rows stand in a place of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::folds) enum Place {
    /// Those of a fold of the query, by its number.
    Fold(usize),
    /// Those of the table `identities`.
    Identities,
    /// Those of a tally of the query, by its number.
    Tally(usize),
}

/// Rows in a place of a plan, or the place for them.
pub(in crate::folds) struct RowsTable {
    place: Place,
    schema: SchemaRef,
    /// None in a place that is not filled yet.
    rows: Option<Vec<PieceRows>>,
    /// The column that has visitor ids, if rows without any are left out.
    visitors: Option<usize>,
}

impl fmt::Debug for RowsTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} rows", self.place, self.row_count())
    }
}

impl RowsTable {
    pub(in crate::folds) fn new(place: Place, schema: SchemaRef, rows: Vec<PieceRows>) -> Self {
        Self { place, schema, rows: Some(rows), visitors: None }
    }

    /// A place for rows.
    pub(in crate::folds) fn empty_place(place: Place, schema: SchemaRef) -> Self {
        Self { place, schema, rows: None, visitors: None }
    }

    /// The same without the rows that have no visitor id.
    pub(in crate::folds) fn of_visitors(self, visitors: usize) -> Self {
        Self { visitors: Some(visitors), ..self }
    }

    /// Rows that it has.
    pub(in crate::folds) fn row_count(&self) -> usize {
        self.rows.as_deref().map_or(0, count)
    }

    fn scan_of(&self, projection: Option<&Vec<usize>>, threads_max: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(rows) = &self.rows else { return Ok(Arc::new(EmptyPlaceExec::new(self, projection)?)) };
        let threads = (self.row_count() / ROWS_PER_THREAD).clamp(1, threads_max);
        let source = RowsSource {
            schema: project_schema(&self.schema, projection)?,
            projection: projection.cloned(),
            visitors: self.visitors,
            partitions: divide(rows, threads),
        };
        Ok(DataSourceExec::from_data_source(source))
    }

    /// The place for which a scan stands, if it stands for one.
    pub(in crate::folds) fn place_of(scan: &TableScan) -> Option<Place> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|rows| rows.place)
    }
}

/// The places of a plan, each once, with the columns of their rows.
pub(in crate::folds) fn places_in(plan: &LogicalPlan) -> Result<Vec<(Place, SchemaRef)>> {
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
pub(in crate::folds) fn fill_places(plan: LogicalPlan, tables: &[Arc<RowsTable>]) -> Result<LogicalPlan> {
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

/// The rows of pieces, wherever they lie.
#[derive(Clone, Debug)]
struct RowsSource {
    /// With the columns of the projection alone.
    schema: SchemaRef,
    projection: Option<Vec<usize>>,
    /// The column that has visitor ids, if rows without any are left out.
    visitors: Option<usize>,
    partitions: Vec<Vec<PieceRows>>,
}

impl DataSource for RowsSource {
    fn open(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (rows, projection) = (self.partitions[partition].clone(), self.projection.clone());
        // One after the other, so that a file is open only while it is read.
        let schema = self.schema.clone();
        match self.visitors {
            None => {
                let batches = rows.into_iter().flat_map(move |rows| rows.batches(projection.as_deref()));
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches))))
            }
            Some(visitors) => {
                let batches = rows.into_iter().flat_map(|rows| rows.batches(None)).map(move |batch| {
                    let known = Whose::All.rows(&batch?, visitors)?;
                    match &projection {
                        Some(projection) => Ok(known.project(projection)?),
                        None => Ok(known),
                    }
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches))))
            }
        }
    }

    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.partitions.iter().map(|rows| count(rows)).sum();
        write!(f, "{rows} rows of a fold")
    }

    fn output_partitioning(&self) -> Partitioning {
        Partitioning::UnknownPartitioning(self.partitions.len())
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        EquivalenceProperties::new(self.schema.clone())
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let rows = match partition {
            Some(partition) => count(&self.partitions[partition]),
            None => self.partitions.iter().map(|rows| count(rows)).sum(),
        };
        // Which side of a join is held in memory is decided by it.
        Ok(Arc::new(Statistics::new_unknown(&self.schema).with_num_rows(Precision::Exact(rows))))
    }

    fn with_fetch(&self, _: Option<usize>) -> Option<Arc<dyn DataSource>> {
        None
    }

    fn fetch(&self) -> Option<usize> {
        None
    }

    fn try_swapping_with_projection(&self, _: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }
}

fn count(rows: &[PieceRows]) -> usize {
    rows.iter().map(PieceRows::num_rows).sum()
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

    leaf_plan!();

    fn execute(&self, _: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Err(DataFusionError::Internal(format!("the place of {:?} was not filled", self.place)))
    }
}

/// A physical plan that was made for one thread, with rows in its places, and as if it had never run.
pub(in crate::folds) fn fill_physical_places(
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
fn divide(rows: &[PieceRows], parts: usize) -> Vec<Vec<PieceRows>> {
    let part_rows = count(rows).div_ceil(parts).max(1);
    let mut divided = vec![Vec::new()];
    let mut room = part_rows;
    for piece in rows {
        let mut start = 0;
        while start < piece.num_rows() {
            if room == 0 {
                divided.push(Vec::new());
                room = part_rows;
            }
            let taken = room.min(piece.num_rows() - start);
            divided.last_mut().expect("there is one from the start").push(piece.slice(start, taken));
            (start, room) = (start + taken, room - taken);
        }
    }
    divided
}
