//! Values for a query's parameters. What somebody typed takes the type of what it is compared with: an id `007` is text
//! beside a column of text, and a number beside a column of numbers.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{ParamValues, plan_datafusion_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use uuid::Uuid;

use crate::error::{EngineError, Result};
use crate::params::Param;

/// Decimals have at most so many digits.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Puts values into the places that name them. Those that the query does not name are ignored.
///
/// Fails with [`EngineError::Query`] if a place has no value, or a value that cannot be compared there.
pub(super) fn bind(plan: LogicalPlan, params: &[(String, Param)]) -> Result<LogicalPlan> {
    let values: HashMap<&str, &Param> = params.iter().map(|(name, value)| (name.as_str(), value)).collect();
    let missing = plan.get_parameter_names()?.into_iter().filter(|id| !values.contains_key(&id[1..])).min();
    if let Some(id) = missing {
        let name = &id[1..];
        let message =
            format!("there is no value for {id}: give one with --param {name}=VALUE, or in \"params\" over HTTP");
        return Err(EngineError::Query { message, line: None, column: None });
    }
    let plan = plan.transform_up_with_subqueries(|plan| {
        let schema = Arc::clone(plan.schema());
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let (expr, has_placeholder) = expr.infer_placeholder_types(&schema)?;
            if !has_placeholder {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            let bound = expr.transform_up(|expr| bind_one(expr, &values))?;
            Ok(bound.update_data(|expr| name.restore(expr)))
        })
    })?;
    // The others, and the types of columns that are made of values.
    let others: Vec<_> = params.iter().map(|(name, value)| (name.clone(), value.to_scalar())).collect();
    Ok(plan.data.with_param_values(ParamValues::from(others))?)
}

