//! Joins pause.
//!
//! DataFusion 55 lets an operator that reads files or other tasks pause after some batches, so that the runtime can abort
//! the query and serve others. A join may make billions of rows of one batch that it read, and an aggregation above it
//! takes them all without a pause: nothing could end it. So what a join hands on is counted, too.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;

use super::physical::{Rule, of_each_operator};

/// Lets every join pause between batches of its rows. The last rule but the one of first steps, which looks through it.
pub(super) fn joins_pause() -> Rule {
    of_each_operator("JoinsPause", |operator, _| {
        let is_join = operator.children().len() > 1 && operator.name().contains("Join");
        Ok(match is_join {
            true => Transformed::yes(Arc::new(CooperativeExec::new(operator)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(operator),
        })
    })
}
