//! Rows are sorted again where DataFusion has lost sight of their order.
//!
//! A sort by columns that have one value each is left out. Rules that come later rewrite the plan, no longer see that those
//! columns are constant, and the plan is refused at the end, with the whole of it for a message. (DataFusion 55.2: two
//! joins of a relation with a single row, ordered by its columns.)
//!
//! What is sorted here, the check at the end would refuse. A plan that passes it stays as it is.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

use super::physical::{Rule, around};

/// The rule after which the plan's shape stays as it is.
const LAST_RULE: &str = "FilterPushdown(Post)";

/// The rules, with one that sorts what has lost its order.
pub(super) fn sorting_what_lost_its_order(rules: Vec<Rule>) -> Vec<Rule> {
    around(rules, LAST_RULE, &[Arc::new(SortWhatLostItsOrder)], &[])
}

#[derive(Debug)]
struct SortWhatLostItsOrder;

impl PhysicalOptimizerRule for SortWhatLostItsOrder {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let mut is_changed = false;
            let mut inputs: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
            for (input, required) in inputs.iter_mut().zip(plan.required_input_ordering()) {
                let Some(required) = required.map(|required| required.into_single()) else { continue };
                if input.equivalence_properties().ordering_satisfy_requirement(required.clone())? {
                    continue;
                }
                // Each partition by itself: whether there may be several is another requirement.
                let sort = SortExec::new(LexOrdering::from(required), input.clone()).with_preserve_partitioning(true);
                *input = Arc::new(sort);
                is_changed = true;
            }
            match is_changed {
                true => Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?)),
                false => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "sort_what_lost_its_order"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    #[test]
    fn the_last_rule_is_there() {
        let rules = sorting_what_lost_its_order(PhysicalOptimizer::new().rules);
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        assert_eq!(names[names.len() - 3..], ["sort_what_lost_its_order", LAST_RULE, "SanityCheckPlan"]);
    }
}
