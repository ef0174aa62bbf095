//! Functions of ours: for operators that DataFusion carries out in another way than PostgreSQL, and for what SQL cannot say
//! well. What can be written in SQL is, see [`spelling`](super::spelling).

pub(super) mod calendar;
mod columns;
mod count;
mod distinct;
mod json;
mod mode;
mod operators;
mod sequences;
mod sum;
mod times;

use std::sync::Arc;

use datafusion::logical_expr::planner::ExprPlanner;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(super) use operators::{Function, bytes};

/// The functions that make one value of one row.
pub(super) fn scalar() -> Vec<ScalarUDF> {
    let all = [json::all(), times::all(), sequences::all(), calendar::all()];
    all.into_iter().flatten().collect()
}

/// The aggregates.
pub(super) fn aggregates() -> Vec<AggregateUDF> {
    vec![mode::mode(), count::count(), sum::sum()]
}

/// What plans operators that stand for functions of ours.
pub(super) fn planners() -> Vec<Arc<dyn ExprPlanner>> {
    vec![Arc::new(json::Containment), Arc::new(times::Intervals)]
}
