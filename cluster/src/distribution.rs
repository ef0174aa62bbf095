//! Cuts a plan into stages for the workers that there are, by `datafusion-distributed`, and guards what is sent.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::SessionConfig;
use datafusion_distributed::{
    DesiredTaskCountEvent, DesiredTaskCountEventResponse, DistributedExec, DistributedExt, RouteTasksEvent,
    RouteTasksEventResponse, SessionStateBuilderExt, WorkerResolver,
};
use url::Url;

use crate::channels::Channels;
use crate::wire::Wire;

/// A plan in stages, and what to run it in.
pub(crate) struct Distributed {
    /// The stages.
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// What to run them in.
    pub(crate) context: Arc<TaskContext>,
}

/// What plans are cut with.
pub(crate) struct Distribution {
    pub(crate) channels: Channels,
    pub(crate) wire: Arc<Wire>,
    pub(crate) task_bytes: u64,
}

impl Distribution {
    /// The stages of a plan on these workers; `None` if it has one stage, since it is not worth more.
    pub(crate) async fn of(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        workers: Vec<Url>,
        context: &TaskContext,
    ) -> Result<Option<Distributed>> {
        let config = context.session_config().clone();
        // A partition of a task reads its share of what a task reads.
        let partition_bytes = (self.task_bytes / config.target_partitions() as u64).max(1);
        let wire = self.wire.clone();
        let config = config
            .with_distributed_worker_resolver(Known(workers))
            .with_distributed_channel_resolver(self.channels.clone())
            .with_distributed_file_scan_config_bytes_per_partition(
                usize::try_from(partition_bytes).unwrap_or(usize::MAX),
            )?
            .with_distributed_children_isolator_unions(false)?
            .with_distributed_desired_task_count_handler(one_task_of_one_partition)
            .with_distributed_route_tasks_handler(move |stage: RouteTasksEvent<'_>| guard(&wire, stage));
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_query_planner(Arc::new(Ready(plan.clone())))
            .with_distributed_planner()
            .build();
        let plan = state.query_planner().create_physical_plan(&LogicalPlan::default(), &state).await?;
        if !plan.is::<DistributedExec>() {
            return Ok(None);
        }
        Ok(Some(Distributed { plan, context: Arc::new(with_config(context, state.config().clone())) }))
    }
}

/// A scan with one partition stays one task. What stands above it may rest on having all rows in one place, with no operator
/// between that gathers them: tasks would each have an aggregation of their part.
fn one_task_of_one_partition(leaf: DesiredTaskCountEvent<'_>) -> Option<Result<DesiredTaskCountEventResponse>> {
    let is_one = leaf.plan.children().is_empty() && leaf.plan.output_partitioning().partition_count() == 1;
    is_one.then(|| Ok(DesiredTaskCountEventResponse::maximum(1)))
}

/// The same context with another configuration.
fn with_config(context: &TaskContext, config: SessionConfig) -> TaskContext {
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    )
}

/// Refuses a stage of which something would be dropped on the way, whoever decided to send it. The last look before it goes.
fn guard(wire: &Wire, stage: RouteTasksEvent<'_>) -> Option<Result<RouteTasksEventResponse>> {
    wire.check(stage.plan).err().map(|stays| Err(stays.into()))
}

/// The workers of one try.
struct Known(Vec<Url>);

impl WorkerResolver for Known {
    fn get_urls(&self) -> Result<Vec<Url>> {
        Ok(self.0.clone())
    }
}

/// Plans nothing: the plan is there.
#[derive(Debug)]
struct Ready(Arc<dyn ExecutionPlan>);

#[async_trait]
impl QueryPlanner for Ready {
    async fn create_physical_plan(&self, _: &LogicalPlan, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self.0.clone())
    }
}
