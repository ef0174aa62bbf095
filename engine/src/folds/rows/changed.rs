//! Of whom something is new: the visitors whose rows differ between two sets of pieces. Pure.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::arrow::row::{Row, RowConverter, Rows, SortField};
use datafusion::common::{HashMap, HashSet};
use datafusion::error::Result;

use super::encoding::decode_column;
use super::piece::{Piece, PieceRows};
use crate::scope::Scope;

/// Visitor ids, quick to ask about most others.
#[derive(Debug)]
pub(in crate::folds) struct Visitors {
    ids: HashSet<i64>,
    /// A bit is set where an id falls.
    marks: Vec<u64>,
}

/// Bits of the marks, as a power of two: they fit into the processor's cache.
const MARK_BITS: u32 = 20;

/// Rows that are read from disk to be compared, at most: they are in memory meanwhile.
const READ_ROWS_MAX: usize = 1 << 20;

/// Rows that are compared, at most: each takes as much again.
const COMPARED_ROWS_MAX: usize = 1 << 22;

/// Whose rows are chosen.
#[derive(Clone, Copy, Debug)]
pub(in crate::folds) enum Whose<'a> {
    /// Those of all visitors.
    All,
    /// Those of some.
    Of(&'a Visitors),
    /// Those of nobody in particular: they have no visitor id.
    Nobody,
    /// None.
    None,
}

/// What differs between two sets of pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::folds) struct Changes {
    /// Visitors whose rows differ.
    pub(in crate::folds) visitors: HashSet<i64>,
    /// Whether rows of nobody in particular differ.
    pub(in crate::folds) of_nobody: bool,
}

impl Visitors {
    pub(in crate::folds) fn new(ids: HashSet<i64>) -> Self {
        let mut marks = vec![0; 1 << (MARK_BITS - 6)];
        for id in &ids {
            let (word, bit) = place_of(*id);
            marks[word] |= bit;
        }
        Self { ids, marks }
    }

    fn contains(&self, id: i64) -> bool {
        let (word, bit) = place_of(id);
        self.marks[word] & bit != 0 && self.ids.contains(&id)
    }
}

fn place_of(id: i64) -> (usize, u64) {
    // The multiplier of Knuth's multiplicative hashing spreads ids that are small numbers, too.
    let place = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - MARK_BITS);
    ((place >> 6) as usize, 1 << (place & 63))
}

impl Whose<'_> {
    /// The chosen rows of a piece. All of them stay where they are, those of nobody among them.
    pub(in crate::folds) fn of_piece(self, piece: &Piece, visitors: usize) -> Result<Option<PieceRows>> {
        let Some(rows) = piece.rows(&Scope::Lake).filter(|_| !matches!(self, Self::None)) else { return Ok(None) };
        if matches!(self, Self::All) {
            return Ok(Some(rows));
        }
        rows.chosen(|rows| self.rows(rows, visitors)).map(Some)
    }

    /// The chosen rows, as they are or encoded.
    ///
    /// - `visitors`: the column that has the visitor id.
    pub(in crate::folds) fn rows(self, rows: &RecordBatch, visitors: usize) -> Result<RecordBatch> {
        let ids = decode_column(rows.column(visitors), &DataType::Int64)?;
        let ids = ids.as_primitive::<Int64Type>();
        let chosen = match self {
            Self::All if ids.null_count() == 0 => return Ok(rows.clone()),
            Self::All => BooleanArray::from_unary(ids, |_| true),
            Self::Of(visitors) => BooleanArray::from_unary(ids, |id| visitors.contains(id)),
            Self::Nobody if ids.null_count() == 0 => return Ok(rows.slice(0, 0)),
            Self::Nobody => BooleanArray::from_iter((0..ids.len()).map(|row| Some(ids.is_null(row)))),
            Self::None => return Ok(rows.slice(0, 0)),
        };
        Ok(filter_record_batch(rows, &chosen)?)
    }
}

