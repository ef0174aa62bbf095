//! The table `reports`, loaded when a query reads it, so that the others neither wait for its log nor fail with it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use lake::{Lake, LakeError, REPORTS, TableSnapshot};
use tokio::sync::OnceCell;

use crate::tables::files::{Files, FilesTable};

/// The reports as one view of the lake sees them: loaded once, by the first query that reads them, and the same for
/// every query from then on.
///
/// They are at least as new as the view: whatever was reported before it was made is in it.
#[derive(Clone)]
pub(crate) struct Reports {
    lake: Lake,
    loaded: Arc<OnceCell<Arc<TableSnapshot>>>,
}

impl Reports {
    pub(crate) fn new(lake: Lake) -> Self {
        Self { lake, loaded: Arc::default() }
    }

    async fn load(&self) -> Result<Arc<TableSnapshot>, LakeError> {
        let load = || async { self.lake.table(&REPORTS).load().await };
        self.loaded.get_or_try_init(load).await.cloned()
    }
}

/// [`Reports`] as a table.
pub(crate) struct ReportsTable {
    reports: Reports,
    store: ObjectStoreUrl,
    schema: SchemaRef,
}

impl std::fmt::Debug for ReportsTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReportsTable")
    }
}

impl ReportsTable {
    pub(crate) fn new(reports: Reports, store: ObjectStoreUrl) -> Self {
        let schema = FilesTable::of(&REPORTS, store.clone(), Files::Chosen(vec![])).schema();
        Self { reports, store, schema }
    }
}

#[async_trait]
impl TableProvider for ReportsTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let snapshot = self.reports.load().await.map_err(|error| DataFusionError::External(error.into()))?;
        let table = FilesTable::of(&REPORTS, self.store.clone(), Files::Snapshot(snapshot));
        table.scan(state, projection, filters, limit).await
    }
}
