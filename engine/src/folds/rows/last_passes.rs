//! What passes over tables by visitor made of the latest views.

use std::sync::Arc;

use datafusion::common::{HashMap, HashSet};
use datafusion::logical_expr::Expr;

use super::memory::PieceKey;
use super::pass_rows::PassRows;
use crate::sessions::SessionSource;

/// Views of which it is kept what folds made of them: metrics with a schedule of their own do not run each time.
const VIEWS_MAX: usize = 3;

/// What an engine keeps of its last passes.
#[derive(Debug, Default)]
pub(crate) struct LastPasses {
    /// Those of the latest views last.
    pub(in crate::folds) of_views: Vec<LastPass>,
}

/// What folds made of the rows of one view.
#[derive(Debug)]
pub(in crate::folds) struct LastPass {
    pub(in crate::folds) source: Arc<SessionSource>,
    pub(in crate::folds) folds: HashMap<PieceKey, Made>,
}

/// What one fold made.
#[derive(Clone, Debug)]
pub(in crate::folds) struct Made {
    /// Names it.
    pub(in crate::folds) key: PieceKey,
    pub(in crate::folds) rows: PassRows,
    /// Names what it makes whenever its sessions begin and end.
    pub(in crate::folds) anytime_key: PieceKey,
    /// Its conditions that are not part of its definition.
    pub(in crate::folds) conditions: Vec<Expr>,
}

impl LastPasses {
    /// The names of all that is kept.
    pub(in crate::folds) fn keys(&self) -> HashSet<PieceKey> {
        self.of_views.iter().flat_map(|last| last.folds.keys().copied()).collect()
    }

    /// Keeps what folds made of a view, and of earlier views what these did not make anew.
    ///
    /// - `followed`: names what they made it of.
    pub(in crate::folds) fn keep(
        &mut self,
        source: &Arc<SessionSource>,
        folds: HashMap<PieceKey, Made>,
        followed: &HashSet<PieceKey>,
    ) {
        for last in self.of_views.iter_mut() {
            last.folds.retain(|key, _| !folds.contains_key(key) && !followed.contains(key));
        }
        match self.of_views.iter_mut().find(|last| Arc::ptr_eq(&last.source, source)) {
            Some(same) => same.folds.extend(folds),
            None => self.of_views.push(LastPass { source: source.clone(), folds }),
        }
        self.of_views.retain(|last| !last.folds.is_empty());
        let oldest = self.of_views.len().saturating_sub(VIEWS_MAX);
        self.of_views.drain(..oldest);
    }
}
