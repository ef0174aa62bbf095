//! PIVOT: rows as columns. `FROM t PIVOT (sum(x) FOR name IN ('a', 'b'))` is `SELECT *` of all other columns, which it is
//! grouped by, with `sum(x) FILTER (WHERE name = 'a')` for each value. A group without a row of a value has null there, or the
//! count zero, and a group without a row of any stays, as in BigQuery, DuckDB and Snowflake.

use std::ops::ControlFlow;

use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, Expr, ExprWithAlias, Function, GroupByExpr, Ident, PivotValueSource, Query, Select, SelectFlavor,
    SelectItem, Spanned, TableFactor, TableWithJoins, Value, ValueWithSpan, Visitor,
};
use datafusion::logical_expr::sqlparser::tokenizer::Span;

use super::template::{fill, fill_query, select_of};
use crate::error::Result;
use crate::sql::syntax::{call, refusal};
use crate::sql::walk::{each_expr, walk};

const VALUES: &str = "PIVOT takes the values that become columns: PIVOT (count(*) FOR name IN ('signup', 'purchase'))";

/// Puts a query in the place of a PIVOT.
pub(super) fn respell(table: &mut TableFactor) -> Result<()> {
    let Some(pivot) = Pivot::of(table)? else { return Ok(()) };
    let cells = pivot.cells()?;
    let mut used = Vec::new();
    pivot.columns_into(pivot.column, &mut used);
    if used.is_empty() {
        return Err(refusal("PIVOT is for a column: PIVOT (… FOR name IN ('signup', 'purchase'))", pivot.at));
    }
    for aggregate in pivot.aggregates {
        pivot.columns_into(&aggregate.expr, &mut used);
    }
    let used: Vec<String> = used.iter().map(|column| quoted(column)).collect();
    let exprs: Vec<&Expr> = cells.iter().map(|(expr, _)| expr).collect();
    let items: Vec<String> =
        cells.iter().enumerate().map(|(place, (_, name))| format!("${} AS {}", place + 1, quoted(name))).collect();
    let query = format!("SELECT * EXCLUDE ({}), {} FROM events GROUP BY ALL", used.join(", "), items.join(", "));
    let mut subquery = fill_query(&query, &exprs);
    let (input, alias) = (pivot.input.clone(), pivot.alias.clone());
    if let Some(select) = select_of(&mut subquery) {
        select.from = vec![TableWithJoins { relation: input, joins: vec![] }];
    }
    *table = TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias, sample: None };
    Ok(())
}

/// The statement PIVOT, which may say what it is grouped by.
pub(super) fn respell_grouped(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(keys, modifiers) = &select.group_by else { return Ok(()) };
    let ([from], SelectFlavor::FromFirstNoSelect) = (&select.from[..], &select.flavor) else { return Ok(()) };
    if keys.is_empty() || !modifiers.is_empty() || !from.joins.is_empty() {
        return Ok(());
    }
    let Some(pivot) = Pivot::of(&from.relation)? else { return Ok(()) };
    let cells = pivot.cells()?.into_iter();
    let cells = cells.map(|(expr, name)| SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) });
    let projection = keys.iter().cloned().map(SelectItem::UnnamedExpr).chain(cells).collect();
    let from = vec![TableWithJoins { relation: pivot.input.clone(), joins: vec![] }];
    select.projection = projection;
    select.from = from;
    select.flavor = SelectFlavor::Standard;
    Ok(())
}

/// What a PIVOT is made of.
struct Pivot<'a> {
    input: &'a TableFactor,
    aggregates: &'a [ExprWithAlias],
    column: &'a Expr,
    values: &'a [ExprWithAlias],
    default: Option<&'a Expr>,
    alias: &'a Option<datafusion::logical_expr::sqlparser::ast::TableAlias>,
    at: Span,
}

