//! Hands kept rows on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs,
};
use futures::stream;

use super::slice::Rows;
use crate::leaf_plan::leaf_plan;

/// Rows that are in memory, where other plans may have them, too.
#[derive(Debug)]
pub(super) struct KeptRowsExec {
    partitions: Vec<Vec<Rows>>,
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
        Self { partitions, properties: Arc::new(properties) }
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
        write!(f, "KeptRowsExec: rows={}", self.count(None))
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
        statistics.num_rows = Precision::Inexact(self.count(args.partition()));
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        Ok(batches(&self.schema(), self.partitions[partition].clone(), &context))
    }
}

/// Rows in batches of the usual size.
pub(super) fn batches(schema: &SchemaRef, parts: Vec<Rows>, context: &TaskContext) -> SendableRecordBatchStream {
    let (of_schema, batch_rows) = (schema.clone(), context.session_config().batch_size());
    let batches = parts.into_iter().flat_map(move |rows| {
        let schema = of_schema.clone();
        (0..rows.count).step_by(batch_rows).map(move |from| batch(&schema, &rows, from, batch_rows))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema.clone(), stream::iter(batches)))
}

fn batch(schema: &SchemaRef, rows: &Rows, from: usize, count_max: usize) -> Result<RecordBatch> {
    let count = count_max.min(rows.count - from);
    let columns = rows.columns.iter().map(|column| column.values(from, count)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
