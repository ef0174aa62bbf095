//! The table `audit_log`: what people did, as it is when a query reads it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use lake::{AuditEntry, Lake, audit_schema};

/// Read when a query reads it, so that those which do not name it pay nothing.
#[derive(Debug)]
pub(crate) struct AuditTable {
    lake: Lake,
    /// Of which organisations; of all, and of none, if not given.
    organisations: Option<Arc<[Arc<str>]>>,
}

impl AuditTable {
    pub(crate) fn new(lake: Lake, organisations: Option<Arc<[Arc<str>]>>) -> Self {
        Self { lake, organisations }
    }
}

#[async_trait]
impl TableProvider for AuditTable {
    fn schema(&self) -> SchemaRef {
        audit_schema()
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
        let log = self.lake.audit_log().await.map_err(|error| DataFusionError::External(error.into()))?;
        let is_shown = |entry: &AuditEntry| match (&self.organisations, &entry.organisation) {
            (None, _) => true,
            (Some(own), Some(organisation)) => own.iter().any(|own| **own == **organisation),
            (Some(_), None) => false,
        };
        let shown: Vec<AuditEntry> = log.into_iter().filter(is_shown).collect();
        let rows = MemTable::try_new(audit_schema(), vec![vec![AuditEntry::rows(&shown)]])?;
        rows.scan(state, projection, filters, limit).await
    }
}
