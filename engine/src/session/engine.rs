//! DataFusion over one lake, and what all queries of a role share.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::col;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use lake::{Fingerprint, Lake, REPORTS, TableSpec};
use parking_lot::Mutex;

use crate::error::Result;
use crate::folds::rows::identity_rows::LastIdentities;
use crate::folds::rows::last_passes::LastPasses;
use crate::folds::rows::memory::{PieceKey, PieceMemory};
use crate::folds::settings::StateSettings;
use crate::kept::KeptRows;
use crate::limits::memory::QueryMemory;
use crate::limits::shares::{Share, Shares};
use crate::one_store::OneStore;
use crate::session::sql_session::SqlSession;
use crate::sessions::Findings;
use crate::settings::EngineSettings;
use crate::sql;
use crate::tables::files::{Files, FilesTable};

/// DataFusion over one lake. Cheap to clone; clones share memory, temporary disk and cached file metadata.
#[derive(Clone)]
pub struct Engine {
    pub(super) lake: Lake,
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
    pub(super) store: ObjectStoreUrl,
    /// What recurring queries keep in memory.
    pieces: Arc<PieceMemory>,
    /// Recurring queries whose folds are the same at any time: of each fold, whether its other conditions move.
    steady: Arc<Mutex<HashMap<PieceKey, Vec<bool>>>>,
    last_passes: Arc<tokio::sync::Mutex<LastPasses>>,
    /// Who was who in the latest view that was asked.
    last_identities: LastIdentities,
    /// What sessions that keep rows have of sites.
    pub(super) kept: Arc<KeptRows>,
    /// What was found out about the events that the newest view shows.
    found: Arc<Mutex<Option<(Fingerprint, Findings)>>>,
    states: StateSettings,
    shares: Arc<Shares>,
    /// Makes plans in place of DataFusion's planner.
    planner: Option<Arc<dyn QueryPlanner + Send + Sync>>,
}

/// How many queries of one read key run at a time unless it is said.
const KEY_QUERIES_MAX: NonZeroUsize = NonZeroUsize::new(8).expect("it is not zero");

/// The part of a role's memory that recurring queries may fill with rows, most of it between runs, too: one in so many.
const PIECES_SHARE: usize = 2;

impl Engine {
    /// An engine over `lake`. Fails with [`EngineError::Disk`] if the spill directory cannot be used.
    pub fn new(lake: Lake, settings: &EngineSettings) -> Result<Self> {
        let mut disk = DiskManagerBuilder::default().with_max_temp_directory_size(settings.spill_bytes);
        if let Some(dir) = &settings.spill_dir {
            disk.set_mode(datafusion::execution::disk_manager::DiskManagerMode::Directories(vec![dir.clone()]));
        }
        let store = ObjectStoreUrl::parse(lake.store_url())?;
        let memory = Arc::new(QueryMemory::new(settings.memory_bytes));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(memory.clone())
            .with_disk_manager_builder(disk)
            .with_object_store_registry(Arc::new(OneStore::new(store.clone(), lake.store())))
            .build_arc()?;

        let mut config = SessionConfig::new().with_information_schema(true);
        if let Some(threads) = settings.query_threads {
            config = config.with_target_partitions(threads);
        }
        config.options_mut().execution.parquet.pushdown_filters = false;
        config.options_mut().sql_parser.collect_spans = true;
        config.options_mut().execution.time_zone = Some(sql::SESSION_ZONE.to_owned());
        // In DataFusion 55 this rule moves JSON functions below one side of a union and not the other, so that
        // a query that works on published events fails while anything is pending.
        config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
        // In DataFusion 55 the filter of min and max holds for those of them that have a value so far, and for columns
        // alone: it leaves out what the others, such as max(revenue) beside min(date), have not found yet.
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        // In DataFusion 55 this rule looks for the column of ORDER BY … LIMIT by its name, and keeps the least of a group's
        // key below a projection that has computed another column of that name: `SELECT DISTINCT k % 3 AS k`.
        config.options_mut().optimizer.enable_topk_aggregation = false;
        let room_bytes = settings.memory_bytes / PIECES_SHARE;
        let pieces = Arc::new(PieceMemory::new(room_bytes, memory.clone(), runtime.clone()));
        let recurring = Arc::downgrade(&pieces);
        memory.take_back_from(recurring);
        Ok(Self {
            lake,
            runtime,
            config,
            store,
            pieces,
            steady: Arc::default(),
            last_passes: Arc::default(),
            last_identities: LastIdentities::default(),
            kept: memory.kept().clone(),
            found: Arc::default(),
            states: settings.states,
            shares: Arc::new(Shares::new(KEY_QUERIES_MAX)),
            planner: None,
        })
    }

    /// An engine over another lake, which shares memory, temporary disk and what keys may take with this one. Its queries run
    /// here, since the machines of a planner know but one lake.
    pub fn beside(&self, lake: Lake) -> Result<Self> {
        let store = ObjectStoreUrl::parse(lake.store_url())?;
        let mut runtime = (*self.runtime).clone();
        runtime.object_store_registry = Arc::new(OneStore::new(store.clone(), lake.store()));
        self.pieces.add_lake();
        Ok(Self {
            lake,
            runtime: Arc::new(runtime),
            store,
            steady: Arc::default(),
            last_passes: Arc::default(),
            last_identities: LastIdentities::default(),
            found: Arc::default(),
            planner: None,
            ..self.clone()
        })
    }

