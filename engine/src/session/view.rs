//! The lake at one moment, and the sessions that see it.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::logical_expr::{Expr, LogicalPlan, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use lake::{EVENTS, IMPORTED_DAYS, LakeError, REPORTS, Snapshot};

use crate::as_of::AsOf;
use crate::error::{EngineError, Result};
use crate::folds::rows::memory::ViewPieces;
use crate::limits::shares::Share;
use crate::scope::Scope;
use crate::session::engine::Engine;
use crate::session::sql_session::{SqlSession, TABLE_NAMES};
use crate::sessions::{Findings, SessionSource, SessionTable, SessionTableProvider};
use crate::tables::audit::AuditTable;
use crate::tables::confined::ConfinedTable;
use crate::tables::files::Files;
use crate::tables::logged::{Logged, LoggedTable};
use crate::tables::pending::{PendingEvents, union};
use crate::tables::quarantine::QuarantineTable;

/// Tries of making a view when files vanish meanwhile, each on a new snapshot.
const SNAPSHOT_TRIES: usize = 3;

impl Engine {
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

    /// The published table as it was at `as_of`; see [`view_at`](Self::view_at).
    pub async fn view_as_of(&self, as_of: AsOf) -> Result<View> {
        let version = match as_of {
            AsOf::Version(version) => version,
            AsOf::Time(time) => self.lake.table(&EVENTS).version_at(time).await?,
        };
        self.view_at(version).await
    }
}

/// The table of what people did, for those who may read it. It is of no site.
const AUDIT_LOG: &str = "audit_log";

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
        let site = who.site().map(|site| (site, self.snapshot.events.files.len()));
        Ok(SqlSession::new(context, explains).that_may_keep(engine.kept.clone(), site))
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
    /// The site whose rows he gets, if it is one.
    fn site(self) -> Option<Arc<str>> {
        match self {
            Self::Everybody(Scope::Site(site)) => Some(site.as_str().into()),
            Self::MayKnowOf([site]) => Some(site.clone()),
            _ => None,
        }
    }

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
