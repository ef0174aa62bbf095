//! Conditions that stay where the query has them.
//!
//! DataFusion 55.2 moves a condition below an aggregate where all its columns are keys, and so always one without columns.
//! - An aggregate without keys, or with an empty grouping set, has a row even of no rows. The condition below it leaves that
//!   row: `SELECT count(*) FROM events HAVING random() < 0` answers 0 instead of no row. Nobody has to write such a
//!   condition: it is what becomes of one on a column that turns out to be constant.
//! - `random() < 0.5` decides about whatever it stands over. Below an aggregate it chooses events instead of groups, and
//!   below a join rows of one side instead of pairs.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// What moves conditions down a plan.
const MOVES_CONDITIONS: &str = "push_down_filter";

/// The rules, with the one that moves conditions kept from those that must stay.
pub(super) fn staying(rules: Vec<Rule>) -> Vec<Rule> {
    let kept = |rule: Rule| match rule.name() {
        MOVES_CONDITIONS => Arc::new(WhereItMayMove(rule)) as Rule,
        _ => rule,
    };
    rules.into_iter().map(kept).collect()
}

#[derive(Debug)]
struct WhereItMayMove(Rule);

impl OptimizerRule for WhereItMayMove {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match must_stay(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}

/// Whether the condition of this operator means something else further down.
fn must_stay(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => join.filter.as_ref().is_some_and(Expr::is_volatile),
        LogicalPlan::Filter(filter) => {
            let mut draws = filter.predicate.is_volatile();
            let mut input = &filter.input;
            // The rule makes one of several conditions.
            while let LogicalPlan::Filter(below) = input.as_ref() {
                draws |= below.predicate.is_volatile();
                input = &below.input;
            }
            match input.as_ref() {
                LogicalPlan::Aggregate(aggregate) => {
                    draws || has_a_row_of_no_rows(aggregate) || aggregate.group_expr.iter().any(Expr::is_volatile)
                }
                // Each of these has a row for each of its input.
                LogicalPlan::TableScan(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Union(_)
                | LogicalPlan::Sort(_) => false,
                _ => draws,
            }
        }
        _ => false,
    }
}

fn has_a_row_of_no_rows(aggregate: &Aggregate) -> bool {
    let is_total = |expr: &Expr| match expr {
        Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_)) => true,
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => sets.iter().any(Vec::is_empty),
        _ => false,
    };
    aggregate.group_expr.iter().all(is_total)
}

#[cfg(test)]
mod tests {
    use datafusion::optimizer::Optimizer;

    use super::*;

    #[test]
    fn the_rule_is_there() {
        assert_eq!(Optimizer::new().rules.iter().filter(|rule| rule.name() == MOVES_CONDITIONS).count(), 1);
    }
}
