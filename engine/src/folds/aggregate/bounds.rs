//! Bounds of time in a query: which files lie within them whole, and which are cut. Pure.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, col, lit};
use datafusion::scalar::ScalarValue;
use lake::TableFile;

const DAY_US: i64 = 86_400_000_000;

/// The events from `from_us` on and before `until_us`, in microseconds since the Unix epoch. `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::folds) struct TimeBounds {
    pub(in crate::folds) from_us: Option<i64>,
    pub(in crate::folds) until_us: Option<i64>,
}

/// How a file lies to bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::folds) enum Lies {
    /// Every event is within.
    Within,
    /// No event is.
    Beyond,
    /// Only its events can tell.
    Across,
}

impl TimeBounds {
    /// Takes the bounds of time out of the conditions of a query; returns the other conditions.
    ///
    /// `date` is the UTC date of `occurred_at`, so a bound of one is a bound of the other.
    pub(in crate::folds) fn take(conditions: Vec<Expr>) -> (Self, Vec<Expr>) {
        Self::take_of("occurred_at", Some("date"), conditions)
    }

    /// The bounds of when a session begins among conditions, and the other conditions.
    pub(in crate::folds) fn take_of_sessions(conditions: &[Expr]) -> (Self, Vec<Expr>) {
        Self::take_of("started_at", None, conditions.to_vec())
    }

    /// Takes out the bounds of an instant, and of the column that is its UTC date, if there is one.
    fn take_of(instant: &str, date: Option<&str>, conditions: Vec<Expr>) -> (Self, Vec<Expr>) {
        let mut bounds = Self::default();
        let others = conditions.into_iter().filter(|condition| match read(condition, instant, date) {
            Some(found) => {
                bounds = bounds.and(found);
                false
            }
            None => true,
        });
        let others = others.collect();
        (bounds, others)
    }

    fn and(self, other: Self) -> Self {
        let later = |a: Option<i64>, b: Option<i64>| a.max(b);
        let earlier = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { from_us: later(self.from_us, other.from_us), until_us: earlier(self.until_us, other.until_us) }
    }

    pub(in crate::folds) fn place(self, file: &TableFile) -> Lies {
        if self == Self::default() {
            return Lies::Within;
        }
        let Some((min, max)) = file.times_us("occurred_at") else { return Lies::Across };
        let (from, until) = (self.from_us.unwrap_or(i64::MIN), self.until_us.unwrap_or(i64::MAX));
        if max < from || min >= until {
            Lies::Beyond
        } else if min >= from && (max < until || self.until_us.is_none()) {
            Lies::Within
        } else {
            Lies::Across
        }
    }

    /// The bounds that cut some of the files: files that a bound does not cut give the same rows without it.
    pub(in crate::folds) fn cutting(self, files: &[&TableFile]) -> Self {
        let cuts = |bounds: Self| files.iter().any(|file| bounds.place(file) != Lies::Within);
        Self {
            from_us: self.from_us.filter(|_| cuts(Self { until_us: None, ..self })),
            until_us: self.until_us.filter(|_| cuts(Self { from_us: None, ..self })),
        }
    }

    /// The bounds as conditions.
    pub(in crate::folds) fn conditions(self) -> Vec<Expr> {
        self.conditions_of("occurred_at")
    }

    /// The bounds as conditions of when a session begins.
    pub(in crate::folds) fn conditions_of_sessions(self) -> Vec<Expr> {
        self.conditions_of("started_at")
    }

    fn conditions_of(self, instant: &str) -> Vec<Expr> {
        let time = |us| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        let from = self.from_us.map(|us| col(instant).gt_eq(time(us)));
        let until = self.until_us.map(|us| col(instant).lt(time(us)));
        from.into_iter().chain(until).collect()
    }
}

/// The bounds that a condition sets, if that is all it does.
fn read(condition: &Expr, instant: &str, date: Option<&str>) -> Option<TimeBounds> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let (column, op, value) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    // The value is an instant, or the first of a day's.
    let (start_us, length_us) = match (column.name.as_str(), value) {
        (name, ScalarValue::TimestampMicrosecond(Some(us), _)) if name == instant => (*us, 1),
        (name, ScalarValue::Date32(Some(days))) if Some(name) == date => (i64::from(*days) * DAY_US, DAY_US),
        _ => return None,
    };
    let end_us = start_us.checked_add(length_us)?;
    let (from_us, until_us) = match op {
        Operator::GtEq => (Some(start_us), None),
        Operator::Gt => (Some(end_us), None),
        Operator::Lt => (None, Some(start_us)),
        Operator::LtEq => (None, Some(end_us)),
        Operator::Eq => (Some(start_us), Some(end_us)),
        _ => return None,
    };
    Some(TimeBounds { from_us, until_us })
}

/// Takes the conditions that name a time and look at nothing but groups out of the conditions of a query. They are as true of
/// a group as of its rows, so groups are made of all times, which serves every run, and are chosen among afterwards.
///
/// - `keys`: what rows are grouped by.
///
/// Returns the other conditions, and those of groups: over the keys, which stand as columns `k0`, `k1` and so on.
pub(in crate::folds) fn take_times_of_groups(conditions: Vec<Expr>, keys: &[Expr]) -> (Vec<Expr>, Vec<Expr>) {
    let (mut others, mut of_groups) = (Vec::new(), Vec::new());
    for condition in conditions {
        match over_keys(&condition, keys).filter(|_| names_time(&condition)) {
            Some(of_group) => of_groups.push(of_group),
            None => others.push(condition),
        }
    }
    (others, of_groups)
}

