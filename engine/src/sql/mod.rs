//! From the text of a query to a plan that answers as PostgreSQL does, or to words that say what to write instead.

mod aggregates;
mod binding;
mod casts;
mod count;
mod dependencies;
mod dialect;
mod functions;
mod meaning;
mod outer_joins;
mod pattern;
mod pushdown;
mod sorting;
mod statement;
mod sum;
mod syntax;
mod yielding;
mod zone;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::params::Param;
pub(crate) use zone::SESSION_ZONE;

/// A session in which queries are planned as here.
pub(crate) fn configure(state: SessionStateBuilder) -> SessionStateBuilder {
    let mut physical = pushdown::rules();
    physical.push(Arc::new(yielding::JoinsPause));
    state
        .with_optimizer_rules(dependencies::forgetting_before(aggregates::rules()))
        .with_relation_planners(vec![Arc::new(dependencies::Relations)])
        .with_physical_optimizer_rules(sorting::sorting_what_lost_its_order(outer_joins::forgetting_constants(
            physical,
        )))
}

/// Gives a new session the functions that queries have here beside DataFusion's.
pub(crate) fn register(context: &SessionContext) {
    context.register_udf(zone::timezone());
    context.register_udaf(count::count());
    context.register_udaf(sum::sum());
}

/// Plans the one statement in `sql`.
pub(crate) async fn plan(state: &SessionState, sql: &str) -> Result<LogicalPlan> {
    let recursion_limit = state.config().options().sql_parser.recursion_limit.get();
    let is_scalar = |name: &str| state.scalar_functions().contains_key(name);
    let statement = statement::read(sql, recursion_limit, &is_scalar)?;
    Ok(state.statement_to_plan(statement).await?)
}

/// Puts the values of parameters into a plan (see [`Param`]) and makes it the plan of what its author meant.
pub(crate) fn bind(plan: LogicalPlan, params: &[(String, Param)]) -> Result<LogicalPlan> {
    Ok(meaning::mend(binding::bind(plan, params)?)?)
}
