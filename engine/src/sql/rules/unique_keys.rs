//! No trust in what is unique behind an aggregate.
//!
//! The keys of a GROUP BY are unique, and DataFusion notes it by the places of their columns. A projection that puts the
//! columns in another order leaves the places as they were: another column counts as unique, and rows that are sorted by it
//! count as sorted by whatever comes behind it. `ORDER BY people, share, visitor_id DESC` is not sorted by the visitor then,
//! without a word. (DataFusion 55.2: `EquivalenceProperties::projected_constraints` looks the old places up among the new.)
//!
//! While the order of rows is decided, no aggregate says what is unique: an operator above it does not know. It goes again
//! where nobody asks any more.

use std::sync::Arc;

use datafusion::common::Constraints;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::forgetful::Forgetful;
use super::physical::{DECIDES_ORDER, Rule, around};

const NAME: &str = "KeysForgotten";

/// The rules, with two around the one that would believe it.
pub(super) fn forgetting_keys(rules: Vec<Rule>) -> Vec<Rule> {
    around(rules, DECIDES_ORDER, &[Arc::new(ForgetKeys)], &[Arc::new(RememberKeys)])
}

#[derive(Debug)]
struct ForgetKeys;

impl PhysicalOptimizerRule for ForgetKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            // The second half of an aggregate wants to see the first.
            if plan.is::<AggregateExec>() || !plan.children().into_iter().any(|input| input.is::<AggregateExec>()) {
                return Ok(Transformed::no(plan));
            }
            let inputs = plan.children().into_iter().cloned().map(|input| match input.is::<AggregateExec>() {
                true => Forgetful::over(input, NAME, |known| known.clone().with_constraints(Constraints::default())),
                false => input,
            });
            let inputs = inputs.collect();
            Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?))
        })
        .data()
    }

    fn name(&self) -> &str {
        "forget_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct RememberKeys;

impl PhysicalOptimizerRule for RememberKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        remember(plan, Above::NoLimit)
    }

    fn name(&self) -> &str {
        "remember_keys"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// What stands above an operator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Above {
    NoLimit,
    /// A sort of which the first rows are asked.
    Limit,
    /// Such a sort, and below it something that has put rows in order. The sort believes what it hears of that order whenever
    /// it is made anew, and ends where the order says that no better row comes.
    LimitOverOrder,
}

fn remember(plan: Arc<dyn ExecutionPlan>, above: Above) -> Result<Arc<dyn ExecutionPlan>> {
    let input = plan.downcast_ref::<Forgetful>().filter(|_| plan.name() == NAME).map(Forgetful::input).cloned();
    if let Some(input) = input.filter(|_| above != Above::LimitOverOrder) {
        return remember(input, above);
    }
    let sort = plan.downcast_ref::<SortExec>();
    let orders = sort.is_some()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<SortMergeJoinExec>();
    let below = match above {
        Above::NoLimit if sort.is_some_and(|sort| sort.fetch().is_some()) => Above::Limit,
        Above::Limit if orders => Above::LimitOverOrder,
        above => above,
    };
    let inputs: Vec<_> =
        plan.children().into_iter().map(|input| remember(input.clone(), below)).collect::<Result<_>>()?;
    replace_children_if_necessary(plan, inputs)
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    #[test]
    fn the_rule_that_believes_keys_is_there() {
        let rules = forgetting_keys(PhysicalOptimizer::new().rules);
        let names: Vec<&str> = rules.iter().map(|rule| rule.name()).collect();
        let around = [["forget_keys", DECIDES_ORDER, "remember_keys"]];
        assert_eq!(
            names.windows(3).filter(|names| around.contains(&[names[0], names[1], names[2]])).count(),
            1,
            "{names:?}"
        );
    }
}
