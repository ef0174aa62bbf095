//! Filters are moved down a plan only where columns have names and values of their own.
//!
//! DataFusion 55.2 finds a filter's columns in the inputs of an operator by their names (`FilterRemapper::try_remap`
//! takes the first of a name). Over a join of events with events there are two columns `date`, and a condition on one is
//! moved to the other: other rows, without a word. Filters that operators make while they run (the bounds of a join, or
//! of an ORDER BY with a LIMIT) go the same way.
//!
//! It also puts in the filter's place what a projection makes of a column. `WHERE r < 0.5` over `SELECT random() AS r` becomes
//! `random() < 0.5` below the projection, which then draws once more: r is 0.9 in the answer.
//!
//! Where names repeat or values are drawn, filters stay where the query has them, and are moved below it. Files are still left out by their bounds, because that is
//! decided when the query is planned; parts of files are read that might have been left out.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::physical::{Rule, bound};

/// The rules that move filters, before and after the others.
const FILTER_RULES: [&str; 2] = ["FilterPushdown", "FilterPushdown(Post)"];

/// DataFusion's rules, with those that move filters bound to columns that keep their names and values.
pub(super) fn rules() -> Vec<Rule> {
    bound(PhysicalOptimizer::new().rules, &FILTER_RULES, |rule| Arc::new(WhereColumnsKeep(rule)))
}

#[derive(Debug)]
struct WhereColumnsKeep(Rule);

impl PhysicalOptimizerRule for WhereColumnsKeep {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if !names_repeat(&plan) && !draws(&plan) {
            return self.0.optimize(plan, config);
        }
        // Below the operator that is in the way nothing may be.
        let inputs = plan.children().into_iter().map(|input| self.optimize(input.clone(), config));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        replace_children_if_necessary(plan, inputs)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether some operator has two columns of one name. A join may leave out what its inputs have together.
fn names_repeat(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let mut names = HashSet::new();
    let is_join = plan.children().len() > 1 && plan.name().contains("Join");
    let schemas: Vec<_> = match is_join {
        true => plan.children().iter().map(|child| child.schema()).collect(),
        false => vec![plan.schema()],
    };
    let repeats = schemas.iter().flat_map(|schema| schema.fields()).any(|field| !names.insert(field.name().clone()));
    repeats || plan.children().into_iter().any(names_repeat)
}

/// Whether some column of a projection has another value each time it is computed.
fn draws(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let projection = plan.downcast_ref::<ProjectionExec>();
    projection.is_some_and(|projection| projection.expr().iter().any(|column| is_volatile(&column.expr)))
        || plan.children().into_iter().any(draws)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_moves_filters_is_bound() {
        let names: Vec<String> = rules().iter().map(|rule| rule.name().to_owned()).collect();
        for rule in FILTER_RULES {
            assert_eq!(names.iter().filter(|name| *name == rule).count(), 1, "{rule} in {names:?}");
        }
        assert_eq!(
            names.iter().filter(|name| name.contains("FilterPushdown")).count(),
            FILTER_RULES.len(),
            "{names:?}"
        );
    }
}
