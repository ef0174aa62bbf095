//! SQL with places `$1`, `$2` … for expressions: what a call of another dialect is written as here.

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArgumentClause, FunctionArguments, Query, SetExpr,
    Statement, Value, ValueWithSpan, VisitorMut,
};
use datafusion::logical_expr::sqlparser::parser::Parser;
use datafusion::logical_expr::sqlparser::tokenizer::Tokenizer;

use super::call::{Call, plain_name};
use crate::error::Result;
use crate::sql::dialect::LakeDialect;
use crate::sql::walk::walk_mut;

/// The aggregates that stand in templates.
const AGGREGATES: [&str; 12] = [
    "approx_distinct",
    "approx_percentile_cont",
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "first_value",
    "last_value",
    "mode",
    "percentile_cont",
    "sum",
];

/// Those to which an order makes a difference.
const ORDERED: [&str; 3] = ["array_agg", "first_value", "last_value"];

/// The expression with `args` in the places of a template.
pub(super) fn fill(template: &str, args: &[&Expr]) -> Expr {
    place(parse(template), args)
}

/// The query with `args` in the places of a template.
pub(super) fn fill_query(template: &str, args: &[&Expr]) -> Query {
    let mut parsed = parser(template).parse_statements().expect("a template is SQL");
    match parsed.pop() {
        Some(Statement::Query(mut query)) => {
            let _ = walk_mut(&mut query, &mut Fill { args });
            *query
        }
        _ => unreachable!("a template of a table is a query"),
    }
}

/// The same for a call that may be one of an aggregate: what stands around it, such as FILTER and OVER, is put around the
/// aggregates of the template.
pub(super) fn fill_call(template: &str, args: &[&Expr], call: &Call<'_>) -> Result<Expr> {
    let mut expr = parse(template);
    if call.is_of_many_rows() {
        let mut clauses = Clauses { call, found: 0, refused: None };
        let _ = walk_mut(&mut expr, &mut clauses);
        if let Some(message) = clauses.refused {
            return Err(call.refuse(message));
        }
        if clauses.found == 0 {
            return Err(call.refuse(
                "it makes one value of one row, so FILTER, OVER, DISTINCT and ORDER BY belong to the aggregate around it",
            ));
        }
        if clauses.found > 1 && call.is_distinct() {
            return Err(call.refuse("it takes no DISTINCT: select the different rows in a subquery first"));
        }
    }
    Ok(place(expr, args))
}

fn place(mut expr: Expr, args: &[&Expr]) -> Expr {
    let _ = walk_mut(&mut expr, &mut Fill { args });
    Expr::Nested(Box::new(expr))
}

fn parse(template: &str) -> Expr {
    parser(template).parse_expr().expect("a template is SQL")
}

/// Tokens without their places, which would be taken for places in the query.
fn parser(template: &str) -> Parser<'static> {
    let tokens = Tokenizer::new(&LakeDialect, template).tokenize().expect("a template is SQL");
    Parser::new(&LakeDialect).with_tokens(tokens)
}

/// Puts expressions into places.
struct Fill<'a> {
    args: &'a [&'a Expr],
}

impl VisitorMut for Fill<'_> {
    type Break = ();

    // Afterwards, so that nothing is looked for in what was put there.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(ValueWithSpan { value: Value::Placeholder(place), .. }) = expr
            && let Some(number) = place.strip_prefix('$').and_then(|number| number.parse::<usize>().ok())
            && let Some(arg) = number.checked_sub(1).and_then(|place| self.args.get(place))
        {
            *expr = match arg {
                Expr::BinaryOp { .. } | Expr::UnaryOp { .. } => Expr::Nested(Box::new((*arg).clone())),
                arg => (*arg).clone(),
            };
        }
        ControlFlow::Continue(())
    }
}

/// Puts what stands around a call around the aggregates of a template.
struct Clauses<'a> {
    call: &'a Call<'a>,
    found: usize,
    refused: Option<&'static str>,
}

impl VisitorMut for Clauses<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(name) = plain_name(&function.name)
            && AGGREGATES.contains(&name.as_str())
        {
            self.found += 1;
            self.put_around(function, &name);
        }
        ControlFlow::Continue(())
    }
}

impl Clauses<'_> {
    fn put_around(&mut self, function: &mut Function, name: &str) {
        let of = self.call.function;
        if let Some(filter) = &of.filter {
            function.filter = Some(match function.filter.take() {
                Some(own) => Box::new(Expr::BinaryOp {
                    left: Box::new(Expr::Nested(own)),
                    op: BinaryOperator::And,
                    right: Box::new(Expr::Nested(filter.clone())),
                }),
                None => filter.clone(),
            });
        }
        let FunctionArguments::List(list) = &mut function.args else { return };
        if self.call.is_distinct() {
            if !list.clauses.is_empty() || !function.within_group.is_empty() {
                self.refused = Some("it takes no DISTINCT: select the different rows in a subquery first");
            }
            list.duplicate_treatment = Some(DuplicateTreatment::Distinct);
        }
        if let Some(over) = &of.over {
            if !list.clauses.is_empty() || !function.within_group.is_empty() {
                self.refused = Some(
                    "it takes no OVER here: group in a subquery and join it, or write first_value(x) OVER (PARTITION BY … ORDER BY …)",
                );
            }
            function.over = Some(over.clone());
        }
        function.null_treatment = function.null_treatment.or(of.null_treatment);
        let order = self.call.order();
        if !order.is_empty() {
            let has_order = list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_)));
            if ORDERED.contains(&name) && !has_order {
                list.clauses.push(FunctionArgumentClause::OrderBy(order.to_vec()));
            } else if ORDERED.contains(&name) || name == "percentile_cont" {
                self.refused = Some("it takes no ORDER BY of its own");
            }
        }
        let known = |clause: &FunctionArgumentClause| {
            matches!(clause, FunctionArgumentClause::OrderBy(_) | FunctionArgumentClause::IgnoreOrRespectNulls(_))
        };
        if !self.call.clauses().iter().all(known) {
            self.refused = Some("LIMIT, HAVING and other clauses are not understood among its arguments");
        }
    }
}

/// The SELECT of a query that is one.
pub(super) fn select_of(query: &mut Query) -> Option<&mut datafusion::logical_expr::sqlparser::ast::Select> {
    match &mut *query.body {
        SetExpr::Select(select) => Some(select),
        _ => None,
    }
}
