//! `a ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k`: beside each row of the left side the row of the right one that
//! is nearest in order among those that are equal in the keys, or nulls if there is none.
//!
//! Both sides are sorted into one list by key and time. Of each row of the left side it is known how many rows of the right one
//! come before it, and that number says which of them is the last: so each side is read once, sorted once more than it is
//! joined, and no pair is made that is thrown away. Rows that are sorted may spill.
//!
//! - A null in a key or in the order matches nothing.
//! - Of several rows of the right side at the same time, one is taken.
//! - What is asked of the right side alone, such as `b.name = 'purchase'`, its rows must be before one is taken.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, DFSchema, DFSchemaRef, plan_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::binary::comparison_coercion;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::logical_expr::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, Ident, Join, JoinConstraint, JoinOperator, TableFactor,
};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, cast, col, lit,
};
use datafusion::scalar::ScalarValue;

/// What an ASOF join may be on.
const CONDITIONS: &str = "ASOF JOIN is on one column or expression of each side: write MATCH_CONDITION (a.t >= b.t) ON a.k = b.k, or ON a.k = b.k \
                          AND a.t >= b.t, and conditions on the left side into WHERE";

/// Counts rows of the right side; null in those of the left one.
const IS_RIGHT: &str = "is_right";
const TIME: &str = "at";
/// How many rows of the right side come before.
const BEFORE: &str = "before";

/// The plan of a relation that is an ASOF join and nothing else; `None` if it is anything else.
pub(super) fn plan(relation: &TableFactor, context: &mut dyn RelationPlannerContext) -> Result<Option<LogicalPlan>> {
    let TableFactor::NestedJoin { table_with_joins, alias } = relation else { return Ok(None) };
    let [Join { relation: right, global: is_inner, join_operator }] = &table_with_joins.joins[..] else {
        return Ok(None);
    };
    let JoinOperator::AsOf { match_condition, constraint } = join_operator else { return Ok(None) };
    if is_lateral(right) {
        return plan_err!("ASOF JOIN takes a table: not LATERAL, and not unnest");
    }
    let left = context.plan(table_with_joins.relation.clone())?;
    let right = context.plan(right.clone())?;
    let joined = Arc::new(left.schema().join(right.schema())?);
    let mut join = Nearest { left, right, joined, keys: vec![], merged: vec![] };
    join.note(constraint, context)?;
    let order = join.order(match_condition, context)?;
    let plan = join.plan(order, *is_inner, context)?;
    match alias {
        None => Ok(Some(plan)),
        Some(alias) => {
            if !alias.columns.is_empty() {
                return plan_err!("an ASOF JOIN in parentheses takes a name, and no names of columns");
            }
            let name = context.normalize_ident(alias.name.clone());
            LogicalPlanBuilder::from(plan).alias(name)?.build().map(Some)
        }
    }
}

fn is_lateral(table: &TableFactor) -> bool {
    matches!(
        table,
        TableFactor::Derived { lateral: true, .. }
            | TableFactor::Function { lateral: true, .. }
            | TableFactor::UNNEST { .. }
    )
}

/// Expressions of the two sides that are compared.
struct Pair {
    left: Expr,
    right: Expr,
}

/// In which order a row is nearest.
struct Order {
    times: Pair,
    /// Whether the nearest row is the last one before, and not the first one behind.
    is_back: bool,
    /// Whether a row at the same time is one.
    is_same_near: bool,
}

