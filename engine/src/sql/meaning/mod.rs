//! Expressions that DataFusion understands in another way than PostgreSQL, rewritten once their types are known, or
//! refused in words.

mod branch_types;
mod lengths;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::functions::math::expr_fn::round;
use datafusion::logical_expr::expr::{Between, InList, InSubquery, ScalarFunction, Sort};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Case, Cast, Expr, ExprSchemable, Like, LogicalPlan, Operator, TryCast, WindowFrameUnits, cast, lit,
};
use uuid::Uuid;

use self::branch_types::{agree_in_case, agree_in_union};
use self::lengths::{are_spans, in_microseconds};
use super::functions::{Function, bytes};

/// The plan of what its author meant.
pub(super) fn mend(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mended = plan.transform_up_with_subqueries(|plan| {
        let plan = match plan {
            LogicalPlan::Union(union) => agree_in_union(union)?,
            plan => plan,
        };
        let schema = merge_schema(&plan.inputs());
        let names = NamePreserver::new(&plan);
        check_join(&plan)?;
        let mend_named = |expr: Expr| {
            let name = names.save(&expr);
            let mended = expr.transform_up(|expr| mend_expr(expr, &schema))?;
            Ok(mended.update_data(|expr| name.restore(expr)))
        };
        plan.map_expressions(|expr| match expr {
            // A name around the whole set would hide it.
            Expr::GroupingSet(_) => expr.map_children(mend_named),
            expr => mend_named(expr),
        })?
        .map_data(|plan| lengths::in_operator(plan)?.recompute_schema())
    })?;
    Ok(mended.data)
}

/// Refuses a join of ids with texts: it would match nothing.
fn check_join(plan: &LogicalPlan) -> Result<()> {
    let LogicalPlan::Join(join) = plan else { return Ok(()) };
    for (left, right) in &join.on {
        let types = (left.get_type(join.left.schema()), right.get_type(join.right.schema()));
        let (Ok(left_type), Ok(right_type)) = types else { continue };
        for (bytes, of_bytes, of_other) in [(left, &left_type, &right_type), (right, &right_type, &left_type)] {
            if is_binary(of_bytes) && is_text(of_other) {
                return plan_err!("{} is bytes: write {}::text to join it with text", plain(bytes), plain(bytes));
            }
        }
    }
    Ok(())
}

fn mend_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match lengths::in_function(&expr, schema)? {
        Some(by_length) => Ok(Transformed::yes(mend_types(by_length, schema)?.data)),
        None => mend_types(expr, schema),
    }
}

