//! The operator whose rows come from workers. To the plan above it they are rows like others: all of them, each once, in
//! order, or an error that the query would have without workers.
//!
//! Rows are handed on only once the last has come, so a worker that is lost on the way is no error. What it was to do is done
//! again, from the beginning: on the workers that are left, if there are several, and otherwise in this process. Any failure
//! is answered so, whatever it says: an error of the query itself comes again in this process, with the message and the type
//! that it has there.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, SpillMetrics};
use datafusion::physical_plan::spill::SpillManager;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
    StatisticsContext,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;

use crate::distribution::Distribution;
use crate::placement::{in_one_partition, properties_of_source};
use crate::workers::Workers;

/// Tries on workers before this process does it.
const TRIES: usize = 2;

/// Bytes of rows that wait in memory for the last one; more wait on disk.
const HELD_BYTES_MAX: usize = 32 << 20;

/// Has workers run a plan.
pub(crate) struct WorkersExec {
    part: Arc<Part>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    /// The stages that ran last.
    ran: Arc<Mutex<Option<Arc<dyn ExecutionPlan>>>>,
}

/// What is to be done, and by whom.
struct Part {
    /// The plan with one partition, as this process would run it.
    plan: Arc<dyn ExecutionPlan>,
    workers: Workers,
    distribution: Arc<Distribution>,
}

impl WorkersExec {
    /// - `plan`: its partitions are made one, in its order.
    pub(crate) fn new(plan: Arc<dyn ExecutionPlan>, workers: Workers, distribution: Arc<Distribution>) -> Self {
        Self::of(Part { plan: in_one_partition(plan), workers, distribution })
    }

    fn of(part: Part) -> Self {
        let properties = properties_of_source(&part.plan);
        Self { part: Arc::new(part), properties, metrics: ExecutionPlanMetricsSet::new(), ran: Arc::default() }
    }

    /// The stages that ran last, if any did.
    pub(crate) fn ran(&self) -> Option<Arc<dyn ExecutionPlan>> {
        self.ran.lock().clone()
    }
}

impl fmt::Debug for WorkersExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkersExec").field("plan", &self.part.plan).finish_non_exhaustive()
    }
}

impl DisplayAs for WorkersExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkersExec")
    }
}

impl ExecutionPlan for WorkersExec {
    fn name(&self) -> &str {
        "WorkersExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    /// To the plan above, it is where rows come from.
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

    /// A recursive query runs its plan again and again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let Part { workers, distribution, .. } = &*self.part;
        let plan = reset_plan_states(self.part.plan.clone())?;
        Ok(Arc::new(Self::of(Part { plan, workers: workers.clone(), distribution: distribution.clone() })))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.part.plan.as_ref(), args)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (part, ran, metrics) = (self.part.clone(), self.ran.clone(), self.metrics.clone());
        let rows = stream::once(async move {
            let rows = part.rows(context, &ran, &metrics).await?;
            metrics::counter!("dewpond_cluster_parts_total", "by" => if rows.by_workers { "workers" } else { "coordinator" })
                .increment(1);
            Ok::<_, DataFusionError>(rows.stream)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }
}

/// The rows of a part, and who found them.
struct Rows {
    stream: SendableRecordBatchStream,
    by_workers: bool,
}

impl Part {
    async fn rows(
        &self,
        context: Arc<TaskContext>,
        ran: &Mutex<Option<Arc<dyn ExecutionPlan>>>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Rows> {
        let tries = MetricBuilder::new(metrics).global_counter("tries");
        for _ in 0..TRIES {
            let workers = self.workers.usable();
            let used = workers.len();
            let plan = reset_plan_states(self.plan.clone())?;
            let Some(stages) = self.distribution.of(&plan, workers, &context).await? else { break };
            tries.add(1);
            *ran.lock() = Some(stages.plan.clone());
            let rows = stages.plan.execute(0, stages.context.clone());
            let held = match rows {
                Ok(rows) => hold(rows, &context, metrics).await,
                Err(error) => Err(error),
            };
            let error = match held {
                Ok(stream) => return Ok(Rows { stream, by_workers: true }),
                Err(error) => error,
            };
            metrics::counter!("dewpond_cluster_failures_total").increment(1);
            self.workers.look().await;
            let left = self.workers.usable().len();
            tracing::warn!(workers = used, left, "workers failed at a part of a query: {}", error.strip_backtrace());
            if left == used {
                // All of them are there, so it is not for want of one.
                break;
            }
        }
        *ran.lock() = None;
        let stream = reset_plan_states(self.plan.clone())?.execute(0, context)?;
        Ok(Rows { stream, by_workers: false })
    }
}

/// Takes rows until the last has come, and hands them on then.
async fn hold(
    mut rows: SendableRecordBatchStream,
    context: &TaskContext,
    metrics: &ExecutionPlanMetricsSet,
) -> Result<SendableRecordBatchStream> {
    let (schema, runtime) = (rows.schema(), context.runtime_env());
    let reservation = MemoryConsumer::new("rows of workers").register(context.memory_pool());
    let on_disk = SpillManager::new(runtime, SpillMetrics::new(metrics, 0), schema.clone());
    let (mut in_memory, mut file) = (Vec::new(), None);
    while let Some(batch) = rows.try_next().await? {
        let bytes = batch.get_array_memory_size();
        let fits = file.is_none() && reservation.size() + bytes <= HELD_BYTES_MAX;
        if fits && reservation.try_grow(bytes).is_ok() {
            in_memory.push(batch);
            continue;
        }
        let file = match &mut file {
            Some(file) => file,
            None => file.insert(on_disk.create_in_progress_file("rows of workers")?),
        };
        file.append_batch(&batch)?;
    }
    let spilled = file.map(|mut file| file.finish()).transpose()?.flatten();
    let rest: BoxStream<'_, _> = match spilled {
        Some(file) => on_disk.read_spill_as_stream(file, None)?.boxed(),
        None => stream::empty().boxed(),
    };
    let held = stream::iter(in_memory.into_iter().map(Ok)).chain(rest).inspect(move |_| {
        // Until the last row is read.
        let _ = &reservation;
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, held)))
}
