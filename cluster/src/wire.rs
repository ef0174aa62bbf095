//! Which plans another process may run: those that are the same behind the wire.
//!
//! DataFusion's wire form of a plan drops what it does not know without an error. Dropped, the rows to skip of a pending file
//! would count copies and show erased people; a part that confines a read key would show other sites. So whatever is not
//! known to arrive whole stays: operators, expressions and files are listed here, and the rest is refused.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::physical_plan::{FileScanConfig, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{FunctionRegistry, SessionState, TaskContext};
use datafusion::logical_expr::{AggregateUDF, Volatility};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr,
    Literal, NegativeExpr, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion_distributed::{
    BroadcastExec, DistributedCodec, DistributedLeafExec, NetworkBroadcastExec, NetworkCoalesceExec, NetworkShuffleExec,
};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_proto_converter, physical_plan_to_bytes_with_proto_converter,
};
use datafusion_proto::physical_plan::DeduplicatingProtoConverter;
use engine::Engine;
use lake::Lake;

/// Why a plan stays where it was made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Stays {
    /// An operator is not known to arrive whole.
    #[error("the operator {0} stays here")]
    Operator(String),
    /// An expression is not known to arrive whole.
    #[error("the expression {0} stays here")]
    Expression(String),
    /// A worker has another function of this name, or none, or it gives another answer each time.
    #[error("the function {0} stays here")]
    Function(String),
    /// A file may change, or has something to it that the wire drops, such as rows to skip.
    #[error("the file {0} is read here")]
    File(String),
    /// A scan has something to it that the wire drops.
    #[error("a scan with {0} stays here")]
    Scan(&'static str),
    /// What came out of the wire form is another plan, or nothing.
    #[error("the plan is not the same behind the wire: {0}")]
    Changed(String),
}

impl From<Stays> for DataFusionError {
    fn from(stays: Stays) -> Self {
        Self::External(Box::new(stays))
    }
}

/// What plans are checked with.
pub struct Wire {
    lake: Lake,
    store: ObjectStoreUrl,
    /// A state as workers have it, with the functions that they find by name.
    known: SessionState,
}

impl Wire {
    /// - `engine`: makes the plans, and has the functions that those who run them find by name.
    pub fn new(engine: &Engine) -> Self {
        let store = ObjectStoreUrl::parse(engine.lake().store_url()).expect("the engine reads the store by this URL");
        Self { lake: engine.lake().clone(), store, known: engine.worker_state(Default::default()) }
    }

