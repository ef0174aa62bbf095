//! A query as it was typed: what DataFusion would read and then ignore or mistake is refused in words, and what it would
//! understand in its own way is rewritten to mean what it means in PostgreSQL.

use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, DataType, DuplicateTreatment, ExactNumberInfo, Expr, Function, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    Spanned, TableFactor, TableWithJoins, UnaryOperator, Value, VisitorMut,
};
use datafusion::logical_expr::sqlparser::parser::ParserError;
use datafusion::logical_expr::sqlparser::tokenizer::Span;
use datafusion::sql::parser::{DFParserBuilder, Statement};

use super::dialect::LakeDialect;
use super::syntax::{call, plain_args, refusal, take, text_expr, text_of};
use super::walk::walk_mut;
use super::{casts, pattern, spelling, tokens};
use crate::error::{EngineError, Result};

/// Reads one statement.
///
/// - `is_scalar`: whether there is a function of that name which makes one value of one row.
///
/// Fails with [`EngineError::Query`], in words that say what to write instead.
pub(super) fn read(sql: &str, recursion_limit: usize, is_scalar: &dyn Fn(&str) -> bool) -> Result<Statement> {
    let tokens = tokens::read(sql).map_err(|error| DataFusionError::from(ParserError::from(error)))?;
    let parser =
        DFParserBuilder::new(tokens).with_dialect(&LakeDialect).with_recursion_limit(recursion_limit).build()?;
    let mut statements = { parser }.parse_statements()?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(refusal("there is no query: the text is empty, or all of it a comment", Span::empty()));
    };
    if !statements.is_empty() {
        return Err(refusal("write one query: without a second one behind a semicolon", Span::empty()));
    }
    check_reads(&statement)?;
    mend(&mut statement, is_scalar)?;
    Ok(statement)
}

/// Refuses what DataFusion would look for files for while it plans. The plan is checked, too, which nothing gets around.
fn check_reads(statement: &Statement) -> Result<()> {
    let (statement, hint) = match statement {
        Statement::CopyTo(_) => ("COPY", "Write the answer with `dewpond query --format … -o FILE`."),
        Statement::CreateExternalTable(_) => ("CREATE EXTERNAL TABLE", "Import files with `dewpond import`."),
        Statement::Explain(explain) => return check_reads(&explain.statement),
        _ => return Ok(()),
    };
    Err(EngineError::ReadOnly { statement: statement.to_owned(), hint })
}

