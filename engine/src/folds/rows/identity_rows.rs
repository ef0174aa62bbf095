//! The rows of `identities` of a view, and what all tallies ask of them: who is one user with whom, and of whom that changed.

use std::sync::{Arc, OnceLock};

use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::common::HashSet;
use datafusion::error::Result;
use parking_lot::Mutex;

use super::changed::Changes;
use super::piece::Piece;

/// The columns of visitor ids.
const COLUMNS: [&str; 2] = ["anonymous_visitor_id", "user_visitor_id"];

/// The rows of `identities`.
#[derive(Debug)]
pub(in crate::folds) struct IdentityRows {
    piece: Arc<Piece>,
    links: OnceLock<Links>,
    differs: Mutex<Option<Difference>>,
}

/// What differs from earlier rows, which are held so that no others come to lie where they lay.
#[derive(Debug)]
struct Difference {
    before: Arc<Piece>,
    visitors: Arc<HashSet<i64>>,
}

/// Pairs of visitor ids of one user, in both directions and in order.
#[derive(Debug, Default)]
pub(in crate::folds) struct Links {
    pairs: Vec<(i64, i64)>,
}

/// The rows of `identities` of the latest view.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastIdentities {
    last: Arc<Mutex<Option<Arc<IdentityRows>>>>,
}

impl LastIdentities {
    /// The last ones, if they are the same rows; else these, which are the last ones from now on.
    pub(in crate::folds) fn of(&self, rows: RecordBatch) -> Result<Arc<IdentityRows>> {
        let last = self.last.lock().clone();
        if let Some(last) = last
            && last.piece.all_rows()? == rows
        {
            return Ok(last);
        }
        let made = Arc::new(IdentityRows::new(Piece::new(&rows.schema(), &[rows])?));
        *self.last.lock() = Some(made.clone());
        Ok(made)
    }
}

impl IdentityRows {
    fn new(piece: Arc<Piece>) -> Self {
        Self { piece, links: OnceLock::new(), differs: Mutex::default() }
    }

    pub(in crate::folds) fn piece(&self) -> &Arc<Piece> {
        &self.piece
    }

    /// Who is one user with whom.
    pub(in crate::folds) fn links(&self) -> Result<&Links> {
        if let Some(links) = self.links.get() {
            return Ok(links);
        }
        let rows = self.piece.all_rows()?;
        let [one, other]: [&Int64Array; 2] = COLUMNS.map(|name| rows[name].as_primitive::<Int64Type>());
        let pairs = one.iter().zip(other).filter_map(|(one, other)| Some((one?, other?)));
        Ok(self.links.get_or_init(|| Links::new(pairs)))
    }

    /// The visitor ids of rows that differ from earlier ones. `None` if they are too many to be compared.
    pub(in crate::folds) fn changed_since(&self, before: &Self) -> Result<Option<Arc<HashSet<i64>>>> {
        if Arc::ptr_eq(&self.piece, &before.piece) {
            return Ok(Some(Arc::default()));
        }
        let mut differs = self.differs.lock();
        if let Some(known) = differs.as_ref().filter(|known| Arc::ptr_eq(&known.before, &before.piece)) {
            return Ok(Some(known.visitors.clone()));
        }
        let schema = self.piece.schema();
        let [anonymous, user] = COLUMNS.map(|name| schema.index_of(name));
        let mut changes = Changes::default();
        let (was, is) = (std::slice::from_ref(&before.piece), std::slice::from_ref(&self.piece));
        if !changes.add(was, is, &[anonymous?, user?])? {
            return Ok(None);
        }
        let visitors = Arc::new(changes.visitors);
        *differs = Some(Difference { before: before.piece.clone(), visitors: visitors.clone() });
        Ok(Some(visitors))
    }
}

impl Links {
    fn new(pairs: impl Iterator<Item = (i64, i64)>) -> Self {
        let mut pairs: Vec<(i64, i64)> = pairs.flat_map(|(one, other)| [(one, other), (other, one)]).collect();
        pairs.sort_unstable();
        Self { pairs }
    }

    /// The ids that are one user with another, as far as a pair says so.
    fn of(&self, id: i64) -> impl Iterator<Item = i64> {
        let first = self.pairs.partition_point(|(one, _)| *one < id);
        self.pairs[first..].iter().take_while(move |(one, _)| *one == id).map(|(_, other)| *other)
    }

    /// Adds everybody who is one user with a visitor, by any of the links.
    pub(in crate::folds) fn extend(links: &[&Self], visitors: &mut HashSet<i64>) {
        let mut waiting: Vec<i64> = visitors.iter().copied().collect();
        while let Some(id) = waiting.pop() {
            let linked = links.iter().flat_map(|links| links.of(id));
            waiting.extend(linked.filter(|other| visitors.insert(*other)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_one_user_with_somebody_changes_with_them() {
        let check = |changed: &[i64], now: &[(i64, i64)], before: &[(i64, i64)], all: &[i64]| {
            let mut visitors: HashSet<i64> = changed.iter().copied().collect();
            let [now_links, before_links] = [now, before].map(|pairs| Links::new(pairs.iter().copied()));
            Links::extend(&[&now_links, &before_links], &mut visitors);
            assert_eq!(visitors, all.iter().copied().collect(), "{changed:?} {now:?} {before:?}");
        };
        check(&[], &[(1, 2)], &[], &[]);
        check(&[1], &[], &[], &[1]);
        check(&[1], &[(2, 3)], &[], &[1]);
        check(&[1], &[(1, 9), (2, 9), (3, 8)], &[], &[1, 2, 9]);
        // An anonymous id that belonged to one user and belongs to another now.
        check(&[9], &[(3, 8), (2, 8)], &[(2, 9)], &[9, 2, 8, 3]);
        check(&[i64::MIN, i64::MAX], &[(i64::MIN, 4)], &[(5, i64::MAX)], &[i64::MIN, i64::MAX, 4, 5]);
    }
}
