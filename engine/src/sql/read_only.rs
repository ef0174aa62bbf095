//! What a plan may be: a query, and nothing that changes anything.

use datafusion::logical_expr::LogicalPlan;

use crate::error::{EngineError, Result};

/// Lets queries and explanations of queries through, and nothing else.
pub(crate) fn check_read_only(plan: &LogicalPlan) -> Result<()> {
    let refuse = |statement: &str, hint| Err(EngineError::ReadOnly { statement: statement.to_owned(), hint });
    match plan {
        LogicalPlan::Ddl(ddl) => refuse(ddl.name(), "Write the query as one SELECT; WITH names its parts."),
        LogicalPlan::Dml(dml) => refuse(&dml.op.to_string(), "Events come in through a collector or `dewpond import`."),
        LogicalPlan::Copy(_) => refuse("COPY", "Write the answer with `dewpond query --format … -o FILE`."),
        LogicalPlan::Statement(statement) => refuse(statement.name(), "Limits and settings are flags of the process."),
        LogicalPlan::Explain(explain) => check_read_only(&explain.plan),
        LogicalPlan::Analyze(analyze) => check_read_only(&analyze.input),
        _ => Ok(()),
    }
}