impl Changes {
    /// Adds what differs between the rows of some pieces and of others. Says whether it could: more than
    /// [`COMPARED_ROWS_MAX`], or [`READ_ROWS_MAX`] on disk, are not compared.
    ///
    /// - `visitors`: the columns that have visitor ids. A row without any is nobody's.
    pub(in crate::folds) fn add(
        &mut self,
        before: &[Arc<Piece>],
        now: &[Arc<Piece>],
        visitors: &[usize],
    ) -> Result<bool> {
        let (mut before, mut now) = (before.to_vec(), now.to_vec());
        cancel(&mut before, &mut now);
        let rows_where = |is_counted: &dyn Fn(&Piece) -> bool| -> usize {
            let counted = before.iter().chain(&now).filter(|piece| is_counted(piece));
            counted.map(|piece| piece.row_count()).sum()
        };
        if rows_where(&|piece| !piece.is_in_memory()) > READ_ROWS_MAX || rows_where(&|_| true) > COMPARED_ROWS_MAX {
            return Ok(false);
        }
        let rows = |pieces: &[Arc<Piece>]| pieces.iter().map(|piece| piece.all_rows()).collect::<Result<Vec<_>>>();
        let (before, now) = (rows(&before)?, rows(&now)?);
        let Some(first) = before.iter().chain(&now).next() else { return Ok(true) };
        let fields = first.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        let convert = |batch: &RecordBatch| converter.convert_columns(batch.columns());
        let rows_now: Vec<Rows> = now.iter().map(convert).collect::<std::result::Result<_, _>>()?;
        let rows_before: Vec<Rows> = before.iter().map(convert).collect::<std::result::Result<_, _>>()?;
        // How often each row is there now, and was before, and one place where it stands.
        let mut counts: HashMap<Row<'_>, (i64, &RecordBatch, usize)> = HashMap::new();
        for (sign, batches, rows) in [(1, &now, &rows_now), (-1, &before, &rows_before)] {
            for (batch, rows) in batches.iter().zip(rows) {
                for (number, row) in rows.iter().enumerate() {
                    counts.entry(row).or_insert((0, batch, number)).0 += sign;
                }
            }
        }
        for (count, batch, row) in counts.into_values() {
            if count == 0 {
                continue;
            }
            let ids = visitors.iter().map(|column| batch.column(*column).as_primitive::<Int64Type>());
            let ids: Vec<i64> = ids.filter(|ids| ids.is_valid(row)).map(|ids| ids.value(row)).collect();
            self.of_nobody |= ids.is_empty();
            self.visitors.extend(ids);
        }
        Ok(true)
    }
}

/// Leaves out what both have: the same pieces, and those that were merged of others, whose rows they have.
fn cancel(before: &mut Vec<Arc<Piece>>, now: &mut Vec<Arc<Piece>>) {
    before.retain(|piece| match now.iter().position(|other| Arc::ptr_eq(piece, other)) {
        Some(same) => {
            now.swap_remove(same);
            false
        }
        None => true,
    });
    cancel_merged(before, now);
    cancel_merged(now, before);
}

