//! Which events the filters of a table over sessions need. Pure.
//!
//! No session has an event later than the cap after its first, so an upper bound of `started_at` or `date` is one of events,
//! too. A lower bound is one as far as it is seen where a chain of events begins: a chain with a pause of at least the cap
//! before its first event at hand began with it. Of the few visitors of whom that is not seen the times of all events are read.

use datafusion::logical_expr::{Expr, Operator, col, lit};
use datafusion::scalar::ScalarValue;

use crate::sessions::making::days::SECOND_US;
use crate::sessions::making::window::Window;
use crate::sessions::output::{Columns, Kind};
use crate::sessions::rules::Rules;
use crate::tables::comparisons::comparisons;

const DAY_US: i64 = 86_400 * SECOND_US;

/// How many times the cap the events of a window begin before its sessions: one for the pause before a chain, and one for a
/// chain that is cut within.
const CAPS_BEFORE: i64 = 2;

/// The farthest that a zone's day lies from that of UTC, and more.
const ZONE_US: i64 = DAY_US;

/// Which events a table's filters need: every row that satisfies those is the same without the others.
#[derive(Clone, Debug)]
pub(crate) struct EventBounds {
    /// Conditions from below. With a window, the times of events before it are needed of visitors whose chains may have
    /// begun earlier.
    pub(crate) from: Vec<Expr>,
    /// Conditions from above.
    pub(crate) until: Vec<Expr>,
    pub(crate) window: Option<Window>,
    /// When the sessions begin that are wanted, in microseconds since 1970: from the first to before the second.
    pub(crate) begin_us: (i64, i64),
}

/// The bounds of events that a table's filters allow.
pub(crate) fn event_bounds(columns: &Columns, rules: &Rules, filters: &[Expr]) -> EventBounds {
    let mut bounds = EventBounds { from: vec![], until: vec![], window: None, begin_us: (i64::MIN, i64::MAX) };
    if columns.tell_users() {
        // Any event of a visitor may have the user's id.
        return bounds;
    }
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
    bounds.begin_us = (from_us, until_us);
    let time = |us: i64| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
    let of_day_alone = columns.know_their_day_alone();
    let cap_us = rules.cap_us_max();
    if from_us > i64::MIN && of_day_alone {
        bounds.from.push(col("occurred_at").gt_eq(time(from_us)));
    } else if from_us > i64::MIN && columns.kind == Kind::Sessions {
        let events_from_us = from_us.saturating_sub(cap_us.saturating_mul(CAPS_BEFORE));
        bounds.from.push(col("occurred_at").gt_eq(time(events_from_us)));
        bounds.window = Some(Window { events_from_us, sessions_from_us: from_us });
    }
    if until_us < i64::MAX {
        let caps = match (of_day_alone, columns.tell_cuts()) {
            (true, _) => 0,
            (false, false) => 1,
            // Whether the chain goes on.
            (false, true) => 2,
        };
        bounds.until.push(col("occurred_at").lt(time(until_us.saturating_add(cap_us.saturating_mul(caps)))));
    }
    bounds
}
