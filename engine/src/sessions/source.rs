//! The events that the tables over sessions are made of: published files and pending rows of one view, as inputs in the
//! table's order.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::SortOptions;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, HashMap, HashSet};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, col, in_list, lit as physical_lit};
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use futures::StreamExt;
use lake::{EVENTS, Lake, TableFile, TableSnapshot};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use crate::kept::MadeRows;
use crate::sessions::identities::{IDENTITY_COLUMNS, Identities, PRESENCE_COLUMNS, Presence, Stitching};
use crate::sessions::rules::Rules;
use crate::tables::file_scans::pushed;
use crate::tables::files::{Files, FilesTable};
use crate::tables::pending::PendingEvents;

/// Who is who, as far as events say.
pub(crate) struct Identified {
    pub(crate) identities: Identities,
    pub(crate) stitching: Arc<Stitching>,
    /// The rows that were made of the identities of a site, or of all for none.
    rows: Mutex<HashMap<Option<Arc<str>>, RecordBatch>>,
}

impl Identified {
    fn new(identities: Identities, stitching: Arc<Stitching>) -> Self {
        Self { identities, stitching, rows: Mutex::default() }
    }

    /// The rows of a site, or of all for none, which are made once.
    pub(crate) fn rows_of(
        &self,
        site: Option<&Arc<str>>,
        make: impl FnOnce(&Identities, Option<&str>) -> Result<RecordBatch>,
    ) -> Result<RecordBatch> {
        if let Some(rows) = self.rows.lock().get(&site.cloned()) {
            return Ok(rows.clone());
        }
        let rows = make(&self.identities, site.map(|site| &**site))?;
        self.rows.lock().insert(site.cloned(), rows.clone());
        Ok(rows)
    }
}

/// Identities of one site, or of the whole lake for none: found at most once.
type Known = Arc<OnceCell<Arc<Identified>>>;

/// Who is who, as far as anybody asked.
#[derive(Clone, Default)]
struct KnownIdentities(Arc<Mutex<HashMap<Option<Arc<str>>, Known>>>);

/// How many ranges of sites' sessions are known at a time.
const SESSIONS_KNOWN_MAX: usize = 64;

/// Sessions of a site that were made for somebody who keeps rows; none if they were too many.
type Made = Arc<OnceCell<Option<Arc<MadeRows>>>>;

/// Sessions that were made of the events of a view; those asked for last at the end.
#[derive(Clone, Default)]
struct KnownSessions(Arc<Mutex<Vec<SessionsOfRange>>>);

/// Sessions that begin in a range.
#[derive(Clone)]
struct SessionsOfRange {
    /// What they follow from, beside the events.
    of: String,
    /// From the first to before the second, in microseconds since 1970.
    begin_us: (i64, i64),
    made: Made,
}

impl SessionsOfRange {
    /// Whether these are made, and among them all that begin in another range.
    fn have(&self, of: &str, (from_us, until_us): (i64, i64)) -> bool {
        let is_within = self.begin_us.0 <= from_us && until_us <= self.begin_us.1;
        self.of == of && is_within && self.made.get().is_some_and(Option::is_some)
    }
}

/// What was found out about the events of a view. Views that show the same events have it in common.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    identities: KnownIdentities,
    sessions: KnownSessions,
}

/// The events of one view, and what was found out about them so far.
pub(crate) struct SessionSource {
    lake: Lake,
    store: ObjectStoreUrl,
    published: Arc<TableSnapshot>,
    pending: PendingEvents,
    rules: OnceCell<Arc<Rules>>,
    found: Findings,
}

impl fmt::Debug for SessionSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionSource({} files, {} pending)", self.published.files.len(), self.pending.files.len())
    }
}

/// Plans each of whose partitions is an input.
pub(crate) type Inputs = Vec<Arc<dyn ExecutionPlan>>;

/// What it takes to find out who is who.
#[derive(Default)]
pub(crate) struct IdentityInputs {
    identities: Inputs,
    presence: Inputs,
}

