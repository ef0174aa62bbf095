//! Whether a query gives the same answer whenever the same events are asked. Pure.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, TableReference};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use lake::EVENTS;

/// Whether a plan's answer follows from the events alone.
///
/// - `tables`: those that the query names.
pub(super) fn is_repeatable(plan: &LogicalPlan, tables: &[TableReference]) -> Result<bool> {
    // Sessions follow the settings of sites, too, and reports, imported days and refused events are read anew each time.
    let of_events =
        |table: &TableReference| table.table() == EVENTS.name && table.schema().is_none_or(|s| s == "public");
    let tells_more = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_));
    if tells_more || !tables.iter().all(of_events) {
        return Ok(false);
    }
    let mut repeatable = true;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            repeatable &= !expr.exists(|expr| Ok(changes(expr)))?;
            Ok(if repeatable { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })
    })?;
    Ok(repeatable)
}

/// Whether an expression itself has another value at another time: `now()`, `random()`.
fn changes(expr: &Expr) -> bool {
    let volatility = match expr {
        Expr::ScalarFunction(function) => function.func.signature().volatility,
        Expr::AggregateFunction(function) => function.func.signature().volatility,
        Expr::WindowFunction(function) => function.fun.signature().volatility,
        _ => return false,
    };
    volatility != Volatility::Immutable
}
