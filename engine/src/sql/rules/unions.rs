//! A union says which of its columns may be null, whatever has become of what it unites.
//!
//! The optimizer may lose that a column is never null: `coalesce(x, '-')` becomes `CASE WHEN x IS NOT NULL THEN x ELSE '-'
//! END`, which is known not to be null, and once `x IS NOT NULL` stands in a column of its own, because it is asked for
//! twice, the same CASE is not. All operators are told, but a union keeps the columns that it was made with, and the planner
//! refuses an aggregate over it: "Physical input schema should be the same as the one converted from logical input schema".
//! (DataFusion 55.2: `LogicalPlan::recompute_schema`.)

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, Union};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The rules, and behind them one that tells each union what its columns are by now.
pub(super) fn knowing_their_nulls(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.push(Arc::new(UnionsKnowTheirNulls));
    rules
}

#[derive(Debug)]
struct UnionsKnowTheirNulls;

impl OptimizerRule for UnionsKnowTheirNulls {
    fn name(&self) -> &str {
        "unions_know_their_nulls"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut is_changed = false;
        plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Union(union) => match with_nulls_of_inputs(&union)? {
                Some(schema) => {
                    is_changed = true;
                    let union = Union { schema: Arc::new(schema), ..union };
                    Ok(Transformed::yes(LogicalPlan::Union(union)))
                }
                None => Ok(Transformed::no(LogicalPlan::Union(union))),
            },
            // What stands above a union has its columns from there.
            plan if is_changed => plan.recompute_schema().map(Transformed::yes),
            plan => Ok(Transformed::no(plan)),
        })
    }
}

/// The union's columns, if one that may be null counts as never null.
fn with_nulls_of_inputs(union: &Union) -> Result<Option<DFSchema>> {
    let columns = union.schema.fields().len();
    if union.inputs.iter().any(|input| input.schema().fields().len() != columns) {
        return Ok(None);
    }
    let may_be_null = |place: usize| union.inputs.iter().any(|input| input.schema().field(place).is_nullable());
    let counts_as_filled = |place: usize| !union.schema.field(place).is_nullable();
    if !(0..columns).any(|place| counts_as_filled(place) && may_be_null(place)) {
        return Ok(None);
    }
    let fields = union.schema.iter().enumerate().map(|(place, (table, field))| {
        let is_nullable = field.is_nullable() || may_be_null(place);
        (table.cloned(), Arc::new(field.as_ref().clone().with_nullable(is_nullable)))
    });
    let schema = DFSchema::new_with_metadata(fields.collect(), union.schema.metadata().clone())?;
    Ok(Some(schema))
}
