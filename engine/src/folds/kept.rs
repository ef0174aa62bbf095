//! What the lake keeps of a recurring query, a state for each aggregate over events and file: whether it is what the file's
//! events give.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use lake::{EVENTS, StateDefinition, TableFile};

use super::aggregate::bounds::TimeBounds;
use super::aggregate::stand_in::FoldedTable;
use super::fold::Fold;
use super::fold_use::FoldUse;
use super::gathering::{Gathering, in_types_of};
use super::recurring::RecurringQuery;
use super::rows::piece::Piece;
use crate::error::Result;

/// How far two sums of doubles may differ that were added up in another order.
const DOUBLES_DIFFER: f64 = 1e-9;

/// A state in the lake.
#[derive(Clone, Debug)]
pub struct KeptState {
    /// What it is a state of.
    pub definition: StateDefinition,
    /// The file that it was made of.
    pub file: TableFile,
}

/// What the events of its file say of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// They give the same rows.
    Same,
    /// They give other rows: answers made of it are wrong.
    Different,
    /// It was deleted meanwhile, cannot be read, and then it counts as none, or is too large to be compared.
    None,
}

impl RecurringQuery {
    /// The states that the lake has of the query and the files of its view.
    pub async fn kept_states(&self) -> Result<Vec<KeptState>> {
        let (lake, files) = (self.view().engine().lake(), &self.view().snapshot().events.files);
        let mut states = Vec::new();
        for fold in self.kept_folds() {
            let definition = fold.definition.id;
            let with_states = lake.files_with_states(definition, files).await?;
            states.extend(with_states.into_iter().map(|file| KeptState { definition, file: file.clone() }));
        }
        Ok(states)
    }

    /// Makes the rows of a state again and compares. Reads the file's events.
    pub async fn compare(&self, state: &KeptState) -> Result<Compared> {
        let Some(fold) = self.kept_folds().find(|fold| fold.definition.id == state.definition) else {
            return Ok(Compared::None);
        };
        let maker = fold.maker();
        let kept = self.view().engine().lake().read_state(state.definition, &state.file).await?;
        let Some(kept) = kept.and_then(|batches| in_types_of(maker.schema, batches)) else {
            return Ok(Compared::None);
        };
        let gathering = Gathering { view: self.view(), maker, bounds: TimeBounds::default() };
        let made = gathering.of_files(&[&state.file], TimeBounds::default(), &mut FoldUse::default()).await?;
        let kept = Piece::new(maker.schema, &kept)?;
        Ok(match made.in_memory()?.zip(kept.in_memory()?) {
            Some((made, kept)) if are_same(&made, &kept) => Compared::Same,
            Some(_) => Compared::Different,
            // There was no room for it now.
            None => Compared::None,
        })
    }

    /// The aggregates of which states are kept.
    fn kept_folds(&self) -> impl Iterator<Item = &Fold> {
        let folds = self.folds().unwrap_or_default().iter();
        folds.filter(|fold| fold.definition.folded == FoldedTable::Events && fold.definition.table == EVENTS.name)
    }
}

/// Whether two pieces have the same rows.
fn are_same(one: &RecordBatch, other: &RecordBatch) -> bool {
    one.num_rows() == other.num_rows()
        && one.num_columns() == other.num_columns()
        && one.columns().iter().zip(other.columns()).all(|(one, other)| hold_the_same(one, other))
}

fn hold_the_same(one: &ArrayRef, other: &ArrayRef) -> bool {
    if one.data_type() != &DataType::Float64 || other.data_type() != &DataType::Float64 {
        return one == other;
    }
    let is_near =
        |a: f64, b: f64| a.total_cmp(&b).is_eq() || a == b || (a - b).abs() <= DOUBLES_DIFFER * a.abs().max(b.abs());
    let (one, other) = (one.as_primitive::<Float64Type>(), other.as_primitive::<Float64Type>());
    one.iter().zip(other).all(|pair| match pair {
        (Some(a), Some(b)) => is_near(a, b),
        (a, b) => a.is_none() && b.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::{Float64Array, Int64Array};

    use super::*;

    #[test]
    fn doubles_may_differ_where_only_the_order_of_a_sum_does() {
        for (one, other, expected) in [
            (Some(0.1 + 0.2), Some(0.3), true),
            (Some(1.0), Some(1.000_001), false),
            (Some(f64::NAN), Some(f64::NAN), true),
            (Some(f64::NAN), Some(1.0), false),
            (Some(0.0), Some(-0.0), true),
            (Some(f64::INFINITY), Some(f64::INFINITY), true),
            (None, Some(0.0), false),
            (None, None, true),
        ] {
            let array = |value| -> ArrayRef { Arc::new(Float64Array::from(vec![value])) };
            assert_eq!(hold_the_same(&array(one), &array(other)), expected, "{one:?} {other:?}");
        }
        let count = |value| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
        assert!(hold_the_same(&count(7), &count(7)) && !hold_the_same(&count(7), &count(8)));
    }
}
