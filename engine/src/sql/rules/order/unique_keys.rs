//! No trust in what is unique behind an aggregate.
//!
//! The keys of a GROUP BY are unique, and DataFusion notes it by the places of their columns. A projection that puts the
//! columns in another order leaves the places as they were: another column counts as unique, and rows that are sorted by it
//! count as sorted by whatever comes behind it. `ORDER BY people, share, visitor_id DESC` is not sorted by the visitor then,
//! without a word. (DataFusion 55.2: `EquivalenceProperties::projected_constraints` looks the old places up among the new.)
//!
//! While the order of rows is decided, no aggregate says what is unique: an operator above it does not know. The operator goes
//! again where nobody will ask any more, and so do those of [`join_orders`], because workers take plans of DataFusion's own
//! operators alone.

use std::sync::Arc;

use datafusion::common::Constraints;
use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, InputOrderMode, replace_children_if_necessary,
};

use super::forgetful::Forgetful;
use super::join_orders;
use crate::sql::rules::physical::{DECIDES_ORDER, Rule, around, of_each_operator};

const NAME: &str = "KeysForgotten";

/// The rules, with two around the one that would believe it.
pub(super) fn forgetting_keys(rules: Vec<Rule>) -> Vec<Rule> {
    around(rules, DECIDES_ORDER, &[of_each_operator("forget_keys", forget_keys)], &[Arc::new(RememberKeys)])
}

fn forget_keys(plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
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
}

#[derive(Debug)]
struct RememberKeys;

impl PhysicalOptimizerRule for RememberKeys {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        remember(plan, Above::NothingThatAsks)
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
    NothingThatAsks,
    /// Something that asks for the order of its rows whenever it is made anew or run: a sort leaves out what it takes for
    /// done, and an aggregate ends a group where it takes no more rows of it to come.
    Asking,
    /// Such a thing, and below it something that has put rows in order.
    AskingOverOrder,
}

fn remember(plan: Arc<dyn ExecutionPlan>, above: Above) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(input) = plan.downcast_ref::<Forgetful>().map(Forgetful::input) {
        let is_believed = match plan.name() {
            NAME => above == Above::AskingOverOrder || above == Above::Asking && puts_in_order(input),
            join_orders::NAME => above != Above::NothingThatAsks && input.output_ordering().is_some(),
            _ => true,
        };
        if !is_believed {
            return remember(input.clone(), above);
        }
    }
    let below = match above {
        Above::NothingThatAsks if asks_for_order(&plan) => Above::Asking,
        Above::Asking if puts_in_order(&plan) => Above::AskingOverOrder,
        above => above,
    };
    let inputs: Vec<_> =
        plan.children().into_iter().map(|input| remember(input.clone(), below)).collect::<Result<_>>()?;
    replace_children_if_necessary(plan, inputs)
}

fn asks_for_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>() || plan.is::<AggregateExec>() || plan.is::<WindowAggExec>()
}

fn puts_in_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let keeps_order_of_keys = |of: &AggregateExec| *of.input_order_mode() != InputOrderMode::Linear;
    plan.is::<SortExec>()
        || plan.is::<WindowAggExec>()
        || plan.is::<BoundedWindowAggExec>()
        || plan.is::<SortMergeJoinExec>()
        || plan.downcast_ref::<AggregateExec>().is_some_and(keeps_order_of_keys)
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;
    use crate::sql::rules::physical::names_of;

    #[test]
    fn the_rule_that_believes_keys_is_there() {
        let rules = forgetting_keys(PhysicalOptimizer::new().rules);
        let names = names_of(&rules);
        let around = [["forget_keys", DECIDES_ORDER, "remember_keys"]];
        assert_eq!(
            names.windows(3).filter(|names| around.contains(&[names[0], names[1], names[2]])).count(),
            1,
            "{names:?}"
        );
    }
}
