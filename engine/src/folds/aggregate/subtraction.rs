//! Takes rows of a fold away from others, so that what is counted of many follows what changes of a few: the counting
//! algorithm of A. Gupta, I. S. Mumick and V. S. Subrahmanian, "Maintaining Views Incrementally", SIGMOD 1993.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::kernels::numeric::neg_wrapping;
use datafusion::arrow::compute::{filter_record_batch, nullif};
use datafusion::arrow::datatypes::Int64Type;

use super::definition::Subtractable;
use super::making::PieceMaker;
use crate::error::Result;
use crate::folds::rows::piece::Piece;
use crate::scope::Scope;
use crate::session::Engine;

/// The rows of some pieces, without those of others. `None` if these are not among them.
pub(in crate::folds) async fn subtract(
    engine: &Engine,
    maker: PieceMaker<'_>,
    parts: &Subtractable,
    pieces: &[Arc<Piece>],
    without: &[Arc<Piece>],
) -> Result<Option<Arc<Piece>>> {
    let (room, context) = (engine.pieces().room(), engine.context_of(1));
    if without.is_empty() {
        return maker.merge(room, &context, pieces).await.map(Some);
    }
    let added = difference(engine, maker, parts, pieces, without).await?;
    match settled(&added.all_rows()?, parts)? {
        Some(rows) => maker.of_made(room, &context, &[rows]).map(Some),
        None => Ok(None),
    }
}

/// What is to be added to rows that have those of some pieces, for them to have those of others in their place.
pub(in crate::folds) async fn difference(
    engine: &Engine,
    maker: PieceMaker<'_>,
    parts: &Subtractable,
    pieces: &[Arc<Piece>],
    without: &[Arc<Piece>],
) -> Result<Arc<Piece>> {
    let (room, context) = (engine.pieces().room(), engine.context_of(1));
    let mut all = pieces.to_vec();
    for piece in without {
        all.push(maker.of_made(room, &context, &[negative(&piece.all_rows()?, parts.first_part)?])?);
    }
    maker.add_up(room, &context, &all).await
}

/// Whether there are less than no rows of a group.
pub(in crate::folds) fn has_negative(merged: &Piece, parts: &Subtractable) -> datafusion::error::Result<bool> {
    for rows in merged.rows(&Scope::Lake).iter().flat_map(|rows| rows.batches(Some(&[parts.rows]))) {
        if rows?.column(0).as_primitive::<Int64Type>().iter().flatten().any(|rows| rows < 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The rows with partial results that take away what theirs add.
fn negative(rows: &RecordBatch, first_part: usize) -> datafusion::error::Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    for column in &mut columns[first_part..] {
        *column = neg_wrapping(column)?;
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

/// The groups of which rows are left. `None` if there are less than none.
fn settled(merged: &RecordBatch, parts: &Subtractable) -> datafusion::error::Result<Option<RecordBatch>> {
    let rows = merged.column(parts.rows).as_primitive::<Int64Type>();
    if rows.iter().flatten().any(|rows| rows < 0) {
        return Ok(None);
    }
    let mut columns: Vec<ArrayRef> = merged.columns().to_vec();
    for (sum, values) in &parts.sums {
        // A sum of no values is none.
        let values = merged.column(*values).as_primitive::<Int64Type>();
        columns[*sum] = nullif(&columns[*sum], &BooleanArray::from_unary(values, |values| values == 0))?;
    }
    let settled = RecordBatch::try_new(merged.schema(), columns)?;
    Ok(Some(filter_record_batch(&settled, &BooleanArray::from_unary(rows, |rows| rows > 0))?))
}
