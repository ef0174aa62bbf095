//! Rules of DataFusion that are left out, and rules of our own, so that a plan answers as its query reads.

mod aggregates;
mod conditions;
mod dependencies;
mod forgetful;
mod interval_joins;
mod join_orders;
mod nearest_joins;
mod offsets;
mod outer_joins;
mod physical;
mod pushdown;
mod requirements;
mod statistics;
mod unions;
mod unique_keys;
mod yielding;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;

/// A session in which queries are planned as here.
pub(crate) fn configure(state: SessionStateBuilder) -> SessionStateBuilder {
    let physical = outer_joins::forgetting_constants(statistics::of_one_aggregate(pushdown::rules()));
    let physical = join_orders::forgetting_orders_in_memory(unique_keys::forgetting_keys(physical));
    let physical = offsets::hiding_offsets(physical);
    let mut physical = requirements::meeting_requirements_again(physical);
    physical.push(Arc::new(interval_joins::JoinsOfIntervals));
    physical.push(Arc::new(yielding::JoinsPause));
    let logical = dependencies::forgetting_before(conditions::staying(aggregates::rules()));
    state
        .with_optimizer_rules(unions::knowing_their_nulls(logical))
        .with_relation_planners(vec![Arc::new(dependencies::Relations)])
        .with_physical_optimizer_rules(physical)
}
