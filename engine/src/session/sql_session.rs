//! SQL over some tables, reading only.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::SchemaProvider;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableScan};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionContext};
use lake::QUARANTINE;

use crate::error::{EngineError, Result};
use crate::kept::KeptRows;
use crate::params::Param;
use crate::sql;

/// The answer of a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

/// The tables that a session of a view has.
pub(super) const TABLE_NAMES: [&str; 8] =
    ["events", "reports", "imported_days", QUARANTINE, "sessions", "visitor_days", "visitors", IDENTITIES];

/// The table of who is who.
pub(crate) const IDENTITIES: &str = "identities";

/// The tables that are made of all events, the rows of a visitor one after the other.
pub(crate) const TABLES_BY_VISITOR: [&str; 3] = ["sessions", "visitor_days", "visitors"];

/// Up to this size a side of a join becomes one table for all threads where rows are kept, and the other side is read as it
/// comes.
const KEPT_JOIN_BYTES_MAX: usize = 256 << 20;

/// The same in rows, where their size is not known.
const KEPT_JOIN_ROWS_MAX: usize = 4_000_000;

/// So many rows in memory are read by one thread: a page asks a dozen questions at once, and each of them costs less if it
/// is not divided.
const ONE_THREAD_ROWS_MAX: usize = 1 << 20;

/// SQL over some tables, reading only.
pub struct SqlSession {
    pub(super) context: SessionContext,
    /// Whether it shows plans, which tell of files and rows of all sites.
    explains: bool,
    /// Where rows of sites are kept, if they may be.
    kept: Option<Arc<KeptRows>>,
    /// The site whose rows it sees, if it sees those of one, and the number of files that may have some.
    site: Option<(Arc<str>, usize)>,
}

impl SqlSession {
    pub(super) fn new(context: SessionContext, explains: bool) -> Self {
        Self { context, explains, kept: None, site: None }
    }

    /// The same session, which may keep rows.
    ///
    /// - `site`: whose rows it sees, if it sees those of one site alone, and the number of files that may have some.
    pub(super) fn that_may_keep(self, kept: Arc<KeptRows>, site: Option<(Arc<str>, usize)>) -> Self {
        Self { kept: Some(kept), site, ..self }
    }

    /// The same session, which keeps what it reads of a site in memory for the next that does: for many small questions about
    /// the same columns.
    pub fn keeping_rows(self) -> Self {
        if let Some(kept) = &self.kept {
            let state = self.context.state_ref();
            let mut state = state.write();
            let config = state.config_mut();
            config.set_extension(kept.clone());
            let rows = self.site.as_ref().and_then(|(site, files)| kept.rows_expected(site, *files));
            if rows.is_some_and(|rows| rows <= ONE_THREAD_ROWS_MAX) {
                config.options_mut().execution.target_partitions = 1;
            }
            // Rows that are in memory are found sooner than they are divided among threads.
            let joins = &mut config.options_mut().optimizer;
            joins.hash_join_single_partition_threshold = KEPT_JOIN_BYTES_MAX;
            joins.hash_join_single_partition_threshold_rows = KEPT_JOIN_ROWS_MAX;
        }
        self
    }

    /// Plans one query. `params` are bound to `$name`s; those that the query does not use are ignored.
    ///
    /// Fails with [`EngineError::Query`] if the SQL is wrong, with [`EngineError::ReadOnly`] if it is not a
    /// query.
    pub async fn plan(&self, sql: &str, params: &[(String, Param)]) -> Result<DataFrame> {
        Ok(self.plan_repeatable(sql, params).await?.0)
    }

    /// The same, and whether the answer follows from the events of the view alone, so that it may be kept for the next
    /// who asks: `now()`, `random()` and tables that change without an event make it another one each time.
    pub async fn plan_repeatable(&self, sql: &str, params: &[(String, Param)]) -> Result<(DataFrame, bool)> {
        let unbound = self.unbound(sql).await?;
        let repeatable = unbound.is_repeatable()?;
        let plan = sql::bind(unbound.plan, params)?;
        Ok((DataFrame::new(self.context.state(), plan), repeatable))
    }

    /// Plans one query whose parameters have no values yet.
    pub(crate) async fn plan_unbound(&self, sql: &str) -> Result<LogicalPlan> {
        Ok(self.unbound(sql).await?.plan)
    }

    async fn unbound(&self, sql: &str) -> Result<sql::Unbound> {
        let unbound = sql::plan_unbound(&self.context.state(), sql).await?;
        sql::check_read_only(&unbound.plan)?;
        if !self.explains && matches!(unbound.plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_)) {
            let hint =
                "A plan shows files and rows of other sites: ask with the server's token, or with `dewpond query`.";
            return Err(EngineError::ReadOnly { statement: "EXPLAIN".into(), hint });
        }
        Ok(unbound)
    }

    pub(crate) fn add_schema_of(&self, name: &str, tables: Arc<dyn SchemaProvider>) -> Result<()> {
        let names = &self.context.state().config_options().catalog.default_catalog.clone();
        let catalog = self.context.catalog(names).expect("a session has the catalog that it was made with");
        catalog.register_schema(name, tables)?;
        Ok(())
    }

    pub(crate) fn state(&self) -> SessionState {
        self.context.state()
    }

    pub(crate) fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let scalar = state.scalar_functions().keys();
        let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
        scalar.chain(others).cloned().collect()
    }

    pub(crate) fn register(&self, function: ScalarUDF) {
        self.context.register_udf(function);
    }

    /// The tables of a view's session, with their columns.
    pub async fn schemas(&self) -> Result<Vec<(&'static str, SchemaRef)>> {
        let mut schemas = Vec::new();
        for name in TABLE_NAMES {
            schemas.push((name, self.context.table_provider(name).await?.schema()));
        }
        Ok(schemas)
    }

    /// The rows that a scan of a table asks for, as a plan with the scan's columns.
    pub(crate) async fn rows_of(&self, table: &str, scan: &TableScan) -> Result<LogicalPlan> {
        let source = provider_as_source(self.context.table_provider(table).await?);
        let mut rows = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?;
        for filter in &scan.filters {
            rows = rows.filter(filter.clone())?;
        }
        if let Some(projection) = &scan.projection {
            rows = rows.select(projection.clone())?;
        }
        Ok(rows.limit(0, scan.fetch)?.build()?)
    }

    /// Answers one query, whole.
    pub async fn query(&self, sql: &str, params: &[(String, Param)]) -> Result<QueryResult> {
        let rows = self.plan(sql, params).await?;
        let schema = Arc::new(rows.schema().as_arrow().clone());
        let batches = rows.collect().await?;
        Ok(QueryResult { schema, batches })
    }

    /// Answers one query as a stream, for answers larger than memory.
    pub async fn stream(&self, sql: &str, params: &[(String, Param)]) -> Result<SendableRecordBatchStream> {
        Ok(self.plan(sql, params).await?.execute_stream().await?)
    }
}
