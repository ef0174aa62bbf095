//! ClickHouse's `LIMIT n BY x`: of the rows that are equal in `x`, the first `n` in the order of the query. Written here as
//! `QUALIFY row_number() OVER (PARTITION BY x ORDER BY …) <= n`.

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    Expr, Ident, LimitClause, OrderByExpr, OrderByKind, Query, SelectItem, SetExpr, Spanned, VisitorMut,
};

use super::call::whole_number;
use super::template::fill;
use crate::error::Result;
use crate::sql::syntax::refusal;
use crate::sql::walk::{has_expr, walk_mut};

const SUBQUERY: &str = "LIMIT … BY stands behind one SELECT without DISTINCT, QUALIFY, OFFSET and ORDER BY ALL: write the rest into a subquery, \
                        SELECT * FROM (…) ORDER BY t LIMIT 1 BY x";

const WINDOWS: &str = "LIMIT … BY takes no window functions: name them in a subquery, SELECT * FROM (SELECT …, lag(x) OVER (…) AS y …) ORDER BY y \
     LIMIT 1 BY x";

/// Writes a query's LIMIT … BY otherwise.
pub(super) fn respell(query: &mut Query) -> Result<()> {
    let at = match &query.limit_clause {
        Some(LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty() => limit_by[0].span(),
        _ => return Ok(()),
    };
    let order = match query.order_by.as_ref().map(|order| &order.kind) {
        None => &[][..],
        Some(OrderByKind::Expressions(order)) => order,
        Some(OrderByKind::All(_)) => return Err(refusal(SUBQUERY, at)),
    };
    let (SetExpr::Select(select), Some(LimitClause::LimitOffset { limit: Some(limit), offset: None, limit_by })) =
        (&mut *query.body, &query.limit_clause)
    else {
        return Err(refusal(SUBQUERY, at));
    };
    if select.distinct.is_some() || select.qualify.is_some() || order.iter().any(|key| key.with_fill.is_some()) {
        return Err(refusal(SUBQUERY, at));
    }
    let of_query = |expr: &Expr| of_query(expr, &select.projection);
    let groups = limit_by.iter().map(of_query).collect::<Result<Vec<_>>>()?;
    let keys = order.iter().map(|key| of_query(&key.expr)).collect::<Result<Vec<_>>>()?;
    if groups.iter().chain(&keys).any(has_window) {
        return Err(refusal(WINDOWS, at));
    }
    let mut args: Vec<&Expr> = groups.iter().chain(&keys).collect();
    args.push(limit);
    let places: Vec<String> = (1..=groups.len()).map(|place| format!("${place}")).collect();
    let sorted = |(place, key): (usize, &OrderByExpr)| format!("${}{}", groups.len() + place + 1, key.options);
    let sorted: Vec<String> = order.iter().enumerate().map(sorted).collect();
    let order = if sorted.is_empty() { String::new() } else { format!("ORDER BY {}", sorted.join(", ")) };
    // In a frame of ROWS: DataFusion takes no bytes as the only key of any other.
    let first = format!(
        "row_number() OVER (PARTITION BY {} {order} ROWS UNBOUNDED PRECEDING) <= ${}",
        places.join(", "),
        args.len()
    );
    select.qualify = Some(fill(&first, &args));
    // What was behind it is the limit of all rows (see `tokens`).
    let whole = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent && fetch.quantity.is_some());
    query.limit_clause =
        whole.map(|whole| LimitClause::LimitOffset { limit: whole.quantity, offset: None, limit_by: vec![] });
    Ok(())
}

/// An expression behind a SELECT as it would stand in it: names and places of its columns are what they are made of.
fn of_query(expr: &Expr, projection: &[SelectItem]) -> Result<Expr> {
    if let Some(place) = whole_number(expr) {
        let item = usize::try_from(place).ok().and_then(|place| projection.get(place.checked_sub(1)?));
        // A star is more than one.
        let is_one = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
        return match item {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. })
                if projection.iter().all(is_one) =>
            {
                Ok(expr.clone())
            }
            _ => Err(refusal(format!("there is no column {place} to take as a group: name it"), expr.span())),
        };
    }
    let mut expr = expr.clone();
    let _ = walk_mut(&mut expr, &mut Aliases { projection, queries: 0 });
    Ok(expr)
}

struct Aliases<'a> {
    projection: &'a [SelectItem],
    /// How many queries within the expression are being read: they have names of their own.
    queries: usize,
}

impl VisitorMut for Aliases<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    // Afterwards: an alias of what has the same name is not read again.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let (Expr::Identifier(name), 0) = (&*expr, self.queries)
            && let Some(made) = self.projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if is_same(alias, name) => Some(expr),
                _ => None,
            })
        {
            *expr = match made {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_) => made.clone(),
                made => Expr::Nested(Box::new(made.clone())),
            };
        }
        ControlFlow::Continue(())
    }
}

fn is_same(one: &Ident, other: &Ident) -> bool {
    let name = |ident: &Ident| match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    };
    name(one) == name(other)
}

fn has_window(expr: &Expr) -> bool {
    has_expr(expr, |expr| matches!(expr, Expr::Function(function) if function.over.is_some()))
}