fn names_time(condition: &Expr) -> bool {
    let is_time = |expr: &Expr| matches!(expr, Expr::Literal(value, _) if value.data_type().is_temporal());
    condition.exists(|expr| Ok(is_time(expr))).unwrap_or(false)
}

/// The same condition over keys; none if it looks at anything else.
fn over_keys(condition: &Expr, keys: &[Expr]) -> Option<Expr> {
    let mut only_keys = true;
    let replaced = condition.clone().transform_down(|expr| {
        if let Some(place) = keys.iter().position(|key| *key == expr) {
            let key = Expr::Column(Column::from_name(format!("k{place}")));
            return Ok(Transformed::new(key, true, TreeNodeRecursion::Jump));
        }
        only_keys &= !matches!(expr, Expr::Column(_));
        Ok(Transformed::no(expr))
    });
    replaced.ok().map(|replaced| replaced.data).filter(|_| only_keys)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use datafusion::arrow::datatypes::DataType;
    use datafusion::logical_expr::cast;
    use lake::{FileRange, Value};

    use super::*;

    #[test]
    fn a_file_within_the_bounds_is_told_from_one_across_them() {
        let bounds = TimeBounds { from_us: Some(10), until_us: Some(20) };
        for (min, max, expected) in [
            (10, 19, Lies::Within),
            (9, 19, Lies::Across),
            (10, 20, Lies::Across),
            (20, 30, Lies::Beyond),
            (1, 9, Lies::Beyond),
            (9, 10, Lies::Across),
        ] {
            assert_eq!(bounds.place(&file(min, max)), expected, "{min} to {max}");
        }
        assert_eq!(TimeBounds::default().place(&file(1, 2)), Lies::Within);
    }

    #[test]
    fn only_a_bound_that_cuts_is_part_of_what_a_file_gives() {
        let bounds = TimeBounds { from_us: Some(10), until_us: Some(20) };
        let cutting = |min, max| bounds.cutting(&[&file(min, max)]);
        assert_eq!(cutting(5, 15), TimeBounds { until_us: None, ..bounds });
        assert_eq!(cutting(15, 25), TimeBounds { from_us: None, ..bounds });
        assert_eq!(cutting(5, 25), bounds);
        assert_eq!(cutting(11, 12), TimeBounds::default());
    }

    #[test]
    fn comparisons_with_an_instant_or_a_day_are_bounds_and_others_are_not() {
        let time = |us| lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())));
        let day = |days| lit(ScalarValue::Date32(Some(days)));
        let check = |condition: Expr, expected: Option<(Option<i64>, Option<i64>)>| {
            let (bounds, others) = TimeBounds::take(vec![condition.clone()]);
            let found = others.is_empty().then_some((bounds.from_us, bounds.until_us));
            assert_eq!(found, expected, "{condition}");
        };
        let at = || col("occurred_at");
        check(at().gt_eq(time(5)), Some((Some(5), None)));
        check(at().gt(time(5)), Some((Some(6), None)));
        check(at().lt(time(5)), Some((None, Some(5))));
        check(at().lt_eq(time(5)), Some((None, Some(6))));
        check(time(5).lt(at()), Some((Some(6), None)));
        check(col("date").eq(day(1)), Some((Some(DAY_US), Some(2 * DAY_US))));
        check(col("date").gt(day(1)), Some((Some(2 * DAY_US), None)));
        check(at().not_eq(time(5)), None);
        check(col("received_at").lt(time(5)), None);
        check(at().lt(time(5)).or(at().gt(time(9))), None);
    }

    #[test]
    fn conditions_of_groups_that_name_a_time_are_told_from_others() {
        let day = |days| lit(ScalarValue::Date32(Some(days)));
        let local_day = || cast(col("occurred_at"), DataType::Date32);
        let keys = [local_day(), col("path")];
        let check = |condition: Expr, of_group: Option<Expr>| {
            let (others, of_groups) = take_times_of_groups(vec![condition.clone()], &keys);
            match of_group {
                Some(of_group) => assert_eq!((others, of_groups), (vec![], vec![of_group])),
                None => assert_eq!((others, of_groups), (vec![condition], vec![])),
            }
        };
        check(local_day().gt_eq(day(1)), Some(col("k0").gt_eq(day(1))));
        check(local_day().eq(day(1)).or(col("path").is_null()), Some(col("k0").eq(day(1)).or(col("k1").is_null())));
        check(local_day().eq(day(1)).or(col("name").is_null()), None);
        check(cast(col("received_at"), DataType::Date32).gt_eq(day(1)), None);
        // It says the same at any time, and there is less to keep.
        check(col("path").eq(lit("/")), None);
    }

    fn file(min: i64, max: i64) -> TableFile {
        let range = FileRange { min: Value::TimeUs(min), max: Value::TimeUs(max), nulls: Some(0) };
        TableFile {
            path: "a".into(),
            log_path: "a".into(),
            date: None,
            size_bytes: 1,
            checksum: None,
            rows: 1,
            ranges: BTreeMap::from([("occurred_at".to_owned(), range)]),
        }
    }
}
