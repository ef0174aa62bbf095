//! What was counted of users, with the rows that it was made of.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::identity_rows::IdentityRows;
use super::piece::{Piece, PieceRows};
use crate::scope::Scope;

/// The rows that a tally is made of.
#[derive(Clone, Debug)]
pub(in crate::folds) struct Base {
    /// For each fold of the tally.
    pub(in crate::folds) folds: Vec<Vec<Arc<Piece>>>,
    pub(in crate::folds) identities: Option<Arc<IdentityRows>>,
}

/// A tally over some rows.
#[derive(Debug)]
pub(in crate::folds) struct Counted {
    pub(in crate::folds) base: Base,
    /// The plan that made it: plans that read alike need not be the same.
    pub(in crate::folds) plan: LogicalPlan,
    pub(in crate::folds) users: Arc<Piece>,
    /// Of rows of nobody in particular, who may be on several sites.
    pub(in crate::folds) nobody: Option<Nobody>,
}

#[derive(Clone, Debug)]
pub(in crate::folds) struct Nobody {
    pub(in crate::folds) by_site: Arc<Piece>,
    pub(in crate::folds) in_lake: Arc<Piece>,
}

impl Base {
    fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        self.folds.iter().flatten().chain(self.identities.iter().map(|identities| identities.piece()))
    }

    pub(in crate::folds) fn rows(&self) -> usize {
        self.pieces().map(|piece| piece.row_count()).sum()
    }
}

impl Counted {
    /// The rows of a scope.
    pub(in crate::folds) fn rows(&self, scope: &Scope) -> Vec<PieceRows> {
        let mut rows = self.users.rows_everywhere_and(scope);
        if let Some(Nobody { by_site, in_lake }) = &self.nobody {
            let piece = if matches!(scope, Scope::Lake) { in_lake } else { by_site };
            rows.extend(piece.rows_everywhere_and(scope));
        }
        rows
    }

    /// All pieces that it holds.
    pub(in crate::folds) fn pieces(&self) -> impl Iterator<Item = &Arc<Piece>> {
        let nobody = self.nobody.iter().flat_map(|nobody| [&nobody.by_site, &nobody.in_lake]);
        self.base.pieces().chain([&self.users]).chain(nobody)
    }
}
