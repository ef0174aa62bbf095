//! Runs the plans of a fold: makes the rows of a part from rows of its table, and one piece of several.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};

use super::definition::Definition;
use super::piece::Piece;
use crate::error::Result;
use crate::scope::Scope;

/// Makes the pieces of one fold.
#[derive(Clone, Copy)]
pub(super) struct PieceMaker<'a> {
    pub(super) definition: &'a Definition,
    /// The columns of its rows.
    pub(super) schema: &'a SchemaRef,
}

impl PieceMaker<'_> {
    /// The piece of some rows of the table.
    ///
    /// - `bounds`: which of them, beside the definition's own conditions.
    pub(super) async fn of_rows(
        &self,
        context: &SessionContext,
        rows: LogicalPlan,
        bounds: Vec<Expr>,
    ) -> Result<Arc<Piece>> {
        self.run(context, self.definition.of_part(rows, bounds)?).await
    }

    /// One piece of several.
    pub(super) async fn merge(&self, context: &SessionContext, pieces: &[Arc<Piece>]) -> Result<Arc<Piece>> {
        if let [piece] = pieces {
            return Ok(piece.clone());
        }
        let batches: Vec<Vec<RecordBatch>> =
            pieces.iter().map(|piece| piece.rows(&Scope::Lake).into_iter().collect()).collect();
        let parts = context.read_table(Arc::new(MemTable::try_new(self.schema.clone(), batches)?))?;
        self.run(context, self.definition.merge(parts.into_unoptimized_plan())?).await
    }

    async fn run(&self, context: &SessionContext, plan: LogicalPlan) -> Result<Arc<Piece>> {
        let batches = DataFrame::new(context.state(), plan).collect().await?;
        Ok(Piece::new(self.schema, &batches)?)
    }
}
