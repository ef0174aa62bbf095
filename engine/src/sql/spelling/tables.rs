//! Tables that are calls: the steps of a funnel, who came back, the members of a JSON list.

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    Expr, FunctionArg, Ident, JoinConstraint, JoinOperator, Query, Select, Spanned, TableAlias, TableFactor,
    TableWithJoins, Value, VisitorMut,
};

use super::aggregates::STEPS_MAX;
use super::call::{members, plain_list, plain_name};
use super::template::{fill, fill_query};
use crate::error::Result;
use crate::sql::syntax::{refusal, text_of};
use crate::sql::walk::{has_expr, walk_mut};

/// `funnel(steps, window, from, until)`: how many users did the first event, then the second, and so on.
///
/// `$1` is the window, `$2` and `$3` are the bounds of time, and from `$4` on the names of the steps.
fn funnel(steps: &[Expr], window: &Expr, bounds: &[&Expr]) -> Query {
    let (from, until) = bounds_of(bounds);
    // The names are the places from 4 on.
    let name = |step: usize| format!("${}", step + 4);
    let conditions: Vec<String> = (0..steps.len()).map(|step| format!("name = {}", name(step))).collect();
    let names: Vec<String> = (0..steps.len()).map(name).collect();
    let rows: Vec<String> =
        (0..steps.len()).map(|step| format!("SELECT {} AS step, {} AS name", step + 1, name(step))).collect();
    let query = format!(
        "WITH funnel_events AS (
            SELECT
                coalesce(identities.user_visitor_id, events.visitor_id) AS visitor_id,
                events.occurred_at, events.name
            FROM events
            LEFT JOIN identities
                ON identities.anonymous_visitor_id = events.visitor_id AND events.user_id IS NULL
            WHERE events.visitor_id IS NOT NULL AND NOT events.is_bot AND events.name IN ({names})
                {from} {until}
        ),
        funnel_users AS (
            SELECT visitor_id, window_funnel($1, occurred_at, {conditions}) AS reached
            FROM funnel_events
            GROUP BY visitor_id
        ),
        funnel_rows AS ({rows}),
        funnel_counts AS (
            SELECT funnel_rows.step, funnel_rows.name, count(funnel_users.visitor_id) AS users
            FROM funnel_rows
            LEFT JOIN funnel_users ON funnel_users.reached >= funnel_rows.step
            GROUP BY funnel_rows.step, funnel_rows.name
        )
        SELECT
            step, name, users,
            CAST(users AS DOUBLE) / nullif(first_value(users) OVER (ORDER BY step), 0) AS of_first,
            CAST(users AS DOUBLE) / nullif(lag(users) OVER (ORDER BY step), 0) AS of_previous
        FROM funnel_counts",
        names = names.join(", "),
        conditions = conditions.join(", "),
        rows = rows.join(" UNION ALL "),
    );
    let none = fill("NULL", &[]);
    let mut args = vec![window, bounds.first().copied().unwrap_or(&none), bounds.get(1).copied().unwrap_or(&none)];
    args.extend(steps);
    fill_query(&query, &args)
}

fn bounds_of(bounds: &[&Expr]) -> (&'static str, &'static str) {
    let from = if bounds.is_empty() { "" } else { "AND events.occurred_at >= $2" };
    let until = if bounds.len() < 2 { "" } else { "AND events.occurred_at < $3" };
    (from, until)
}

/// `retention(unit, first, again, from, until)`: of those who did the first event in a day, week or month for the first
/// time, how many did the other one in that and each later one.
fn retention(unit: &str, first: Option<&Expr>, again: Option<&Expr>, bounds: &[&Expr]) -> Query {
    let (from, until) = bounds_of(bounds);
    let named = |name: Option<&Expr>, place: &str| match name {
        Some(_) => format!("name = {place}"),
        None => "TRUE".to_owned(),
    };
    let query = format!(
        "WITH retention_events AS (
            SELECT
                coalesce(identities.user_visitor_id, events.visitor_id) AS visitor_id,
                CAST(date_trunc('{unit}', events.occurred_at) AS DATE) AS unit,
                bool_or({first}) AS is_first, bool_or({again}) AS is_again
            FROM (SELECT visitor_id, user_id, occurred_at, name FROM events
                WHERE visitor_id IS NOT NULL AND NOT is_bot {from} {until}) AS events
            LEFT JOIN identities
                ON identities.anonymous_visitor_id = events.visitor_id AND events.user_id IS NULL
            GROUP BY 1, 2
        ),
        retention_members AS (
            SELECT visitor_id, unit, is_again,
                min(CASE WHEN is_first THEN unit END) OVER (PARTITION BY visitor_id) AS cohort
            FROM retention_events
        ),
        retention_sizes AS (
            SELECT cohort, count(*) AS cohort_users FROM retention_members WHERE unit = cohort GROUP BY cohort
        ),
        retention_counts AS (
            SELECT cohort, date_diff('{unit}', cohort, unit) AS period, count(*) AS users
            FROM retention_members
            WHERE is_again AND unit >= cohort
            GROUP BY 1, 2
        )
        SELECT
            retention_counts.cohort, retention_counts.period, retention_counts.users, retention_sizes.cohort_users,
            CAST(retention_counts.users AS DOUBLE) / retention_sizes.cohort_users AS retention
        FROM retention_counts
        JOIN retention_sizes ON retention_sizes.cohort = retention_counts.cohort",
        first = named(first, "$4"),
        again = named(again, "$5"),
    );
    let none = fill("NULL", &[]);
    let args = [
        &none,
        bounds.first().copied().unwrap_or(&none),
        bounds.get(1).copied().unwrap_or(&none),
        first.unwrap_or(&none),
        again.unwrap_or(&none),
    ];
    fill_query(&query, &args)
}

