//! A sum of decimals beside `count(DISTINCT x)` keeps its type.
//!
//! DataFusion turns the two into groups of groups, and adds sums up there: a sum of sums of decimals has more digits than
//! the sum that the rest of the plan expects, and comparing it fails. (DataFusion 55.2, `SingleDistinctToGroupBy`.)

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rule that is kept from sums of decimals.
const RULE: &str = "single_distinct_aggregation_to_group_by";

/// DataFusion's rules, with that one kept from sums of decimals.
pub(super) fn rules() -> Vec<Rule> {
    let kept = |rule: Rule| match rule.name() == RULE {
        true => Arc::new(NotOverDecimals(rule)) as Rule,
        false => rule,
    };
    Optimizer::new().rules.into_iter().map(kept).collect()
}

#[derive(Debug)]
struct NotOverDecimals(Rule);

impl OptimizerRule for NotOverDecimals {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match sums_decimals(&plan) {
            true => Ok(Transformed::no(plan)),
            false => self.0.rewrite(plan, config),
        }
    }
}

fn sums_decimals(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = plan else { return false };
    let is_decimal = |expr: &Expr| {
        let data_type = expr.get_type(aggregate.input.schema());
        matches!(
            data_type,
            Ok(DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..))
        )
    };
    aggregate.aggr_expr.iter().any(is_decimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_there() {
        assert_eq!(Optimizer::new().rules.iter().filter(|rule| rule.name() == RULE).count(), 1);
    }
}
