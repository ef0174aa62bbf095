//! Tables with a log beside that of `events`, each loaded when a query reads it, so that the others neither wait for its log
//! nor fail with it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use lake::{Lake, LakeError, TableSnapshot, TableSpec};
use tokio::sync::OnceCell;

use crate::tables::files::{Files, FilesTable};

/// A table as one view of the lake sees it: loaded once, by the first query that reads it, and the same for every query
/// from then on.
///
/// It is at least as new as the view: whatever was committed before that was made is in it.
#[derive(Clone)]
pub(crate) struct Logged {
    lake: Lake,
    spec: &'static TableSpec,
    loaded: Arc<OnceCell<Arc<TableSnapshot>>>,
}

impl Logged {
    pub(crate) fn new(lake: Lake, spec: &'static TableSpec) -> Self {
        Self { lake, spec, loaded: Arc::default() }
    }

    pub(crate) async fn load(&self) -> Result<Arc<TableSnapshot>, LakeError> {
        let load = || async { self.lake.table(self.spec).load().await };
        self.loaded.get_or_try_init(load).await.cloned()
    }
}

/// [`Logged`] as a table.
pub(crate) struct LoggedTable {
    logged: Logged,
    store: ObjectStoreUrl,
    schema: SchemaRef,
}

impl std::fmt::Debug for LoggedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoggedTable")
    }
}

impl LoggedTable {
    pub(crate) fn new(logged: Logged, store: ObjectStoreUrl) -> Self {
        let schema = FilesTable::of(logged.spec, store.clone(), Files::Chosen(vec![])).schema();
        Self { logged, store, schema }
    }
}

#[async_trait]
impl TableProvider for LoggedTable {
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
        let snapshot = self.logged.load().await.map_err(|error| DataFusionError::External(error.into()))?;
        let table = FilesTable::of(self.logged.spec, self.store.clone(), Files::Snapshot(snapshot));
        table.scan(state, projection, filters, limit).await
    }
}
