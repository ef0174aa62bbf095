//! Rows that are skipped stay the ones that are skipped.
//!
//! Where DataFusion decides the order of rows, it hands a sort from above an OFFSET to below it, and with it the number of
//! rows behind the OFFSET, not the number in front of its end. `SELECT … FROM (… ORDER BY a LIMIT 2 OFFSET 2) ORDER BY a`
//! over a window has no rows then, and `SELECT … FROM (… ORDER BY a OFFSET 5) ORDER BY b` skips the first five by b, both
//! without a word. (DataFusion 55.2: `pushdown_requirement_to_children` takes `fetch` without `skip`, and `GlobalLimitExec`
//! for an operator that a sort may pass.)
//!
//! A sort by columns that are not read behind an OFFSET is even left out: behind the projection nobody sees its order.
//!
//! While the order is decided, such a limit is hidden in an operator that requires the order it has below, says nothing of
//! it above, and hands nothing on. What is asked for above is sorted there. It stands below projections, where all columns
//! of its order are.

use std::fmt;
use std::sync::Arc;

use datafusion::common::Statistics;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, OrderingRequirements};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream, StatisticsArgs, replace_children_if_necessary,
};

use crate::plan_inputs::plan_over_inputs;
use crate::sql::rules::physical::{DECIDES_ORDER, Rule, around, of_each_operator};

/// The rules, with two around the one that would take a sort past an OFFSET.
pub(super) fn hiding_offsets(rules: Vec<Rule>) -> Vec<Rule> {
    around(
        rules,
        DECIDES_ORDER,
        &[of_each_operator("hide_offsets", hide_offset)],
        &[of_each_operator("show_offsets", show_offset)],
    )
}

fn hide_offset(plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    match plan.downcast_ref::<GlobalLimitExec>() {
        Some(limit) if limit.skip() > 0 => Ok(Transformed::yes(hidden(limit, limit.input())?)),
        _ => Ok(Transformed::no(plan)),
    }
}

/// The rows of `input` that `limit` leaves.
fn hidden(limit: &GlobalLimitExec, input: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    match input.downcast_ref::<ProjectionExec>() {
        Some(projection) => {
            let below = hidden(limit, projection.input())?;
            replace_children_if_necessary(input.clone(), vec![below])
        }
        None => {
            let order = input.output_ordering().filter(|_| comes_sorted(input));
            Ok(HiddenLimit::over(input.clone(), limit, order.cloned().map(OrderingRequirements::from)))
        }
    }
}

/// Whether somebody asked for the order of rows. Rows of a file come in one, too, which nobody has to keep.
fn comes_sorted(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let keeps_order = || plan.maintains_input_order() == [true];
    plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || keeps_order() && plan.children().into_iter().all(comes_sorted)
}

fn show_offset(plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    match plan.downcast_ref::<HiddenLimit>() {
        Some(hidden) => Ok(Transformed::yes(Arc::new(hidden.limit.clone()) as _)),
        None => Ok(Transformed::no(plan)),
    }
}

/// A limit that no sort passes.
#[derive(Clone, Debug)]
struct HiddenLimit {
    limit: GlobalLimitExec,
    required: Option<OrderingRequirements>,
    properties: Arc<PlanProperties>,
}

impl HiddenLimit {
    fn over(
        input: Arc<dyn ExecutionPlan>,
        like: &GlobalLimitExec,
        required: Option<OrderingRequirements>,
    ) -> Arc<dyn ExecutionPlan> {
        let limit = GlobalLimitExec::new(input, like.skip(), like.fetch());
        let nothing = EquivalenceProperties::new(limit.schema());
        let properties = Arc::new(limit.properties().as_ref().clone().with_eq_properties(nothing));
        Arc::new(Self { limit, required, properties })
    }

    fn of_inputs(&self, mut inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Self::over(inputs.swap_remove(0), &self.limit, self.required.clone()))
    }
}

impl DisplayAs for HiddenLimit {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HiddenLimit")
    }
}

impl ExecutionPlan for HiddenLimit {
    fn name(&self) -> &str {
        "HiddenLimit"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![self.required.clone()]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![self.limit.input()]
    }

    plan_over_inputs!();

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.limit.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.limit.child_stats_requests(partition)
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        self.limit.statistics_from_inputs(inputs, args)
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::LowerEqual
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;
    use crate::sql::rules::physical::names_of;

    #[test]
    fn the_rule_that_takes_sorts_past_an_offset_is_there() {
        let rules = hiding_offsets(PhysicalOptimizer::new().rules);
        let names = names_of(&rules);
        let around = ["hide_offsets", DECIDES_ORDER, "show_offsets"];
        assert_eq!(names.windows(3).filter(|names| *names == around).count(), 1, "{names:?}");
    }
}
