//! The first step of an aggregation over rows of a site that are kept is done for each file, see [`kept`](crate::kept).

use datafusion::common::tree_node::Transformed;

use super::physical::{Rule, of_each_operator};
use crate::kept::FilePartialsExec;

/// Has first steps done by file where their rows may be kept.
pub(super) fn first_steps_by_file() -> Rule {
    of_each_operator("FirstStepsByFile", |operator, _| {
        Ok(FilePartialsExec::in_plan(&operator)?.map_or_else(|| Transformed::no(operator), Transformed::yes))
    })
}
