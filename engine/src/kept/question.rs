//! What is asked of the rows of files, by which states that were made of them are found again.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::aggregates::PhysicalGroupBy;
use parking_lot::Mutex;

use crate::joins::lookup_join::Looked;

/// What is asked of a file's rows.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) groups: PhysicalGroupBy,
    pub(super) aggregates: Vec<Arc<AggregateFunctionExpr>>,
    pub(super) filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    pub(super) steps: Vec<Step>,
    /// The columns that are read, by their numbers in the table.
    pub(super) columns: Vec<usize>,
    /// What has to hold of a row and does not hold of all.
    pub(super) condition: Option<Arc<dyn PhysicalExpr>>,
}

/// What is made of rows before they are aggregated, from above.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Filtered(Arc<dyn PhysicalExpr>, Option<Vec<usize>>),
    Selected(Vec<(Arc<dyn PhysicalExpr>, String)>),
    Looked(Looked),
}

/// Questions that were asked. Those that are the same are compared once, and not once for each file.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    by_hash: HashMap<u64, Vec<Arc<Question>>>,
    /// How many were left when those were forgotten last of which no file has anything.
    left: usize,
}

/// Questions that are never looked through for such.
const QUESTIONS_MIN: usize = 1 << 10;

impl Questions {
    /// The question as it was asked before, if it was.
    pub(super) fn known(&self, question: Question) -> Arc<Question> {
        let hash = ahash::RandomState::with_seed(0).hash_one(&question);
        let mut all = self.0.lock();
        if all.by_hash.len() >= QUESTIONS_MIN.max(2 * all.left) {
            all.by_hash.retain(|_, alike| alike.iter().any(|question| Arc::strong_count(question) > 1));
            all.left = all.by_hash.len();
        }
        let alike = all.by_hash.entry(hash).or_default();
        if let Some(known) = alike.iter().find(|known| ***known == question) {
            return known.clone();
        }
        let new = Arc::new(question);
        alike.push(new.clone());
        new
    }
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.columns.hash(state);
        for (expr, name) in self.groups.expr() {
            (expr, name).hash(state);
        }
        for aggregate in &self.aggregates {
            (aggregate.name(), aggregate.expressions()).hash(state);
        }
        self.filters.hash(state);
        for step in &self.steps {
            match step {
                Step::Filtered(condition, columns) => (condition, columns).hash(state),
                Step::Selected(exprs) => exprs.hash(state),
                Step::Looked(looked) => looked.fingerprint().hash(state),
            }
        }
        self.condition.hash(state);
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |one: &AggregateFunctionExpr, other: &AggregateFunctionExpr| {
            one == other && one.is_distinct() == other.is_distinct() && one.ignore_nulls() == other.ignore_nulls()
        };
        self.columns == other.columns
            && self.groups == other.groups
            && self.aggregates.len() == other.aggregates.len()
            && self.aggregates.iter().zip(&other.aggregates).all(|(one, other)| is_same(one, other))
            && self.filters == other.filters
            && self.steps == other.steps
            && self.condition == other.condition
    }
}
