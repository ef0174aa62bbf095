//! One pass over a table that is made of runs of visitors, for any number of folds.
//!
//! Such a table gives the rows of a visitor one after the other. They are taken in chunks that never part a visitor, and each
//! fold makes its rows of every chunk, so that no more than a chunk and the folds' own rows are in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::Int64Type;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::prelude::DataFrame;
use futures::TryStreamExt;

use super::definition::{SITE, VISITOR};
use super::making::PieceMaker;
use crate::error::Result;
use crate::folds::rows::piece::Piece;
use crate::session::View;

/// Rows of a chunk, about.
const CHUNK_ROWS: usize = 1 << 18;

/// Pieces of one fold that wait to be merged.
const PIECES_MAX: usize = 8;

/// One fold of the table.
#[derive(Clone, Copy)]
pub(in crate::folds) struct PassFold<'a> {
    pub(in crate::folds) maker: PieceMaker<'a>,
    pub(in crate::folds) bounds: &'a [Expr],
}

/// The rows of each fold: in one piece, or in several where each row is of one visitor.
///
/// - `rows`: rows of the table.
pub(in crate::folds) async fn run(
    view: &View,
    rows: DataFrame,
    folds: &[PassFold<'_>],
) -> Result<Vec<Vec<Arc<Piece>>>> {
    let columns: BTreeSet<String> = folds.iter().flat_map(|fold| fold.maker.definition.columns(fold.bounds)).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut rows = rows.select_columns(&columns)?.execute_stream().await?;
    let (context, room) = (view.engine().context_of(1), view.engine().pieces().room());
    let mut made: Vec<Vec<Arc<Piece>>> = folds.iter().map(|_| Vec::new()).collect();
    let (schema, mut waiting, mut waiting_rows, mut chunk_rows) = (rows.schema(), Vec::new(), 0, CHUNK_ROWS);
    loop {
        let batch = rows.try_next().await?;
        let is_last = batch.is_none();
        if let Some(batch) = batch {
            waiting_rows += batch.num_rows();
            waiting.push(batch);
        }
        if waiting_rows < chunk_rows && !is_last {
            continue;
        }
        let chunk = concat_batches(&schema, &waiting).map_err(DataFusionError::from)?;
        let whole = if is_last { chunk.num_rows() } else { last_visitor(&chunk) };
        let (now, later) = (chunk.slice(0, whole), chunk.slice(whole, chunk.num_rows() - whole));
        waiting_rows = later.num_rows();
        waiting = vec![later];
        // What a visitor of many rows leaves is not looked through again with each batch.
        chunk_rows = CHUNK_ROWS.max(2 * waiting_rows);
        // Nothing of a fold without rows is an answer, too: it has the columns.
        if now.num_rows() > 0 || is_last && made.iter().all(Vec::is_empty) {
            for (fold, made) in folds.iter().zip(&mut made) {
                let rows = context.read_batch(now.clone())?.into_unoptimized_plan();
                made.push(fold.maker.of_rows(room, &context, rows, fold.bounds.to_vec()).await?);
                if made.len() == PIECES_MAX && !fold.maker.definition.is_signed() {
                    *made = vec![fold.maker.merge(room, &context, made).await?];
                }
            }
        }
        if is_last {
            break;
        }
    }
    for (fold, made) in folds.iter().zip(&mut made) {
        if !fold.maker.definition.is_signed() {
            *made = vec![fold.maker.merge(room, &context, made).await?];
        }
    }
    Ok(made)
}

/// Where the rows of the last visitor of a chunk begin: there may be more of them. The whole chunk if it is one visitor's.
fn last_visitor(chunk: &RecordBatch) -> usize {
    let (sites, visitors) = (chunk[SITE].as_string_view(), chunk[VISITOR].as_primitive::<Int64Type>());
    let last = chunk.num_rows() - 1;
    let is_last = |row: &usize| visitors.value(*row) == visitors.value(last) && sites.value(*row) == sites.value(last);
    (0..last).rev().find(|row| !is_last(row)).map_or(0, |row| row + 1)
}