impl<'a> Pivot<'a> {
    /// The PIVOT that a table is, if it is one.
    fn of(table: &'a TableFactor) -> Result<Option<Self>> {
        let TableFactor::Pivot {
            table: input,
            aggregate_functions,
            value_column,
            value_source,
            default_on_null,
            alias,
        } = table
        else {
            return Ok(None);
        };
        let at = value_column.first().map_or_else(Span::empty, Spanned::span);
        let [column] = &value_column[..] else {
            return Err(refusal("PIVOT is for one column: join two with || in a subquery first", at));
        };
        let PivotValueSource::List(values) = value_source else { return Err(refusal(VALUES, at)) };
        Ok(Some(Self {
            input,
            aggregates: aggregate_functions,
            column,
            values,
            default: default_on_null.as_ref(),
            alias,
            at,
        }))
    }

    /// The columns that are made, with their names.
    fn cells(&self) -> Result<Vec<(Expr, String)>> {
        let mut cells = Vec::new();
        for value in self.values {
            let name = match &value.alias {
                Some(alias) => name_of(alias),
                None => self.name_of_value(&value.expr)?,
            };
            for aggregate in self.aggregates {
                let cell = self.cell(aggregate, &value.expr)?;
                let name = match (&aggregate.alias, self.aggregates) {
                    (Some(alias), _) => format!("{name}_{}", name_of(alias)),
                    (None, [_]) => name.clone(),
                    (None, _) => format!("{name}_{}", aggregate.expr),
                };
                cells.push((cell, name));
            }
        }
        Ok(cells)
    }

    fn cell(&self, aggregate: &ExprWithAlias, value: &Expr) -> Result<Expr> {
        let refuse = || Err(refusal("PIVOT takes aggregates: PIVOT (sum(revenue) FOR name IN (…))", self.at));
        let Expr::Function(function) = &aggregate.expr else { return refuse() };
        if function.over.is_some() || has_query(&aggregate.expr) {
            return refuse();
        }
        let condition = match is_null(value) {
            true => fill("$1 IS NULL", &[self.column]),
            false => fill("$1 = $2", &[self.column, value]),
        };
        let filter = Box::new(match &function.filter {
            Some(own) => Expr::BinaryOp {
                left: Box::new(Expr::Nested(own.clone())),
                op: BinaryOperator::And,
                right: Box::new(condition),
            },
            None => condition,
        });
        let of_value = Expr::Function(Function { filter: Some(filter), ..function.clone() });
        Ok(match self.default {
            Some(default) => call("coalesce", vec![of_value, default.clone()]),
            None => of_value,
        })
    }

    /// A value as the name of a column.
    fn name_of_value(&self, value: &Expr) -> Result<String> {
        let name = match value {
            Expr::Value(ValueWithSpan { value, .. }) => match value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                Value::Number(digits, _) => Some(digits.to_string()),
                Value::Boolean(flag) => Some(flag.to_string()),
                Value::Null => Some("NULL".to_owned()),
                _ => None,
            },
            Expr::TypedString(typed) => match &typed.value.value {
                Value::SingleQuotedString(text) => Some(text.clone()),
                _ => None,
            },
            Expr::UnaryOp { expr, .. } if matches!(**expr, Expr::Value(_)) => Some(value.to_string()),
            _ => None,
        };
        name.ok_or_else(|| {
            refusal(
                format!("a value of PIVOT stands in quotes, or has a name: IN ('signup', {value} AS other)"),
                self.at,
            )
        })
    }

    /// Adds the columns of the input that an expression reads.
    fn columns_into(&self, expr: &Expr, columns: &mut Vec<String>) {
        each_expr(expr, |expr| {
            let column = match expr {
                Expr::Identifier(name) => Some(name),
                // Behind the table's name, or `properties.plan`.
                Expr::CompoundIdentifier(parts) if self.is_named(&parts[0]) => parts.get(1),
                Expr::CompoundIdentifier(parts) => parts.first(),
                _ => None,
            };
            if let Some(column) = column.map(name_of)
                && !columns.contains(&column)
            {
                columns.push(column);
            }
        });
    }

    fn is_named(&self, name: &Ident) -> bool {
        let own = match self.input {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                Some(&alias.name)
            }
            TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()),
            _ => None,
        };
        own.is_some_and(|own| name_of(own) == name_of(name))
    }
}

/// A name as columns have it: in lower case unless it is quoted.
fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(ValueWithSpan { value: Value::Null, .. }))
}

fn has_query(expr: &Expr) -> bool {
    struct Found;
    impl Visitor for Found {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    walk(expr, &mut Found).is_break()
}
