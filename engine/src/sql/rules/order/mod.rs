//! What DataFusion takes the order of rows for and must not, around the rule that decides which sorts are needed.

mod forgetful;
mod join_orders;
mod offsets;
mod outer_joins;
mod requirements;
mod unique_keys;

use super::physical::Rule;

/// The rules, with those that keep an order from being believed where it is none.
pub(super) fn doubting(rules: Vec<Rule>) -> Vec<Rule> {
    let rules = unique_keys::forgetting_keys(outer_joins::forgetting_constants(rules));
    let rules = offsets::hiding_offsets(join_orders::forgetting_orders_in_memory(rules));
    requirements::meeting_requirements_again(rules)
}