/// The types of what parameters are compared with, by their names; none where nothing says it. How many rows there may be is
/// a whole number.
pub(super) fn types(plan: &LogicalPlan) -> Result<HashMap<String, Option<DataType>>> {
    let mut types = HashMap::new();
    plan.apply_with_subqueries(|plan| {
        let schema = Arc::clone(plan.schema());
        plan.apply_expressions(|expr| {
            let (expr, has_placeholder) = expr.clone().infer_placeholder_types(&schema)?;
            if has_placeholder {
                expr.apply(|expr| {
                    let (id, inferred) = match expr {
                        Expr::Placeholder(Placeholder { id, field }) => {
                            let counts = matches!(plan, LogicalPlan::Limit(_)).then_some(DataType::Int64);
                            (id, counts.or_else(|| field.as_ref().map(|field| field.data_type().clone())))
                        }
                        // `$1::date` is a day, and `x = ANY ($1)` takes a list of what x is.
                        Expr::Cast(Cast { expr, field }) => match &**expr {
                            Expr::Placeholder(Placeholder { id, field: None }) => (id, Some(field.data_type().clone())),
                            _ => return Ok(TreeNodeRecursion::Continue),
                        },
                        Expr::ScalarFunction(call) if call.name() == "array_has" => match &call.args[..] {
                            [Expr::Placeholder(Placeholder { id, field: None }), item] => {
                                (id, item.get_type(&schema).ok().map(|item| DataType::new_list(item, true)))
                            }
                            _ => return Ok(TreeNodeRecursion::Continue),
                        },
                        _ => return Ok(TreeNodeRecursion::Continue),
                    };
                    let known: &mut Option<DataType> = types.entry(id[1..].to_owned()).or_default();
                    *known = known.take().or(inferred);
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(types)
}

/// Puts a value that somebody typed into a place whose type is known.
fn bind_one(expr: Expr, values: &HashMap<&str, &Param>) -> DataFusionResult<Transformed<Expr>> {
    let Expr::Placeholder(Placeholder { id, field: Some(field) }) = &expr else { return Ok(Transformed::no(expr)) };
    let Some(Param::Written(text)) = values.get(&id[1..]) else { return Ok(Transformed::no(expr)) };
    let value = value_of(text, field.data_type()).ok_or_else(|| {
        plan_datafusion_err!("{id} is compared with {}, and {text:?} is none", kind(field.data_type()))
    })?;
    Ok(Transformed::yes(Expr::Literal(value, None)))
}

/// What somebody typed, for a comparison with values of a type; `None` if it cannot be compared with them.
fn value_of(text: &str, beside: &DataType) -> Option<ScalarValue> {
    let guess = || Param::parse(text).to_scalar();
    let is_quoted = text.len() > 1 && text.starts_with('\'') && text.ends_with('\'');
    if is_quoted || matches!(text, "null" | "NULL") {
        return Some(guess());
    }
    match beside {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(ScalarValue::from(text)),
        DataType::Dictionary(_, values) => value_of(text, values),
        DataType::Boolean => text.parse().ok().map(|flag| ScalarValue::Boolean(Some(flag))),
        number if number.is_numeric() => number_of(text),
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => match Param::parse(text) {
            Param::Time(time) if matches!(beside, DataType::Timestamp(_, None)) => {
                Some(ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), None))
            }
            moment @ (Param::Time(_) | Param::Date(_)) => Some(moment.to_scalar()),
            // Beside an instant may also stand what is added to it.
            _ => ScalarValue::try_from_string(text.to_owned(), &DataType::Interval(IntervalUnit::MonthDayNano)).ok(),
        },
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            let id = Uuid::try_parse(text).ok()?;
            Some(ScalarValue::Binary(Some(id.into_bytes().to_vec())))
        }
        _ => Some(guess()),
    }
}

/// A number with all of its digits.
fn number_of(text: &str) -> Option<ScalarValue> {
    if let Ok(integer) = text.parse() {
        return Some(ScalarValue::Int64(Some(integer)));
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if all_digits && !whole.is_empty() && digits.len() <= DECIMAL_DIGITS_MAX {
        let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
        let unscaled = if text.starts_with('-') { -unscaled } else { unscaled };
        return Some(ScalarValue::Decimal128(Some(unscaled), DECIMAL_DIGITS_MAX as u8, fraction.len() as i8));
    }
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| ScalarValue::Float64(Some(number)))
}

/// A type as people call it.
fn kind(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "true and false",
        DataType::Date32 | DataType::Date64 => "days (2026-03-01)",
        DataType::Timestamp(..) => "times (2026-03-01T12:00:00Z)",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "UUIDs",
        _ => "numbers",
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::TimeUnit;

    use super::*;
    use crate::sql::SESSION_ZONE;

    #[test]
    fn a_value_has_the_type_of_what_it_is_compared_with() {
        let text = |text: &str| Some(ScalarValue::from(text));
        let integer = |integer| Some(ScalarValue::Int64(Some(integer)));
        let decimal = |unscaled, scale| Some(ScalarValue::Decimal128(Some(unscaled), 38, scale));
        let instant = DataType::Timestamp(TimeUnit::Microsecond, Some(SESSION_ZONE.into()));
        let money = DataType::Decimal128(18, 4);
        check("007", DataType::Utf8, text("007"));
        check("2026", DataType::Utf8View, text("2026"));
        check("true", DataType::Utf8, text("true"));
        check("2026-03-01", DataType::Utf8, text("2026-03-01"));
        check("1e5", DataType::Utf8, text("1e5"));
        check("'007'", DataType::Utf8, text("007"));
        check("null", DataType::Utf8, Some(ScalarValue::Utf8(None)));
        check("007", DataType::Int64, integer(7));
        check("7.5", DataType::Int64, decimal(75, 1));
        check("9.99", money.clone(), decimal(999, 2));
        check("-0.00001", money, decimal(-1, 5));
        check("18446744073709551615", DataType::UInt64, decimal(18_446_744_073_709_551_615, 0));
        check("1e3", DataType::Float64, Some(ScalarValue::Float64(Some(1000.0))));
        check("abc", DataType::Int64, None);
        check("nan", DataType::Float64, None);
        check("2026-03-01", DataType::Date32, Some(Param::Date("2026-03-01".parse().unwrap()).to_scalar()));
        check(
            "2026-03-01T10:00:00Z",
            instant.clone(),
            Some(Param::Time("2026-03-01T10:00:00Z".parse().unwrap()).to_scalar()),
        );
        check("yesterday", instant, None);
        check("yes", DataType::Boolean, None);
        check("4be2b2dd-4a59-4b91-b39d-2db84cdf31c5", DataType::Binary, {
            let id: Uuid = "4be2b2dd-4a59-4b91-b39d-2db84cdf31c5".parse().unwrap();
            Some(ScalarValue::Binary(Some(id.into_bytes().to_vec())))
        });
        check("7", DataType::Binary, None);
    }

    #[track_caller]
    fn check(written: &str, beside: DataType, expected: Option<ScalarValue>) {
        assert_eq!(value_of(written, &beside), expected, "{written} beside {beside}");
    }
}
