//! Takes on the conditions of operators above, so that rows that do not satisfy them are not made.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};

use super::condition::Condition;

/// The same plan with the conditions of the query that stand above, of which it takes on those that are the same whenever they
/// are asked. What operators find out while they run it leaves to them.
///
/// - `schema`: of the plan's rows.
/// - `already`: what it has taken on before.
pub(super) fn with_conditions(
    schema: &SchemaRef,
    already: &Option<Condition>,
    phase: FilterPushdownPhase,
    pushed: ChildPushdownResult,
    with: impl FnOnce(Condition) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
    if phase != FilterPushdownPhase::Pre {
        return Ok(FilterPushdownPropagation::all_unsupported(pushed));
    }
    let filters: Vec<_> = pushed.parent_filters.into_iter().map(|pushed| pushed.filter).collect();
    let answer = |filter| if is_volatile(filter) { PushedDown::No } else { PushedDown::Yes };
    let answers: Vec<PushedDown> = filters.iter().map(answer).collect();
    let mut taken =
        filters.into_iter().zip(&answers).filter(|(_, answer)| matches!(answer, PushedDown::Yes)).peekable();
    if taken.peek().is_none() {
        return Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers));
    }
    let already = already.iter().map(|condition| condition.expr().clone());
    let condition = Condition::new(schema, already.chain(taken.map(|(filter, _)| filter)))?;
    let plan = with(condition)?;
    Ok(FilterPushdownPropagation::with_parent_pushdown_result(answers).with_updated_node(plan))
}