fn mend(statement: &mut Statement, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    match statement {
        Statement::Explain(explain) => mend(&mut explain.statement, is_scalar),
        Statement::Statement(statement) => {
            spelling::respell(statement)?;
            match walk_mut(&mut **statement, &mut Mender { is_scalar }) {
                ControlFlow::Break(error) => Err(error),
                ControlFlow::Continue(()) => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

struct Mender<'a> {
    is_scalar: &'a dyn Fn(&str) -> bool,
}

type Flow = ControlFlow<EngineError>;

/// A step that may refuse, as a visitor wants it.
fn flow(step: Result<()>) -> Flow {
    match step {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Mender<'_> {
    type Break = EngineError;

    fn pre_visit_query(&mut self, query: &mut Query) -> Flow {
        casts::tell_apart(query);
        flow(check_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> Flow {
        name_columns(select);
        flow(check_select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> Flow {
        flow(check_table(table))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        // A sign binds tighter than ^.
        if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: power } = expr
            && let Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, .. } = &mut **power
        {
            **left = Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(take(left)) };
            *expr = take(power);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> Flow {
        flow(mend_expr(expr, self.is_scalar))
    }
}

/// What stands around a SELECT and would be ignored.
fn check_query(query: &Query) -> Result<()> {
    if query.settings.is_some() {
        return Err(refusal("SETTINGS is not understood: limits are flags of `dewpond query`", query.span()));
    }
    if query.format_clause.is_some() {
        return Err(refusal("FORMAT is not understood: give the format with --format", query.span()));
    }
    if query.for_clause.is_some() {
        return Err(refusal("FOR XML and FOR JSON are not understood: give the format with --format", query.span()));
    }
    if let Some(order_by) = &query.order_by
        && order_by.interpolate.is_some()
    {
        return Err(refusal("INTERPOLATE is not understood: join with generate_series to fill gaps", query.span()));
    }
    Ok(())
}

/// What is about to be rewritten keeps the name that its author sees. A cast beside what it casts, or beside another cast of
/// it, has its whole text for a name: it would have the same name as the other.
fn name_columns(select: &mut Select) {
    for place in 0..select.projection.len() {
        let SelectItem::UnnamedExpr(expr) = &select.projection[place] else { continue };
        let is_named = match expr {
            Expr::BinaryOp { op, .. } => is_arrow(op),
            Expr::AtTimeZone { .. } | Expr::SimilarTo { .. } => true,
            Expr::Cast { .. } => select.projection.iter().enumerate().any(|(other_place, other)| match other {
                SelectItem::UnnamedExpr(other) => {
                    other_place != place && other != expr && without_casts(other) == without_casts(expr)
                }
                _ => false,
            }),
            _ => false,
        };
        if is_named {
            let alias = Ident::with_quote('"', expr.to_string());
            let item = &mut select.projection[place];
            if let SelectItem::UnnamedExpr(expr) = item {
                *item = SelectItem::ExprWithAlias { expr: take(expr), alias };
            }
        }
    }
}

/// What is cast, under all casts around it.
fn without_casts(mut expr: &Expr) -> &Expr {
    while let Expr::Cast { expr: inner, .. } | Expr::Nested(inner) = expr {
        expr = inner;
    }
    expr
}

/// What a SELECT may hold and would be ignored.
fn check_select(select: &Select) -> Result<()> {
    let refuse = |message: &str| Err(refusal(message, select.span()));
    let modifiers = match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
    };
    if let Some(modifier) = modifiers.first() {
        let modifier = modifier.to_string();
        return Err(refusal(
            format!(
                "GROUP BY … {modifier} is not understood: write GROUP BY ROLLUP (a, b), CUBE (a, b) or GROUPING SETS (…)"
            ),
            select.span(),
        ));
    }
    if select.prewhere.is_some() {
        return refuse("PREWHERE is not understood: write its condition into WHERE");
    }
    if !select.connect_by.is_empty() {
        return refuse("CONNECT BY is not understood: write WITH RECURSIVE");
    }
    if !select.distribute_by.is_empty() {
        return refuse("DISTRIBUTE BY is not understood: leave it out");
    }
    if select.value_table_mode.is_some() {
        return refuse("SELECT AS is not understood: name the columns");
    }
    if select.exclude.is_some() {
        return refuse("EXCLUDE belongs behind the star: write SELECT * EXCLUDE (a, b)");
    }
    select.from.iter().try_for_each(check_joins)
}

/// The columns of USING are merged, but DataFusion takes those of the left side, which are null where only the right side
/// has a row.
fn check_joins(tables: &TableWithJoins) -> Result<()> {
    for join in &tables.joins {
        let (kind, constraint) = match &join.join_operator {
            JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => ("RIGHT", constraint),
            JoinOperator::FullOuter(constraint) => ("FULL", constraint),
            _ => continue,
        };
        let columns = match constraint {
            JoinConstraint::Using(columns) => columns.iter().map(ToString::to_string).collect::<Vec<_>>(),
            JoinConstraint::Natural => vec!["x".to_owned()],
            _ => continue,
        };
        let on: Vec<String> = columns.iter().map(|column| format!("a.{column} = b.{column}")).collect();
        let merged: Vec<String> = columns.iter().map(|column| format!("coalesce(a.{column}, b.{column})")).collect();
        let form = if matches!(constraint, JoinConstraint::Natural) { "NATURAL JOIN" } else { "JOIN … USING" };
        let instead = match kind {
            "RIGHT" => "swap the tables and write LEFT JOIN".to_owned(),
            _ => format!("write FULL JOIN b ON {}, and {} for the column", on.join(" AND "), merged.join(", ")),
        };
        return Err(refusal(format!("{kind} {form} is not supported: {instead}"), join.span()));
    }
    Ok(())
}

/// What a table may carry and would be ignored.
fn check_table(table: &TableFactor) -> Result<()> {
    // Only where it is needed: a span is found by a walk through all that is inside.
    let at = || table.span();
    match table {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => Err(refusal(
            "TABLESAMPLE is not supported: a sample that is the same each time is WHERE visitor_id % 100 = 0, and random() < 0.01 is another each time",
            at(),
        )),
        TableFactor::Table { version: Some(_), .. } => {
            Err(refusal("a table AS OF a time is not understood: give the time with --as-of", at()))
        }
        TableFactor::Table { with_ordinality: true, .. } => {
            Err(refusal("WITH ORDINALITY is not supported: write row_number() OVER ()", at()))
        }
        TableFactor::Table { partitions, with_hints, .. } if !partitions.is_empty() || !with_hints.is_empty() => {
            Err(refusal("partitions and hints of a table are not understood: write a condition into WHERE", at()))
        }
        TableFactor::Unpivot { .. } => {
            Err(refusal("UNPIVOT is not supported: join the SELECTs of each column with UNION ALL", at()))
        }
        TableFactor::MatchRecognize { .. } => {
            Err(refusal("MATCH_RECOGNIZE is not supported: compare rows with lag() and lead()", at()))
        }
        TableFactor::NestedJoin { table_with_joins, .. } => check_joins(table_with_joins),
        _ => Ok(()),
    }
}

fn mend_expr(expr: &mut Expr, is_scalar: &dyn Fn(&str) -> bool) -> Result<()> {
    // Where an expression stands is looked for in a small part of it: a walk through all of it, at each of its parts, would be
    // as deep as a chain of OR is long.
    match expr {
        Expr::BinaryOp { left, op, right } if is_arrow(op) => {
            let at = right.span();
            check_arrow(left, op, right, at)?;
            *expr = json_at(take(left), op, take(right), at)?;
            Ok(())
        }
        Expr::BinaryOp { left, op: BinaryOperator::BitwiseXor, right } => {
            *expr = call("power", vec![take(left), take(right)]);
            Ok(())
        }
        Expr::AtTimeZone { timestamp, time_zone } => {
            *expr = call("timezone", vec![take(time_zone), take(timestamp)]);
            Ok(())
        }
        Expr::SimilarTo { negated, expr: text, pattern, escape_char } => {
            let at = pattern.span();
            let escape = match escape_char.as_ref().map(|escape| &escape.value) {
                None => Some('\\'),
                Some(Value::SingleQuotedString(escape)) => escape.chars().next(),
                Some(_) => None,
            };
            let (Some(pattern), Some(escape)) = (text_of(pattern), escape) else {
                return Err(refusal(
                    "SIMILAR TO takes a pattern in quotes; for a computed one write ~ with a regular expression",
                    at,
                ));
            };
            let regex = pattern::of_similar_to(pattern, escape).map_err(|message| refusal(message, at))?;
            let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
            *expr = Expr::BinaryOp { left: Box::new(take(text)), op, right: Box::new(text_expr(regex)) };
            Ok(())
        }
        // Properties already are JSON text, so the cast is dropped.
        Expr::Cast { expr: inner, data_type: DataType::JSON | DataType::JSONB, .. } => {
            *expr = Expr::Nested(Box::new(take(inner)));
            Ok(())
        }
        Expr::Cast { expr: inner, data_type, .. } => {
            if !is_text(data_type)
                && let Some(function) = json_call(inner, JSON_TEXT)
            {
                function.name = ObjectName::from(vec![Ident::new(JSON_VALUE)]);
            }
            match data_type {
                DataType::Float(ExactNumberInfo::None) => *data_type = DataType::DoublePrecision,
                DataType::Float(ExactNumberInfo::Precision(digits)) if *digits > 24 => {
                    *data_type = DataType::DoublePrecision;
                }
                _ => {}
            }
            Ok(())
        }
        Expr::Function(function) => mend_function(function, is_scalar).map(|replacement| {
            if let Some(replacement) = replacement {
                *expr = replacement;
            }
        }),
        _ => Ok(()),
    }
}

fn is_arrow(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Arrow | BinaryOperator::LongArrow | BinaryOperator::HashArrow | BinaryOperator::HashLongArrow
    )
}

/// `'a' || properties->>'b'` reads a key of the text `'a' || properties`, and `properties->>'n'::int` the key `'n'::int`:
/// the first is null in every row, the second an error about casts.
fn check_arrow(left: &Expr, op: &BinaryOperator, right: &Expr, at: Span) -> Result<()> {
    match (left, right) {
        (json, key) if text_of(key).is_some_and(|key| key.starts_with("$.")) => Err(refusal(
            format!(
                "{key} is a path of other engines, and a key here: write {json}->'a'->>'b', or json_extract_string({json}, {key})"
            ),
            at,
        )),
        (Expr::BinaryOp { op: first, right: json, .. }, key) if !is_arrow(first) => Err(refusal(
            format!("{op} binds no tighter than {first} on its left: write {first} ({json} {op} {key})"),
            at,
        )),
        (json, Expr::Cast { expr: key, data_type, .. }) if text_of(key).is_some() => Err(refusal(
            format!(":: binds tighter than {op}: write ({json} {op} {key})::{}", data_type.to_string().to_lowercase()),
            at,
        )),
        (json, Expr::BinaryOp { left: key, op: next, right: rest }) if text_of(key).is_some() => Err(refusal(
            format!("{next} binds tighter than {op}: write ({json} {op} {key})::numeric {next} {rest}"),
            at,
        )),
        _ => Ok(()),
    }
}

/// The JSON at a place, as the text of JSON: `->` and `#>`.
const JSON_TEXT: &str = "json_get_json";

/// The value at a place, as plain text: `->>` and `#>>`.
const PLAIN_TEXT: &str = "json_as_text";

/// The value at a place, of the type to which it is cast.
const JSON_VALUE: &str = "json_as_text";

/// An arrow as a call. Arrows behind one another become one call, which reads the JSON once.
fn json_at(json: Expr, op: &BinaryOperator, place: Expr, at: Span) -> Result<Expr> {
    let (name, steps) = match op {
        BinaryOperator::Arrow => (JSON_TEXT, vec![place]),
        BinaryOperator::LongArrow => (PLAIN_TEXT, vec![place]),
        BinaryOperator::HashArrow => (JSON_TEXT, path(&place, at)?),
        _ => (PLAIN_TEXT, path(&place, at)?),
    };
    let mut json = json;
    let before = match json_call(&mut json, JSON_TEXT).and_then(|function| plain_args(function)) {
        Some(args) if !args.is_empty() && args[1..].iter().chain(&steps).all(|step| matches!(step, Expr::Value(_))) => {
            args
        }
        _ => vec![json],
    };
    Ok(call(name, before.into_iter().chain(steps).collect()))
}

/// The steps of a path of `#>>`. A number among them is the place in a list, or a key: the JSON decides.
fn path(path: &Expr, at: Span) -> Result<Vec<Expr>> {
    let steps: Option<Vec<String>> = match path {
        Expr::Array(array) => array.elem.iter().map(|step| text_of(step).map(str::to_owned)).collect(),
        path => text_of(path)
            .and_then(|path| path.trim().strip_prefix('{')?.strip_suffix('}'))
            // A quoted step may hold a comma.
            .filter(|path| !path.contains('"'))
            .map(|path| path.split(',').map(|step| step.trim().to_owned()).collect()),
    };
    match steps.filter(|steps| steps.iter().all(|step| !step.is_empty())) {
        Some(steps) => Ok(steps.into_iter().map(text_expr).collect()),
        None => Err(refusal(
            "a path is written in braces without quotes, such as properties #>> '{cart,items,0}'; for other keys write \
             properties->'a, b'->>'c'",
            at,
        )),
    }
}

/// The call of `name`, if the expression is one, with or without parentheses around it.
fn json_call<'a>(expr: &'a mut Expr, name: &str) -> Option<&'a mut Function> {
    match expr {
        Expr::Nested(inner) => json_call(inner, name),
        Expr::Function(function) if function.name.to_string() == name => Some(function),
        _ => None,
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Text | DataType::String(_) | DataType::Varchar(_) | DataType::Char(_) | DataType::CharacterVarying(_)
    )
}

/// Another expression in the function's place, if it needs one.
fn mend_function(function: &mut Function, is_scalar: &dyn Fn(&str) -> bool) -> Result<Option<Expr>> {
    let at = function.name.span();
    let name = function.name.to_string().to_lowercase();
    if !matches!(function.parameters, FunctionArguments::None) {
        return Err(refusal(
            format!(
                "{name}(…)(…) is not understood: write approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY x) for a quantile"
            ),
            at,
        ));
    }
    let distinct = matches!(
        &function.args,
        FunctionArguments::List(FunctionArgumentList { duplicate_treatment: Some(DuplicateTreatment::Distinct), .. })
    );
    let of_many_rows = function.filter.is_some() || function.over.is_some() || !function.within_group.is_empty();
    if (distinct || of_many_rows) && is_scalar(&name) {
        let clause = match () {
            () if distinct => "DISTINCT",
            () if function.filter.is_some() => "FILTER",
            () if function.over.is_some() => "OVER",
            () => "WITHIN GROUP",
        };
        return Err(refusal(
            format!(
                "{name} makes one value of one row, so {clause} belongs to the aggregate around it: sum({name}(…)) FILTER (…)"
            ),
            at,
        ));
    }
    let Some(args) = plain_args(function) else { return Ok(None) };
    Ok(match (name.as_str(), args.as_slice()) {
        // In the calendar of a zone: there and back again.
        ("date_trunc", [unit, time, zone]) => {
            let local = call("timezone", vec![zone.clone(), time.clone()]);
            let begin = call("date_trunc", vec![unit.clone(), local]);
            Some(call("timezone", vec![zone.clone(), begin]))
        }
        ("to_char", [time, format]) => match text_of(format) {
            Some(format) if !format.contains('%') => {
                let format = pattern::of_to_char(format).map_err(|message| refusal(message, at))?;
                Some(call("to_char", vec![time.clone(), text_expr(format)]))
            }
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_chain_is_read_on_a_small_stack() {
        let chain = |condition: &str, operator: &str| vec![condition; 20_000].join(operator);
        let queries = [
            format!("SELECT 1 FROM events WHERE {}", chain("visitor_id = 1", " OR ")),
            format!("SELECT {} FROM events", chain("visitor_id", " + ")),
            format!("SELECT {} FROM events", chain("name", " || ")),
        ];
        let small = std::thread::Builder::new().stack_size(2 << 20);
        let reading = small.spawn(move || {
            for query in queries {
                let read = read(&query, 50, &|_| true);
                assert!(read.is_ok(), "{:?}", read.err());
                // Taking it apart again is as deep.
                std::mem::forget(read);
            }
        });
        reading.unwrap().join().unwrap();
    }
}
