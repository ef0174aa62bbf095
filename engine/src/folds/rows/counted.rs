//! What was counted of users, with the rows that it was made of.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::piece::{Piece, PieceRows};
use crate::scope::Scope;

/// The rows that a tally is made of.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// For each fold of the tally.
    pub(super) folds: Vec<Vec<Arc<Piece>>>,
    pub(super) identities: Option<Arc<Piece>>,
}

/// A tally over some rows.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) base: Base,
    /// The plan that made it: plans that read alike need not be the same.
    pub(super) plan: LogicalPlan,
    pub(super) users: Arc<Piece>,
    /// Of rows of nobody in particular, who may be on several sites.
    pub(super) nobody: Option<Nobody>,
}

#[derive(Clone, Debug)]
pub(super) struct Nobody {
    pub(super) by_site: Arc<Piece>,
    pub(super) in_lake: Arc<Piece>,
}

impl Base {
    fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.folds.iter().flatten().chain(&self.identities)
    }

    pub(super) fn rows(&self) -> usize {
        self.pieces().map(|piece| piece.row_count()).sum()
    }
}

impl Counted {
    /// The rows of a scope.
    pub(super) fn rows(&self, scope: &Scope) -> Vec<PieceRows> {
        let mut rows = self.users.rows_everywhere_and(scope);
        if let Some(Nobody { by_site, in_lake }) = &self.nobody {
            let piece = if matches!(scope, Scope::Lake) { in_lake } else { by_site };
            rows.extend(piece.rows_everywhere_and(scope));
        }
        rows
    }

    /// All pieces that it holds.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        let nobody = self.nobody.iter().flat_map(|nobody| [&nobody.by_site, &nobody.in_lake]);
        self.base.pieces().chain([&self.users]).chain(nobody)
    }
}
