//! Where a plan runs: which parts of it workers do, and which the coordinator.
//!
//! A part goes to workers if all of it may (see [`wire`](crate::wire)), if it makes rows fewer, since its rows come back
//! over the network, and if it reads enough for more than one task. The largest such parts go. A table that has pending rows
//! is a union of published and pending ones. What stands on the union and treats each partition apart is done for either
//! half: so an aggregation counts published rows on workers and pending ones here, and only counts meet.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, PlanProperties, replace_children_if_necessary,
};

type Plan = Arc<dyn ExecutionPlan>;

/// Which parts of a plan go to workers, whichever these are.
pub struct Placement<M, S> {
    /// Whether workers may run a plan.
    pub may_go: M,
    /// Makes the operator that has workers run a plan. It has one partition, in the order of the plan.
    pub sent: S,
    /// A part that reads no more bytes of files stays.
    pub task_bytes: u64,
}

impl<M: Fn(&Plan) -> bool, S: Fn(Plan) -> Result<Plan>> Placement<M, S> {
    /// The same plan with its largest parts that go to workers replaced by operators that send them.
    pub fn place(&self, plan: Plan) -> Result<Plan> {
        self.place_part(plan, true)
    }

    /// - `is_free`: whether the part may have another number of partitions than it has.
    fn place_part(&self, plan: Plan, is_free: bool) -> Result<Plan> {
        if is_free && self.goes(&plan) {
            return (self.sent)(plan);
        }
        let plan = if is_free { self.above_halves(plan)? } else { plan };
        let inputs = plan.children().into_iter().map(|input| {
            let is_free = frees_inputs(plan.as_ref())
                || is_free && (is_apart(plan.as_ref()) || plan.is::<UnionExec>())
                || input.output_partitioning().partition_count() == 1;
            self.place_part(input.clone(), is_free)
        });
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        replace_children_if_necessary(plan, inputs)
    }

    /// Whether a whole plan goes to workers.
    fn goes(&self, plan: &Plan) -> bool {
        makes_fewer(plan) && bytes_read(plan) > self.task_bytes && (self.may_go)(plan)
    }

    /// A plan over a union as a union of plans, if one of them goes to workers.
    fn above_halves(&self, plan: Plan) -> Result<Plan> {
        match halves(&plan)? {
            Some(halves) if !plan.is::<UnionExec>() && halves.iter().any(|half| self.goes(half)) => {
                UnionExec::try_new(halves)
            }
            _ => Ok(plan),
        }
    }
}

/// The inputs of a union with what stands on the union done to each of them.
fn halves(plan: &Plan) -> Result<Option<Vec<Plan>>> {
    if plan.is::<UnionExec>() {
        return Ok(Some(plan.children().into_iter().cloned().collect()));
    }
    if !is_apart(plan.as_ref()) {
        return Ok(None);
    }
    let Some(inputs) = halves(plan.children()[0])? else { return Ok(None) };
    let over = |input| replace_children_if_necessary(plan.clone(), vec![input]);
    inputs.into_iter().map(over).collect::<Result<_>>().map(Some)
}

/// The same plan with one partition, in its order.
pub fn in_one_partition(plan: Plan) -> Plan {
    match (plan.output_partitioning().partition_count(), plan.output_ordering()) {
        (1, _) => plan,
        (_, Some(order)) => Arc::new(SortPreservingMergeExec::new(order.clone(), plan)),
        (_, None) => Arc::new(CoalescePartitionsExec::new(plan)),
    }
}

/// The properties of an operator that has the rows of a plan with one partition, as a scan has its own.
pub fn properties_of_source(plan: &Plan) -> Arc<PlanProperties> {
    let known = plan.equivalence_properties();
    let known = EquivalenceProperties::new_with_orderings(plan.schema(), known.oeq_class().clone());
    let properties = plan.properties().as_ref().clone().with_eq_properties(known);
    Arc::new(properties.with_partitioning(Partitioning::UnknownPartitioning(1)))
}

/// Whether an operator does the same to each partition whatever the others have, or deals rows out in any order.
fn is_apart(plan: &dyn ExecutionPlan) -> bool {
    let is_partial = |aggregate: &AggregateExec| *aggregate.mode() == AggregateMode::Partial;
    plan.is::<ProjectionExec>()
        || plan.is::<CooperativeExec>()
        || plan.is::<LocalLimitExec>()
        || plan.is::<FilterExec>() && plan.fetch().is_none()
        || plan.downcast_ref::<AggregateExec>().is_some_and(is_partial)
        || plan.downcast_ref::<SortExec>().is_some_and(SortExec::preserve_partitioning)
        || plan.downcast_ref::<RepartitionExec>().is_some_and(deals_out)
}