impl SessionSource {
    pub(crate) fn new(
        lake: Lake,
        store: ObjectStoreUrl,
        published: Arc<TableSnapshot>,
        pending: PendingEvents,
        found: Findings,
    ) -> Self {
        Self { lake, store, published, pending, rules: OnceCell::new(), found }
    }

    /// Sessions that were made before, or that somebody makes now: all that begin in a range, and perhaps others.
    ///
    /// - `of`: all that they follow from, beside the events.
    /// - `begin_us`: from the first to before the second, in microseconds since 1970.
    pub(crate) fn known_sessions(&self, of: String, begin_us: (i64, i64)) -> Made {
        let mut known = self.found.sessions.0.lock();
        let are_same = |other: &SessionsOfRange| other.of == of && other.begin_us == begin_us;
        let place =
            known.iter().position(|other| other.have(&of, begin_us)).or_else(|| known.iter().position(are_same));
        let asked = match place {
            Some(place) => known.remove(place),
            None => SessionsOfRange { of, begin_us, made: Made::default() },
        };
        known.push(asked.clone());
        asked.made
    }

    /// Forgets sessions that nobody asked for lately, until the others take no more than this.
    pub(crate) fn forget_sessions(&self, bytes_max: usize) {
        let mut known = self.found.sessions.0.lock();
        let bytes = |made: &Made| made.get().and_then(Option::as_ref).map_or(0, |rows| rows.bytes());
        let mut all: usize = known.iter().map(|sessions| bytes(&sessions.made)).sum();
        while all > bytes_max || known.len() > SESSIONS_KNOWN_MAX {
            all -= bytes(&known.remove(0).made);
        }
        metrics::gauge!("dewpond_kept_sessions_bytes").set(all as f64);
    }

    /// The published files.
    pub(crate) fn files(&self) -> &[TableFile] {
        &self.published.files
    }

    /// The pending events.
    pub(crate) fn pending(&self) -> &PendingEvents {
        &self.pending
    }

    /// Where files lie.
    pub(crate) fn store(&self) -> &ObjectStoreUrl {
        &self.store
    }

    /// The sites' rules as they were when the first query of the view asked.
    pub(crate) async fn rules(&self) -> Result<Arc<Rules>> {
        let load = || async { Ok::<_, lake::LakeError>(Arc::new(Rules::new(&*self.lake.sites().await?))) };
        self.rules.get_or_try_init(load).await.cloned().map_err(|error| DataFusionError::External(error.into()))
    }

    /// Inputs in the table's order; in none where its columns are not read.
    ///
    /// - `columns`: the numbers of the columns of `events` to read.
    /// - `filters`: which rows are of interest; others may come, too.
    pub(crate) async fn inputs(&self, state: &dyn Session, columns: &Vec<usize>, filters: &[Expr]) -> Result<Inputs> {
        let table = FilesTable::of(&EVENTS, self.store.clone(), Files::Snapshot(self.published.clone()));
        let published = table.always_ordered().scan(state, Some(columns), filters, None).await?;
        let mut inputs = vec![skip_parts_of_files(published, state, filters)?];
        if !self.pending.files.is_empty() {
            let pending = self.pending.table(&self.store).scan(state, Some(columns), &[], None).await?;
            inputs.push(match ordering(&pending)? {
                Some(ordering) => Arc::new(SortExec::new(ordering, Arc::new(CoalescePartitionsExec::new(pending)))),
                None => pending,
            });
        }
        Ok(inputs)
    }

