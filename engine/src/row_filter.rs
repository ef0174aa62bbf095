//! A condition in SQL, applied to rows that somebody has: for whoever follows the events and wants some of them.

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_expr::PhysicalExpr;

use crate::error::{EngineError, Result};
use crate::session::Engine;

/// A condition that rows of `events` meet or do not.
#[derive(Clone, Debug)]
pub struct RowFilter {
    condition: Arc<dyn PhysicalExpr>,
}

impl Engine {
    /// Reads a condition, such as `name = 'purchase' AND revenue > 10`.
    ///
    /// - `schema`: the columns of the rows.
    ///
    /// Fails with [`EngineError::Query`] if it is none: if it is no SQL, if it names what rows do not have, or if rows other
    /// than the one before it would have to be read.
    pub async fn row_filter(&self, schema: &SchemaRef, condition: &str) -> Result<RowFilter> {
        let session = self.blank_session(&[("events", schema.clone())], None)?;
        // On a line of its own: a comment at its end must not hide what follows.
        let plan = session.plan_unbound(&format!("SELECT * FROM events WHERE (\n{condition}\n)")).await?;
        let LogicalPlan::Projection(projection) = &plan else { return Err(no_condition()) };
        let LogicalPlan::Filter(filter) = &*projection.input else { return Err(no_condition()) };
        let LogicalPlan::TableScan(scan) = &*filter.input else { return Err(no_condition()) };
        let columns: &DFSchema = &scan.projected_schema;
        let condition = session.state().create_physical_expr(filter.predicate.clone(), columns)?;
        Ok(RowFilter { condition })
    }
}

fn no_condition() -> EngineError {
    EngineError::Query {
        message: "it is no condition on a single event; write one as behind WHERE, such as name = 'purchase'".into(),
        line: None,
        column: None,
    }
}

impl RowFilter {
    /// Which rows meet the condition. One that is neither true nor false counts as not met.
    pub fn met(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let met = self.condition.evaluate(rows)?.into_array(rows.num_rows())?;
        let met = met.as_boolean();
        Ok(met.iter().map(|met| Some(met == Some(true))).collect())
    }
}
