//! Hands kept rows on.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs,
};
use futures::stream;

use super::slice::Rows;
use crate::leaf_plan::leaf_plan;

/// Rows of files, which other plans may have, too.
#[derive(Debug)]
pub(super) struct KeptRowsExec {
    /// Of each partition, the rows of its files.
    partitions: Vec<Vec<Rows>>,
    properties: Arc<PlanProperties>,
}

impl KeptRowsExec {
    /// - `ordering`: of each partition, over the columns of `schema`.
    pub(super) fn new(schema: SchemaRef, partitions: Vec<Vec<Rows>>, ordering: Option<LexOrdering>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(schema, ordering),
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
        let files: usize = self.partitions.iter().map(Vec::len).sum();
        write!(f, "KeptRowsExec: files={files}, rows={}", self.count(None))
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
        let (schema, batch_rows) = (self.schema(), context.session_config().batch_size());
        let files = self.partitions[partition].clone();
        let of_schema = schema.clone();
        let batches = files.into_iter().flat_map(move |rows| {
            let schema = of_schema.clone();
            (0..rows.count).step_by(batch_rows).map(move |from| batch(&schema, &rows, from, batch_rows))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter(batches))))
    }
}

fn batch(schema: &SchemaRef, rows: &Rows, from: usize, count_max: usize) -> Result<RecordBatch> {
    let count = count_max.min(rows.count - from);
    let columns = rows.columns.iter().map(|column| column.values(from, count)).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