/// A join that is being planned.
struct Nearest {
    left: LogicalPlan,
    right: LogicalPlan,
    joined: DFSchemaRef,
    keys: Vec<Pair>,
    /// Columns of the right side that are the left one's: those of USING.
    merged: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Nearest {
    /// Notes what must be equal, and keeps of the right side what it must be.
    fn note(&mut self, constraint: &JoinConstraint, context: &mut dyn RelationPlannerContext) -> Result<()> {
        match constraint {
            JoinConstraint::None => Ok(()),
            JoinConstraint::Natural => plan_err!("{CONDITIONS}"),
            JoinConstraint::Using(names) => names.iter().try_for_each(|name| match &name.0[..] {
                [part] if part.as_ident().is_some() => {
                    let name = part.as_ident().expect("it is one");
                    let pair = self.of_both(name, context)?;
                    self.keys.push(pair);
                    Ok(())
                }
                _ => plan_err!("USING takes names of columns"),
            }),
            JoinConstraint::On(condition) => self.note_condition(condition, context),
        }
    }

    fn note_condition(&mut self, condition: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<()> {
        // A loop: a chain of conditions is deep to the left.
        let mut rest = vec![condition];
        while let Some(condition) = rest.pop() {
            match condition {
                SqlExpr::BinaryOp { left, op: BinaryOperator::And, right } => rest.extend([&**right, &**left]),
                SqlExpr::Nested(inner) => rest.push(inner),
                condition => match self.key(condition, context)? {
                    Some(key) => self.keys.push(key),
                    None => {
                        let (expr, side) = self.expr(condition, context)?;
                        if side != Some(Side::Right) {
                            return plan_err!("{CONDITIONS}");
                        }
                        self.right = LogicalPlanBuilder::from(self.right.clone()).filter(expr)?.build()?;
                    }
                },
            }
        }
        Ok(())
    }

    /// What must be equal, if a condition says that something of either side is.
    fn key(&self, condition: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Option<Pair>> {
        let SqlExpr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return Ok(None) };
        Ok(self.pair(left, right, context)?.map(|(pair, _)| pair))
    }

    fn order(&mut self, condition: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<Order> {
        let condition = match condition {
            SqlExpr::Nested(inner) => inner,
            condition => condition,
        };
        let SqlExpr::BinaryOp { left, op, right } = condition else { return plan_err!("{CONDITIONS}") };
        let (is_more, is_same_near) = match op {
            BinaryOperator::GtEq => (true, true),
            BinaryOperator::Gt => (true, false),
            BinaryOperator::LtEq => (false, true),
            BinaryOperator::Lt => (false, false),
            _ => return plan_err!("{CONDITIONS}"),
        };
        let (times, is_turned) = match (&**left, &**right) {
            // That of USING.
            (SqlExpr::Identifier(one), SqlExpr::Identifier(other)) if one == other => {
                (self.of_both(one, context)?, false)
            }
            (left, right) => match self.pair(left, right, context)? {
                Some(pair) => pair,
                None => return plan_err!("{CONDITIONS}"),
            },
        };
        Ok(Order { times, is_back: is_more != is_turned, is_same_near })
    }

    /// A column that both sides have. Where it is named afterwards, it is the left one's.
    fn of_both(&mut self, name: &Ident, context: &mut dyn RelationPlannerContext) -> Result<Pair> {
        let name = context.normalize_ident(name.clone());
        let column = |schema: &DFSchema| -> Result<Expr> {
            Ok(Expr::Column(Column::from(schema.qualified_field_with_unqualified_name(&name)?)))
        };
        let pair = Pair { left: column(self.left.schema())?, right: column(self.right.schema())? };
        self.merged.push(name);
        self.compared(pair)
    }

    /// Two expressions of which each is of one side, and whether the first is of the right one.
    fn pair(
        &self,
        one: &SqlExpr,
        other: &SqlExpr,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<Option<(Pair, bool)>> {
        let ((one, of_one), (other, of_other)) = (self.expr(one, context)?, self.expr(other, context)?);
        Ok(match (of_one, of_other) {
            (Some(Side::Left), Some(Side::Right)) => Some((self.compared(Pair { left: one, right: other })?, false)),
            (Some(Side::Right), Some(Side::Left)) => Some((self.compared(Pair { left: other, right: one })?, true)),
            _ => None,
        })
    }

    /// An expression, and the side whose columns it reads if they are of one.
    fn expr(&self, expr: &SqlExpr, context: &mut dyn RelationPlannerContext) -> Result<(Expr, Option<Side>)> {
        let expr = context.sql_to_expr(expr.clone(), &self.joined)?;
        let is_query = |expr: &Expr| {
            matches!(
                expr,
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..)
            )
        };
        if expr.exists(|expr| Ok(is_query(expr)))? {
            return plan_err!("{CONDITIONS}");
        }
        let columns = expr.column_refs();
        let all_of = |schema: &DFSchema| {
            columns.iter().all(|column| {
                schema.iter().any(|(table, field)| table == column.relation.as_ref() && *field.name() == column.name)
            })
        };
        let side = match () {
            () if columns.is_empty() => None,
            () if all_of(self.left.schema()) => Some(Side::Left),
            () if all_of(self.right.schema()) => Some(Side::Right),
            () => None,
        };
        drop(columns);
        Ok((expr, side))
    }

    /// The same with one type, in which the two can be compared.
    fn compared(&self, pair: Pair) -> Result<Pair> {
        let (left, right) = (pair.left.get_type(self.left.schema())?, pair.right.get_type(self.right.schema())?);
        let is_text = |of: &DataType| matches!(of, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let is_alike = left == right
            || is_text(&left) && is_text(&right)
            || left.is_numeric() && right.is_numeric()
            || left.is_temporal() && right.is_temporal();
        let Some(common) = comparison_coercion(&left, &right).filter(|_| is_alike) else {
            return plan_err!("{} and {} have types that are not compared: cast one of them", pair.left, pair.right);
        };
        let of_common = |expr: Expr, from: &DataType| match *from == common {
            true => expr,
            false => cast(expr, common.clone()),
        };
        Ok(Pair { left: of_common(pair.left, &left), right: of_common(pair.right, &right) })
    }

    fn plan(self, order: Order, is_inner: bool, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
        let (lefts, rights) = (fields(self.left.schema()), fields(self.right.schema()));
        let key_names: Vec<String> = (0..self.keys.len()).map(|place| format!("key{place}")).collect();
        let null = |of: &DataType| Ok::<_, datafusion::error::DataFusionError>(lit(ScalarValue::try_from(of)?));

        // Each side with the columns of both.
        let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
        for (pair, name) in self.keys.iter().zip(&key_names) {
            of_left.push(pair.left.clone().alias(name));
            of_right.push(pair.right.clone().alias(name));
        }
        of_left.push(order.times.left.alias(TIME));
        of_right.push(order.times.right.clone().alias(TIME));
        of_left.push(null(&DataType::Int64)?.alias(IS_RIGHT));
        of_right.push(lit(1_i64).alias(IS_RIGHT));
        for (place, (column, of)) in lefts.iter().enumerate() {
            of_left.push(Expr::Column(column.clone()).alias(format!("left{place}")));
            of_right.push(null(of)?.alias(format!("left{place}")));
        }
        for (place, (column, of)) in rights.iter().enumerate() {
            of_left.push(null(of)?.alias(format!("right{place}")));
            of_right.push(Expr::Column(column.clone()).alias(format!("right{place}")));
        }
        let can_match = self.keys.iter().map(|pair| pair.right.clone()).chain([order.times.right]);
        let can_match = can_match.map(Expr::is_not_null).reduce(Expr::and).expect("there is a time");
        let right = LogicalPlanBuilder::from(self.right).filter(can_match)?.project(of_right)?.build()?;
        let all = LogicalPlanBuilder::from(self.left).project(of_left)?.union(right)?.build()?;

        // How many rows of the right side come before. Without a time a row comes before all.
        let keys: Vec<Expr> = key_names.iter().map(|name| col(name.as_str())).collect();
        let by_time = Sort::new(col(TIME), order.is_back, true);
        let by_side = |right_first: bool| Sort::new(col(IS_RIGHT), true, !right_first);
        let count = context.context_provider().get_aggregate_meta("count");
        let count = count.ok_or_else(|| plan_datafusion_err!("there is no function count"))?;
        let before = over(
            WindowFunctionDefinition::AggregateUDF(count),
            IS_RIGHT,
            keys.clone(),
            vec![by_time, by_side(order.is_same_near)],
        )?;
        let counted = with_windows(all, vec![(before, BEFORE.to_owned())])?;

        // Behind each row of the right side stand the rows of the left one whose nearest it is.
        let first = context.context_provider().get_window_meta("first_value");
        let first = first.ok_or_else(|| plan_datafusion_err!("there is no function first_value"))?;
        let groups: Vec<Expr> = keys.into_iter().chain([col(BEFORE)]).collect();
        let is_kept = |column: &Column| !self.merged.contains(&column.name);
        let mut nearest = Vec::new();
        for (place, _) in rights.iter().enumerate().filter(|(_, (column, _))| is_kept(column)) {
            let first = WindowFunctionDefinition::WindowUDF(first.clone());
            let value = over(first, &format!("right{place}"), groups.clone(), vec![by_side(true)])?;
            nearest.push((value, format!("nearest{place}")));
        }
        let joined = match nearest.is_empty() {
            true => counted,
            false => with_windows(counted, nearest)?,
        };
        let is_left = col(IS_RIGHT).is_null();
        let kept = if is_inner { is_left.and(col(BEFORE).gt(lit(0_i64))) } else { is_left };
        let name = |column: &Column, made: String| {
            col(made.as_str()).alias_qualified(column.relation.clone(), column.name.clone())
        };
        let lefts = lefts.iter().enumerate().map(|(place, (column, _))| name(column, format!("left{place}")));
        let rights = rights.iter().enumerate().filter(|(_, (column, _))| is_kept(column));
        let rights = rights.map(|(place, (column, _))| name(column, format!("nearest{place}")));
        LogicalPlanBuilder::from(joined).filter(kept)?.project(lefts.chain(rights).collect::<Vec<_>>())?.build()
    }
}

/// The columns of a side with their types.
fn fields(schema: &DFSchema) -> Vec<(Column, DataType)> {
    schema.iter().map(|(table, field)| (Column::from((table, field)), field.data_type().clone())).collect()
}

/// A function over the rows of a group up to each.
fn over(function: WindowFunctionDefinition, of: &str, groups: Vec<Expr>, order: Vec<Sort>) -> Result<Expr> {
    let up_to_each = WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::CurrentRow,
    );
    Expr::from(WindowFunction::new(function, vec![col(of)]))
        .partition_by(groups)
        .order_by(order)
        .window_frame(up_to_each)
        .build()
}

/// A plan with values of windows as columns of these names.
fn with_windows(plan: LogicalPlan, windows: Vec<(Expr, String)>) -> Result<LogicalPlan> {
    let mut columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let (exprs, names): (Vec<Expr>, Vec<String>) = windows.into_iter().unzip();
    columns.extend(
        exprs
            .iter()
            .zip(names)
            .map(|(expr, name)| Expr::Column(Column::from_name(expr.schema_name().to_string())).alias(name)),
    );
    LogicalPlanBuilder::from(plan).window(exprs)?.project(columns)?.build()
}