fn deals_out(repartition: &RepartitionExec) -> bool {
    matches!(repartition.partitioning(), Partitioning::RoundRobinBatch(_)) && !repartition.preserve_order()
}

/// Whether an operator takes any number of partitions.
fn frees_inputs(plan: &dyn ExecutionPlan) -> bool {
    plan.is::<CoalescePartitionsExec>() || plan.is::<SortPreservingMergeExec>() || plan.is::<RepartitionExec>()
}

/// Whether fewer rows come out of a plan than its scans read: it groups, or keeps the first ones.
fn makes_fewer(plan: &Plan) -> bool {
    plan.is::<AggregateExec>() || plan.fetch().is_some() || plan.children().into_iter().any(makes_fewer)
}

/// The bytes of all files that a plan reads.
fn bytes_read(plan: &Plan) -> u64 {
    let scan = plan.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref());
    let own = scan.map_or(0, |scan: &FileScanConfig| {
        scan.file_groups.iter().flat_map(|group| group.iter()).map(|file| file.effective_size()).sum()
    });
    own + plan.children().into_iter().map(bytes_read).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::empty::EmptyExec;
    use engine::{Engine, EngineSettings, Scope, View};
    use lake::Lake;

    use super::*;
    use crate::stored::{event_of, pend, publish};
    use crate::wire::Wire;

    /// A view of events that are published and, if it is to have some, of pending ones.
    async fn view(has_pending: bool) -> View {
        let lake = Lake::open("memory:///", []).unwrap();
        let event = |who: &str| event_of("shop", who, "2026-03-01T10:00:00Z", "page_view", "/");
        publish(&lake, &[event("ada"), event("bob")]).await;
        if has_pending {
            pend(&lake, &[event("eve")]).await;
        }
        let settings = EngineSettings { query_threads: Some(2), ..EngineSettings::default() };
        Engine::new(lake, &settings).unwrap().view().await.unwrap()
    }

    /// The operators of a plan, those that deal rows out and nothing else left out. A part that was sent is `sent`.
    fn shape(plan: &Plan) -> String {
        let inputs: Vec<String> = plan.children().into_iter().map(shape).collect();
        let name = match plan.name().trim_end_matches("Exec") {
            "Empty" => return "sent".to_owned(),
            "Cooperative" | "Repartition" | "CoalescePartitions" => return inputs.join(", "),
            name => name.to_lowercase(),
        };
        if inputs.is_empty() { name } else { format!("{name}({})", inputs.join(", ")) }
    }

    async fn check(has_pending: bool, sql: &str, task_bytes: u64, expected: &str) {
        let view = view(has_pending).await;
        let wire = Wire::new(view.engine());
        let session = view.session(&Scope::Lake).unwrap();
        let plan = session.plan(sql, &[]).await.unwrap().create_physical_plan().await.unwrap();
        let placement = Placement {
            may_go: |plan: &Plan| wire.check_whole(plan).is_ok(),
            sent: |plan: Plan| Ok(Arc::new(EmptyExec::new(plan.schema())) as Plan),
            task_bytes,
        };
        assert_eq!(shape(&placement.place(plan).unwrap()), expected, "{sql}");
    }

    const GROUPS: &str = "SELECT path, count(DISTINCT user_id) FROM events WHERE name = 'page_view' GROUP BY path";

    #[tokio::test]
    async fn a_plan_of_published_events_goes_whole() {
        check(false, GROUPS, 1, "sent").await;
        check(false, "SELECT path, count(*) FROM events GROUP BY path ORDER BY 2 DESC LIMIT 3", 1, "sent").await;
    }

    #[tokio::test]
    async fn of_pending_and_published_events_the_published_half_goes_as_far_as_each_is_counted_apart() {
        check(true, "SELECT count(*) FROM events", 1, "projection(aggregate(union(sent, aggregate(datasource))))")
            .await;
    }

    #[tokio::test]
    async fn what_reads_little_or_makes_no_fewer_rows_stays() {
        check(false, "SELECT sum(revenue) FROM events", 1 << 30, "aggregate(aggregate(datasource))").await;
        check(false, "SELECT path FROM events", 1, "datasource").await;
    }
}