/// Mends what follows from the types of an expression's own parts.
fn mend_types(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let type_of = |expr: &Expr| expr.get_type(schema).ok();
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => mend_binary(*left, op, *right, type_of),
        Expr::InList(InList { expr, list, negated }) => {
            let Some(data_type) = type_of(&expr) else {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            };
            let mut changed = false;
            let mut mended = Vec::with_capacity(list.len());
            for item in list {
                let item_type = type_of(&item);
                let compared = compared(&expr, &data_type, item, item_type.as_ref())?;
                changed |= compared.transformed;
                mended.push(compared.data);
            }
            if are_spans(mended.iter().chain([&*expr]), type_of)? {
                let list = mended.into_iter().map(in_microseconds).collect();
                let expr = Box::new(in_microseconds(*expr));
                return Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })));
            }
            Ok(Transformed::new_transformed(Expr::InList(InList { expr, list: mended, negated }), changed))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let Some(data_type) = type_of(&expr) else {
                return Ok(Transformed::no(Expr::Between(Between { expr, negated, low, high })));
            };
            let (low_type, high_type) = (type_of(&low), type_of(&high));
            let low = compared(&expr, &data_type, *low, low_type.as_ref())?;
            let high = compared(&expr, &data_type, *high, high_type.as_ref())?;
            let changed = low.transformed || high.transformed;
            if are_spans([&*expr, &low.data, &high.data], type_of)? {
                let (low, high) = (Box::new(in_microseconds(low.data)), Box::new(in_microseconds(high.data)));
                let between = Between { expr: Box::new(in_microseconds(*expr)), negated, low, high };
                return Ok(Transformed::yes(Expr::Between(between)));
            }
            let between = Between { expr, negated, low: Box::new(low.data), high: Box::new(high.data) };
            Ok(Transformed::new_transformed(Expr::Between(between), changed))
        }
        Expr::Case(Case { expr: Some(subject), when_then_expr, else_expr }) => {
            let Some(data_type) = type_of(&subject) else {
                return Ok(Transformed::no(Expr::Case(Case { expr: Some(subject), when_then_expr, else_expr })));
            };
            let mut changed = false;
            let mut mended = Vec::with_capacity(when_then_expr.len());
            for (when, then) in when_then_expr {
                let when_type = type_of(&when);
                let compared = compared(&subject, &data_type, *when, when_type.as_ref())?;
                changed |= compared.transformed;
                mended.push((Box::new(compared.data), then));
            }
            let mut subject = subject;
            if are_spans(mended.iter().map(|(when, _)| &**when).chain([&*subject]), type_of)? {
                subject = Box::new(in_microseconds(*subject));
                mended = mended.into_iter().map(|(when, then)| (Box::new(in_microseconds(*when)), then)).collect();
                changed = true;
            }
            let case = Case { expr: Some(subject), when_then_expr: mended, else_expr };
            match agree_in_case(&case, type_of) {
                Some(agreed) => Ok(Transformed::yes(Expr::Case(agreed))),
                None => Ok(Transformed::new_transformed(Expr::Case(case), changed)),
            }
        }
        Expr::Case(case) => match agree_in_case(&case, type_of) {
            Some(agreed) => Ok(Transformed::yes(Expr::Case(agreed))),
            None => Ok(Transformed::no(Expr::Case(case))),
        },
        Expr::Like(Like { ref expr, .. }) if type_of(expr).is_some_and(|of| is_binary(&of)) => {
            plan_err!("{} is bytes: write {}::text LIKE …", plain(expr), plain(expr))
        }
        Expr::InSubquery(InSubquery { ref expr, ref subquery, .. })
            if type_of(expr).is_some_and(|of| is_binary(&of))
                && subquery.subquery.schema().fields().iter().any(|field| is_text(field.data_type())) =>
        {
            plan_err!("{} is bytes: write {}::text to look for it among texts", plain(expr), plain(expr))
        }
        Expr::Cast(Cast { expr, field }) => match mended_cast(&expr, type_of(&expr), field.data_type()) {
            Some(inner) if is_text(field.data_type()) => Ok(Transformed::yes(cast(inner, field.data_type().clone()))),
            Some(inner) => Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(inner), field }))),
            None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
        },
        Expr::TryCast(TryCast { expr, field }) => match mended_cast(&expr, type_of(&expr), field.data_type()) {
            Some(inner) => Ok(Transformed::yes(Expr::TryCast(TryCast { expr: Box::new(inner), field }))),
            None => Ok(Transformed::no(Expr::TryCast(TryCast { expr, field }))),
        },
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == "date_part" && args.len() == 2 => {
            let part = match &args[0] {
                Expr::Literal(part, _) => part.try_as_str().flatten().map(str::to_lowercase),
                _ => None,
            };
            match (part, type_of(&args[1])) {
                (Some(part), Some(DataType::Duration(unit))) => {
                    Ok(Transformed::yes(part_of_duration(&part, args[1].clone(), unit)?))
                }
                _ => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
            }
        }
        Expr::WindowFunction(mut window) => {
            // DataFusion knows no range of bytes, not even from the first row to the peers of this one. Their texts are in the
            // same order.
            let of_bytes = match &window.params.order_by[..] {
                [Sort { expr, .. }] if window.params.window_frame.units == WindowFrameUnits::Range => {
                    type_of(expr).filter(is_binary).map(|_| Function::BytesAsText.call(vec![expr.clone()]))
                }
                _ => None,
            };
            let changed = of_bytes.is_some();
            if let Some(text) = of_bytes {
                window.params.order_by[0].expr = text;
            }
            Ok(Transformed::new_transformed(Expr::WindowFunction(window), changed))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn mend_binary(
    left: Expr,
    op: Operator,
    right: Expr,
    type_of: impl Fn(&Expr) -> Option<DataType>,
) -> Result<Transformed<Expr>> {
    let again = |left: Expr, right: Expr| Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)));
    let (Some(left_type), Some(right_type)) = (type_of(&left), type_of(&right)) else {
        return Ok(Transformed::no(again(left, right)));
    };
    if left_type.is_integer()
        && right_type.is_integer()
        && let Some(function) = Function::of(op)
    {
        // A difference of ranks may be below zero.
        let is_signed = op == Operator::Minus || left_type != DataType::UInt64 || right_type != DataType::UInt64;
        let wide = if !is_signed { DataType::UInt64 } else { DataType::Int64 };
        let args = [(left, left_type), (right, right_type)];
        let args = args.map(|(arg, data_type)| if data_type == wide { arg } else { cast(arg, wide.clone()) });
        return Ok(Transformed::yes(function.call(args.into())));
    }
    if op == Operator::Divide
        && (is_decimal(&left_type) && right_type.is_numeric() || is_decimal(&right_type) && left_type.is_numeric())
    {
        let args = [left, right].map(|arg| cast(arg, DataType::Float64));
        return Ok(Transformed::yes(Function::Divide.call(args.into())));
    }
    if is_comparison(op) {
        let mended_right = compared(&left, &left_type, right, Some(&right_type))?;
        let mended_left = compared(&mended_right.data, &right_type, left, Some(&left_type))?;
        let changed = mended_left.transformed || mended_right.transformed;
        let sides = [mended_left.data, mended_right.data];
        let are_spans = are_spans(&sides, type_of)?;
        let [left, right] = if are_spans { sides.map(in_microseconds) } else { sides };
        return Ok(Transformed::new_transformed(again(left, right), changed || are_spans));
    }
    Ok(Transformed::no(again(left, right)))
}

