//! An engine over a lake, a view of the lake at one moment, and a session in which SQL sees that view: within limits,
//! and reading only.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableScan, col, lit};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use lake::{EVENTS, Fingerprint, IMPORTED_DAYS, Lake, LakeError, QUARANTINE, REPORTS, Snapshot, TableSpec};
use parking_lot::Mutex;

use crate::as_of::AsOf;
use crate::error::{EngineError, Result};
use crate::folds::rows::last_passes::LastPasses;
use crate::folds::rows::memory::{PieceKey, PieceMemory, ViewPieces};
use crate::folds::settings::StateSettings;
use crate::kept::KeptRows;
use crate::limits::shares::{Share, Shares};
use crate::one_store::OneStore;
use crate::params::Param;
use crate::scope::Scope;
use crate::sessions::{Findings, SessionSource, SessionTable, SessionTableProvider};
use crate::settings::EngineSettings;
use crate::sql;
use crate::tables::audit::AuditTable;
use crate::tables::confined::ConfinedTable;
use crate::tables::files::{Files, FilesTable};
use crate::tables::logged::{Logged, LoggedTable};
use crate::tables::pending::{PendingEvents, union};
use crate::tables::quarantine::QuarantineTable;

/// Tries of making a view when files vanish meanwhile, each on a new snapshot.
const SNAPSHOT_TRIES: usize = 3;

