//! An aggregate over one table as its conditions, its groups and its functions, all in terms of the table's own columns. Pure.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, split_conjunction_owned};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};

use super::stand_in::{FoldedTable, StandIn};

/// What an aggregate says, whatever stood between it and its table.
#[derive(Clone, Debug)]
pub(in crate::folds) struct Shape {
    /// The table.
    pub(in crate::folds) table: &'static str,
    /// How its rows are folded.
    pub(in crate::folds) folded: FoldedTable,
    /// What must be true of a row.
    pub(in crate::folds) conditions: Vec<Expr>,
    /// What rows are grouped by, each once.
    pub(in crate::folds) keys: Vec<Expr>,
    /// The groups as they were written: over the keys, which stand as columns `k0`, `k1` and so on.
    pub(in crate::folds) groups: Vec<Expr>,
    /// The aggregate functions.
    pub(in crate::folds) functions: Vec<Expr>,
}

/// The rows below an aggregate: for each column of their schema, where it comes from.
struct Rows {
    table: &'static str,
    folded: FoldedTable,
    columns: Vec<Expr>,
    conditions: Vec<Expr>,
}

/// Why an aggregate is not one over the rows of a single table, in words for the author of the query.
pub(in crate::folds) type Why = String;

/// An error of DataFusion as a reason.
pub(in crate::folds) fn reason_of(error: DataFusionError) -> Why {
    error.strip_backtrace()
}

impl Shape {
    pub(in crate::folds) fn of(aggregate: &Aggregate) -> Result<Self, Why> {
        let rows = Rows::of(&aggregate.input)?;
        let schema = aggregate.input.schema();
        let over_table = |expr: &Expr| over(expr, schema, &rows.columns);
        let mut keys: Vec<Expr> = Vec::new();
        let listed = grouping_set_to_exprlist(&aggregate.group_expr).map_err(|error| error.to_string())?;
        for key in listed {
            let key = over_table(key)?;
            if !keys.contains(&key) {
                keys.push(key);
            } else if aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
                return Err("two of its grouping sets' columns are the same".into());
            }
        }
        let groups = aggregate.group_expr.iter().map(|group| match group {
            Expr::GroupingSet(_) => {
                let named = group.clone().transform_down(|expr| match expr {
                    Expr::GroupingSet(_) => Ok(Transformed::no(expr)),
                    expr => {
                        let key = over_table(&expr).map_err(datafusion::error::DataFusionError::Plan)?;
                        let named = Transformed::yes(named_key(&keys, &key));
                        Ok(Transformed { tnr: TreeNodeRecursion::Jump, ..named })
                    }
                });
                named.map(|named| named.data).map_err(|error| error.to_string())
            }
            key => Ok(named_key(&keys, &over_table(key)?)),
        });
        let groups = groups.collect::<Result<_, Why>>()?;
        let functions = aggregate.aggr_expr.iter().map(over_table).collect::<Result<_, Why>>()?;
        Ok(Self { table: rows.table, folded: rows.folded, conditions: rows.conditions, keys, groups, functions })
    }
}

fn named_key(keys: &[Expr], key: &Expr) -> Expr {
    let place = keys.iter().position(|known| known == key).unwrap_or_default();
    Expr::Column(Column::from_name(format!("k{place}")))
}

impl Rows {
    fn of(plan: &LogicalPlan) -> Result<Self, Why> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let (table, folded) =
                    StandIn::folded(scan).ok_or("it groups the rows of a table that is not made of events")?;
                if scan.fetch.is_some() {
                    return Err("it takes only some of the events with LIMIT".into());
                }
                let columns: Vec<Expr> = scan
                    .projected_schema
                    .fields()
                    .iter()
                    .map(|field| Expr::Column(Column::from_name(field.name())))
                    .collect();
                let unqualified = |filter: &Expr| {
                    let filter = filter.clone().transform_up(|expr| match expr {
                        Expr::Column(column) => Ok(Transformed::yes(Expr::Column(Column::from_name(column.name)))),
                        expr => Ok(Transformed::no(expr)),
                    });
                    filter.map(|filter| filter.data).map_err(|error| error.to_string())
                };
                let mut conditions = Vec::new();
                for filter in &scan.filters {
                    check_row(filter)?;
                    conditions.extend(split_conjunction_owned(unqualified(filter)?));
                }
                Ok(Self { table, folded, columns, conditions })
            }
            LogicalPlan::Projection(projection) => {
                let rows = Self::of(&projection.input)?;
                let schema = projection.input.schema();
                let columns = projection.expr.iter().map(|expr| over(expr, schema, &rows.columns));
                let columns = columns.collect::<Result<_, Why>>()?;
                Ok(Self { columns, ..rows })
            }
            LogicalPlan::Filter(filter) => {
                let mut rows = Self::of(&filter.input)?;
                let condition = over(&filter.predicate, filter.input.schema(), &rows.columns)?;
                rows.conditions.extend(split_conjunction_owned(condition));
                Ok(rows)
            }
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => Self::of(&sort.input),
            other => Err(in_words(other).into()),
        }
    }
}

fn in_words(plan: &LogicalPlan) -> &'static str {
    match plan {
        LogicalPlan::Join(_) => "it joins events with other rows before it groups them",
        LogicalPlan::Window(_) => "a window function looks at several events at a time",
        LogicalPlan::Limit(_) | LogicalPlan::Sort(_) => "it takes only some of the events with LIMIT",
        LogicalPlan::Unnest(_) => "it makes several rows of one event with unnest",
        LogicalPlan::Union(_) => "it puts several sets of rows together before it groups them",
        LogicalPlan::Aggregate(_) => "it groups rows that are groups already",
        _ => "it does more to events than filter them and compute with single ones before it groups them",
    }
}

/// The same expression in terms of the table's columns.
fn over(expr: &Expr, schema: &DFSchema, columns: &[Expr]) -> Result<Expr, Why> {
    check_row(expr)?;
    let replaced = expr.clone().transform_up(|expr| match expr {
        Expr::Column(column) => Ok(Transformed::yes(columns[schema.index_of_column(&column)?].clone())),
        Expr::Alias(alias) => Ok(Transformed::yes(*alias.expr)),
        expr => Ok(Transformed::no(expr)),
    });
    replaced.map(|replaced| replaced.data).map_err(|error| error.to_string())
}

/// Checks that an expression tells the same of the same row at any time.
pub(in crate::folds) fn check_row(expr: &Expr) -> Result<(), Why> {
    let mut why = None;
    let walked = expr.apply(|expr| {
        why = match expr {
            Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::OuterReferenceColumn(..) => {
                Some("a subquery decides about single events".to_owned())
            }
            expr if expr.is_volatile_node() => Some(format!("{expr} gives another value each time")),
            _ => None,
        };
        Ok(if why.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(|error| error.to_string())?;
    why.map_or(Ok(()), Err)
}