const FUNNEL: &str = "write FROM funnel(ARRAY['page_view', 'signup', 'purchase'], INTERVAL '7 days'), and behind it the first \
                      time and the time before which all must lie, if there are bounds";

const RETENTION: &str = "write FROM retention('week'), with the names of the event that begins and of the one that \
                         counts: retention('week', 'signup', 'page_view'), and behind them the bounds of time";

/// Puts a query in the place of a call.
pub(super) fn respell(table: &mut TableFactor) -> Result<()> {
    let (name, args, alias, at) = match table {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
            (plain_name(name), plain_list(&args.args), alias.clone(), name.span())
        }
        TableFactor::Function { name, args, alias, with_ordinality: false, .. } => {
            (plain_name(name), plain_list(args), alias.clone(), name.span())
        }
        _ => return Ok(()),
    };
    if name.as_deref() == Some("flatten") {
        return Err(refusal(format!("flatten: {ELEMENTS}"), at));
    }
    let (Some(name), Some(args)) = (name, args) else { return Ok(()) };
    let subquery = match name.as_str() {
        "funnel" => match &args[..] {
            [steps, window, bounds @ ..] if bounds.len() <= 2 => match members(steps) {
                Some(steps) if (1..=STEPS_MAX).contains(&steps.len()) => funnel(steps, window, bounds),
                _ => return Err(refusal(format!("funnel: {FUNNEL}"), at)),
            },
            _ => return Err(refusal(format!("funnel: {FUNNEL}"), at)),
        },
        "retention" => {
            let unit = args.first().and_then(|unit| text_of(unit)).map(str::to_lowercase);
            let unit = unit.filter(|unit| ["day", "week", "month"].contains(&unit.as_str()));
            let Some(unit) = unit.filter(|_| args.len() <= 5) else {
                return Err(refusal(format!("retention: {RETENTION}"), at));
            };
            let is_given = |name: &&Expr| !name.to_string().eq_ignore_ascii_case("null");
            let name = |place: usize| args.get(place).copied().filter(is_given);
            retention(&unit, name(1), name(2), args.get(3..).unwrap_or_default())
        }
        _ => return Ok(()),
    };
    let alias =
        alias.or_else(|| Some(TableAlias { explicit: true, name: Ident::new(name), columns: vec![], at: None }));
    *table = TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias, sample: None };
    Ok(())
}

const ELEMENTS: &str = "write FROM (SELECT *, unnest(json_get_array(properties, 'items')) AS item FROM events) e, and item->>'sku' \
                        for a part of it";

/// Lists of a table's rows, in a FROM beside the table: the rows get a column with a member each.
pub(super) fn respell_from(select: &mut Select) -> Result<()> {
    // A comma and a CROSS JOIN say the same.
    let [first, others @ ..] = &mut select.from[..] else { return Ok(()) };
    let mut lists = Vec::new();
    let mut columns = Vec::new();
    for other in others.iter() {
        let Some(list) = list_of(other) else { return Ok(()) };
        lists.push(list);
    }
    let by_comma = lists.len();
    while let Some(join) = first.joins.last() {
        let (is_cross, constraint) = match &join.join_operator {
            JoinOperator::CrossJoin(on) | JoinOperator::Join(on) | JoinOperator::Inner(on) => (true, on),
            JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => (false, on),
            _ => break,
        };
        let Some(list) = list_of_factor(&join.relation) else { break };
        if !is_cross {
            return Err(refusal(
                "a LEFT JOIN with the members of a list is not here: write unnest_outer(…) AS item among the columns of a subquery",
                join.relation.span(),
            ));
        }
        let is_plain = match constraint {
            JoinConstraint::None => true,
            JoinConstraint::On(Expr::Value(value)) => value.value == Value::Boolean(true),
            _ => false,
        };
        if !is_plain {
            return Err(refusal("write the condition on the members of a list into WHERE", join.relation.span()));
        }
        lists.insert(0, list);
        first.joins.pop();
    }
    if lists.is_empty() {
        return Ok(());
    }
    let (TableFactor::Table { name, alias, args: None, .. }, true) = (&first.relation, first.joins.is_empty()) else {
        return match by_comma == lists.len() && lists.iter().all(|list| !list.of_json) {
            true => Ok(()),
            false => Err(refusal(format!("the members of a list stand beside one table: {ELEMENTS}"), first.span())),
        };
    };
    let alias = alias.clone().unwrap_or_else(|| TableAlias {
        explicit: true,
        name: name.0.last().and_then(|part| part.as_ident()).cloned().unwrap_or_else(|| Ident::new("events")),
        columns: vec![],
        at: None,
    });
    let mut args: Vec<&Expr> = Vec::new();
    for list in &lists {
        args.push(&list.expr);
        columns.push(format!("unnest(${}) AS \"{}\"", args.len(), list.column.replace('"', "\"\"")));
    }
    let mut subquery = fill_query(&format!("SELECT *, {} FROM events", columns.join(", ")), &args);
    if let Some(inner) = super::template::select_of(&mut subquery) {
        inner.from = vec![TableWithJoins { relation: unaliased(&first.relation, &alias), joins: vec![] }];
    }
    first.relation =
        TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias: Some(alias), sample: None };
    select.from.truncate(1);
    let mut renames = Renames { lists: &lists };
    let _ = walk_mut(select, &mut renames);
    Ok(())
}

