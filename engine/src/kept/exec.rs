//! Hands kept rows on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{Int32Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs,
};
use futures::stream;

use super::condition::Condition;
use super::pushdown::with_conditions;
use super::slice::Rows;
use crate::leaf_plan::leaf_plan;

/// Rows that are asked at once whether they satisfy a condition. A condition on texts costs as much as there are different
/// ones, however few rows are asked; what filters of joins find out while they run leaves rows out of the next ones.
const ASKED_ROWS: usize = 1 << 16;

/// Rows that are in memory, where other plans may have them, too.
#[derive(Clone, Debug)]
pub(super) struct KeptRowsExec {
    partitions: Vec<Vec<Rows>>,
    condition: Option<Condition>,
    properties: Arc<PlanProperties>,
}

impl KeptRowsExec {
    pub(super) fn new(schema: SchemaRef, partitions: Vec<Vec<Rows>>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { partitions, condition: None, properties: Arc::new(properties) }
    }

    fn count(&self, partition: Option<usize>) -> usize {
        let partitions = match partition {
            Some(partition) => &self.partitions[partition..=partition],
            None => &self.partitions,
        };
        partitions.iter().flatten().map(|rows| rows.count).sum()
    }
}

impl DisplayAs for KeptRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptRowsExec: rows={}", self.count(None))?;
        fmt_condition(&self.condition, f)
    }
}

pub(super) fn fmt_condition(condition: &Option<Condition>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match condition {
        Some(condition) => write!(f, ", condition={}", condition.expr()),
        None => Ok(()),
    }
}

impl ExecutionPlan for KeptRowsExec {
    fn name(&self) -> &str {
        "KeptRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf_plan!();

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = estimate(self.count(args.partition()), &self.condition);
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        with_conditions(&self.schema(), &self.condition, pushed, |condition| {
            Ok(Arc::new(Self { condition: Some(condition), ..self.clone() }))
        })
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches(&self.schema(), self.partitions[partition].clone(), self.condition.clone(), &context))
    }
}

/// How many rows are expected to satisfy a condition: as many as DataFusion expects of filters of which nothing is known.
pub(super) fn estimate(rows: usize, condition: &Option<Condition>) -> Precision<usize> {
    Precision::Inexact(match condition {
        Some(_) => rows.div_ceil(5),
        None => rows,
    })
}

/// The rows that satisfy a condition, in batches of the usual size.
pub(super) fn batches(
    schema: &SchemaRef,
    parts: Vec<Rows>,
    condition: Option<Condition>,
    context: &TaskContext,
) -> SendableRecordBatchStream {
    let (of_schema, batch_rows) = (schema.clone(), context.session_config().batch_size());
    let asked_rows = if condition.is_some() { ASKED_ROWS } else { batch_rows };
    let batches = parts.into_iter().flat_map(move |rows| {
        let (schema, condition) = (of_schema.clone(), condition.clone());
        (0..rows.count).step_by(asked_rows).flat_map(move |from| {
            let count = asked_rows.min(rows.count - from);
            let batches = match &condition {
                Some(condition) => chosen(&schema, &rows, condition, from, count, batch_rows),
                None => batch(&schema, &rows, from, count).map(|batch| vec![batch]),
            };
            match batches {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        })
    });
    Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream::iter(batches)))
}

fn batch(schema: &SchemaRef, rows: &Rows, from: usize, count: usize) -> Result<RecordBatch> {
    let columns = rows.columns.iter().map(|column| column.values(from, count)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// Those of some rows that follow each other, which satisfy a condition.
fn chosen(
    schema: &SchemaRef,
    rows: &Rows,
    condition: &Condition,
    from: usize,
    count: usize,
    batch_rows: usize,
) -> Result<Vec<RecordBatch>> {
    let holds = condition.holds(schema, rows, from, count)?;
    if holds.count_set_bits() == count {
        let starts = (from..from + count).step_by(batch_rows);
        return starts.map(|start| batch(schema, rows, start, batch_rows.min(from + count - start))).collect();
    }
    let places: Vec<i32> = holds.set_indices().map(|place| (from + place) as i32).collect();
    let batches = places.chunks(batch_rows).map(|places| {
        let (count, places) = (places.len(), Int32Array::from(places.to_vec()));
        let columns = rows.columns.iter().map(|column| column.at(&places)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    });
    batches.collect()
}