    /// Checks every operator of a plan: whether nothing of it is dropped.
    pub fn check(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(), Stays> {
        self.check_operator(plan)?;
        plan.children().into_iter().try_for_each(|input| self.check(input))
    }

    /// Sends a plan through the wire form and looks at what comes out: the same, as far as it can be read.
    pub fn check_whole(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(), Stays> {
        self.check(plan)?;
        self.check_through(plan, |plan, _| self.through(plan))
    }

    /// Looks at what comes out of any wire form: the same plan, as far as it can be read.
    ///
    /// - `through`: sends a plan through it, to a context as those have it who run it.
    pub fn check_through(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        through: impl FnOnce(&Arc<dyn ExecutionPlan>, &TaskContext) -> Result<Arc<dyn ExecutionPlan>>,
    ) -> Result<(), Stays> {
        let arrived = through(plan, &self.known.task_ctx());
        let arrived = arrived.map_err(|error| Stays::Changed(error.strip_backtrace()))?;
        let read = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(false).to_string();
        let (sent, arrived) = (read(plan), read(&arrived));
        match sent == arrived {
            true => Ok(()),
            false => {
                let mut lines = sent.lines().zip(arrived.lines()).filter(|(sent, arrived)| sent != arrived);
                let (sent, arrived) = lines.next().unwrap_or_default();
                Err(Stays::Changed(format!("{} became {}", sent.trim(), arrived.trim())))
            }
        }
    }

    fn through(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let codec = DistributedCodec::new_combined_with_user(self.known.config());
        let sent =
            physical_plan_to_bytes_with_proto_converter(plan.clone(), &codec, &DeduplicatingProtoConverter::default())?;
        let (context, arriving) = (self.known.task_ctx(), DeduplicatingProtoConverter::default());
        physical_plan_from_bytes_with_proto_converter(&sent, &context, &codec, &arriving)
    }

    fn check_operator(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<(), Stays> {
        if let Some(scan) = plan.downcast_ref::<DataSourceExec>() {
            match scan.data_source().downcast_ref::<FileScanConfig>() {
                Some(scan) => self.check_scan(scan)?,
                None => return Err(Stays::Operator(plan.name().to_owned())),
            }
        } else if !is_known(plan.as_ref()) {
            return Err(Stays::Operator(plan.name().to_owned()));
        }
        if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
            aggregate.aggr_expr().iter().try_for_each(|expr| self.check_aggregate(expr.fun()))?;
        }
        let mut stays = Ok(());
        let walked = plan.apply_expressions(&mut |root| {
            root.apply(|expr| {
                stays = self.check_expression(expr);
                Ok(if stays.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
            })
        });
        walked.map_err(|error| Stays::Changed(error.strip_backtrace()))?;
        stays
    }

    fn check_scan(&self, scan: &FileScanConfig) -> Result<(), Stays> {
        if !scan.file_source().is::<ParquetSource>() {
            return Err(Stays::Scan("files of another kind"));
        }
        if scan.object_store_url != self.store {
            return Err(Stays::Scan("another store"));
        }
        if scan.expr_adapter_factory.is_some() {
            return Err(Stays::Scan("a schema of its own"));
        }
        if scan.preserve_order && scan.output_ordering.is_empty() {
            return Err(Stays::Scan("files in an order that nothing says"));
        }
        // The wire form has 32 bits for it.
        if scan.limit.is_some_and(|limit| u32::try_from(limit).is_err()) {
            return Err(Stays::Scan("a limit of so many rows"));
        }
        for file in scan.file_groups.iter().flat_map(|group| group.iter()) {
            let path = &file.object_meta.location;
            if !file.extensions.is_empty() || !self.lake.is_of_table(path) {
                return Err(Stays::File(path.to_string()));
            }
        }
        Ok(())
    }

    fn check_expression(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<(), Stays> {
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
            let same = self.known.udf(call.fun().name()).is_ok_and(|known| *known == *call.fun());
            return match same && call.fun().signature().volatility != Volatility::Volatile {
                true => Ok(()),
                false => Err(Stays::Function(call.fun().name().to_owned())),
            };
        }
        let is_known = expr.is::<Column>()
            || expr.is::<Literal>()
            || expr.is::<BinaryExpr>()
            || expr.is::<CaseExpr>()
            || expr.is::<CastExpr>()
            || expr.is::<TryCastExpr>()
            || expr.is::<InListExpr>()
            || expr.is::<IsNullExpr>()
            || expr.is::<IsNotNullExpr>()
            || expr.is::<NotExpr>()
            || expr.is::<NegativeExpr>()
            || expr.is::<LikeExpr>()
            || expr.is::<DynamicFilterPhysicalExpr>();
        if is_known { Ok(()) } else { Err(Stays::Expression(expr.to_string())) }
    }

    fn check_aggregate(&self, function: &AggregateUDF) -> Result<(), Stays> {
        match self.known.udaf(function.name()).is_ok_and(|known| *known == *function) {
            true => Ok(()),
            false => Err(Stays::Function(function.name().to_owned())),
        }
    }
}

/// Operators that arrive as they were sent. Windows are not among them: what their functions ignore and filter is not sent.
/// The last ones are those between processes.
fn is_known(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<AggregateExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<CrossJoinExec>()
        || plan.is::<EmptyExec>()
        || plan.is::<FilterExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<HashJoinExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<NestedLoopJoinExec>()
        || plan.is::<ProjectionExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<UnionExec>()
        || plan.is::<BroadcastExec>()
        || plan.is::<DistributedLeafExec>()
        || plan.is::<NetworkBroadcastExec>()
        || plan.is::<NetworkCoalesceExec>()
        || plan.is::<NetworkShuffleExec>()
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::collect;
    use engine::{EngineSettings, Scope, View};
    use lake::{Person, PersonId};

    use super::*;
    use crate::stored::{event_of, pend, publish};

    /// A view of one published event, and of pending ones: a copy of it, one of somebody erased since, and one of another
    /// site.
    async fn view() -> View {
        let lake = Lake::open("memory:///", []).unwrap();
        let event = |site: &str, who: &str| event_of(site, who, "2026-03-01T10:00:00Z", "page_view", "/");
        publish(&lake, &[event("shop", "ada")]).await;
        pend(&lake, &[event("shop", "ada"), event("shop", "eve"), event("blog", "bob")]).await;
        let eve = Person { site_id: "shop".into(), id: PersonId::User("eve".into()) };
        lake.record_erasure(&eve, [], "2026-03-02T00:00:00Z".parse().unwrap()).await.unwrap();
        Engine::new(lake, &EngineSettings::default()).unwrap().view().await.unwrap()
    }

    async fn planned(view: &View, sql: &str) -> Arc<dyn ExecutionPlan> {
        let session = view.session(&Scope::Lake).unwrap();
        session.plan(sql, &[]).await.unwrap().create_physical_plan().await.unwrap()
    }

    async fn rows(view: &View, plan: Arc<dyn ExecutionPlan>) -> usize {
        let context = view.engine().worker_state(Default::default()).task_ctx();
        collect(plan, context).await.unwrap().iter().map(|batch| batch.num_rows()).sum()
    }

    #[tokio::test]
    async fn pending_rows_stay_because_the_wire_would_show_copies_and_erased_people() {
        let view = view().await;
        let wire = Wire::new(view.engine());
        let plan = planned(&view, "SELECT path FROM events").await;
        assert_eq!(rows(&view, plan.clone()).await, 2);
        // What a worker would be given: all rows of the pending file, without an error.
        let arrived = wire.through(&plan).unwrap();
        assert_eq!(rows(&view, arrived).await, 4);
        assert!(matches!(wire.check(&plan), Err(Stays::File(file)) if file.contains("raw/")));
    }

    #[tokio::test]
    async fn what_a_read_key_is_confined_to_stays_and_so_does_what_is_made_of_sessions() {
        let view = view().await;
        let wire = Wire::new(view.engine());
        let session = view.confined_session(&["blog".into()], None).unwrap();
        let plan =
            session.plan("SELECT count(*) FROM events", &[]).await.unwrap().create_physical_plan().await.unwrap();
        assert_eq!(wire.check(&plan), Err(Stays::Operator("ConfinedExec".into())));
        let plan = planned(&view, "SELECT count(*) FROM sessions").await;
        assert_eq!(wire.check(&plan), Err(Stays::Operator("SessionScanExec".into())));
    }

    #[tokio::test]
    async fn what_workers_would_do_otherwise_stays() {
        let lake = Lake::open("memory:///", []).unwrap();
        publish(&lake, &[event_of("shop", "ada", "2026-03-01T10:00:00Z", "page_view", "/")]).await;
        let view = Engine::new(lake, &EngineSettings::default()).unwrap().view().await.unwrap();
        let wire = Wire::new(view.engine());
        for (sql, expected) in [
            ("SELECT name, count(*), count(DISTINCT visitor_id) FROM events GROUP BY name", Ok(())),
            ("SELECT json_get_str(properties, 'plan'), max(path) FROM events GROUP BY 1", Ok(())),
            ("SELECT max(random()) FROM events", Err(Stays::Function("random".into()))),
            (
                "SELECT lag(path) IGNORE NULLS OVER (ORDER BY occurred_at) FROM events",
                Err(operator("BoundedWindowAggExec")),
            ),
            (
                "SELECT path FROM events ORDER BY occurred_at LIMIT 3",
                Err(Stays::Scan("files in an order that nothing says")),
            ),
        ] {
            let plan = planned(&view, sql).await;
            assert_eq!(wire.check_whole(&plan), expected, "{sql}");
        }
    }

    fn operator(name: &str) -> Stays {
        Stays::Operator(name.to_owned())
    }
}
