//! Subqueries know the types of what they take from the query around them.
//!
//! The planner notes the type of `a.k` in `EXISTS (SELECT 1 FROM b WHERE b.k = a.k)` before types are made to agree. After
//! that, a column of CASE or UNION may be of another one: `CASE WHEN … THEN 'none' ELSE name END` becomes a view of text,
//! and of 1 and 2.5 a double comes. The subquery goes on comparing with the old type, and DataFusion 55.2 fails once it
//! joins the two: "Can't compare arrays of different types", or a schema that did not fit.
//!
//! So types are made to agree once before, and the subqueries are told. What they compare then gets its cast as elsewhere.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;

/// The plan with the types that its subqueries' references to the outside really have.
pub(super) fn retype(plan: LogicalPlan) -> Result<LogicalPlan> {
    if !has_references(&plan)? {
        return Ok(plan);
    }
    let plan = TypeCoercion::new().analyze(plan, &ConfigOptions::default())?;
    // From the top down: a name means the innermost table of that name, which is the last to tell its type.
    plan.transform_down_with_subqueries(|plan| {
        let schema = merge_schema(&plan.inputs());
        let plan = plan.map_subqueries(|subquery| retype_below(subquery, &schema))?;
        // What stands right of a LATERAL refers to what stands left of it.
        plan.transform_data(|plan| match plan {
            LogicalPlan::Join(_) => plan.map_children(|side| retype_below(side, &schema)),
            plan => Ok(Transformed::no(plan)),
        })
    })
    .data()
}

fn has_references(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            found |= expr.contains_outer();
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

/// Gives the references in a plan to columns of `outer` the types that these have.
fn retype_below(plan: LogicalPlan, outer: &DFSchema) -> Result<Transformed<LogicalPlan>> {
    plan.transform_up_with_subqueries(|plan| {
        let retyped = match plan {
            LogicalPlan::Subquery(Subquery { subquery, outer_ref_columns, spans }) => {
                let mut changed = false;
                let mut columns = Vec::with_capacity(outer_ref_columns.len());
                for column in outer_ref_columns {
                    let column = retype_expr(column, outer)?;
                    changed |= column.transformed;
                    columns.push(column.data);
                }
                let subquery = Subquery { subquery, outer_ref_columns: columns, spans };
                Transformed::new_transformed(LogicalPlan::Subquery(subquery), changed)
            }
            plan => plan.map_expressions(|expr| retype_expr(expr, outer))?,
        };
        // Of what lies below, a type may have changed, too.
        retyped.map_data(LogicalPlan::recompute_schema)
    })
}

fn retype_expr(expr: Expr, outer: &DFSchema) -> Result<Transformed<Expr>> {
    expr.transform_up(|expr| match expr {
        Expr::OuterReferenceColumn(field, column) => match outer.qualified_field_from_column(&column) {
            Ok((_, real)) if real.data_type() != field.data_type() => {
                Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(real), column)))
            }
            _ => Ok(Transformed::no(Expr::OuterReferenceColumn(field, column))),
        },
        expr => Ok(Transformed::no(expr)),
    })
}
