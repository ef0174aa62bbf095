//! Takes a plan apart: puts places for rows where it groups events, counts users, or asks who is who.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use lake::EVENTS;

use super::aggregate::bounds::{TimeBounds, take_times_of_groups};
use super::aggregate::definition::{Definition, VISITOR};
use super::aggregate::shape::{Shape, Why, reason_of};
use super::aggregate::stand_in::{FoldedTable, StandIn};
use super::fold::{Fold, Keeps};
use super::rows::rows_table::{Place, RowsTable};
use super::tally::Tally;
use crate::session::IDENTITIES;
use crate::sessions::Kind;

/// Puts a place for the rows of a fold wherever a plan groups events.
pub(super) fn fold(state: &SessionState, plan: LogicalPlan) -> Result<(LogicalPlan, Vec<Fold>), Why> {
    let (mut folds, mut why) = (Vec::new(), None);
    let replaced = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let made = Shape::of(aggregate).and_then(|shape| {
            // What is made anew at each run may be bounded in any way.
            let (bounds, conditions, of_groups, others) = match shape.folded {
                FoldedTable::Events => {
                    let (bounds, conditions) = TimeBounds::take(shape.conditions.clone());
                    let (conditions, of_groups) = take_times_of_groups(conditions, &shape.keys);
                    (bounds, conditions, of_groups, vec![])
                }
                FoldedTable::ByVisitor | FoldedTable::Users => {
                    (TimeBounds::default(), vec![], vec![], shape.conditions.clone())
                }
            };
            let events = scanned(&aggregate.input).ok_or("it reads no events")?;
            let (definition, keeps) = define(shape, conditions, events.schema(), state)?;
            let part = definition.of_part(events, vec![]).map_err(reason_of)?;
            let schema: SchemaRef = Arc::new(part.schema().as_arrow().clone());
            let fold = Fold { definition, bounds, others, keeps, schema };
            // What a common table expression groups is planned wherever it is named. It stays among the folds, whose order says
            // the same at any time, also if times make two of them equal.
            let number = fold.place_among(&folds);
            let rows = RowsTable::empty_place(Place::Fold(number), fold.schema.clone());
            let rows = LogicalPlanBuilder::scan(format!("fold{number}"), provider_as_source(Arc::new(rows)), None);
            let chosen = of_groups.into_iter().fold(rows, |rows, condition| rows?.filter(condition));
            let chosen = chosen.and_then(|rows| rows.build());
            let finished = chosen.and_then(|rows| fold.definition.finish(rows, aggregate)).map_err(reason_of)?;
            Ok((finished, fold))
        });
        match made {
            Ok((finished, fold)) => {
                folds.push(fold);
                Ok(Transformed::new(finished, true, TreeNodeRecursion::Jump))
            }
            Err(reason) => {
                // An aggregate further up stands over groups, not over events: what counts is said of the lowest.
                why = Some(reason);
                Ok(Transformed::no(node))
            }
        }
    });
    let plan = replaced.and_then(|plan| plan.data.recompute_schema()).map_err(reason_of)?;
    if reads_events(&plan).map_err(reason_of)? {
        return Err(why.unwrap_or_else(|| "it does not group the events that it reads".into()));
    }
    if folds.is_empty() {
        return Err("it reads no events".into());
    }
    let plan = place_identities(plan).map_err(reason_of)?;
    // Once more, so that the rows of folds are read no further than is needed.
    let plan = state.optimize(&plan).map_err(reason_of)?;
    Ok((plan, folds))
}

/// The fold of an aggregate, and what is kept of it.
fn define(
    shape: Shape,
    conditions: Vec<Expr>,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<(Definition, Keeps), Why> {
    if shape.folded == FoldedTable::Events {
        return Ok((Definition::new(shape, conditions, schema, state, &[])?, Keeps::OfFiles));
    }
    // Rows of each visitor, where visitors are counted: so what is new of a visitor adds up with what was.
    if shape.table == Kind::Sessions.name() {
        let mut of_visitors = Definition::new(shape.clone(), conditions.clone(), schema, state, &[])?;
        if let Ok(parts) = of_visitors.make_subtractable(schema, state) {
            return Ok((of_visitors, Keeps::OfLastPass(parts)));
        }
    }
    // A pass makes all rows of a visitor together.
    let visitor = Expr::Column(Column::from_name(VISITOR));
    let mut definition = Definition::new(shape, conditions, schema, state, std::slice::from_ref(&visitor))?;
    let keeps = match definition.make_subtractable(schema, state) {
        Ok(parts) => Keeps::OfLastPass(parts),
        Err(why) => Keeps::Nothing(why),
    };
    Ok((definition, keeps))
}

/// Puts a place for the rows of a tally wherever a plan counts what it makes of users.
pub(super) fn tally(state: &SessionState, plan: LogicalPlan, folds: &[Fold]) -> Result<(LogicalPlan, Vec<Tally>), Why> {
    let mut tallies = Vec::new();
    let taken = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let taken = Tally::take(aggregate, folds, state).and_then(|tally| {
            let same = tallies.iter().position(|known: &Tally| known.counts_same(&tally));
            let rows = tally.stand_in(same.unwrap_or(tallies.len()), aggregate)?;
            if same.is_none() {
                tallies.push(tally);
            }
            Ok(rows)
        });
        match taken {
            Ok(rows) => Ok(Transformed::new(rows, true, TreeNodeRecursion::Jump)),
            Err(why) => {
                tracing::trace!(why, "not kept as a tally");
                Ok(Transformed::no(node))
            }
        }
    });
    let plan = taken.map_err(reason_of)?.data;
    if tallies.is_empty() {
        return Ok((plan, tallies));
    }
    let plan = state.optimize(&plan.recompute_schema().map_err(reason_of)?).map_err(reason_of)?;
    Ok((plan, tallies))
}

/// Puts a place for the rows of `identities` wherever a plan reads them: they are few, and known once for all scopes.
fn place_identities(plan: LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    let placed = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::TableScan(scan) = &node else { return Ok(Transformed::no(node)) };
        if StandIn::of(scan) != Some(IDENTITIES) {
            return Ok(Transformed::no(node));
        }
        let rows = RowsTable::empty_place(Place::Identities, scan.source.schema());
        let source = provider_as_source(Arc::new(rows));
        let mut rows = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?;
        for filter in &scan.filters {
            rows = rows.filter(filter.clone())?;
        }
        if let Some(projection) = &scan.projection {
            rows = rows.select(projection.clone())?;
        }
        Ok(Transformed::yes(rows.limit(0, scan.fetch)?.build()?))
    })?;
    placed.data.recompute_schema()
}

/// The whole table that an aggregate stands over.
fn scanned(plan: &LogicalPlan) -> Option<LogicalPlan> {
    let LogicalPlan::TableScan(scan) = plan else { return scanned(plan.inputs().first()?) };
    LogicalPlanBuilder::scan(scan.table_name.clone(), scan.source.clone(), None).ok()?.build().ok()
}

fn reads_events(plan: &LogicalPlan) -> datafusion::error::Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= StandIn::of(scan) == Some(EVENTS.name);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
