//! Rows are parted and sorted again where DataFusion has lost sight of how they are parted, and of their order.
//!
//! A sort by columns that have one value each is left out, and so is a repartition by them. Rules that come later rewrite
//! the plan, no longer see that those columns are constant, and the plan is refused at the end, with the whole of it for a
//! message. (DataFusion 55.2: two joins of a relation with a single row, ordered by its columns; `count(DISTINCT k)` by
//! `k` over `LIMIT 8 OFFSET 1` of constants `k`.)
//!
//! What is parted or sorted here, the check at the end would refuse. A plan that passes it stays as it is.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{
    ChildSatisfactionOptions, Distribution, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    replace_children_if_necessary,
};

use crate::sql::rules::physical::{Rule, around, of_each_operator};

/// The rule after which the plan's shape stays as it is.
const LAST_RULE: &str = "FilterPushdown(Post)";

/// The rules, with one that meets again what operators require of their inputs.
pub(super) fn meeting_requirements_again(rules: Vec<Rule>) -> Vec<Rule> {
    around(rules, LAST_RULE, &[of_each_operator("meet_requirements_again", meet_requirements)], &[])
}

fn meet_requirements(
    plan: Arc<dyn ExecutionPlan>,
    config: &ConfigOptions,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let before: Vec<Arc<dyn ExecutionPlan>> = plan.children().into_iter().cloned().collect();
    let inputs = parted(&plan, before.clone(), config.execution.target_partitions)?;
    let inputs = sorted(&plan, inputs)?;
    if inputs.iter().zip(&before).all(|(input, before)| Arc::ptr_eq(input, before)) {
        return Ok(Transformed::no(plan));
    }
    Ok(Transformed::yes(replace_children_if_necessary(plan, inputs)?))
}

/// The inputs of an operator, parted as it requires. Where one is not, all that are to be parted by keys are parted anew:
/// both sides of a join have to be in the same way.
///
/// - `partitions`: into how many others have parted theirs.
#[expect(deprecated, reason = "operators still ask for HashPartitioned")]
fn parted(
    plan: &Arc<dyn ExecutionPlan>,
    inputs: Vec<Arc<dyn ExecutionPlan>>,
    partitions: usize,
) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let required = plan.input_distribution_requirements();
    let options = ChildSatisfactionOptions::new().with_allow_subset(true);
    let is_met = |place: usize, input: &Arc<dyn ExecutionPlan>| {
        required.child_satisfaction(place, input.as_ref(), options).map(|how| how.is_satisfied())
    };
    let are_met = inputs.iter().enumerate().map(|(place, input)| is_met(place, input)).collect::<Result<Vec<_>>>()?;
    if are_met.iter().all(|is_met| *is_met) {
        return Ok(inputs);
    }
    let parted = inputs.into_iter().zip(required.per_child_distributions()).zip(are_met);
    let parted = parted.map(|((input, required), is_met)| -> Result<Arc<dyn ExecutionPlan>> {
        Ok(match required {
            Distribution::KeyPartitioned(keys) | Distribution::HashPartitioned(keys) => {
                Arc::new(RepartitionExec::try_new(input, Partitioning::Hash(keys.clone(), partitions))?)
            }
            Distribution::SinglePartition if !is_met => match input.output_ordering().cloned() {
                Some(order) => Arc::new(SortPreservingMergeExec::new(order, input)),
                None => Arc::new(CoalescePartitionsExec::new(input)),
            },
            _ => input,
        })
    });
    parted.collect()
}

/// The inputs of an operator, in the order that it requires.
fn sorted(plan: &Arc<dyn ExecutionPlan>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let sorted = inputs.into_iter().zip(plan.required_input_ordering());
    let sorted = sorted.map(|(input, required)| -> Result<Arc<dyn ExecutionPlan>> {
        let Some(required) = required.map(|required| required.into_single()) else { return Ok(input) };
        if input.equivalence_properties().ordering_satisfy_requirement(required.clone())? {
            return Ok(input);
        }
        // Each partition by itself: whether there may be several is another requirement.
        Ok(Arc::new(SortExec::new(LexOrdering::from(required), input).with_preserve_partitioning(true)))
    });
    sorted.collect()
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;
    use crate::sql::rules::physical::names_of;

    #[test]
    fn the_last_rule_is_there() {
        let rules = meeting_requirements_again(PhysicalOptimizer::new().rules);
        let names = names_of(&rules);
        assert_eq!(names[names.len() - 3..], ["meet_requirements_again", LAST_RULE, "SanityCheckPlan"]);
    }
}