    /// What it takes to find out who is who on one site, or in the whole lake for none. Nothing if that is known.
    ///
    /// - `filters`: which rows are of the site.
    pub(crate) async fn identity_inputs(
        &self,
        state: &dyn Session,
        site: Option<&Arc<str>>,
        filters: &[Expr],
    ) -> Result<IdentityInputs> {
        if self.knows_identities() || self.known_identities_of(site).is_some() {
            return Ok(IdentityInputs::default());
        }
        let numbers = |names: &[&str]| -> Vec<usize> {
            let fields = EVENTS.file_schema.fields().iter().enumerate();
            fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(number, _)| number).collect()
        };
        let mut presence = PRESENCE_COLUMNS.to_vec();
        presence.extend(site.map(|_| "site_id"));
        // Most parts of most files have no users at all.
        let of_users = [filters, &[Expr::Column("user_id".into()).is_not_null()]].concat();
        Ok(IdentityInputs {
            identities: self.inputs(state, &numbers(&IDENTITY_COLUMNS), &of_users).await?,
            presence: self.inputs(state, &numbers(&presence), filters).await?,
        })
    }

    /// Whether it is known who is who in the whole lake.
    pub(crate) fn knows_identities(&self) -> bool {
        self.known_identities().is_some()
    }

    /// Who is who in the whole lake, if that is known.
    pub(crate) fn known_identities(&self) -> Option<Arc<Identified>> {
        self.known_identities_of(None)
    }

    /// Who is who on one site, or in the whole lake for none, if somebody asked for just that.
    fn known_identities_of(&self, site: Option<&Arc<str>>) -> Option<Arc<Identified>> {
        self.found.identities.0.lock().get(&site.cloned()).and_then(|known| known.get().cloned())
    }

    /// Takes over who is who in the whole lake from rows that somebody made of all events.
    ///
    /// - `identities`: rows with the [columns](IDENTITY_COLUMNS) of events that tell who an anonymous id belongs to.
    /// - `presence`: rows with the [columns](PRESENCE_COLUMNS) that tell whether a visitor id is anonymous.
    pub(crate) fn learn_identities(&self, identities: &[RecordBatch], presence: &[RecordBatch]) {
        let (mut found, mut present) = (Identities::default(), Presence::default());
        identities.iter().for_each(|batch| found.add(batch));
        let named = found.visitors();
        presence.iter().for_each(|batch| present.add(batch, &named));
        let stitching = Arc::new(Stitching::new(&found, &present));
        let identified = Arc::new(Identified::new(found, stitching));
        // Whoever found it out meanwhile found the same.
        let _ = self.found.identities.0.lock().entry(None).or_default().set(identified);
    }

    /// Who is who on one site, or in the whole lake for none.
    pub(crate) async fn identified(
        &self,
        site: Option<Arc<str>>,
        inputs: &IdentityInputs,
        context: &Arc<TaskContext>,
    ) -> Result<Arc<Identified>> {
        let cell = {
            let mut known = self.found.identities.0.lock();
            // What holds for the lake holds for a site: visitor ids of different sites differ.
            match known.get(&None).filter(|lake| lake.initialized()) {
                Some(lake) => lake.clone(),
                None => known.entry(site).or_default().clone(),
            }
        };
        cell.get_or_try_init(|| find_identities(inputs, context)).await.cloned()
    }
}

async fn find_identities(inputs: &IdentityInputs, context: &Arc<TaskContext>) -> Result<Arc<Identified>> {
    let add = |found: &mut Identities, batch: &_| found.add(batch);
    let identities = fold(&inputs.identities, context, add, Identities::merge).await?;
    if identities.by_visitor.is_empty() {
        return Ok(Arc::new(Identified::new(identities, Arc::default())));
    }
    let named = Arc::new(identities.visitors());
    let presence = match named.len() {
        0..=VISITORS_LOOKED_UP_MAX => &narrowed(&inputs.presence, &named, context.session_config().options())?,
        _ => &inputs.presence,
    };
    let add = move |found: &mut Presence, batch: &_| found.add(batch, &named);
    let presence = fold(presence, context, add, Presence::merge).await?;
    let stitching = Arc::new(Stitching::new(&identities, &presence));
    Ok(Arc::new(Identified::new(identities, stitching)))
}

