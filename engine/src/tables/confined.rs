//! Tables for somebody who may know of some sites alone, and who writes the SQL himself.
//!
//! A filter of sites below the SQL is not enough for him. DataFusion moves the conditions of a query down beside that
//! filter, and evaluates them for rows that the filter leaves out; `WHERE url::int = 1` would fail and show the address of
//! a page of another site in its message. So a confined table is an end of the plan: rows come out of it whole, and only
//! conditions that cannot fail go in. Nor may he see how an answer is found, because a plan names files and counts rows of
//! all sites (see [`SqlSession`](crate::SqlSession)).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Statistics;
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableProviderFilterPushDown,
};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, StatisticsArgs, StatisticsContext,
};

use crate::plan_inputs::leaf_plan;

/// The rows of some sites as a table of its own.
#[derive(Debug)]
pub(crate) struct ConfinedTable {
    rows: LogicalPlan,
}

impl ConfinedTable {
    /// A table of the rows of a plan, which leaves those of other sites out.
    pub(crate) fn new(rows: LogicalPlan) -> Self {
        Self { rows }
    }
}

#[async_trait]
impl TableProvider for ConfinedTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema().inner().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let moves = |filter: &&Expr| match cannot_fail(filter) {
            true => TableProviderFilterPushDown::Exact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(moves).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = LogicalPlanBuilder::from(self.rows.clone());
        for filter in filters {
            rows = rows.filter(filter.clone())?;
        }
        if let Some(projection) = projection {
            rows = rows.select(projection.clone())?;
        }
        let rows = state.create_physical_plan(&rows.limit(0, limit)?.build()?).await?;
        Ok(Arc::new(ConfinedExec::new(rows)))
    }
}

/// Whether a condition says nothing but yes or no of any row, whatever is in it: comparisons of columns with values.
fn cannot_fail(condition: &Expr) -> bool {
    let is_plain = |expr: &Expr| matches!(expr, Expr::Column(_) | Expr::Literal(..));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            cannot_fail(left) && cannot_fail(right)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let compares = matches!(
                op,
                Operator::Eq
                    | Operator::NotEq
                    | Operator::Lt
                    | Operator::LtEq
                    | Operator::Gt
                    | Operator::GtEq
                    | Operator::IsDistinctFrom
                    | Operator::IsNotDistinctFrom
            );
            compares && is_plain(left) && is_plain(right)
        }
        Expr::Not(inner) => cannot_fail(inner),
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => is_plain(inner),
        Expr::Between(Between { expr, low, high, .. }) => is_plain(expr) && is_plain(low) && is_plain(high),
        Expr::InList(InList { expr, list, .. }) => is_plain(expr) && list.iter().all(is_plain),
        _ => false,
    }
}

/// Hands the rows of a plan on. Rules of the optimizer see no more of it than its properties, but for the one that keeps what is
/// made of rows of a site by file: it moves no condition.
#[derive(Debug)]
pub(crate) struct ConfinedExec {
    rows: Arc<dyn ExecutionPlan>,
}

impl ConfinedExec {
    pub(crate) fn new(rows: Arc<dyn ExecutionPlan>) -> Self {
        Self { rows }
    }

    /// For what keeps answers of its rows. It must hand none of them, and no word of the plan, on.
    pub(crate) fn rows(&self) -> &Arc<dyn ExecutionPlan> {
        &self.rows
    }
}

impl DisplayAs for ConfinedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfinedExec")
    }
}

impl ExecutionPlan for ConfinedExec {
    fn name(&self) -> &str {
        "ConfinedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.rows.properties()
    }

    leaf_plan!();

    /// A recursive query runs its plan again and again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(reset_plan_states(self.rows.clone())?)))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        StatisticsContext::new().compute(self.rows.as_ref(), args)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.rows.execute(partition, context)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{cast, col, length, lit};

    use super::*;

    #[test]
    fn only_comparisons_of_columns_with_values_go_below() {
        let day = || col("date").gt_eq(lit("2026-03-01"));
        for safe in [
            day(),
            lit(3).lt(col("n")).and(col("name").is_not_null()),
            col("name").in_list(vec![lit("a"), lit("b")], true).or(col("n").between(lit(1), lit(2))),
            !col("is_bot"),
        ] {
            assert!(cannot_fail(&safe), "{safe}");
        }
        for unsafe_one in [
            cast(col("url"), datafusion::arrow::datatypes::DataType::Int64).eq(lit(1)),
            day().and((lit(1) / col("n")).gt(lit(0))),
            length(col("url")).gt(lit(3)),
            col("url").like(lit("%a")),
            !(lit(1) / col("n")).is_null(),
        ] {
            assert!(!cannot_fail(&unsafe_one), "{unsafe_one}");
        }
    }
}
