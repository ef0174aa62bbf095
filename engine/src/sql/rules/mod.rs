//! Rules of DataFusion that are left out, and rules of our own, so that a plan answers as its query reads.

mod aggregates;
mod calendar;
mod conditions;
mod dependencies;
mod file_partials;
mod interval_joins;
mod lookup_joins;
mod nearest_joins;
mod order;
mod physical;
mod pushdown;
mod statistics;
mod unions;
mod yielding;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;

/// A session in which queries are planned as here.
pub(crate) fn configure(state: SessionStateBuilder) -> SessionStateBuilder {
    let mut physical = order::doubting(statistics::of_one_aggregate(pushdown::rules()));
    physical.insert(0, calendar::begins_by_division());
    physical.push(interval_joins::joins_of_intervals());
    physical.push(lookup_joins::joins_by_looking_up());
    physical.push(yielding::joins_pause());
    // Behind all rules that make joins anew: halves of a union share the rows that their joins look up.
    physical.push(file_partials::first_steps_by_file());
    let logical = dependencies::forgetting_before(conditions::staying(aggregates::rules()));
    state
        .with_optimizer_rules(unions::knowing_their_nulls(logical))
        .with_relation_planners(vec![Arc::new(dependencies::Relations)])
        .with_physical_optimizer_rules(physical)
}
