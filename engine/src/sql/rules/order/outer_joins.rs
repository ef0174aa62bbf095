//! No constants where rows are filled with nulls: on a side of an outer join, and in the keys of ROLLUP and CUBE.
//!
//! DataFusion notes with each operator which of its columns have one value in all rows, and which two columns are equal:
//! after `SELECT 'x' AS k`, or under `WHERE k = 'x'`, `k` is a constant. Over `a LEFT JOIN b` it is none any more where it
//! comes from b, since rows of a without a partner have null there. It still counts as one: it is left out of ORDER BY and
//! of the order of a window, and groups by it are taken to be sorted already. Other rows behind a LIMIT, other ranks,
//! without a word. (DataFusion 55.2: `EquivalenceGroup::join` keeps what is known of both inputs for every kind of join.)
//!
//! The keys of ROLLUP, CUBE and GROUPING SETS are null in the groups that leave them out, and count as constant just so.
//!
//! An operator that knows none of it stands between the join and such an input, and above such an aggregate. It hands the rows on as they are.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PiecewiseMergeJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

use super::forgetful::Forgetful;
use crate::sql::rules::physical::{DECIDES_ORDER, Rule, around, of_each_operator};

/// The rules, with one that takes constants away at the beginning and before the one that would believe them: others
/// in between make operators anew.
pub(super) fn forgetting_constants(rules: Vec<Rule>) -> Vec<Rule> {
    let forget = of_each_operator("forget_constants", forget_constants);
    let mut all = around(rules, DECIDES_ORDER, std::slice::from_ref(&forget), &[]);
    all.insert(0, forget);
    all
}

fn forget_constants(plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let sides = filled_sides(plan.as_ref());
    let inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
    let is_believed = |side: usize, input: &Arc<dyn ExecutionPlan>| {
        (sides.contains(&side) || has_grouping_sets(input)) && !input.equivalence_properties().eq_group().is_empty()
    };
    if !inputs.iter().enumerate().any(|(side, input)| is_believed(side, input)) {
        return Ok(Transformed::no(plan));
    }
    let inputs = inputs.iter().enumerate().map(|(side, input)| match is_believed(side, input) {
        true => filled_with_nulls(input.clone()),
        false => input.clone(),
    });
    let inputs = inputs.collect();
    Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?))
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

/// Whether keys are null in some of the groups: ROLLUP, CUBE, GROUPING SETS.
fn has_grouping_sets(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| !aggregate.group_expr().is_single())
}

/// The rows of the input, of whose columns only the order is known.
fn filled_with_nulls(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    Forgetful::over(input, "FilledWithNulls", |known| {
        EquivalenceProperties::new_with_orderings(Arc::clone(known.schema()), known.oeq_class().clone())
    })
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;
    use crate::sql::rules::physical::names_of;

    #[test]
    fn the_rule_that_believes_constants_is_there() {
        let rules = forgetting_constants(PhysicalOptimizer::new().rules);
        let names = names_of(&rules);
        let place = names.iter().position(|name| *name == DECIDES_ORDER);
        let place = place.unwrap_or_else(|| panic!("{DECIDES_ORDER} has another name now: {names:?}"));
        assert_eq!(names[place - 1], "forget_constants");
    }
}
