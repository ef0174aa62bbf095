//! Intervals count by their length, as in PostgreSQL: a day has 24 hours, and a month 30 days. DataFusion compares months
//! with months, then days with days, then the rest, so that 36 hours are less than a day, and 24 in another group.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::expr::{
    AggregateFunction, GroupingSet, InSubquery, ScalarFunction, SetComparison, Sort, WindowFunction,
};
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, JoinConstraint, LogicalPlan, Projection, Subquery, WindowFrameBound,
    WindowFrameUnits, cast, when,
};
use datafusion::prelude::Column;

use crate::sql::functions::Function;

/// Functions that compare the elements of arrays.
const COMPARING: [&str; 22] = [
    "array_distance",
    "array_distinct",
    "array_except",
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_intersect",
    "array_max",
    "array_min",
    "array_position",
    "array_positions",
    "array_remove",
    "array_remove_all",
    "array_remove_n",
    "array_replace",
    "array_replace_all",
    "array_replace_n",
    "array_sort",
    "array_union",
    "arrays_overlap",
    "greatest",
    "least",
];

/// Compares by length what an operator sorts, groups and joins by.
pub(super) fn in_operator(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(mut sort) => {
            sort.expr = sorted(sort.expr, sort.input.schema())?;
            Ok(LogicalPlan::Sort(sort))
        }
        LogicalPlan::Join(mut join) => {
            for (left, right) in &mut join.on {
                let types = [left.get_type(join.left.schema())?, right.get_type(join.right.schema())?];
                if are_compared(&types)? {
                    (*left, *right) = (in_microseconds(left.clone()), in_microseconds(right.clone()));
                    // USING is of columns alone.
                    join.join_constraint = JoinConstraint::On;
                }
            }
            Ok(LogicalPlan::Join(join))
        }
        LogicalPlan::Aggregate(aggregate) => grouped(aggregate),
        LogicalPlan::Distinct(Distinct::All(input)) if has_intervals(input.schema()) => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            grouped(Aggregate::try_new(input, columns, vec![])?)
        }
        LogicalPlan::Distinct(Distinct::On(mut distinct)) => {
            let schema = distinct.input.schema();
            distinct.on_expr = keys(distinct.on_expr, schema)?;
            distinct.sort_expr = distinct.sort_expr.map(|sort| sorted(sort, schema)).transpose()?;
            Ok(LogicalPlan::Distinct(Distinct::On(distinct)))
        }
        LogicalPlan::RecursiveQuery(ref query) if query.is_distinct && has_intervals(&query.schema) => {
            plan_err!(
                "WITH RECURSIVE … UNION does not compare intervals: select extract(epoch FROM x), or write UNION ALL"
            )
        }
        plan => Ok(plan),
    }
}

