//! No trust in functional dependencies.
//!
//! DataFusion notes with each relation which columns decide others: after `GROUP BY visitor_id`, the visitor decides the
//! rest. A join repeats rows, but what is grouped once more over it is still taken to have one row for each visitor, and
//! then keys of GROUP BY and of ORDER BY are left out as superfluous: other groups, other rows behind a LIMIT, without a
//! word. (DataFusion 55.2: `aggregate_functional_dependencies` gives a dependency that a join has made one of many rows
//! the whole table for its target, and takes it for one of single rows again.)
//!
//! The dependencies are taken away wherever something would believe them: from each relation of a FROM while the query is
//! planned, and from the whole plan before each rule of the optimizer that asks for them. What is lost are shortcuts: a
//! key that another one decides is grouped and sorted by as well.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, FunctionalDependencies};
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::sqlparser::ast::TableFactor;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::nearest_joins;

/// The rules that ask for dependencies.
const RULES_THAT_TRUST: [&str; 4] =
    ["replace_distinct_aggregate", "eliminate_join", "eliminate_duplicated_expr", "optimize_projections"];

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, with one that takes the dependencies away before each that would believe them.
pub(super) fn forgetting_before(rules: Vec<Rule>) -> Vec<Rule> {
    let mut all: Vec<Rule> = Vec::new();
    for rule in rules {
        if RULES_THAT_TRUST.contains(&rule.name()) {
            all.push(Arc::new(ForgetDependencies));
        }
        all.push(rule);
    }
    all
}

#[derive(Debug)]
struct ForgetDependencies;

impl OptimizerRule for ForgetDependencies {
    fn name(&self) -> &str {
        "forget_dependencies"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        forget(plan)
    }
}

/// The plan without dependencies. It is the same plan: they are no part of what it answers.
fn forget(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|mut plan| {
        let schema = match &mut plan {
            LogicalPlan::Projection(node) => &mut node.schema,
            LogicalPlan::SubqueryAlias(node) => &mut node.schema,
            LogicalPlan::Aggregate(node) => &mut node.schema,
            LogicalPlan::Window(node) => &mut node.schema,
            LogicalPlan::Join(node) => &mut node.schema,
            LogicalPlan::Unnest(node) => &mut node.schema,
            LogicalPlan::TableScan(node) => &mut node.projected_schema,
            // The others have none, or those of their input.
            _ => return Ok(Transformed::no(plan)),
        };
        if let Some(plain) = without_dependencies(schema)? {
            *schema = plain;
        }
        // Not called a change: another pass of the optimizer would find the same to do.
        Ok(Transformed::no(plan))
    })
}

fn without_dependencies(schema: &DFSchemaRef) -> Result<Option<DFSchemaRef>> {
    if schema.functional_dependencies().is_empty() {
        return Ok(None);
    }
    let plain = schema.as_ref().clone().with_functional_dependencies(FunctionalDependencies::empty())?;
    Ok(Some(Arc::new(plain)))
}

thread_local! {
    /// Whether the next relation is one that [`Relations`] has asked to be planned.
    static PLANNING_ORIGINAL: Cell<bool> = const { Cell::new(false) };
}

/// Plans each relation of a FROM as it would be, or an ASOF join as [`nearest_joins`] does, and takes its dependencies away.
///
/// The planner believes them, too: it adds all that a key of GROUP BY decides to the keys.
#[derive(Debug)]
pub(super) struct Relations;

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        // Asking begins at the first planner again, which is this one.
        if PLANNING_ORIGINAL.replace(false) {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let planned = match nearest_joins::plan(&relation, context)? {
            Some(plan) => Ok(plan),
            None => {
                PLANNING_ORIGINAL.set(true);
                let planned = context.plan(relation);
                PLANNING_ORIGINAL.set(false);
                planned
            }
        };
        let plan = forget(planned?)?.data;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, None))))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::optimizer::Optimizer;

    use super::*;

    #[test]
    fn every_rule_that_believes_dependencies_is_there() {
        let rules = forgetting_before(Optimizer::new().rules);
        let names: Vec<String> = rules.iter().map(|rule| rule.name().to_owned()).collect();
        for rule in RULES_THAT_TRUST {
            let place = names.iter().position(|name| name == rule);
            let place = place.unwrap_or_else(|| panic!("{rule} has another name now: {names:?}"));
            assert_eq!(names[place - 1], "forget_dependencies");
        }
    }
}
