//! ASOF joins: to each row of the left side the nearest row of the right one. Here they are brought into one form, which
//! the planner knows (see `rules::nearest_joins`): alone in parentheses, with the condition on the order apart from the
//! others, as Snowflake writes it. There `global` says that a row without any match is left out, as DuckDB and ClickHouse do
//! unless LEFT stands before JOIN.

use std::mem;

use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, Expr, Join, JoinConstraint, JoinOperator, ObjectName, Spanned, TableFactor, TableWithJoins,
};
use datafusion::logical_expr::sqlparser::tokenizer::Span;

use super::tables::names_column;
use crate::error::Result;
use crate::sql::syntax::refusal;

const ORDER: &str = "ASOF JOIN takes one condition on the order, and besides it equalities: write a ASOF JOIN b ON a.k = b.k AND a.t >= b.t";

const KINDS: &str = "ASOF JOIN keeps the left side: write ASOF LEFT JOIN to keep its rows without a match, or ASOF JOIN to leave them out";

/// Puts every ASOF join of a FROM, with what stands before it, into parentheses of its own.
pub(super) fn respell(tables: &mut TableWithJoins) -> Result<()> {
    if tables.joins.iter().any(is_asof) {
        let mut whole = TableWithJoins { relation: tables.relation.clone(), joins: vec![] };
        for join in mem::take(&mut tables.joins) {
            if is_asof(&join) {
                let before = match whole.joins.is_empty() {
                    true => whole.relation,
                    false => TableFactor::NestedJoin { table_with_joins: Box::new(whole), alias: None },
                };
                let alone = TableWithJoins { relation: before, joins: vec![in_one_form(join)?] };
                let relation = TableFactor::NestedJoin { table_with_joins: Box::new(alone), alias: None };
                whole = TableWithJoins { relation, joins: vec![] };
            } else {
                whole.joins.push(join);
            }
        }
        *tables = whole;
    }
    Ok(())
}

/// The same for parentheses that somebody wrote. What stands alone in them already is in them.
pub(super) fn respell_nested(table: &mut TableFactor) -> Result<()> {
    let TableFactor::NestedJoin { table_with_joins, .. } = table else { return Ok(()) };
    match &mut table_with_joins.joins[..] {
        [join] if is_asof(join) => {
            *join = in_one_form(join.clone())?;
            Ok(())
        }
        _ => respell(table_with_joins),
    }
}

/// Whether a join is one. In DuckDB's form it is marked by `global` (see `tokens`).
fn is_asof(join: &Join) -> bool {
    join.global || matches!(join.join_operator, JoinOperator::AsOf { .. })
}

fn in_one_form(join: Join) -> Result<Join> {
    let at = join.relation.span();
    let (constraint, is_inner) = match join.join_operator {
        JoinOperator::AsOf { .. } => return Ok(join),
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (constraint, true),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (constraint, false),
        _ => return Err(refusal(KINDS, at)),
    };
    let (match_condition, constraint) = match constraint {
        JoinConstraint::On(condition) => of_condition(condition, at)?,
        JoinConstraint::Using(columns) => of_columns(columns, at)?,
        JoinConstraint::None | JoinConstraint::Natural => return Err(refusal(ORDER, at)),
    };
    let join_operator = JoinOperator::AsOf { match_condition, constraint };
    Ok(Join { relation: join.relation, global: is_inner, join_operator })
}

/// The condition on the order, and the others.
fn of_condition(condition: Expr, at: Span) -> Result<(Expr, JoinConstraint)> {
    let mut conditions = Vec::new();
    let mut rest = vec![condition];
    while let Some(condition) = rest.pop() {
        match condition {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => rest.extend([*right, *left]),
            Expr::Nested(inner) => rest.push(*inner),
            condition => conditions.push(condition),
        }
    }
    let (mut orders, others): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(is_order);
    let (Some(order), true) = (orders.pop(), orders.is_empty()) else { return Err(refusal(ORDER, at)) };
    let and = |left: Expr, right: Expr| Expr::BinaryOp {
        left: Box::new(left),
        op: BinaryOperator::And,
        right: Box::new(right),
    };
    Ok((order, others.into_iter().reduce(and).map_or(JoinConstraint::None, JoinConstraint::On)))
}

/// Whether a condition compares two columns, and is not about one side, such as `b.revenue > 10`.
fn is_order(condition: &Expr) -> bool {
    use BinaryOperator::{Gt, GtEq, Lt, LtEq};
    matches!(condition, Expr::BinaryOp { left, op: Gt | GtEq | Lt | LtEq, right } if names_column(left) && names_column(right))
}

/// `USING (k, t)`: the last of the columns is the one of the order.
fn of_columns(mut columns: Vec<ObjectName>, at: Span) -> Result<(Expr, JoinConstraint)> {
    let last = columns.pop();
    let Some(time) = last.as_ref().and_then(|name| match &name.0[..] {
        [part] => part.as_ident().cloned(),
        _ => None,
    }) else {
        return Err(refusal(ORDER, at));
    };
    let time = Box::new(Expr::Identifier(time));
    let order = Expr::BinaryOp { left: time.clone(), op: BinaryOperator::GtEq, right: time };
    let others = if columns.is_empty() { JoinConstraint::None } else { JoinConstraint::Using(columns) };
    Ok((order, others))
}
