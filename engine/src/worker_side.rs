//! What a process needs that runs parts of other processes' plans: sessions with the same functions, and scans that read as
//! this engine's do.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionConfig;

use crate::session::Engine;
use crate::tables::reader::LakeReaders;

impl Engine {
    /// The memory, the temporary disk and the store of queries.
    pub fn runtime_env(&self) -> Arc<RuntimeEnv> {
        self.runtime().clone()
    }

    /// A state with the functions that plans of this engine call by name, and its options.
    ///
    /// - `given`: of its configuration, what others have added to it stays.
    pub fn worker_state(&self, given: SessionConfig) -> SessionState {
        let own = self.context().state();
        let (mut config, mut options) = (given, own.config_options().as_ref().clone());
        options.extensions = config.options().extensions.clone();
        *config.options_mut() = options;
        SessionStateBuilder::new_from_existing(own).with_config(config).build()
    }

    /// The same plan, whose scans read files as this engine's do: with its cache of footers, and with errors that name the
    /// file. A plan that came over a wire has lost that.
    pub fn with_own_readers(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let scan = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref());
            let Some(scan) = scan else { return Ok(Transformed::no(node)) };
            let scan: &FileScanConfig = scan;
            let Some(source) = scan.file_source().downcast_ref::<ParquetSource>() else {
                return Ok(Transformed::no(node));
            };
            let (store, cache) = (self.runtime().object_store(&scan.object_store_url)?, &self.runtime().cache_manager);
            let readers = LakeReaders::new(store, cache.get_file_metadata_cache());
            let source = source.clone().with_parquet_file_reader_factory(Arc::new(readers));
            let scan = FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source)).build();
            Ok(Transformed::yes(DataSourceExec::from_data_source(scan) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }
}
