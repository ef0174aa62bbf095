//! A join's rows come in the order of the side that is read as it comes, and of no other.
//!
//! A hash join keeps one side in memory and reads the other. DataFusion takes the order of its rows for that of the side it
//! reads, then that of the side in memory. Where rows of the first are equal in their order, the rows of the second begin
//! anew with each of them: `row_number() OVER (PARTITION BY b.k ORDER BY a.n, b.n)` over a join by k of windows is not
//! sorted by `a.n` then, without a word. (DataFusion 55.2: `join_equivalence_properties` puts each order of one side behind
//! each of the other.)
//!
//! An operator that does not know the order stands between the join and what it keeps in memory. It hands the rows on as
//! they are, and goes again where there is no order after all or nobody asks for one.

use std::sync::Arc;

use datafusion::common::JoinType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

use super::forgetful::Forgetful;
use crate::sql::rules::physical::{DECIDES_ORDER, Rule, around, of_each_operator};

/// The operator's name.
pub(super) const NAME: &str = "OrderForgotten";

/// The rules, with one before that which would believe it.
pub(super) fn forgetting_orders_in_memory(rules: Vec<Rule>) -> Vec<Rule> {
    around(rules, DECIDES_ORDER, &[of_each_operator("forget_orders_in_memory", forget_order_in_memory)], &[])
}

fn forget_order_in_memory(
    plan: Arc<dyn ExecutionPlan>,
    _: &ConfigOptions,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let Some(join) = plan.downcast_ref::<HashJoinExec>() else { return Ok(Transformed::no(plan)) };
    let is_believed = matches!(join.join_type(), JoinType::Inner | JoinType::Right);
    if !is_believed || !may_be_ordered(join.left())? || !may_be_ordered(join.right())? {
        return Ok(Transformed::no(plan));
    }
    let in_memory = Forgetful::over(join.left().clone(), NAME, |known| {
        let mut known = known.clone();
        known.clear_orderings();
        known
    });
    let inputs = vec![in_memory, join.right().clone()];
    Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?))
}

/// Whether rows have an order, or will have one: the sort for a window comes later.
fn may_be_ordered(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    plan.exists(|plan| {
        let asks_for_order = || plan.required_input_ordering().iter().any(Option::is_some);
        Ok(plan.output_ordering().is_some() || asks_for_order())
    })
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;
    use crate::sql::rules::physical::names_of;

    #[test]
    fn the_rule_that_believes_orders_is_there() {
        let rules = forgetting_orders_in_memory(PhysicalOptimizer::new().rules);
        let names = names_of(&rules);
        assert!(names.windows(2).any(|names| names == ["forget_orders_in_memory", DECIDES_ORDER]), "{names:?}");
    }
}
