//! Hands kept rows on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{BatchCoalescer, FilterBuilder};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
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
use crate::plan_inputs::leaf_plan;

/// Rows that are asked at once whether they satisfy a condition. A condition on texts costs as much as there are different
/// ones, however few rows are asked.
const ASKED_ROWS: usize = 1 << 16;

/// Rows are many of which at least one in so many is chosen: the others are left out, and those not picked one by one.
const MANY: usize = 2;

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

    /// Those of other rows that satisfy a condition, in one partition as these are.
    pub(super) fn satisfying(&self, rows: Vec<Rows>, condition: Option<Condition>) -> Self {
        Self { partitions: vec![rows], condition, properties: self.properties.clone() }
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
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        with_conditions(&self.schema(), &self.condition, phase, pushed, |condition| {
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
    let Some(condition) = condition else {
        let batches = parts.into_iter().flat_map(move |rows| {
            let schema = of_schema.clone();
            (0..rows.count)
                .step_by(batch_rows)
                .map(move |from| batch(&schema, &rows, from, batch_rows.min(rows.count - from)))
        });
        return Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream::iter(batches)));
    };
    let pieces = parts.into_iter().flat_map(|rows| {
        (0..rows.count).step_by(ASKED_ROWS).map(move |from| {
            let count = ASKED_ROWS.min(rows.count - from);
            Piece { rows: rows.clone(), from, count }
        })
    });
    let chosen = Chosen {
        // Whole batches are handed on as they are.
        coalescer: BatchCoalescer::new(schema.clone(), batch_rows)
            .with_biggest_coalesce_batch_size(Some(batch_rows / 2)),
        schema: schema.clone(),
        condition,
        pieces: Box::new(pieces),
        batch_rows,
        is_over: false,
    };
    Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream::iter(chosen)))
}

fn batch(schema: &SchemaRef, rows: &Rows, from: usize, count: usize) -> Result<RecordBatch> {
    batch_of(schema, rows.columns.iter().map(|column| column.values(from, count)), count)
}

fn batch_of(schema: &SchemaRef, columns: impl Iterator<Item = Result<ArrayRef>>, count: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns.collect::<Result<_>>()?, &options)?)
}

/// Rows that follow each other.
struct Piece {
    rows: Rows,
    from: usize,
    count: usize,
}

/// The rows of all pieces that satisfy a condition.
struct Chosen {
    schema: SchemaRef,
    condition: Condition,
    pieces: Box<dyn Iterator<Item = Piece> + Send>,
    batch_rows: usize,
    /// Puts the few rows of many pieces together, without what lies beside their texts.
    coalescer: BatchCoalescer,
    is_over: bool,
}

impl Iterator for Chosen {
    type Item = Result<RecordBatch>;

    /// A batch, or an empty one where a piece has filled none: whoever reads may want to pause or to stop.
    fn next(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.coalescer.next_completed_batch() {
            return Some(Ok(batch));
        }
        if self.is_over {
            return None;
        }
        let read = match self.pieces.next() {
            Some(piece) => self.choose(&piece),
            None => {
                self.is_over = true;
                self.coalescer.finish_buffered_batch().map_err(DataFusionError::from)
            }
        };
        if let Err(error) = read {
            self.is_over = true;
            return Some(Err(error));
        }
        let batch = self.coalescer.next_completed_batch();
        batch.or_else(|| (!self.is_over).then(|| RecordBatch::new_empty(self.schema.clone()))).map(Ok)
    }
}

impl Chosen {
    fn choose(&mut self, Piece { rows, from, count }: &Piece) -> Result<()> {
        let holds = self.condition.holds(rows, *from, *count)?;
        if holds.count_set_bits() * MANY < *count {
            let places: Vec<i32> = holds.set_indices().map(|place| (from + place) as i32).collect();
            for places in places.chunks(self.batch_rows) {
                let places = Int32Array::from(places.to_vec());
                self.push(rows.columns.iter().map(|column| column.at(&places)), places.len())?;
            }
            return Ok(());
        }
        for start in (0..*count).step_by(self.batch_rows) {
            let (from, asked) = (from + start, self.batch_rows.min(count - start));
            let holds = BooleanArray::new(holds.slice(start, asked), None);
            if holds.true_count() == asked {
                self.push(rows.columns.iter().map(|column| column.values(from, asked)), asked)?;
            } else {
                // What is left out comes in runs: the robots among the visitors.
                let chosen = FilterBuilder::new(&holds).optimize().build();
                self.push(rows.columns.iter().map(|column| column.chosen(from, &chosen, asked)), chosen.count())?;
            }
        }
        Ok(())
    }

    fn push(&mut self, columns: impl Iterator<Item = Result<ArrayRef>>, rows: usize) -> Result<()> {
        Ok(self.coalescer.push_batch(batch_of(&self.schema, columns, rows)?)?)
    }
}