    /// The same engine, whose plans this planner makes. Queries of whoever may know of some sites alone it does not see:
    /// they take their key's memory and run here.
    pub fn with_planner(mut self, planner: Arc<dyn QueryPlanner + Send + Sync>) -> Self {
        self.planner = Some(planner);
        self
    }

    /// The same engine, with so many queries of one read key at a time. Its clones share what keys may take.
    pub fn with_key_queries_max(mut self, queries_max: NonZeroUsize) -> Self {
        self.shares = Arc::new(Shares::new(queries_max));
        self
    }

    /// What the holder of a read key may take, whatever he asks by. All who read with the key have it in common.
    ///
    /// - `prefix`: of the key.
    pub fn share_of(&self, prefix: &str) -> Arc<Share> {
        self.shares.of(prefix, &self.runtime)
    }

    /// The lake that this engine reads.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    pub(crate) fn pieces(&self) -> &PieceMemory {
        &self.pieces
    }

    pub(crate) fn steady_queries(&self) -> &Mutex<HashMap<PieceKey, Vec<bool>>> {
        &self.steady
    }

    pub(crate) fn last_passes(&self) -> &tokio::sync::Mutex<LastPasses> {
        &self.last_passes
    }

    pub(crate) fn last_identities(&self) -> &LastIdentities {
        &self.last_identities
    }

    /// What recurring queries keep in the lake.
    pub(crate) fn states(&self) -> StateSettings {
        self.states
    }

    /// The threads that a query may use.
    pub(crate) fn threads(&self) -> usize {
        self.config.target_partitions()
    }

    /// What an earlier view that shows the same events as a newest one found out about them.
    pub(super) fn found_of(&self, events: Fingerprint) -> Findings {
        let mut newest = self.found.lock();
        match &*newest {
            Some((of, found)) if *of == events => found.clone(),
            _ => newest.insert((events, Findings::default())).1.clone(),
        }
    }

    /// A session that sees the history of reports and no events.
    pub async fn history(&self) -> Result<SqlSession> {
        let context = self.context();
        let reports = self.lake.table(&REPORTS).load().await?;
        context.register_table(REPORTS.name, Arc::new(self.table_of(&REPORTS, Files::Snapshot(reports))))?;
        Ok(SqlSession::new(context, true))
    }

    /// The rows of some files of a table in the table's order, for a merge.
    ///
    /// - `batch_rows`: how many rows of each file are in memory at a time, and how many a returned batch has.
    pub fn sorted_rows(
        &self,
        spec: &'static TableSpec,
        files: &[lake::TableFile],
        batch_rows: usize,
    ) -> Result<DataFrame> {
        let context = self.context_with(self.config.clone().with_batch_size(batch_rows));
        let rows = context.read_table(Arc::new(self.table_of(spec, Files::Chosen(files.to_vec())).always_ordered()))?;
        Ok(rows.sort(spec.sort.iter().map(|name| col(*name).sort(true, true)).collect())?)
    }

    /// A session with tables of these columns and no rows: it plans what a [view's session](View::session) plans, and reads
    /// nothing of the lake.
    ///
    /// - `share`: whose memory its queries take, if not that of all.
    pub fn blank_session(&self, schemas: &[(&'static str, SchemaRef)], share: Option<&Share>) -> Result<SqlSession> {
        let context = self.context_within(share);
        for (name, schema) in schemas {
            context.register_table(*name, Arc::new(EmptyTable::new(schema.clone())))?;
        }
        Ok(SqlSession::new(context, true))
    }

    pub(crate) fn table_of(&self, spec: &'static TableSpec, files: Files) -> FilesTable {
        FilesTable::of(spec, self.store.clone(), files)
    }

    pub(crate) fn context(&self) -> SessionContext {
        self.context_with(self.config.clone())
    }

    /// A context whose queries use so many threads.
    pub(crate) fn context_of(&self, threads: usize) -> SessionContext {
        self.context_with(self.config.clone().with_target_partitions(threads))
    }

    /// What all queries but those of read keys run in.
    pub(crate) fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// A context of somebody confined, or of nobody whose plans run elsewhere.
    pub(super) fn context_within(&self, share: Option<&Share>) -> SessionContext {
        let Some(share) = share else { return self.context_in(&self.runtime, self.config.clone(), None) };
        // The share may be that of another lake's engine.
        let mut runtime = (*self.runtime).clone();
        runtime.memory_pool = share.memory().clone();
        self.context_in(&Arc::new(runtime), self.config.clone(), None)
    }

    fn context_with(&self, config: SessionConfig) -> SessionContext {
        self.context_in(&self.runtime, config, self.planner.as_ref())
    }

    fn context_in(
        &self,
        runtime: &Arc<RuntimeEnv>,
        config: SessionConfig,
        planner: Option<&Arc<dyn QueryPlanner + Send + Sync>>,
    ) -> SessionContext {
        let mut state =
            SessionStateBuilder::new_with_default_features().with_config(config).with_runtime_env(runtime.clone());
        if let Some(planner) = planner {
            state = state.with_query_planner(planner.clone());
        }
        let state = sql::configure(state).build();
        let mut context = SessionContext::new_with_state(state);
        datafusion_functions_json::register_all(&mut context).expect("a new session takes functions");
        sql::register(&context);
        context
    }
}
