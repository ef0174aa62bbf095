//! Scans of Parquet files whose list is known.

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::config::{ConfigOptions, TableParquetOptions};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, col, lit};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use crate::tables::reader::LakeReaders;

/// Scans of files of one table.
#[derive(Clone)]
pub(crate) struct FileScans {
    store: ObjectStoreUrl,
    schema: TableSchema,
    options: TableParquetOptions,
    readers: Arc<LakeReaders>,
}

impl FileScans {
    pub(crate) fn new(state: &dyn Session, store: &ObjectStoreUrl, schema: &TableSchema) -> Result<Self> {
        let runtime = state.runtime_env();
        let footers = runtime.cache_manager.get_file_metadata_cache();
        Ok(Self {
            store: store.clone(),
            schema: schema.clone(),
            options: state.default_table_options().parquet,
            readers: Arc::new(LakeReaders::new(runtime.object_store(store)?, footers)),
        })
    }

    /// - `ordering`: that each group has, over the columns of the table.
    pub(crate) fn plan(
        &self,
        groups: Vec<FileGroup>,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        ordering: Option<LexOrdering>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = ParquetSource::new(self.schema.clone())
            .with_table_parquet_options(self.options.clone())
            .with_parquet_file_reader_factory(self.readers.clone());
        let scan = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .with_output_ordering(ordering.into_iter().collect())
            .build();
        Ok(DataSourceExec::from_data_source(scan))
    }

    /// Columns of one file, by their numbers, in one partition.
    pub(crate) fn of_one(&self, file: PartitionedFile, columns: &[usize]) -> Result<Arc<dyn ExecutionPlan>> {
        self.plan(vec![FileGroup::new(vec![file])], Some(&columns.to_vec()), None, None)
    }
}

/// The same plan without the parts of files that have no row of a site.
pub(crate) fn of_site(
    plan: Arc<dyn ExecutionPlan>,
    site: &str,
    config: &ConfigOptions,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(is_site) = is_site(site, &plan.schema()) else { return Ok(plan) };
    Ok(pushed(&plan, is_site, config)?.unwrap_or(plan))
}

/// Whether a row is of a site, for rows that say so.
pub(crate) fn is_site(site: &str, schema: &SchemaRef) -> Option<Arc<dyn PhysicalExpr>> {
    let column = col("site_id", schema).ok()?;
    Some(Arc::new(BinaryExpr::new(column, Operator::Eq, lit(ScalarValue::Utf8View(Some(site.to_owned()))))))
}

/// A scan of files that leaves out row groups and pages in which no row satisfies a filter, if it can.
pub(crate) fn pushed(
    plan: &Arc<dyn ExecutionPlan>,
    filter: Arc<dyn PhysicalExpr>,
    config: &ConfigOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(scan) = plan.downcast_ref::<DataSourceExec>() else { return Ok(None) };
    let pushed = scan.data_source().try_pushdown_filters(vec![filter], config)?;
    Ok(pushed.updated_node.map(|source| -> Arc<dyn ExecutionPlan> { Arc::new(scan.clone().with_data_source(source)) }))
}
