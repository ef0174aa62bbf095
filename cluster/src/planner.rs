//! Where the engine meets workers: a planner that makes DataFusion's plan, and has workers do what
//! [`placement`](crate::placement) says.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::analyze::AnalyzeExec;
use datafusion::physical_plan::explain::ExplainExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use engine::Engine;

use crate::distribution::Distribution;
use crate::explained::{ExplainedExec, parts};
use crate::greeting::{Build, Greeting};
use crate::placement::Placement;
use crate::wire::Wire;
use crate::workers::{Workers, WorkersError, WorkersFlags};
use crate::workers_exec::WorkersExec;

/// Fewer than two workers would do alone what this process does alone.
const WORKERS_MIN: usize = 2;

/// The same engine, which has workers do parts of its queries if the flags name any.
pub async fn with_workers(engine: Engine, flags: &WorkersFlags) -> Result<Engine, WorkersError> {
    if !flags.names_any() {
        return Ok(engine);
    }
    let build = Build::of_this_program().map_err(WorkersError::Program)?;
    let greeting = Greeting::new(build, engine.lake().clone());
    let workers = Workers::find(flags, Arc::new(greeting)).await?;
    let wire = Arc::new(Wire::new(&engine));
    let (channels, task_bytes) = (workers.channels().clone(), workers.task_bytes());
    let distribution = Arc::new(Distribution { channels, wire: wire.clone(), task_bytes });
    Ok(engine.with_planner(Arc::new(Planner { workers, wire, distribution })))
}

struct Planner {
    workers: Workers,
    wire: Arc<Wire>,
    distribution: Arc<Distribution>,
}

impl fmt::Debug for Planner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planner").finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(&self, plan: &LogicalPlan, session: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = DefaultPhysicalPlanner::default().create_physical_plan(plan, session).await?;
        if self.workers.usable().len() < WORKERS_MIN || plan.is::<ExplainExec>() {
            return Ok(plan);
        }
        let Some(analyze) = plan.downcast_ref::<AnalyzeExec>() else { return self.place(plan) };
        let placed = self.place(analyze.input().clone())?;
        let works = !parts(&placed).is_empty();
        let analyze = replace_children_if_necessary(plan, vec![placed])?;
        Ok(if works { Arc::new(ExplainedExec::new(analyze)) } else { analyze })
    }
}

impl Planner {
    fn place(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let may_go = |plan: &Arc<dyn ExecutionPlan>| match self.wire.check_whole(plan) {
            Ok(()) => true,
            Err(stays) => {
                tracing::debug!("a part of a query does not go to workers: {stays}");
                false
            }
        };
        let sent = |plan: Arc<dyn ExecutionPlan>| -> Result<Arc<dyn ExecutionPlan>> {
            Ok(Arc::new(WorkersExec::new(plan, self.workers.clone(), self.distribution.clone())))
        };
        Placement { may_go, sent, task_bytes: self.distribution.task_bytes }.place(plan)
    }
}
