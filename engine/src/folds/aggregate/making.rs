//! Runs the plans of a fold: makes the rows of a part from rows of its table, and one piece of several.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::TryStreamExt;

use super::definition::Definition;
use crate::error::Result;
use crate::folds::rows::piece::{Piece, PieceWriter};
use crate::folds::rows::room::Room;
use crate::folds::rows::rows_table::{Place, RowsTable};
use crate::scope::Scope;

/// Makes the pieces of one fold.
#[derive(Clone, Copy)]
pub(in crate::folds) struct PieceMaker<'a> {
    pub(in crate::folds) definition: &'a Definition,
    /// The columns of its rows.
    pub(in crate::folds) schema: &'a SchemaRef,
}

impl PieceMaker<'_> {
    /// The piece of some rows of the table.
    ///
    /// - `bounds`: which of them, beside the definition's own conditions.
    pub(in crate::folds) async fn of_rows(
        &self,
        room: &Room,
        context: &SessionContext,
        rows: LogicalPlan,
        bounds: Vec<Expr>,
    ) -> Result<Arc<Piece>> {
        self.run(room, context, self.definition.of_part(rows, bounds)?).await
    }

    /// The piece of rows that were made before.
    pub(in crate::folds) fn of_made(
        &self,
        room: &Room,
        context: &SessionContext,
        rows: &[RecordBatch],
    ) -> Result<Arc<Piece>> {
        let runtime = context.runtime_env();
        let mut writer = PieceWriter::new(self.schema, room, &runtime);
        for batch in rows {
            writer.write(batch)?;
        }
        Ok(writer.finish()?)
    }

    /// One piece of several.
    pub(in crate::folds) async fn merge(
        &self,
        room: &Room,
        context: &SessionContext,
        pieces: &[Arc<Piece>],
    ) -> Result<Arc<Piece>> {
        if let [piece] = pieces {
            return Ok(piece.clone());
        }
        Ok(self.add_up(room, context, pieces).await?.merged_of(pieces))
    }

    /// A piece of the rows of several that nobody else has.
    pub(in crate::folds) async fn add_up(
        &self,
        room: &Room,
        context: &SessionContext,
        pieces: &[Arc<Piece>],
    ) -> Result<Arc<Piece>> {
        let rows = pieces.iter().filter_map(|piece| piece.rows(&Scope::Lake)).collect();
        let parts = context.read_table(Arc::new(RowsTable::new(Place::Fold(0), self.schema.clone(), rows)))?;
        self.run(room, context, self.definition.merge(parts.into_unoptimized_plan())?).await
    }

    async fn run(&self, room: &Room, context: &SessionContext, plan: LogicalPlan) -> Result<Arc<Piece>> {
        let runtime = context.runtime_env();
        let mut batches = DataFrame::new(context.state(), plan).execute_stream().await?;
        let mut writer = PieceWriter::new(self.schema, room, &runtime);
        while let Some(batch) = batches.try_next().await? {
            writer.write(&batch)?;
        }
        Ok(writer.finish()?)
    }
}
