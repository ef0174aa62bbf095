//! Rules of the optimizer that rewrite an aggregate, kept from those that they would break or slow down. (DataFusion 55.2.)
//!
//! - A sum of decimals beside `count(DISTINCT x)` keeps its type. The two become groups of groups, and sums are added up
//!   there: a sum of sums of decimals has more digits than the sum that the rest of the plan expects, and comparing it
//!   fails.
//! - Different whole numbers are counted [in one step](crate::sql::functions::distinct), which takes a fifth of the time of groups of groups.
//! - A key and a cast of it are two keys. A cast has the name of what it casts, and a rule that puts the columns of an
//!   aggregate into a projection refuses two of one name.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// What makes groups of groups out of `count(DISTINCT x)`.
const GROUPS_OF_GROUPS: &str = "single_distinct_aggregation_to_group_by";

/// What leaves out the keys that follow from others.
const FEWER_KEYS: &str = "eliminate_group_by_constant";

/// DataFusion's rules, with those kept from what they would break or slow down.
pub(super) fn rules() -> Vec<Rule> {
    let kept = |rule: Rule| match rule.name() {
        GROUPS_OF_GROUPS => {
            let holds = |of: &Aggregate| sums_decimals(of) || names_repeat(of) || counts_whole_numbers(of);
            Arc::new(Unless { holds, rule }) as Rule
        }
        FEWER_KEYS => Arc::new(Unless { holds: names_repeat, rule }),
        _ => rule,
    };
    Optimizer::new().rules.into_iter().map(kept).collect()
}

#[derive(Debug)]
struct Unless {
    holds: fn(&Aggregate) -> bool,
    rule: Rule,
}

impl OptimizerRule for Unless {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Aggregate(aggregate) if (self.holds)(aggregate) => Ok(Transformed::no(plan)),
            _ => self.rule.rewrite(plan, config),
        }
    }
}

fn sums_decimals(aggregate: &Aggregate) -> bool {
    let is_decimal = |expr: &Expr| {
        let data_type = expr.get_type(aggregate.input.schema());
        matches!(
            data_type,
            Ok(DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..))
        )
    };
    aggregate.aggr_expr.iter().any(is_decimal)
}

fn counts_whole_numbers(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.iter().any(|expr| {
        let Expr::AggregateFunction(call) = expr else { return false };
        let [value] = call.params.args.as_slice() else { return false };
        let is_whole = || matches!(value.get_type(aggregate.input.schema()), Ok(DataType::Int64));
        call.params.distinct && call.func.name() == "count" && is_whole()
    })
}

fn names_repeat(aggregate: &Aggregate) -> bool {
    let mut names = HashSet::new();
    let mut exprs = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
    exprs.any(|expr| !names.insert(expr.schema_name().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_there() {
        for name in [GROUPS_OF_GROUPS, FEWER_KEYS] {
            assert_eq!(Optimizer::new().rules.iter().filter(|rule| rule.name() == name).count(), 1, "{name}");
        }
    }
}
