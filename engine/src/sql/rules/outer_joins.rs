//! No constants on the side of an outer join that is filled with nulls.
//!
//! DataFusion notes with each operator which of its columns have one value in all rows, and which two columns are equal:
//! after `SELECT 'x' AS k`, or under `WHERE k = 'x'`, `k` is a constant. Over `a LEFT JOIN b` it is none any more where it
//! comes from b, since rows of a without a partner have null there. It still counts as one: it is left out of ORDER BY and
//! of the order of a window, and groups by it are taken to be sorted already. Other rows behind a LIMIT, other ranks,
//! without a word. (DataFusion 55.2: `EquivalenceGroup::join` keeps what is known of both inputs for every kind of join.)
//!
//! An operator that knows none of it stands between the join and such an input. It hands the rows on as they are.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, ReplaceChildrenOptions};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
    SendableRecordBatchStream, StatisticsArgs, replace_children_if_necessary,
};

type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The rule that leaves sorts out where it takes rows to be in order already.
const RULE_THAT_TRUSTS: &str = "EnsureRequirements";

/// The rules, with one that takes constants away at the beginning and before the one that would believe them: others
/// in between make operators anew.
pub(super) fn forgetting_constants(rules: Vec<Rule>) -> Vec<Rule> {
    let mut all: Vec<Rule> = vec![Arc::new(ForgetConstants)];
    for rule in rules {
        if rule.name() == RULE_THAT_TRUSTS {
            all.push(Arc::new(ForgetConstants));
        }
        all.push(rule);
    }
    all
}

#[derive(Debug)]
struct ForgetConstants;

impl PhysicalOptimizerRule for ForgetConstants {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let filled = filled_sides(plan.as_ref());
            let inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
            let is_trusted = |side: usize| !inputs[side].equivalence_properties().eq_group().is_empty();
            if !filled.iter().any(|side| is_trusted(*side)) {
                return Ok(Transformed::no(plan));
            }
            let inputs =
                inputs.iter().enumerate().map(|(side, input)| match filled.contains(&side) && is_trusted(side) {
                    true => Arc::new(FilledWithNulls::over(input.clone())),
                    false => input.clone(),
                });
            let inputs = inputs.collect();
            Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "forget_constants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The inputs of an outer join whose columns are null in rows without a partner.
fn filled_sides(plan: &dyn ExecutionPlan) -> &'static [usize] {
    let hash = || plan.downcast_ref::<HashJoinExec>().map(|join| *join.join_type());
    let nested = || plan.downcast_ref::<NestedLoopJoinExec>().map(|join| *join.join_type());
    let merge = || plan.downcast_ref::<SortMergeJoinExec>().map(|join| join.join_type());
    let piecewise = || plan.downcast_ref::<PiecewiseMergeJoinExec>().map(|join| join.join_type());
    match hash().or_else(nested).or_else(merge).or_else(piecewise) {
        Some(JoinType::Left) => &[1],
        Some(JoinType::Right) => &[0],
        Some(JoinType::Full) => &[0, 1],
        _ => &[],
    }
}

/// The rows of its input, of whose columns only the order is known.
#[derive(Clone, Debug)]
struct FilledWithNulls {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl FilledWithNulls {
    fn over(input: Arc<dyn ExecutionPlan>) -> Self {
        let orderings = input.equivalence_properties().oeq_class().clone();
        let known = EquivalenceProperties::new_with_orderings(input.schema(), orderings);
        let properties = input.properties().as_ref().clone().with_eq_properties(known);
        Self { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for FilledWithNulls {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilledWithNulls")
    }
}

impl ExecutionPlan for FilledWithNulls {
    fn name(&self) -> &str {
        "FilledWithNulls"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
        Ok(Arc::new(Self::over(children.swap_remove(0))))
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::over(children.swap_remove(0))))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(inputs[0].clone())
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let swapped = self.input.try_swapping_with_projection(projection)?;
        Ok(swapped.map(|input| Arc::new(Self::over(input)) as Arc<dyn ExecutionPlan>))
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(filters, &self.children())
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(result))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    #[test]
    fn the_rule_that_believes_constants_is_there() {
        let rules = forgetting_constants(PhysicalOptimizer::new().rules);
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let place = names.iter().position(|name| *name == RULE_THAT_TRUSTS);
        let place = place.unwrap_or_else(|| panic!("{RULE_THAT_TRUSTS} has another name now: {names:?}"));
        assert_eq!(names[place - 1], "forget_constants");
    }
}
