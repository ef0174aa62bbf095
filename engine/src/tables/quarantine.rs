//! The table `quarantine`: refused events, in the files that are there when a query reads it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use lake::{Lake, quarantine_schema};

use crate::tables::files::{Files, FilesTable, immutable};

/// Listed when it is read, so that queries which do not name it pay nothing.
#[derive(Debug)]
pub(crate) struct QuarantineTable {
    lake: Lake,
    store: ObjectStoreUrl,
}

impl QuarantineTable {
    pub(crate) fn new(lake: Lake, store: ObjectStoreUrl) -> Self {
        Self { lake, store }
    }
}

#[async_trait]
impl TableProvider for QuarantineTable {
    fn schema(&self) -> SchemaRef {
        quarantine_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.lake.quarantine_files().await.map_err(|error| DataFusionError::External(error.into()))?;
        let files = files.into_iter().map(|file| immutable(file.path, file.size_bytes)).collect();
        let table = FilesTable::new(self.store.clone(), quarantine_schema(), vec![], Files::Undescribed(files), &[]);
        table.scan(state, projection, filters, limit).await
    }
}
