//! `EXPLAIN ANALYZE` of a plan whose parts run on workers: behind DataFusion's answer a row for each of them, with its stages
//! and tasks.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use datafusion_distributed::{DistributedMetricsFormat, explain_analyze};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::{Duration, timeout};

use crate::workers_exec::WorkersExec;

/// How long workers may take to say what they did, after they have done it.
const SAID_WITHIN: Duration = Duration::from_secs(5);

/// An `EXPLAIN ANALYZE`, with what workers did.
#[derive(Debug)]
pub(crate) struct ExplainedExec {
    analyze: Arc<dyn ExecutionPlan>,
}

impl ExplainedExec {
    /// - `analyze`: DataFusion's operator, over a plan with parts that workers do.
    pub(crate) fn new(analyze: Arc<dyn ExecutionPlan>) -> Self {
        Self { analyze }
    }
}

/// The parts of a plan that workers do.
pub(crate) fn parts(plan: &Arc<dyn ExecutionPlan>) -> Vec<Arc<dyn ExecutionPlan>> {
    match plan.is::<WorkersExec>() {
        true => vec![plan.clone()],
        false => plan.children().into_iter().flat_map(parts).collect(),
    }
}

impl DisplayAs for ExplainedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExplainedExec")
    }
}

impl ExecutionPlan for ExplainedExec {
    fn name(&self) -> &str {
        "ExplainedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.analyze.properties()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::UnspecifiedDistribution]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.analyze]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(children.swap_remove(0))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (analyzed, parts) = (self.analyze.execute(partition, context)?, parts(&self.analyze));
        let schema = self.schema();
        let stages = stream::once(async move {
            let mut stages = Vec::new();
            for part in &parts {
                stages.push(described(part).await?);
            }
            let texts = [vec!["Stages on workers"; stages.len()], stages.iter().map(String::as_str).collect()];
            let columns = texts
                .into_iter()
                .zip(schema.fields())
                .map(|(texts, field)| cast(&StringArray::from(texts), field.data_type()));
            Ok(RecordBatch::try_new(schema.clone(), columns.collect::<Result<_, _>>()?)?)
        });
        // The plan is run by what comes first.
        let rows = analyzed.chain(stages.boxed());
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.into_stream())))
    }
}

async fn described(part: &Arc<dyn ExecutionPlan>) -> Result<String> {
    let Some(ran) = part.downcast_ref::<WorkersExec>().and_then(WorkersExec::ran) else {
        return Ok("none: this process did it".to_owned());
    };
    match timeout(SAID_WITHIN, explain_analyze(ran, DistributedMetricsFormat::Aggregated)).await {
        Ok(described) => described,
        Err(_) => Ok("a worker did not say what it did".to_owned()),
    }
}
