//! One aggregate over events, or over a table that is made of them.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use super::aggregate::bounds::TimeBounds;
use super::aggregate::definition::{Definition, Subtractable};
use super::aggregate::making::PieceMaker;
use super::aggregate::pass::PassFold;
use super::aggregate::shape::Why;
use super::aggregate::stand_in::FoldedTable;
use super::hash::hash_of;
use super::rows::memory::PieceKey;
use crate::sessions::Kind;

/// One aggregate over events.
pub(super) struct Fold {
    pub(super) definition: Definition,
    pub(super) bounds: TimeBounds,
    /// Conditions that are not part of the definition.
    pub(super) others: Vec<Expr>,
    pub(super) keeps: Keeps,
    pub(super) schema: SchemaRef,
}

/// What is kept of a fold from run to run.
#[derive(Debug)]
pub(super) enum Keeps {
    /// What each file gave.
    OfFiles,
    /// What the last pass gave, of which rows can be taken away.
    OfLastPass(Subtractable),
    /// Nothing.
    Nothing(Why),
}

impl Fold {
    pub(super) fn is_by_visitor(&self) -> bool {
        self.definition.folded != FoldedTable::Events
    }

    /// The place of the first of some folds that makes the same rows; the one behind them if none does.
    pub(super) fn place_among(&self, folds: &[Self]) -> usize {
        folds.iter().position(|other| other.makes_same(self)).unwrap_or(folds.len())
    }

    fn makes_same(&self, other: &Self) -> bool {
        self.definition.id == other.definition.id
            && self.bounds == other.bounds
            && self.others == other.others
            && self.schema == other.schema
    }

    /// Whether what is kept of it serves no run at another time.
    ///
    /// - `later`: the same fold at another time.
    pub(super) fn moves_until(&self, later: &Self) -> bool {
        self.is_by_visitor()
            && (self.definition.id != later.definition.id
                || TimeBounds::take_of_sessions(&self.others).1 != TimeBounds::take_of_sessions(&later.others).1)
    }

    /// Keeps nothing, because it moves.
    pub(super) fn keep_nothing(&mut self) {
        self.keeps = Keeps::Nothing(
            "the time of the run stands in its groups or conditions otherwise than as a bound of started_at".into(),
        );
    }

    /// Whether what the last pass gave is kept.
    pub(super) fn is_kept(&self) -> bool {
        self.subtractable().is_some()
    }

    /// Whether rows of the table that a visitor had before the last ones need not be looked at again.
    pub(super) fn is_windowed(&self) -> bool {
        // Any event of a visitor may have the user's id.
        let tells_users = self.definition.columns(&self.others).contains("user_id");
        self.definition.table == Kind::Sessions.name() && self.definition.adds_up() && !tells_users
    }

    /// Why it is made anew at each run, if it is.
    pub(super) fn why_whole(&self) -> Option<&str> {
        match &self.keeps {
            Keeps::Nothing(why) => Some(why),
            Keeps::OfFiles | Keeps::OfLastPass(_) => None,
        }
    }

    /// What it takes to take rows away from what the last pass gave, if that is kept.
    pub(super) fn subtractable(&self) -> Option<&Subtractable> {
        match &self.keeps {
            Keeps::OfLastPass(parts) => Some(parts),
            Keeps::OfFiles | Keeps::Nothing(_) => None,
        }
    }

    pub(super) fn maker(&self) -> PieceMaker<'_> {
        PieceMaker { definition: &self.definition, schema: &self.schema }
    }

    pub(super) fn in_pass(&self) -> PassFold<'_> {
        PassFold { maker: self.maker(), bounds: &self.others }
    }

    /// Names what a pass makes for this fold.
    pub(super) fn pass_key(&self) -> PieceKey {
        let definition = self.definition.id.to_string();
        hash_of([definition, "pass".to_owned()].into_iter().chain(self.others.iter().map(Expr::to_string)))
    }

    /// Names what a pass makes for this fold whenever the times of its sessions end.
    pub(super) fn kept_key(&self) -> PieceKey {
        let from_us = TimeBounds::take_of_sessions(&self.others).0.from_us;
        hash_of([format!("{:?}", self.anytime_key()), format!("from {from_us:?}")])
    }

    /// Names what a pass makes for this fold whenever the times of its sessions begin and end.
    pub(super) fn anytime_key(&self) -> PieceKey {
        let others = TimeBounds::take_of_sessions(&self.others).1;
        hash_of([self.definition.id.to_string()].into_iter().chain(others.iter().map(Expr::to_string)))
    }
}
