//! Which events the filters of a table over sessions need. Pure.
//!
//! A lower bound of `started_at` or `date` spares nothing: a session that a client's id joins may have begun at any time
//! before, and only its first event says where it is cut. An upper bound does, because no piece of a session is longer than
//! the cap; unless a query asks which are pieces.

use std::sync::Arc;

use datafusion::logical_expr::{BinaryExpr, Expr, Operator, col, lit};
use datafusion::scalar::ScalarValue;

use crate::sessions::days::SECOND_US;
use crate::sessions::output::{Columns, Kind};
use crate::sessions::rules::Rules;

const DAY_US: i64 = 86_400 * SECOND_US;

/// The farthest that a zone's day lies from that of UTC, and more.
const ZONE_US: i64 = DAY_US;

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

/// The filters of events that a table's filters allow: every row that satisfies those is the same without the other
/// events.
pub(crate) fn event_filters(columns: &Columns, rules: &Rules, filters: &[Expr]) -> Vec<Expr> {
    let (mut from_us, mut until_us) = (i64::MIN, i64::MAX);
    for (column, operator, value) in filters.iter().flat_map(comparisons) {
        let (value_us, unit_us, slack_us) = match (column, value) {
            ("started_at", ScalarValue::TimestampMicrosecond(Some(us), _)) if columns.kind == Kind::Sessions => {
                (*us, 1, 0)
            }
            ("date", ScalarValue::Date32(Some(day))) => (i64::from(*day) * DAY_US, DAY_US, ZONE_US),
            _ => continue,
        };
        // [from, until) of the value itself.
        let (from, until) =
            (value_us.saturating_sub(slack_us), value_us.saturating_add(unit_us).saturating_add(slack_us));
        if matches!(operator, Operator::Eq | Operator::Gt | Operator::GtEq) {
            from_us = from_us.max(from);
        }
        if matches!(operator, Operator::Eq | Operator::Lt | Operator::LtEq) {
            until_us = until_us.min(until);
        }
    }
    let time = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
    let mut bounds = Vec::new();
    let of_day_alone = columns.know_their_day_alone();
    if of_day_alone && from_us > i64::MIN {
        bounds.push(col("occurred_at").gt_eq(time(from_us)));
    }
    if until_us < i64::MAX && !columns.tell_cuts() {
        let cap_us = if of_day_alone { 0 } else { rules.cap_us_max() };
        bounds.push(col("occurred_at").lt(time(until_us.saturating_add(cap_us))));
    }
    bounds
}

/// The comparisons of a column with a value that all have to hold.
fn comparisons(filter: &Expr) -> Vec<(&str, Operator, &ScalarValue)> {
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