/// Leaves out pieces that were merged of others, and these.
fn cancel_merged(merged: &mut Vec<Arc<Piece>>, others: &mut Vec<Arc<Piece>>) {
    let parts_of = |pieces: &[&Arc<Piece>]| {
        let mut parts: Vec<_> = pieces.iter().flat_map(|piece| piece.parts()).copied().collect();
        parts.sort_unstable();
        parts
    };
    merged.retain(|piece| {
        let parts: HashSet<_> = piece.parts().iter().collect();
        let is_of_it = |other: &&Arc<Piece>| other.parts().iter().all(|part| parts.contains(part));
        let of_it: Vec<&Arc<Piece>> = others.iter().filter(is_of_it).collect();
        let is_whole = !of_it.is_empty() && parts_of(&of_it) == parts_of(&[piece]);
        if is_whole {
            others.retain(|other| !is_of_it(&other));
        }
        !is_whole
    });
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::{Field, Schema};

    use super::*;

    fn piece(rows: &[(Option<i64>, i64)]) -> Arc<Piece> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("site", DataType::Utf8View, false),
            Field::new("k0", DataType::Int64, true),
            Field::new("p0", DataType::Int64, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from_iter_values(rows.iter().map(|_| "shop"))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|(visitor, _)| *visitor))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, part)| *part))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        Piece::new(&schema, &[batch]).unwrap()
    }

    fn ids(ids: &[i64]) -> HashSet<i64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn visitors_with_other_rows_are_found_however_rows_are_parted() {
        let (one, two) = (piece(&[(Some(1), 5), (Some(2), 1)]), piece(&[(None, 3), (Some(3), 2)]));
        let whole = piece(&[(None, 3), (Some(1), 5), (Some(2), 1), (Some(3), 2)]);
        let more = piece(&[(Some(1), 5), (Some(2), 2), (Some(7), 1)]);
        let twice = piece(&[(Some(1), 5), (Some(1), 5), (Some(2), 1)]);
        let check = |before: &[&Arc<Piece>], now: &[&Arc<Piece>], visitors: &[i64], of_nobody: bool| {
            let owned = |pieces: &[&Arc<Piece>]| pieces.iter().map(|piece| (*piece).clone()).collect::<Vec<_>>();
            let mut changes = Changes::default();
            assert!(changes.add(&owned(before), &owned(now), &[1]).unwrap());
            assert_eq!(changes, Changes { visitors: ids(visitors), of_nobody }, "{before:?} {now:?}");
        };
        check(&[], &[], &[], false);
        check(&[&one, &two], &[&one, &two], &[], false);
        check(&[&one, &two], &[&whole], &[], false);
        check(&[&one], &[&one, &two], &[3], true);
        check(&[&one, &two], &[&two], &[1, 2], false);
        check(&[&one], &[&more], &[2, 7], false);
        check(&[&one], &[&twice], &[1], false);
        check(&[&whole], &[&two], &[1, 2], false);
    }

    #[test]
    fn pieces_that_were_merged_are_those_that_they_were_merged_of() {
        let [one, two, three, four] = [1, 2, 3, 4].map(|visitor| piece(&[(Some(visitor), visitor)]));
        let merged = |rows: &[(Option<i64>, i64)], pieces: &[&Arc<Piece>]| {
            piece(rows).merged_of(&pieces.iter().map(|piece| (*piece).clone()).collect::<Vec<_>>())
        };
        // Its rows are others, so that it tells whether they were compared.
        let both = merged(&[(Some(8), 8)], &[&one, &two]);
        let three_of = merged(&[(Some(9), 9)], &[&both, &three]);
        let check = |before: &[&Arc<Piece>], now: &[&Arc<Piece>], visitors: &[i64]| {
            let owned = |pieces: &[&Arc<Piece>]| pieces.iter().map(|piece| (*piece).clone()).collect::<Vec<_>>();
            let mut changes = Changes::default();
            assert!(changes.add(&owned(before), &owned(now), &[1]).unwrap());
            assert_eq!(changes.visitors, ids(visitors));
        };
        check(&[&one, &two, &three], &[&both, &three], &[]);
        check(&[&both, &three, &four], &[&three_of, &four], &[]);
        check(&[&one, &two, &three], &[&three_of, &four], &[4]);
        check(&[&three_of], &[&both, &three], &[]);
        check(&[&one, &four], &[&both], &[1, 4, 8]);
        check(&[&both], &[&three_of], &[8, 9]);
        check(&[&one], &[&one, &both], &[8]);
        // A row that is there twice is another.
        check(&[&one, &two], &[&one, &both], &[2, 8]);
        check(&[&one, &both], &[&three_of], &[1, 8, 9]);
    }

    #[test]
    fn rows_are_chosen_by_whose_they_are() {
        let rows = piece(&[(None, 1), (Some(i64::MIN), 2), (Some(4), 3), (Some(5), 4)]).all_rows().unwrap();
        let check = |whose: Whose<'_>, parts: &[i64]| {
            let chosen = whose.rows(&rows, 1).unwrap();
            assert_eq!(chosen.column(2).as_primitive::<Int64Type>().values(), parts, "{whose:?}");
        };
        check(Whose::All, &[2, 3, 4]);
        check(Whose::Of(&Visitors::new(ids(&[i64::MIN, 5, 6]))), &[2, 4]);
        check(Whose::Of(&Visitors::new(ids(&[]))), &[]);
        check(Whose::Nobody, &[1]);
        check(Whose::None, &[]);
    }
}
