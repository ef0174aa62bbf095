//! Joins of times with intervals are found as such.
//!
//! DataFusion joins by what is equal and looks at all else of each pair afterwards: of a visitor with a hundred sessions, each
//! event with a hundred. Where two of the conditions are an interval around a column of the other side, an operator that knows
//! intervals takes the join's place, see [`interval_join`](crate::joins::interval_join).

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column};
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use super::physical::{Rule, of_each_operator};
use crate::joins::interval_join::{IntervalJoin, IntervalJoinExec, Joined};

/// Has intervals joined by an operator that knows them.
pub(super) fn joins_of_intervals() -> Rule {
    of_each_operator("JoinsOfIntervals", |operator, _| {
        Ok(match operator.downcast_ref::<HashJoinExec>().and_then(of_intervals) {
            Some(join) => Transformed::yes(Arc::new(IntervalJoinExec::new(join)) as Arc<dyn ExecutionPlan>),
            None => Transformed::no(operator),
        })
    })
}

/// A join as one of intervals, if it is.
fn of_intervals(join: &HashJoinExec) -> Option<IntervalJoin> {
    let is_known = matches!(join.join_type(), JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi);
    let is_plain = is_known && join.null_equality() == NullEquality::NullEqualsNothing && join.fetch().is_none();
    let is_collected = *join.partition_mode() == PartitionMode::CollectLeft;
    let filter = join.filter().filter(|_| is_plain)?;
    let (left, right) = (join.left(), join.right());
    let hash_alike = join.on().iter().all(|(one, other)| {
        let types = (one.data_type(&left.schema()), other.data_type(&right.schema()));
        matches!(types, (Ok(one), Ok(other)) if one == other && is_equal_if_the_same(&one))
    });
    if !hash_alike {
        return None;
    }

    let conditions = split_conjunction(filter.expression());
    let comparisons: Vec<Comparison> = conditions
        .iter()
        .enumerate()
        .flat_map(|(place, condition)| Comparison::both(place, condition, filter))
        .collect();
    let (begin, end) = comparisons.iter().find_map(|begin| {
        let is_its_end = |end: &&Comparison| {
            end.is_from_above && !begin.is_from_above && end.at == begin.at && end.bound.side == begin.bound.side
        };
        comparisons.iter().find(is_its_end).map(|end| (begin, end))
    })?;
    let has_left = begin.bound.side == JoinSide::Left;
    // All partitions of the right side are joined with the whole left one.
    if is_collected && !has_left {
        return None;
    }
    let (intervals, times) = if has_left { (left, right) } else { (right, left) };
    let (bounds, other) = (intervals.schema(), times.schema());
    let of_times = [bounds.field(begin.bound.index), bounds.field(end.bound.index), other.field(begin.at.index)];
    let data_type = of_times[0].data_type();
    if !is_time(data_type) || of_times.iter().any(|field| field.data_type() != data_type) {
        return None;
    }

    let side = |side: JoinSide| match (side, has_left) {
        (JoinSide::Left, true) | (JoinSide::Right, false) => JoinSide::Left,
        _ => JoinSide::Right,
    };
    let turned = |of: &ColumnIndex| ColumnIndex { index: of.index, side: side(of.side) };
    let rest = conditions.iter().enumerate().filter(|(place, _)| ![begin.place, end.place].contains(place));
    let rest: Vec<Arc<dyn PhysicalExpr>> = rest.map(|(_, condition)| (*condition).clone()).collect();
    let rest = (!rest.is_empty()).then(|| {
        let columns = filter.column_indices().iter().map(turned).collect();
        JoinFilter::new(conjunction(rest), columns, filter.schema().clone())
    });
    let left_columns = left.schema().fields().len();
    let all = (0..left_columns + right.schema().fields().len()).map(|column| match column.checked_sub(left_columns) {
        None => ColumnIndex { index: column, side: side(JoinSide::Left) },
        Some(index) => ColumnIndex { index, side: side(JoinSide::Right) },
    });
    let joined = match (join.join_type(), has_left) {
        (JoinType::LeftSemi, true) | (JoinType::RightSemi, false) => Joined::Intervals,
        (JoinType::LeftSemi, false) | (JoinType::RightSemi, true) => Joined::Times,
        _ => Joined::Pairs,
    };
    let is_given = |column: &ColumnIndex| match joined {
        Joined::Pairs => true,
        Joined::Intervals => column.side == JoinSide::Left,
        Joined::Times => column.side == JoinSide::Right,
    };
    let all: Vec<ColumnIndex> = all.filter(is_given).collect();
    let output = match &join.projection {
        Some(chosen) => chosen.iter().map(|column| all[*column].clone()).collect(),
        None => all,
    };
    let on = join.on().iter().map(|(one, other)| match has_left {
        true => (one.clone(), other.clone()),
        false => (other.clone(), one.clone()),
    });
    // Rows come in the order of the right side there, and in that of the times here.
    if !has_left && join.properties().output_ordering().is_some() {
        return None;
    }
    Some(IntervalJoin {
        intervals: intervals.clone(),
        times: times.clone(),
        on: on.collect(),
        from: (begin.bound.index, begin.is_within),
        until: (end.bound.index, end.is_within),
        at: begin.at.index,
        rest,
        joined,
        output,
        is_collected,
        properties: join.properties().clone(),
    })
}

/// Whether two values are equal exactly if they are the same: not so of doubles.
fn is_equal_if_the_same(data_type: &DataType) -> bool {
    data_type.is_integer()
        || matches!(
            data_type,
            DataType::Boolean
                | DataType::Utf8
                | DataType::LargeUtf8
                | DataType::Utf8View
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::Date32
                | DataType::Timestamp(..)
        )
}

/// Whether values are whole numbers of some unit.
fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Int64 | DataType::Int32)
}

/// That a column of one side is a bound of a column of the other.
struct Comparison {
    /// Of the condition among all.
    place: usize,
    at: ColumnIndex,
    bound: ColumnIndex,
    is_from_above: bool,
    /// Whether the two may be equal.
    is_within: bool,
}

impl Comparison {
    /// A comparison of columns of two sides, once with either as the bound: which of them it is, another comparison says.
    fn both(place: usize, condition: &Arc<dyn PhysicalExpr>, filter: &JoinFilter) -> Vec<Self> {
        let Some(condition) = condition.downcast_ref::<BinaryExpr>() else { return vec![] };
        let column =
            |expr: &Arc<dyn PhysicalExpr>| filter.column_indices().get(expr.downcast_ref::<Column>()?.index()).cloned();
        let (Some(one), Some(other)) = (column(condition.left()), column(condition.right())) else { return vec![] };
        let (is_from_above, is_within) = match condition.op() {
            Operator::GtEq => (false, true),
            Operator::Gt => (false, false),
            Operator::LtEq => (true, true),
            Operator::Lt => (true, false),
            _ => return vec![],
        };
        if one.side == other.side {
            return vec![];
        }
        let turned = Self { place, at: other.clone(), bound: one.clone(), is_from_above: !is_from_above, is_within };
        vec![Self { place, at: one, bound: other, is_from_above, is_within }, turned]
    }
}