/// The table within the subquery, under the name that the list calls it by.
fn unaliased(table: &TableFactor, alias: &TableAlias) -> TableFactor {
    let mut table = table.clone();
    if let TableFactor::Table { alias: own, .. } = &mut table {
        *own = Some(alias.clone());
    }
    table
}

/// A list that stands in a FROM.
struct List {
    expr: Expr,
    /// Its name as a table, and that of its column.
    table: String,
    column: String,
    of_json: bool,
}

fn list_of(table: &TableWithJoins) -> Option<List> {
    table.joins.is_empty().then(|| list_of_factor(&table.relation))?
}

fn list_of_factor(table: &TableFactor) -> Option<List> {
    let one = |args: &[FunctionArg]| match plain_list(args)?[..] {
        [arg] => Some(arg.clone()),
        _ => None,
    };
    let (expr, alias, of_json) = match table {
        TableFactor::Table { name, args: Some(args), alias, with_ordinality: false, .. } => {
            (members_of(&plain_name(name)?, &one(&args.args)?)?, alias, true)
        }
        TableFactor::Function { name, args, alias, with_ordinality: false, .. } => {
            (members_of(&plain_name(name)?, &one(args)?)?, alias, true)
        }
        TableFactor::UNNEST { array_exprs, alias, with_offset: false, with_ordinality: false, .. } => {
            match &array_exprs[..] {
                // Of nothing but values it is a table of its own.
                [list] if names_column(list) => (list.clone(), alias, false),
                _ => return None,
            }
        }
        _ => return None,
    };
    let table = alias.as_ref().map_or_else(|| "value".to_owned(), |alias| alias.name.value.clone());
    let column = alias.as_ref().and_then(|alias| alias.columns.first()).map_or(table.clone(), |c| c.name.value.clone());
    Some(List { expr, table, column, of_json })
}

fn members_of(name: &str, json: &Expr) -> Option<Expr> {
    match name {
        "jsonb_array_elements" | "json_array_elements" => Some(fill("json_get_array($1)", &[json])),
        "jsonb_array_elements_text" | "json_array_elements_text" => {
            Some(fill("json_texts(json_get_array($1))", &[json]))
        }
        _ => None,
    }
}

/// Whether an expression names a column.
pub(super) fn names_column(expr: &Expr) -> bool {
    has_expr(expr, |expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)))
}

/// `item.value` and `item.item` are the member, as `item` is.
struct Renames<'a> {
    lists: &'a [List],
}

impl VisitorMut for Renames<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let respelt = match expr {
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [table, column] => self
                    .lists
                    .iter()
                    .find(|list| list.table == table.value && (column.value == "value" || column.value == list.column)),
                _ => None,
            },
            Expr::Identifier(name) => {
                self.lists.iter().find(|list| list.table == name.value && list.column != name.value)
            }
            _ => None,
        };
        if let Some(list) = respelt {
            *expr = Expr::Identifier(Ident::with_quote('"', list.column.clone()));
        }
        ControlFlow::Continue(())
    }
}

/// Joins that are none here.
pub(super) fn check_joins(select: &Select) -> Result<()> {
    let mut joins = select.from.iter().flat_map(|table| &table.joins);
    let is_array = |operator: &JoinOperator| {
        matches!(operator, JoinOperator::ArrayJoin | JoinOperator::LeftArrayJoin | JoinOperator::InnerArrayJoin)
    };
    match joins.find(|join| is_array(&join.join_operator)) {
        Some(join) => Err(refusal(
            "ARRAY JOIN is not here: write unnest(list) AS item among the columns of a subquery",
            join.relation.span(),
        )),
        None => Ok(()),
    }
}
