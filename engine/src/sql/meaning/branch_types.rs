//! The one type of what comes from several branches: the sides of a UNION, and the values of a CASE.
//!
//! DataFusion 55.2 makes them agree only when the whole plan is there. Until then a UNION or CASE passes for its first
//! branch, so what is decided by types above it would be decided by the wrong ones: of 1 and 2.5 whole numbers are added.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::coerce_plan_expr_for_schema;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;
use datafusion::logical_expr::{Case, Expr, LogicalPlan, Union, cast};

/// The union with its sides cast to the types of all of them; as it was where its sides do not go together.
pub(super) fn agree_in_union(union: Union) -> Result<LogicalPlan> {
    let columns = union.schema.fields().len();
    let types_of = |column: usize| {
        union.inputs.iter().map(move |side| side.schema().fields().get(column).map(|field| field.data_type()))
    };
    let mut fields = Vec::with_capacity(columns);
    let mut differ = false;
    for column in 0..columns {
        let Some(types) = types_of(column).collect::<Option<Vec<_>>>() else { return Ok(LogicalPlan::Union(union)) };
        let Some(agreed) = agreed(types.iter().copied()) else { return Ok(LogicalPlan::Union(union)) };
        differ |= types.into_iter().any(|of| *of != agreed);
        // Two columns of a UNION may have the same name, but not two of a schema without tables: their places count alone.
        fields.push(Field::new(column.to_string(), agreed, true));
    }
    if !differ {
        return Ok(LogicalPlan::Union(union));
    }
    let schema = DFSchema::from_unqualified_fields(fields.into(), Default::default())?;
    let sides = union
        .inputs
        .into_iter()
        .map(|side| Ok(Arc::new(coerce_plan_expr_for_schema(Arc::unwrap_or_clone(side), &schema)?)));
    Ok(LogicalPlan::Union(Union::try_new_with_loose_types(sides.collect::<Result<_>>()?)?))
}

/// The CASE with its values cast to the type of all of them; nothing where they have one type, or do not go together.
pub(super) fn agree_in_case(case: &Case, type_of: impl Fn(&Expr) -> Option<DataType>) -> Option<Case> {
    let values = || case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
    let types: Vec<DataType> = values().map(|value| type_of(value)).collect::<Option<_>>()?;
    let agreed = agreed(types.iter().filter(|of| !of.is_null()))?;
    if types.iter().all(|of| of.is_null() || *of == agreed) {
        return None;
    }
    let agree = |value: &Expr| match type_of(value) {
        Some(of) if of != agreed => Box::new(cast(value.clone(), agreed.clone())),
        _ => Box::new(value.clone()),
    };
    Some(Case {
        expr: case.expr.clone(),
        when_then_expr: case.when_then_expr.iter().map(|(when, then)| (when.clone(), agree(then))).collect(),
        else_expr: case.else_expr.as_deref().map(agree),
    })
}

/// The type that holds the values of all.
fn agreed<'a>(types: impl IntoIterator<Item = &'a DataType>) -> Option<DataType> {
    let mut types = types.into_iter();
    let first = types.next()?.clone();
    types.try_fold(first, |left, right| match (&left, right) {
        // Ranks, which have no sign, and whole numbers. DataFusion's decimals of twenty digits are no `bigint` to any client.
        (DataType::UInt64, signed) if signed.is_signed_integer() => Some(DataType::Int64),
        (signed, DataType::UInt64) if signed.is_signed_integer() => Some(DataType::Int64),
        _ => type_union_coercion(&left, right),
    })
}