/// `value` as it is compared with `expr`: the text of an id with the bytes of ids, that of a span of time with intervals. A
/// text is not compared with a number, because `'007'` would be 7.
fn compared(
    expr: &Expr,
    data_type: &DataType,
    value: Expr,
    value_type: Option<&DataType>,
) -> Result<Transformed<Expr>> {
    let Some(value_type) = value_type else { return Ok(Transformed::no(value)) };
    if is_binary(data_type) && is_text(value_type) {
        let Expr::Literal(text, _) = &value else {
            return plan_err!("{} is bytes: write {}::text to compare it with text", plain(expr), plain(expr));
        };
        let Some(text) = text.try_as_str().flatten() else { return Ok(Transformed::no(value)) };
        return match Uuid::try_parse(text) {
            Ok(id) => Ok(Transformed::yes(bytes(id.as_bytes()))),
            Err(_) => plan_err!("{} holds UUIDs, and {text:?} is none", plain(expr)),
        };
    }
    if matches!(data_type, DataType::Interval(_) | DataType::Duration(_))
        && let Expr::Literal(..) = value
        && is_text(value_type)
    {
        return Ok(Transformed::yes(cast(value, DataType::Interval(IntervalUnit::MonthDayNano))));
    }
    if is_time(data_type)
        && let Some(whole) = with_seconds(&value)
    {
        return Ok(Transformed::yes(whole));
    }
    if let (Expr::Column(_), Expr::Literal(number, _)) = (expr, &value)
        && is_text(data_type)
        && value_type.is_numeric()
    {
        return plan_err!("{} is text and {number} a number: write '{number}'", plain(expr));
    }
    Ok(Transformed::no(value))
}

/// What is cast instead: a number that is rounded, bytes as their text.
fn mended_cast(expr: &Expr, from: Option<DataType>, to: &DataType) -> Option<Expr> {
    let from = from?;
    if to.is_integer() && (from.is_floating() || is_decimal(&from)) {
        return Some(round(vec![expr.clone()]));
    }
    if is_text(to) && is_binary(&from) {
        return Some(Function::BytesAsText.call(vec![expr.clone()]));
    }
    if is_time(to) { with_seconds(expr) } else { None }
}

/// A time that was written without seconds, `'2026-03-01 10:30'`, with them. DataFusion reads none without.
fn with_seconds(text: &Expr) -> Option<Expr> {
    const SHAPE: &[u8] = b"0000-00-00T00:00";
    let Expr::Literal(value, _) = text else { return None };
    let text = value.try_as_str().flatten()?.trim();
    let is_like = |(shape, byte): (&u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        shape => *shape == byte,
    };
    let fits = text.len() >= SHAPE.len() && SHAPE.iter().zip(text.bytes()).all(is_like);
    let (minutes, zone) =
        text.split_at_checked(SHAPE.len()).filter(|(_, zone)| fits && !zone.starts_with([':', '.']))?;
    Some(lit(format!("{minutes}:00{zone}")))
}

/// A part of the time between two instants: whole days, and what is left of the last one.
fn part_of_duration(part: &str, duration: Expr, unit: TimeUnit) -> Result<Expr> {
    let per_second: i64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let ticks = cast(duration, DataType::Int64);
    let whole = |seconds: i64| ticks.clone() / lit(per_second * seconds);
    let seconds = |ticks: Expr| cast(ticks, DataType::Float64) / lit(per_second as f64);
    Ok(match part {
        "epoch" => seconds(ticks),
        "day" | "days" => whole(86_400),
        "hour" | "hours" => whole(3_600) % lit(24_i64),
        "minute" | "minutes" => whole(60) % lit(60_i64),
        "second" | "seconds" => seconds(ticks % lit(per_second * 60)),
        part => {
            return plan_err!(
                "a time between two instants has no {part}: extract day, hour, minute, second, or epoch for all of it in seconds"
            );
        }
    })
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_binary(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_))
}

/// An expression as its author knows it.
fn plain(expr: &Expr) -> String {
    match expr {
        Expr::Column(column) => column.name.clone(),
        other => other.to_string(),
    }
}