/// Folds all rows of all inputs, which are read side by side.
async fn fold<T: Default + Send + 'static>(
    inputs: &Inputs,
    context: &Arc<TaskContext>,
    add: impl Fn(&mut T, &RecordBatch) + Clone + Send + 'static,
    merge: impl Fn(&mut T, T),
) -> Result<T> {
    let mut readers = JoinSet::new();
    for input in inputs {
        for partition in 0..input.output_partitioning().partition_count() {
            let (mut events, add) = (input.execute(partition, context.clone())?, add.clone());
            readers.spawn(async move {
                let mut found = T::default();
                while let Some(batch) = events.next().await {
                    add(&mut found, &batch?);
                }
                Ok::<_, DataFusionError>(found)
            });
        }
    }
    let mut all = T::default();
    while let Some(found) = readers.join_next().await {
        let found = found.map_err(|error| DataFusionError::Internal(format!("a reader of events stopped: {error}")))?;
        merge(&mut all, found?);
    }
    Ok(all)
}

/// The table's order over the columns of a plan; none if it has no rows to sort, or not all of the columns.
fn ordering(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<LexOrdering>> {
    let schema = plan.schema();
    if EVENTS.sort.iter().any(|name| schema.index_of(name).is_err()) {
        return Ok(None);
    }
    let options = SortOptions { descending: false, nulls_first: true };
    let columns = EVENTS.sort.iter().map(|name| Ok(PhysicalSortExpr::new(col(name, &schema)?, options)));
    Ok(LexOrdering::new(columns.collect::<Result<Vec<_>>>()?))
}

/// Lets a scan leave out row groups and pages in which no row satisfies the filters.
fn skip_parts_of_files(
    plan: Arc<dyn ExecutionPlan>,
    state: &dyn Session,
    filters: &[Expr],
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(filter) = conjunction(filters.iter().cloned()).filter(|_| plan.is::<DataSourceExec>()) else {
        return Ok(plan);
    };
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(plan.schema())?)?;
    Ok(pushed(&plan, filter, state.config().options())?.unwrap_or(plan))
}

/// Visitors of whom each is looked for in statistics. Of more, hardly any part of a file has none.
const VISITORS_LOOKED_UP_MAX: usize = 128;

/// Visitors whose events are chosen while files are read. A list of more takes too much memory.
const VISITORS_CHOSEN_MAX: usize = 1 << 18;

/// The same inputs without most events of others than these visitors: without those parts of files in which no event is of one
/// of a few, and of many without the events themselves, so that their other columns are not read.
pub(crate) fn narrowed(inputs: &Inputs, visitors: &HashSet<i64>, config: &ConfigOptions) -> Result<Inputs> {
    if visitors.len() > VISITORS_CHOSEN_MAX {
        return Ok(inputs.clone());
    }
    let mut config = config.clone();
    config.execution.parquet.pushdown_filters = visitors.len() > VISITORS_LOOKED_UP_MAX;
    let narrow = |input: &Arc<dyn ExecutionPlan>| {
        if !input.is::<DataSourceExec>() {
            return Ok(input.clone());
        }
        let (schema, visitor) = (input.schema(), col("visitor_id", &input.schema())?);
        let is_one: Arc<dyn PhysicalExpr> = match visitors.len() {
            0..=VISITORS_LOOKED_UP_MAX => {
                let is = |id: &i64| -> Arc<dyn PhysicalExpr> {
                    Arc::new(BinaryExpr::new(visitor.clone(), Operator::Eq, physical_lit(*id)))
                };
                let any =
                    visitors.iter().map(is).reduce(|one, other| Arc::new(BinaryExpr::new(one, Operator::Or, other)));
                any.unwrap_or_else(|| physical_lit(false))
            }
            _ => in_list(visitor, visitors.iter().map(|id| physical_lit(*id)).collect(), &false, &schema)?,
        };
        Ok(pushed(input, is_one, &config)?.unwrap_or_else(|| input.clone()))
    };
    inputs.iter().map(narrow).collect()
}