/// DataFusion over one lake. Cheap to clone; clones share memory, temporary disk and cached file metadata.
#[derive(Clone)]
pub struct Engine {
    lake: Lake,
    runtime: Arc<RuntimeEnv>,
    config: SessionConfig,
    store: ObjectStoreUrl,
    /// What recurring queries keep in memory.
    pieces: Arc<PieceMemory>,
    /// Recurring queries whose folds are the same at any time: of each fold, whether its other conditions move.
    steady: Arc<Mutex<HashMap<PieceKey, Vec<bool>>>>,
    last_passes: Arc<tokio::sync::Mutex<LastPasses>>,
    /// What sessions that keep rows have of sites.
    kept: Arc<KeptRows>,
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

/// The part of it that rows of sites may fill: one in so many.
const KEPT_SHARE: usize = 4;

/// Up to this size a side of a join becomes one table for all threads where rows are kept, and the other side is read as it
/// comes.
const KEPT_JOIN_BYTES_MAX: usize = 256 << 20;

/// The same in rows, where their size is not known.
const KEPT_JOIN_ROWS_MAX: usize = 4_000_000;

/// The answer of a query.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl Engine {
    /// An engine over `lake`. Fails with [`EngineError::Disk`] if the spill directory cannot be used.
    pub fn new(lake: Lake, settings: &EngineSettings) -> Result<Self> {
        let mut disk = DiskManagerBuilder::default().with_max_temp_directory_size(settings.spill_bytes);
        if let Some(dir) = &settings.spill_dir {
            disk.set_mode(datafusion::execution::disk_manager::DiskManagerMode::Directories(vec![dir.clone()]));
        }
        let store = ObjectStoreUrl::parse(lake.store_url())?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(settings.memory_bytes)))
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
        let pieces = Arc::new(PieceMemory::new(settings.memory_bytes / PIECES_SHARE));
        let kept = Arc::new(KeptRows::new(settings.memory_bytes / KEPT_SHARE, &runtime.memory_pool));
        Ok(Self {
            lake,
            runtime,
            config,
            store,
            pieces,
            steady: Arc::default(),
            last_passes: Arc::default(),
            kept,
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
        Ok(Self {
            lake,
            runtime: Arc::new(runtime),
            store,
            steady: Arc::default(),
            last_passes: Arc::default(),
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

    /// What recurring queries keep in the lake.
    pub(crate) fn states(&self) -> StateSettings {
        self.states
    }

    /// The threads that a query may use.
    pub(crate) fn threads(&self) -> usize {
        self.config.target_partitions()
    }

    /// The lake as it is now: every event acknowledged before this call.
    pub async fn view(&self) -> Result<View> {
        let mut tries = 1;
        loop {
            match self.try_view().await {
                // A file was consumed and deleted between the snapshot and its reading.
                Err(EngineError::Lake(LakeError::Gone { .. })) if tries < SNAPSHOT_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn try_view(&self) -> Result<View> {
        let snapshot = self.lake.snapshot().await?;
        let duplicates = self.lake.survey_pending(&snapshot.pending, &snapshot.events).await?;
        for damaged in &duplicates.damaged {
            tracing::error!(
                file = %damaged.file.path,
                reason = damaged.reason,
                "a raw file is damaged: its events are missing from this answer; the next publish puts it aside"
            );
        }
        let pending = PendingEvents::new(&snapshot.pending, Arc::new(duplicates));
        let found = self.found_of(snapshot.fingerprint());
        Ok(View::new(self, snapshot, pending, found))
    }

    /// The published table as version `version` left it, without pending events, which belong to no version. The reports
    /// are the newest.
    ///
    /// Fails with [`LakeError::NotFound`] if there is no such version, or if vacuum has deleted files of it.
    pub async fn view_at(&self, version: u64) -> Result<View> {
        let events = self.lake.table(&EVENTS).load_readable_at(version).await?;
        let snapshot = Snapshot { events, pending: vec![], consumed: vec![], watermarks: BTreeMap::new() };
        let pending = PendingEvents::new(&[], Arc::default());
        Ok(View::new(self, snapshot, pending, Findings::default()))
    }

    /// What an earlier view that shows the same events as a newest one found out about them.
    fn found_of(&self, events: Fingerprint) -> Findings {
        let mut newest = self.found.lock();
        match &*newest {
            Some((of, found)) if *of == events => found.clone(),
            _ => newest.insert((events, Findings::default())).1.clone(),
        }
    }

    /// The published table as it was at `as_of`; see [`view_at`](Self::view_at).
    pub async fn view_as_of(&self, as_of: AsOf) -> Result<View> {
        let version = match as_of {
            AsOf::Version(version) => version,
            AsOf::Time(time) => self.lake.table(&EVENTS).version_at(time).await?,
        };
        self.view_at(version).await
    }

    /// A session that sees the history of reports and no events.
    pub async fn history(&self) -> Result<SqlSession> {
        let context = self.context();
        let reports = self.lake.table(&REPORTS).load().await?;
        context.register_table(REPORTS.name, Arc::new(self.table_of(&REPORTS, Files::Snapshot(reports))))?;
        Ok(SqlSession { context, explains: true, kept: None })
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
        Ok(SqlSession { context, explains: true, kept: None })
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
    fn context_within(&self, share: Option<&Share>) -> SessionContext {
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

/// The lake at one moment. All its sessions see the same events, and the same reports.
pub struct View {
    engine: Engine,
    snapshot: Snapshot,
    pending: PendingEvents,
    reports: Logged,
    imported_days: Logged,
    pieces: ViewPieces,
    sessions: Arc<SessionSource>,
}

impl View {
    fn new(engine: &Engine, snapshot: Snapshot, pending: PendingEvents, found: Findings) -> Self {
        let (lake, store, events) = (engine.lake.clone(), engine.store.clone(), snapshot.events.clone());
        let sessions = Arc::new(SessionSource::new(lake.clone(), store, events, pending.clone(), found));
        let reports = Logged::new(lake.clone(), &REPORTS);
        let imported_days = Logged::new(lake, &IMPORTED_DAYS);
        let pieces = ViewPieces::default();
        Self { engine: engine.clone(), snapshot, pending, reports, imported_days, pieces, sessions }
    }

    /// The engine that made the view.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The events that the tables over sessions are made of.
    pub(crate) fn sessions(&self) -> &Arc<SessionSource> {
        &self.sessions
    }

    /// What recurring queries made for this view alone.
    pub(crate) fn pieces(&self) -> &ViewPieces {
        &self.pieces
    }

    /// The pending events as rows of `events`, if there are any.
    pub(crate) fn pending_events(&self, context: &SessionContext) -> Result<Option<LogicalPlan>> {
        match self.pending.files.is_empty() {
            true => Ok(None),
            false => Ok(Some(self.pending.plan(context, &self.engine.store)?)),
        }
    }

    /// How many rows the pending events have.
    pub(crate) fn pending_rows(&self) -> u64 {
        self.pending.rows()
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The version of `imported_days` that all sessions see; `None` while nothing was imported.
    pub async fn imported_days_version(&self) -> Result<Option<u64>> {
        Ok(self.imported_days.load().await?.version)
    }

    /// A session with the tables `events`, `sessions`, `visitor_days`, `visitors`, `identities`, `reports`, `imported_days` and
    /// `quarantine`, limited to `scope`. The quarantine does not belong to the moment: each query reads it as it is then. So is the table
    /// `audit_log`, which a session of the whole lake has.
    pub fn session(&self, scope: &Scope) -> Result<SqlSession> {
        self.session_of(Who::Everybody(scope), None)
    }

    /// The same for somebody who writes his own SQL and may not know what other sites there are: he sees the rows of
    /// `sites`, no message has a value of another's, and no plan is shown to him.
    ///
    /// - `share`: whose memory his queries take, if not that of all.
    pub fn confined_session(&self, sites: &[Arc<str>], share: Option<&Share>) -> Result<SqlSession> {
        self.session_of(Who::MayKnowOf(sites), share)
    }

    /// The same for somebody who owns organisations, too: he sees the rows of `audit_log` that are theirs. Who owns none has
    /// no such table.
    ///
    /// - `organisations`: their ids.
    pub fn owners_session(
        &self,
        sites: &[Arc<str>],
        organisations: &[Arc<str>],
        share: Option<&Share>,
    ) -> Result<SqlSession> {
        let session = self.session_of(Who::MayKnowOf(sites), share)?;
        if !organisations.is_empty() {
            let log = AuditTable::new(self.engine.lake.clone(), Some(organisations.into()));
            let rows = session.context.read_table(Arc::new(log))?.into_unoptimized_plan();
            session.context.register_table(AUDIT_LOG, Arc::new(ConfinedTable::new(rows)))?;
        }
        Ok(session)
    }

    fn session_of(&self, who: Who<'_>, share: Option<&Share>) -> Result<SqlSession> {
        let engine = &self.engine;
        let is_confined = matches!(who, Who::MayKnowOf(_));
        let context = if is_confined { engine.context_within(share) } else { engine.context() };
        let published = engine.table_of(&EVENTS, Files::Snapshot(self.snapshot.events.clone()));
        let mut events = context.read_table(Arc::new(published))?.into_unoptimized_plan();
        if !self.pending.files.is_empty() {
            events = union(events, self.pending.plan(&context, &engine.store)?)?;
        }
        let logged = |table: &Logged| {
            let table = LoggedTable::new(table.clone(), engine.store.clone());
            Ok::<_, EngineError>(context.read_table(Arc::new(table))?.into_unoptimized_plan())
        };
        let (reports, imported_days) = (logged(&self.reports)?, logged(&self.imported_days)?);
        let quarantine = QuarantineTable::new(engine.lake.clone(), engine.store.clone());
        let quarantine = context.read_table(Arc::new(quarantine))?;
        let mut tables = vec![events, reports, imported_days, quarantine.into_unoptimized_plan()];
        for table in SessionTable::ALL {
            let provider = SessionTableProvider::new(table, self.sessions.clone());
            tables.push(context.read_table(Arc::new(provider))?.into_unoptimized_plan());
        }
        for (name, plan) in TABLE_NAMES.into_iter().zip(tables) {
            let plan = match who.filter() {
                None => plan,
                Some(own) => DataFrame::new(context.state(), plan).filter(own)?.into_unoptimized_plan(),
            };
            let table: Arc<dyn TableProvider> = match who {
                Who::Everybody(_) => Arc::new(ViewTable::new(plan, None)),
                Who::MayKnowOf(_) => Arc::new(ConfinedTable::new(plan)),
            };
            context.register_table(name, table)?;
        }
        if matches!(who, Who::Everybody(Scope::Lake)) {
            context.register_table(AUDIT_LOG, Arc::new(AuditTable::new(engine.lake.clone(), None)))?;
        }
        let explains = matches!(who, Who::Everybody(_));
        Ok(SqlSession { context, explains, kept: Some(engine.kept.clone()) })
    }
}

/// For whom a session is.
#[derive(Clone, Copy)]
enum Who<'a> {
    /// Somebody who may see the whole lake, and asks of a part of it.
    Everybody(&'a Scope),
    /// Somebody who may know of some sites alone.
    MayKnowOf(&'a [Arc<str>]),
}

impl Who<'_> {
    /// The rows he gets, if not all.
    fn filter(self) -> Option<Expr> {
        match self {
            Self::Everybody(Scope::Lake) => None,
            Self::Everybody(Scope::Site(site)) => Some(col("site_id").eq(lit(site.as_str()))),
            Self::MayKnowOf([site]) => Some(col("site_id").eq(lit(&**site))),
            Self::MayKnowOf(sites) => {
                Some(col("site_id").in_list(sites.iter().map(|site| lit(&**site)).collect(), false))
            }
        }
    }
}

/// The tables that a session of a view has.
const TABLE_NAMES: [&str; 8] =
    ["events", "reports", "imported_days", QUARANTINE, "sessions", "visitor_days", "visitors", IDENTITIES];

/// The table of what people did, for those who may read it. It is of no site.
const AUDIT_LOG: &str = "audit_log";

/// The table of who is who.
pub(crate) const IDENTITIES: &str = "identities";

/// The tables that are made of all events, the rows of a visitor one after the other.
pub(crate) const TABLES_BY_VISITOR: [&str; 3] = ["sessions", "visitor_days", "visitors"];

/// SQL over some tables, reading only.
pub struct SqlSession {
    context: SessionContext,
    /// Whether it shows plans, which tell of files and rows of all sites.
    explains: bool,
    /// Where rows of a site are kept, if they may be.
    kept: Option<Arc<KeptRows>>,
}

impl SqlSession {
    /// The same session, which keeps what it reads of a site in memory for the next that does: for many small questions about
    /// the same columns.
    pub fn keeping_rows(self) -> Self {
        if let Some(kept) = &self.kept {
            let state = self.context.state_ref();
            let mut state = state.write();
            let config = state.config_mut();
            config.set_extension(kept.clone());
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
