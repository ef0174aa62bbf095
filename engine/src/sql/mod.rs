//! From the text of a query to a plan that answers as PostgreSQL does, or to words that say what to write instead.

mod binding;
mod casts;
mod count;
mod dialect;
mod functions;
mod meaning;
mod pattern;
mod rules;
mod statement;
mod sum;
mod syntax;
mod zone;

use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;

use crate::error::Result;
use crate::params::Param;
pub(crate) use rules::configure;
pub(crate) use zone::SESSION_ZONE;

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
