//! The operator whose rows come from a Ballista cluster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ballista_core::execution_plans::execute_physical_plan;
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use cluster::{in_one_partition, properties_of_source};
use datafusion::common::Statistics;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions, StatisticsArgs,
    StatisticsContext,
};
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::{TryStreamExt, stream};
use uuid::Uuid;

/// The most bytes of a message: a batch of rows is one, with all texts that its views share.
pub(crate) const MESSAGE_BYTES_MAX: u32 = 256 << 20;

/// Parts that were submitted by this process.
static SUBMITTED: AtomicU64 = AtomicU64::new(0);

/// Has a Ballista cluster run a plan.
#[derive(Debug)]
pub struct BallistaExec {
    /// With one partition, as this process would run it.
    plan: Arc<dyn ExecutionPlan>,
    scheduler_url: Arc<str>,
    properties: Arc<PlanProperties>,
}

impl BallistaExec {
    /// - `plan`: its partitions are made one, in its order.
    /// - `scheduler_url`: such as `http://127.0.0.1:50050`.
    pub fn new(plan: Arc<dyn ExecutionPlan>, scheduler_url: Arc<str>) -> Self {
        let plan = in_one_partition(plan);
        let properties = properties_of_source(&plan);
        Self { plan, scheduler_url, properties }
    }

    /// How many parts of queries this process has submitted.
    pub fn submitted() -> u64 {
        SUBMITTED.load(Ordering::Relaxed)
    }
}

impl DisplayAs for BallistaExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BallistaExec")
    }
}

impl ExecutionPlan for BallistaExec {
    fn name(&self) -> &str {
        "BallistaExec"
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

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.plan.as_ref(), args)
    }

    /// Each call is a job of its own. Ballista tries failed tasks again; a job that fails is an error of the query. Nothing cancels
    /// the job of a query that ends before it: nobody is told which one it is.
    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (plan, scheduler_url) = (self.plan.clone(), self.scheduler_url.to_string());
        let rows = stream::once(async move {
            SUBMITTED.fetch_add(1, Ordering::Relaxed);
            let config = context.session_config().clone().upgrade_for_ballista();
            let config = config.with_ballista_grpc_client_max_message_size(MESSAGE_BYTES_MAX as usize);
            let codec = BallistaPhysicalExtensionCodec::default();
            let session = Uuid::now_v7().to_string();
            let settings = config.ballista_config();
            execute_physical_plan::<PhysicalPlanNode>(scheduler_url, &settings, plan, &codec, session, config).await
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows.try_flatten())))
    }
}
