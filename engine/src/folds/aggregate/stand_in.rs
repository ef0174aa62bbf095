//! Stands for a table while a query is taken apart: it has the table's columns and no rows.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::{TableType, source_as_provider};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableScan};
use datafusion::physical_plan::ExecutionPlan;

/// Which table, and with which columns.
#[derive(Debug)]
pub(in crate::folds) struct StandIn {
    /// The table's name in SQL.
    pub(in crate::folds) table: &'static str,
    schema: SchemaRef,
    folds: Option<FoldedTable>,
}

/// How the rows of a table are folded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::folds) enum FoldedTable {
    /// File by file: what a file gives is kept.
    Events,
    /// In one pass over all rows, in which the rows of a visitor follow each other.
    ByVisitor,
    /// What a plan makes of users: once, and then anew for users of whom something changed.
    Users,
}

impl StandIn {
    /// - `folds`: how the table's rows are folded, if they are.
    pub(in crate::folds) fn new(table: &'static str, schema: SchemaRef, folds: Option<FoldedTable>) -> Self {
        Self { table, schema, folds }
    }

    /// The table for which a scan stands, and how it is folded, if both is so.
    pub(in crate::folds) fn folded(scan: &TableScan) -> Option<(&'static str, FoldedTable)> {
        let provider = source_as_provider(&scan.source).ok()?;
        let stand_in = provider.downcast_ref::<Self>()?;
        Some((stand_in.table, stand_in.folds?))
    }

    /// The table for which a scan stands, if it stands for one.
    pub(in crate::folds) fn of(scan: &TableScan) -> Option<&'static str> {
        let provider = source_as_provider(&scan.source).ok()?;
        provider.downcast_ref::<Self>().map(|stand_in| stand_in.table)
    }
}

#[async_trait]
impl TableProvider for StandIn {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters move into the scan, where they are read back.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(DataFusionError::Internal(format!("{} was not put back into its query", self.table)))
    }
}
