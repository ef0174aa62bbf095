//! Rows that are joined with the one row that a number names are looked up.
//!
//! Only in tables that are made here, such as `identities`, whose rows have a number each. What shows that it reads files to be looked up
//! in stays a join that workers can run, see [`lookup_join`](crate::joins::lookup_join).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;

use super::physical::{Rule, of_each_operator};
use crate::joins::lookup_join::LookupJoinExec;

/// Has rows looked up where they may be.
pub(super) fn joins_by_looking_up() -> Rule {
    of_each_operator("JoinsByLookingUp", |operator, _| {
        let reads_files = operator.children().first().is_some_and(|left| reads_files(left));
        let lookup = if reads_files { None } else { LookupJoinExec::of(&operator) };
        Ok(match lookup {
            Some(lookup) => Transformed::yes(Arc::new(lookup) as Arc<dyn ExecutionPlan>),
            None => Transformed::no(operator),
        })
    })
}

fn reads_files(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<DataSourceExec>() || plan.children().into_iter().any(reads_files)
}
