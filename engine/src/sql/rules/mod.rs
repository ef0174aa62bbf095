//! Rules of DataFusion that are left out, and rules of our own, so that a plan answers as its query reads.

mod aggregates;
mod dependencies;
mod outer_joins;
mod pushdown;
mod sorting;
mod yielding;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;

/// A session in which queries are planned as here.
pub(crate) fn configure(state: SessionStateBuilder) -> SessionStateBuilder {
    let mut physical = pushdown::rules();
    physical.push(Arc::new(yielding::JoinsPause));
    state
        .with_optimizer_rules(dependencies::forgetting_before(aggregates::rules()))
        .with_relation_planners(vec![Arc::new(dependencies::Relations)])
        .with_physical_optimizer_rules(sorting::sorting_what_lost_its_order(outer_joins::forgetting_constants(
            physical,
        )))
}
