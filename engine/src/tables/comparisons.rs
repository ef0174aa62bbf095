//! What conditions say of columns, where they compare one with a value. Pure.

use std::sync::Arc;

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, col, lit};
use datafusion::scalar::ScalarValue;

/// The only site whose rows satisfy the filters, if they name one.
pub(crate) fn site_of(filters: &[Expr]) -> Option<Arc<str>> {
    filters.iter().flat_map(comparisons).find_map(|(column, operator, value)| match (column, operator) {
        ("site_id", Operator::Eq) => value.try_as_str().flatten().map(Into::into),
        _ => None,
    })
}

/// The filter of events for one site.
pub(crate) fn is_site(site: &str) -> Expr {
    col("site_id").eq(lit(ScalarValue::Utf8View(Some(site.to_owned()))))
}

/// The comparisons of a column with a value that all have to hold.
pub(crate) fn comparisons(filter: &Expr) -> Vec<(&str, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return vec![] };
    match (&**left, op, &**right) {
        (left, Operator::And, right) => [comparisons(left), comparisons(right)].concat(),
        (Expr::Column(column), op, Expr::Literal(value, _)) => vec![(&column.name, *op, value)],
        (Expr::Literal(value, _), op, Expr::Column(column)) => {
            op.swap().map(|op| (column.name.as_str(), op, value)).into_iter().collect()
        }
        _ => vec![],
    }
}
