//! Where the engine meets Ballista.

use std::sync::Arc;

use async_trait::async_trait;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use cluster::{Placement, Wire};
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use engine::Engine;

use crate::ballista_exec::BallistaExec;

/// The same engine, which has a Ballista cluster do parts of its queries.
///
/// - `scheduler_url`: of Ballista's scheduler, such as `http://127.0.0.1:50050`.
/// - `task_bytes`: a part that reads no more bytes of files stays here.
pub fn with_ballista(engine: Engine, scheduler_url: &str, task_bytes: u64) -> Engine {
    let planner = Planner { wire: Wire::new(&engine), scheduler_url: scheduler_url.into(), task_bytes };
    engine.with_planner(Arc::new(planner))
}

struct Planner {
    wire: Wire,
    scheduler_url: Arc<str>,
    task_bytes: u64,
}

impl std::fmt::Debug for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Planner").field("scheduler_url", &self.scheduler_url).finish_non_exhaustive()
    }
}

impl Planner {
    /// Whether Ballista does with a plan what this process does.
    fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
        self.wire.check_whole(plan)?;
        // Each of Ballista's tasks would answer the rows of one side that find no other, and hash joins alone are kept from it.
        if plan.exists(|node| Ok(node.is::<NestedLoopJoinExec>()))? {
            return Err(DataFusionError::Plan("a nested loop join stays here".into()));
        }
        let codec = BallistaPhysicalExtensionCodec::default();
        let same = self.wire.check_through(plan, |plan, context| {
            let sent = physical_plan_to_bytes_with_extension_codec(plan.clone(), &codec)?;
            physical_plan_from_bytes_with_extension_codec(&sent, context, &codec)
        });
        Ok(same?)
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(plan, session).await?;
        // What a plan took is known to those who ran it.
        if plan.is::<ExplainExec>() || plan.is::<AnalyzeExec>() {
            return Ok(plan);
        }
        let may_go = |plan: &Arc<dyn ExecutionPlan>| match self.check(plan) {
            Ok(()) => true,
            Err(why) => {
                tracing::debug!("a part of a query does not go to Ballista: {why}");
                false
            }
        };
        let sent = |plan: Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
            Ok(Arc::new(BallistaExec::new(plan, self.scheduler_url.clone())))
        };
        Placement { may_go, sent, task_bytes: self.task_bytes }.place(plan)
    }
}
