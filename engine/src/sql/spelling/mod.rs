//! What people write elsewhere, respelt as what is written here: functions of BigQuery, ClickHouse, DuckDB, PostgreSQL and
//! Snowflake, functions of our own that are SQL underneath, tables that are queries, and clauses that are others here.
//!
//! It is done before anything else looks at a query, so that what a form means is decided in one place, and what becomes of
//! it (folds, confinement, limits) is what becomes of any SQL.

mod aggregates;
mod asof;
mod call;
mod dates;
mod forms;
mod json;
mod limit_by;
mod pivot;
mod tables;
mod template;

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    AccessExpr, Expr, Function, Ident, Query, Select, SelectItem, Statement, Subscript, TableFactor, Visitor,
    VisitorMut,
};

use self::call::{Call, whole_number};
use self::template::fill;
use super::syntax::take;
use super::walk::{walk, walk_mut};
use crate::error::{EngineError, Result};
pub(super) use aggregates::STEPS_MAX;
pub(super) use dates::SUNDAY_WEEK;

/// A deeper expression is named after less than all of it: to write it out takes as much stack as it is deep.
const NAME_DEPTH_MAX: usize = 32;

/// Respells a statement. Fails in words that say what to write instead.
pub(super) fn respell(statement: &mut Statement) -> Result<()> {
    let reads_properties = walk(statement, &mut NamedProperties).is_continue();
    match walk_mut(statement, &mut Speller { names: vec![], reads_properties }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Speller {
    /// Of each SELECT that is being read, the names of its columns as they were written.
    names: Vec<Vec<Option<String>>>,
    /// Whether `properties.plan` is a property, and not the column of a table that has this name.
    reads_properties: bool,
}

/// Looks for a table that is called as the column is.
struct NamedProperties;

impl Visitor for NamedProperties {
    type Break = ();

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        let (name, alias) = match table {
            TableFactor::Table { name, alias, .. } => (call::plain_name(name), alias),
            TableFactor::Derived { alias, .. } | TableFactor::UNNEST { alias, .. } => (None, alias),
            _ => return ControlFlow::Continue(()),
        };
        let is_named = |name: &str| name.eq_ignore_ascii_case(json::JSON_COLUMN);
        match name.as_deref().is_some_and(is_named) || alias.as_ref().is_some_and(|alias| is_named(&alias.name.value)) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

impl VisitorMut for Speller {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<EngineError> {
        flow(limit_by::respell(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<EngineError> {
        if let Err(error) = pivot::respell_grouped(select) {
            return ControlFlow::Break(error);
        }
        let name_of = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(expr) if is_shallow(expr) => Some(expr.to_string()),
            _ => None,
        };
        self.names.push(select.projection.iter().map(name_of).collect());
        flow(respell_from(select))
    }

    /// What was respelt keeps the name that its author sees.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<EngineError> {
        let names = self.names.pop().unwrap_or_default();
        for (item, name) in select.projection.iter_mut().zip(names) {
            if let (SelectItem::UnnamedExpr(expr), Some(name)) = (&mut *item, name)
                && expr.to_string() != name
            {
                *item = SelectItem::ExprWithAlias { expr: take(expr), alias: Ident::with_quote('"', name) };
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<EngineError> {
        flow(pivot::respell(table).and_then(|()| asof::respell_nested(table)).and_then(|()| tables::respell(table)))
    }

    /// Before its parts: the bound that a subscript takes of all quantiles.
    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        match subscript(expr) {
            Ok(Some(respelt)) => *expr = respelt,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<EngineError> {
        let respelt = match expr {
            Expr::Function(function) => match respelt(function) {
                Ok(respelt) => respelt,
                Err(error) => return ControlFlow::Break(error),
            },
            Expr::Interval(interval) => dates::interval(interval),
            Expr::CompoundIdentifier(parts) if self.reads_properties => json::property(parts),
            _ => None,
        };
        if let Some(respelt) = respelt {
            *expr = respelt;
        }
        ControlFlow::Continue(())
    }
}

fn respell_from(select: &mut Select) -> Result<()> {
    tables::check_joins(select)?;
    tables::respell_from(select)?;
    select.from.iter_mut().try_for_each(asof::respell)
}

fn flow(step: Result<()>) -> ControlFlow<EngineError> {
    match step {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn respelt(function: &Function) -> Result<Option<Expr>> {
    let Some(call) = Call::of(function) else { return Ok(None) };
    for respell in [forms::respell, dates::respell, json::respell, aggregates::respell] {
        if let Some(expr) = respell(&call)? {
            return Ok(Some(expr));
        }
    }
    Ok(None)
}

/// BigQuery's `x[OFFSET(0)]` and `x[ORDINAL(1)]`: a place counted from 0 or from 1.
fn subscript(expr: &Expr) -> Result<Option<Expr>> {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else { return Ok(None) };
    let [AccessExpr::Subscript(Subscript::Index { index: Expr::Function(function) })] = &access_chain[..] else {
        return Ok(None);
    };
    let Some(call) = Call::of(function) else { return Ok(None) };
    let (from, [place]) = (
        match call.name.as_str() {
            "offset" | "safe_offset" => 1,
            "ordinal" | "safe_ordinal" => 0,
            _ => return Ok(None),
        },
        &call.args[..],
    ) else {
        return Ok(None);
    };
    let Some(number) = whole_number(place) else {
        return Ok(Some(fill(&format!("($1)[$2 + {from}]"), &[root, place])));
    };
    if let Expr::Function(function) = &**root
        && let Some(quantiles) = Call::of(function)
        && let Some(bound) = aggregates::bound_of_quantiles(&quantiles, number + from - 1)?
    {
        return Ok(Some(bound));
    }
    Ok(Some(fill(&format!("($1)[{}]", number + from), &[root])))
}

/// Whether an expression is of few levels. Its depth is counted by a walk that does not take the stack.
fn is_shallow(expr: &Expr) -> bool {
    struct Depth {
        now: usize,
    }
    impl Visitor for Depth {
        type Break = ();

        fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.now += 1;
            match self.now > NAME_DEPTH_MAX {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        }

        fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.now -= 1;
            ControlFlow::Continue(())
        }
    }
    walk(expr, &mut Depth { now: 0 }).is_continue()
}