/// Compares by length what a function or an operator over a subquery compares, or refuses it in words. `None` is what
/// stays as it is.
pub(super) fn in_function(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let holds = |expr: &Expr| is_of_intervals(expr, schema);
    match expr {
        Expr::AggregateFunction(AggregateFunction { func, params }) => {
            let args = of_aggregate(func.name(), params.distinct, &params.args, schema)?;
            if args.is_none() && !params.order_by.iter().any(|sort| holds(&sort.expr)) {
                return Ok(None);
            }
            let mut params = params.clone();
            params.args = args.unwrap_or(params.args);
            params.order_by = sorted(params.order_by, schema)?;
            Ok(Some(Expr::AggregateFunction(AggregateFunction { func: func.clone(), params })))
        }
        Expr::WindowFunction(window) => in_window(window, schema),
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "nullif" && args.iter().any(holds) => {
            let [value, other] = &args[..] else { return Ok(None) };
            if !are_spans(args, |arg| arg.get_type(schema).ok())? {
                return Ok(None);
            }
            if value.is_volatile() {
                return plan_err!("nullif would draw twice at random: name what it takes in a query below");
            }
            let differs = in_microseconds(value.clone()).not_eq(in_microseconds(other.clone()));
            Ok(Some(when(differs.is_not_false(), value.clone()).end()?))
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if COMPARING.contains(&func.name()) && args.iter().any(holds) =>
        {
            refuse(func.name())
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if func.name() == "map_extract" && args.get(1).is_some_and(holds) =>
        {
            refuse(func.name())
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_among_spans(expr, subquery, schema)? => {
            let subquery = column_in_microseconds(subquery)?;
            Ok(Some(Expr::InSubquery(InSubquery::new(Box::new(in_microseconds(*expr.clone())), subquery, *negated))))
        }
        Expr::SetComparison(SetComparison { expr, subquery, op, quantifier })
            if is_among_spans(expr, subquery, schema)? =>
        {
            let expr = Box::new(in_microseconds(*expr.clone()));
            Ok(Some(Expr::SetComparison(SetComparison::new(expr, column_in_microseconds(subquery)?, *op, *quantifier))))
        }
        _ => Ok(None),
    }
}

/// Whether expressions are compared with each other by their length.
pub(super) fn are_spans<'a>(
    exprs: impl IntoIterator<Item = &'a Expr>,
    type_of: impl Fn(&Expr) -> Option<DataType>,
) -> Result<bool> {
    let types: Option<Vec<DataType>> = exprs.into_iter().map(type_of).collect();
    types.map_or(Ok(false), |types| are_compared(&types))
}

/// Whether values of these types are compared by their length: all are spans of time, and one of them an interval. Values
/// with intervals in them, as in an array, are not compared at all.
fn are_compared<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Result<bool> {
    let types: Vec<&DataType> = types.into_iter().collect();
    if types.iter().any(|of| of.is_nested() && holds_intervals(of)) {
        return refuse("a comparison");
    }
    let is_span = |of: &&&DataType| matches!(of, DataType::Interval(_) | DataType::Duration(_) | DataType::Null);
    Ok(types.iter().all(|of| is_span(&of)) && types.iter().any(|of| matches!(of, DataType::Interval(_))))
}

/// A span of time as a number, which is greater of the longer one.
pub(super) fn in_microseconds(span: Expr) -> Expr {
    Function::Microseconds.call(vec![span])
}

/// The arguments of an aggregate that compares them, by length.
fn of_aggregate(name: &str, distinct: bool, args: &[Expr], schema: &DFSchema) -> Result<Option<Vec<Expr>>> {
    if !args.iter().any(|arg| is_of_intervals(arg, schema)) {
        return Ok(None);
    }
    match (name, distinct) {
        ("count", true) | ("approx_distinct", _) => Ok(Some(keys(args.to_vec(), schema)?)),
        (_, true) | ("max" | "min" | "mode", _) => refuse(name),
        _ => Ok(None),
    }
}

fn in_window(window: &WindowFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let params = &window.params;
    let args = of_aggregate(window.fun.name(), params.distinct, &params.args, schema)?;
    let holds = |expr: &Expr| is_of_intervals(expr, schema);
    let sorts = params.order_by.iter().any(|sort| holds(&sort.expr));
    if args.is_none() && !sorts && !params.partition_by.iter().any(holds) {
        return Ok(None);
    }
    let frame = &params.window_frame;
    let is_far = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(by) | WindowFrameBound::Following(by) => !by.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    if sorts && frame.units == WindowFrameUnits::Range && (is_far(&frame.start_bound) || is_far(&frame.end_bound)) {
        return refuse("RANGE");
    }
    let mut window = window.clone();
    window.params.args = args.unwrap_or(window.params.args);
    window.params.partition_by = keys(window.params.partition_by, schema)?;
    window.params.order_by = sorted(window.params.order_by, schema)?;
    Ok(Some(Expr::WindowFunction(Box::new(window))))
}

/// What rows are sorted by.
fn sorted(sort: Vec<Sort>, schema: &DFSchema) -> Result<Vec<Sort>> {
    let by_length = |Sort { expr, asc, nulls_first }| Ok(Sort { expr: key(expr, schema)?, asc, nulls_first });
    sort.into_iter().map(by_length).collect()
}

/// What rows are told apart by.
fn keys(exprs: Vec<Expr>, schema: &DFSchema) -> Result<Vec<Expr>> {
    exprs.into_iter().map(|expr| key(expr, schema)).collect()
}

fn key(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(if are_compared([&expr.get_type(schema)?])? { in_microseconds(expr) } else { expr })
}

/// Groups by the lengths of intervals. Each group keeps one interval of this length.
fn grouped(aggregate: Aggregate) -> Result<LogicalPlan> {
    let groups = grouping_set_to_exprlist(&aggregate.group_expr)?;
    // By their places among what is grouped by.
    let mut intervals = Vec::new();
    for (index, expr) in groups.into_iter().enumerate() {
        if are_compared([&expr.get_type(aggregate.input.schema())?])? {
            intervals.push((index, expr.clone().unalias()));
        }
    }
    if intervals.is_empty() {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    // What is drawn at random is drawn once.
    let (input, columns) = with_columns(&aggregate.input, intervals.iter().map(|(_, expr)| expr))?;
    let group = |expr: &Expr| {
        let interval = intervals.iter().position(|(_, of)| *of == expr.clone().unalias());
        interval.map_or_else(|| expr.clone(), |number| in_microseconds(columns[number].clone()))
    };
    let all = |exprs: &[Expr]| exprs.iter().map(group).collect::<Vec<_>>();
    let group_expr = aggregate.group_expr.iter().map(|expr| match expr {
        Expr::GroupingSet(GroupingSet::Rollup(exprs)) => Expr::GroupingSet(GroupingSet::Rollup(all(exprs))),
        Expr::GroupingSet(GroupingSet::Cube(exprs)) => Expr::GroupingSet(GroupingSet::Cube(all(exprs))),
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            Expr::GroupingSet(GroupingSet::GroupingSets(sets.iter().map(|set| all(set)).collect()))
        }
        expr => group(expr),
    });
    let group_expr: Vec<Expr> = group_expr.collect();
    let by_name = |expr: Expr| match expr {
        // It names what is grouped by.
        Expr::AggregateFunction(mut function) if function.func.name() == "grouping" => {
            function.params.args = all(&function.params.args);
            Ok(Transformed::yes(Expr::AggregateFunction(function)))
        }
        expr => Ok(Transformed::no(expr)),
    };
    let aggregates = aggregate.aggr_expr.iter().map(|expr| Ok(expr.clone().transform_up(by_name)?.data));
    // The same one whatever the order of the rows is.
    let one = |column: &Expr| first_value(column.clone(), vec![cast(column.clone(), DataType::Utf8).sort(true, true)]);
    let aggregates = aggregates.chain(columns.iter().map(|column| Ok(one(column)))).collect::<Result<Vec<_>>>()?;
    let by_length = Aggregate::try_new(input, group_expr, aggregates)?;

    let column = |index: usize| Expr::Column(Column::from(by_length.schema.qualified_field(index)));
    let width = aggregate.schema.fields().len();
    let mut answer = Vec::with_capacity(width);
    for index in 0..width {
        let (qualifier, field) = aggregate.schema.qualified_field(index);
        if field.name() == Aggregate::INTERNAL_GROUPING_ID {
            continue;
        }
        let value = match intervals.iter().position(|(group, _)| *group == index) {
            // Where a set of groups leaves it out, it has no value.
            Some(position) => when(column(index).is_not_null(), column(width + position)).end()?,
            None => column(index),
        };
        answer.push(value.alias_qualified(qualifier.cloned(), field.name()));
    }
    Ok(LogicalPlan::Projection(Projection::try_new(answer, Arc::new(LogicalPlan::Aggregate(by_length)))?))
}

/// A plan with expressions as columns, and these columns. Those that are columns stay what they are.
fn with_columns<'a>(
    input: &Arc<LogicalPlan>,
    exprs: impl Iterator<Item = &'a Expr>,
) -> Result<(Arc<LogicalPlan>, Vec<Expr>)> {
    let (mut columns, mut made) = (Vec::new(), Vec::new());
    for expr in exprs {
        if let Expr::Column(_) = expr {
            columns.push(expr.clone());
            continue;
        }
        let name = format!("__interval_{}", made.len());
        columns.push(Expr::Column(Column::from_name(&name)));
        made.push(expr.clone().alias(name));
    }
    if made.is_empty() {
        return Ok((input.clone(), columns));
    }
    let all = input.schema().columns().into_iter().map(Expr::Column).chain(made).collect();
    Ok((Arc::new(LogicalPlan::Projection(Projection::try_new(all, input.clone())?)), columns))
}

/// Whether an expression is compared by length with what a subquery finds.
fn is_among_spans(expr: &Expr, subquery: &Subquery, schema: &DFSchema) -> Result<bool> {
    let [found] = &subquery.subquery.schema().fields()[..] else { return Ok(false) };
    match expr.get_type(schema) {
        Ok(of) => are_compared([&of, found.data_type()]),
        Err(_) => Ok(false),
    }
}

/// A subquery whose only column is spans of time, with their lengths in their place.
fn column_in_microseconds(subquery: &Subquery) -> Result<Subquery> {
    let columns = subquery.subquery.schema().columns().into_iter().map(|column| in_microseconds(Expr::Column(column)));
    let lengths = Projection::try_new(columns.collect(), subquery.subquery.clone())?;
    Ok(subquery.with_plan(Arc::new(LogicalPlan::Projection(lengths))))
}

fn has_intervals(schema: &DFSchema) -> bool {
    schema.fields().iter().any(|field| holds_intervals(field.data_type()))
}

fn is_of_intervals(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|of| holds_intervals(&of))
}

fn holds_intervals(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => holds_intervals(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| holds_intervals(field.data_type())),
        _ => false,
    }
}

fn refuse<T>(who: &str) -> Result<T> {
    plan_err!("{who} is of what can be ordered, and here are intervals: write extract(epoch FROM x)")
}
