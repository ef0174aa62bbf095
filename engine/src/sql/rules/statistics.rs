//! Aggregates are answered from statistics only where there is one aggregate.
//!
//! DataFusion 55.2 looks from an aggregate downwards for the half of it that reads rows, and goes on to the next where that
//! has a FILTER: `max(n) FILTER (WHERE n > 4)` over `SELECT count(*) AS n` is answered with the count, under its name and
//! beside no other column.

use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

use super::physical::{Rule, bound};

/// The rule that answers aggregates from what is known of files.
const RULE: &str = "aggregate_statistics";

/// The halves of one aggregate.
const HALVES: usize = 2;

/// The rules, with the one that answers from statistics bound to single aggregates.
pub(super) fn of_one_aggregate(rules: Vec<Rule>) -> Vec<Rule> {
    bound(rules, &[RULE], |rule| Arc::new(OfOneAggregate(rule)))
}

#[derive(Debug)]
struct OfOneAggregate(Rule);

impl PhysicalOptimizerRule for OfOneAggregate {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        match aggregates(&plan) <= HALVES {
            true => self.0.optimize(plan, config),
            false => Ok(plan),
        }
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

fn aggregates(plan: &Arc<dyn ExecutionPlan>) -> usize {
    usize::from(plan.is::<AggregateExec>()) + plan.children().into_iter().map(aggregates).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;

    use super::*;

    #[test]
    fn the_rule_is_there() {
        assert_eq!(PhysicalOptimizer::new().rules.iter().filter(|rule| rule.name() == RULE).count(), 1);
    }
}
