//! The rows that a fold made of a table in a pass, and what is new since, in few pieces.

use std::sync::Arc;

use super::piece::Piece;

/// Changes are merged with what they change once they have one row for so many of its rows.
const CHANGES_SHARE: usize = 2;

/// The rows that a fold made of a table.
#[derive(Clone, Debug, Default)]
pub(in crate::folds) struct PassRows {
    /// Those of an earlier view.
    pub(in crate::folds) base: Vec<Arc<Piece>>,
    /// What later views added and took away, the oldest first.
    pub(in crate::folds) changes: Vec<Arc<Piece>>,
}

/// Which pieces are to be merged before there are more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::folds) enum Due {
    Nothing,
    /// All of them.
    All,
    /// The changes from this one on.
    ChangesFrom(usize),
}

impl PassRows {
    pub(in crate::folds) fn of(base: Vec<Arc<Piece>>) -> Self {
        Self { base, changes: vec![] }
    }

    /// All of them, to be added up.
    pub(in crate::folds) fn pieces(&self) -> Vec<Arc<Piece>> {
        self.base.iter().chain(&self.changes).cloned().collect()
    }

    /// Whether a file of theirs is gone.
    pub(in crate::folds) fn are_lost(&self) -> bool {
        self.base.iter().chain(&self.changes).any(|piece| piece.is_lost())
    }

    pub(in crate::folds) fn due(&self) -> Due {
        let rows = |pieces: &[Arc<Piece>]| -> Vec<usize> { pieces.iter().map(|piece| piece.row_count()).collect() };
        due(rows(&self.base).iter().sum(), &rows(&self.changes))
    }
}

/// Changes of a size are merged, so that there are few, and no row is merged often. Pure.
fn due(base_rows: usize, changes_rows: &[usize]) -> Due {
    if changes_rows.iter().sum::<usize>() * CHANGES_SHARE > base_rows {
        return Due::All;
    }
    let (mut from, mut rows) = (changes_rows.len(), 0);
    for (place, of_one) in changes_rows.iter().enumerate().rev() {
        if from < changes_rows.len() && *of_one > CHANGES_SHARE * rows {
            break;
        }
        (from, rows) = (place, rows + of_one);
    }
    match changes_rows.len() - from {
        0 | 1 => Due::Nothing,
        _ => Due::ChangesFrom(from),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
    use datafusion::execution::runtime_env::RuntimeEnv;

    use super::*;

    #[test]
    fn rows_whose_file_somebody_deleted_are_lost() {
        let sites: ArrayRef = Arc::new(StringViewArray::from_iter_values(["shop"]));
        let columns = [("site", sites), ("p0", Arc::new(Int64Array::from_iter_values([1])) as ArrayRef)];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let [piece, other] = [(); 2].map(|()| Piece::new(&batch.schema(), std::slice::from_ref(&batch)).unwrap());
        let rows = PassRows { base: vec![other], changes: vec![piece.clone()] };
        assert!(!rows.are_lost());
        piece.move_to_disk(&RuntimeEnv::default()).unwrap();
        assert!(!rows.are_lost());
        piece.delete_file();
        assert!(rows.are_lost());
    }

    #[test]
    fn few_changes_are_kept_and_none_is_merged_often() {
        assert_eq!(due(100, &[]), Due::Nothing);
        assert_eq!(due(100, &[10]), Due::Nothing);
        assert_eq!(due(100, &[10, 10]), Due::ChangesFrom(0));
        assert_eq!(due(100, &[21, 10]), Due::Nothing);
        assert_eq!(due(100, &[21, 10, 1]), Due::Nothing);
        assert_eq!(due(100, &[21, 5, 3]), Due::ChangesFrom(1));
        assert_eq!(due(100, &[21, 5, 6]), Due::ChangesFrom(0));
        assert_eq!(due(100, &[40, 11]), Due::All);
        assert_eq!(due(0, &[1]), Due::All);
        // A row each time, into as many as there were.
        let (mut base, mut changes, mut merged) = (1_000, Vec::<usize>::new(), 0);
        for _ in 0..100_000 {
            match due(base, &changes) {
                Due::Nothing => {}
                Due::All => {
                    base += changes.drain(..).sum::<usize>();
                    merged += base;
                }
                Due::ChangesFrom(from) => {
                    let rows = changes.drain(from..).sum();
                    changes.push(rows);
                    merged += rows;
                }
            }
            changes.push(1);
            assert!(changes.len() <= 20, "{changes:?}");
        }
        assert!(merged < 20 * 100_000, "{merged} rows were merged");
    }
}
