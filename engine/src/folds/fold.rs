//! One aggregate over events, or over a table that is made of them.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::Expr;

use super::bounds::TimeBounds;
use super::closed_part::SessionFold;
use super::definition::Definition;
use super::hash::hash_of;
use super::making::PieceMaker;
use super::memory::PieceKey;
use super::pass::PassFold;
use super::stand_in::FoldedTable;

/// One aggregate over events.
pub(super) struct Fold {
    pub(super) definition: Definition,
    pub(super) bounds: TimeBounds,
    /// Conditions that are not part of the definition.
    pub(super) others: Vec<Expr>,
    /// Whether they move with time otherwise than as bounds of when a session begins.
    pub(super) others_move: bool,
    pub(super) schema: SchemaRef,
}

impl Fold {
    pub(super) fn is_by_visitor(&self) -> bool {
        self.definition.folded != FoldedTable::Events
    }

    /// Whether what it makes of sessions that began long ago is kept.
    pub(super) fn is_kept_by_start(&self) -> bool {
        self.definition.folded == FoldedTable::ByStart && !self.others_move
    }

    pub(super) fn maker(&self) -> PieceMaker<'_> {
        PieceMaker { definition: &self.definition, schema: &self.schema }
    }

    pub(super) fn in_pass(&self) -> PassFold<'_> {
        PassFold { maker: self.maker(), bounds: &self.others }
    }

    pub(super) fn of_sessions(&self) -> SessionFold<'_> {
        SessionFold { pass: self.in_pass(), definition: self.definition.id.to_string() }
    }

    /// Names what a pass makes for this fold.
    pub(super) fn pass_key(&self) -> PieceKey {
        let definition = self.definition.id.to_string();
        hash_of([definition, "pass".to_owned()].into_iter().chain(self.others.iter().map(Expr::to_string)))
    }

    /// Names the pieces of a pass, of which there is at least one.
    pub(super) fn pass_keys(&self) -> impl Iterator<Item = PieceKey> {
        let first = self.pass_key();
        let later = move |part: u32| hash_of([format!("{:032x}", u128::from_be_bytes(first)), part.to_string()]);
        [first].into_iter().chain((1..).map(later))
    }
}
