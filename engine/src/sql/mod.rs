//! From the text of a query to a plan that answers as PostgreSQL does, or to words that say what to write instead.

mod binding;
mod casts;
mod correlation;
mod dialect;
mod drawing;
mod functions;
mod meaning;
mod pattern;
mod read_only;
mod repeatable;
mod rules;
mod spelling;
mod statement;
mod syntax;
mod tokens;
mod walk;
mod zone;

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::TableReference;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, Volatility};
use datafusion::prelude::SessionContext;
use datafusion::sql::resolve::resolve_table_references;

use crate::error::Result;
use crate::params::Param;
pub(crate) use read_only::check_read_only;
pub(crate) use rules::configure;
pub(crate) use zone::SESSION_ZONE;

/// Gives a new session the functions that queries have here beside DataFusion's.
pub(crate) fn register(context: &SessionContext) {
    context.register_udf(zone::timezone());
    for function in functions::scalar() {
        context.register_udf(function);
    }
    for function in functions::aggregates() {
        context.register_udaf(function);
    }
    for planner in functions::planners() {
        context.state_ref().write().register_expr_planner(planner).expect("a new session takes planners");
    }
}

/// A plan whose parameters have no values yet, and the tables that its text names.
pub(crate) struct Unbound {
    /// The plan.
    pub(crate) plan: LogicalPlan,
    tables: Vec<TableReference>,
}

impl Unbound {
    /// Whether the answer follows from the events alone: whoever asks the same events again gets the same rows.
    pub(crate) fn is_repeatable(&self) -> Result<bool> {
        Ok(repeatable::is_repeatable(&self.plan, &self.tables)?)
    }
}

/// Plans the one statement in `sql`.
pub(crate) async fn plan(state: &SessionState, sql: &str) -> Result<LogicalPlan> {
    Ok(plan_unbound(state, sql).await?.plan)
}

/// Plans the one statement in `sql`, and notes what it asks.
pub(crate) async fn plan_unbound(state: &SessionState, sql: &str) -> Result<Unbound> {
    let recursion_limit = state.config().options().sql_parser.recursion_limit.get();
    let is_scalar = |name: &str| state.scalar_functions().contains_key(name);
    let statement = statement::read(sql, recursion_limit, &is_scalar)?;
    let volatility = |name: &str| state.scalar_functions().get(name).map(|function| function.signature().volatility);
    drawing::check(&statement, &|name| volatility(name) == Some(Volatility::Volatile))?;
    let (tables, _) = resolve_table_references(&statement, true)?;
    Ok(Unbound { plan: state.statement_to_plan(statement).await?, tables })
}

/// Puts the values of parameters into a plan (see [`Param`]) and makes it the plan of what its author meant.
pub(crate) fn bind(plan: LogicalPlan, params: &[(String, Param)]) -> Result<LogicalPlan> {
    Ok(correlation::retype(meaning::mend(binding::bind(plan, params)?)?)?)
}

/// The types of what parameters are compared with, by their names; none where nothing says it.
pub(crate) fn parameter_types(plan: &LogicalPlan) -> Result<HashMap<String, Option<DataType>>> {
    binding::types(plan)
}
