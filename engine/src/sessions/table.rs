//! The tables `sessions`, `visitor_days`, `visitors` and `identities` as SQL sees them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::HashSet;
use datafusion::common::stats::Precision;
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, Statistics, StatisticsArgs,
    StatisticsContext,
};
use lake::visitor_id;

use crate::kept::{KeptRows, MadeRows};
use crate::plan_inputs::leaf_plan;
use crate::sessions::filters::event_bounds;
use crate::sessions::identities::Identities;
use crate::sessions::making::window::Window;
use crate::sessions::output::{Columns, Kind};
use crate::sessions::rules::Rules;
use crate::sessions::scan::{Scan, TimesOfEvents};
use crate::sessions::source::{IdentityInputs, Inputs, SessionSource};
use crate::sessions::wanted::Wanted;
use crate::tables::comparisons::{is_site, site_of};

/// Which table it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionTable {
    /// One of those made of runs.
    Of(Kind),
    /// Anonymous ids and their users.
    Identities,
}

impl SessionTable {
    /// All of them.
    pub(crate) const ALL: [Self; 4] =
        [Self::Of(Kind::Sessions), Self::Of(Kind::VisitorDays), Self::Of(Kind::Visitors), Self::Identities];

    /// The table's name in SQL.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.name(),
            Self::Identities => "identities",
        }
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Of(kind) => kind.schema(),
            Self::Identities => identities_schema(),
        }
    }
}

fn identities_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("site_id", DataType::Utf8View, false),
        Field::new("anonymous_id", DataType::Utf8View, false),
        Field::new("user_id", DataType::Utf8View, false),
        Field::new("anonymous_visitor_id", DataType::Int64, false),
        Field::new("user_visitor_id", DataType::Int64, false),
        Field::new("last_seen_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
    ]))
}

/// A table over the sessions of one view.
pub(crate) struct SessionTableProvider {
    table: SessionTable,
    source: Arc<SessionSource>,
    /// The visitors whose rows it has; all if not given.
    only: Option<Arc<HashSet<i64>>>,
}

impl SessionTableProvider {
    pub(crate) fn new(table: SessionTable, source: Arc<SessionSource>) -> Self {
        Self { table, source, only: None }
    }

    /// The rows of some visitors; of all without.
    pub(crate) fn of_visitors(kind: Kind, source: Arc<SessionSource>, only: Option<Arc<HashSet<i64>>>) -> Self {
        Self { table: SessionTable::Of(kind), source, only }
    }
}

impl fmt::Debug for SessionTableProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.table.name(), self.source)
    }
}

#[async_trait]
impl TableProvider for SessionTableProvider {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
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
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rules = self.source.rules().await?;
        let site = site_of(filters);
        if let Some(kept) = self.kept(state, projection, filters, &rules, site.as_ref()).await? {
            return Ok(kept);
        }
        Ok(Arc::new(self.made(state, projection, filters, rules, site).await?))
    }
}

/// The columns of `sessions` that are kept: all but those that any event of a visitor may have, however long ago.
fn kept_columns() -> Vec<usize> {
    let schema = Kind::Sessions.schema();
    (0..schema.fields().len()).filter(|column| schema.field(*column).name() != "user_id").collect()
}

impl SessionTableProvider {
    /// Sessions of a site that are kept, or made to be kept; nothing if this scan is of others.
    async fn kept(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        rules: &Arc<Rules>,
        site: Option<&Arc<str>>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let (Some(kept), Some(site), Some(wanted), None, SessionTable::Of(Kind::Sessions)) =
            (state.config().get_extension::<KeptRows>(), site, projection, &self.only, self.table)
        else {
            return Ok(None);
        };
        let all = kept_columns();
        let places = wanted.iter().map(|column| all.iter().position(|known| known == column));
        let Some(places) = places.collect::<Option<Vec<usize>>>() else { return Ok(None) };
        let columns = Columns::new(Kind::Sessions, Some(&all))?;
        let bounds = event_bounds(&columns, rules, filters);
        let make = || async {
            let made = self.made(state, Some(&all), filters, rules.clone(), Some(site.clone())).await?;
            if !kept.has_room(site, made.files(), size_of::<i64>()) {
                return Ok(None);
            }
            let rows = made.execute(0, state.task_ctx())?;
            Ok::<_, DataFusionError>(MadeRows::of(rows, &kept).await?.map(Arc::new))
        };
        let known = self.source.known_sessions(format!("{site} {:?}", rules.of_site(site)), bounds.begin_us);
        let rows = known.get_or_try_init(make).await;
        self.source.forget_sessions(kept.sessions_bytes_max());
        let Some(rows) = rows? else { return Ok(None) };
        Ok(Some(rows.plan(&places, state.config().target_partitions())?))
    }

    async fn made(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        rules: Arc<Rules>,
        site: Option<Arc<str>>,
    ) -> Result<SessionScanExec> {
        let of_site = site.iter().map(|site| is_site(site)).collect::<Vec<_>>();
        let identity_inputs = self.source.identity_inputs(state, site.as_ref(), &of_site).await?;
        let (reads, schema) = match self.table {
            SessionTable::Identities => {
                let all: Vec<usize> = (0..identities_schema().fields().len()).collect();
                let columns = projection.unwrap_or(&all).clone();
                let schema = Arc::new(identities_schema().project(&columns)?);
                (Reads::Identities { columns }, schema)
            }
            SessionTable::Of(kind) => {
                let columns = Columns::new(kind, projection)?;
                let mut telling_users = columns.clone();
                telling_users.wanted.users = true;
                let bounds = event_bounds(&columns, &rules, filters);
                let uncut_filters = [of_site, bounds.until].concat();
                let filters = [&uncut_filters[..], &bounds.from].concat();
                let schema = columns.schema.clone();
                let mut events = Vec::new();
                for columns in [columns, telling_users] {
                    let read = columns.wanted.columns();
                    let inputs = self.source.inputs(state, &read, &filters).await?;
                    let mut times = TimesOfEvents::default();
                    if bounds.window.is_some() {
                        let wanted = Wanted { sessions: true, users: columns.wanted.users, ..Wanted::default() };
                        times.inputs = self.source.inputs(state, &wanted.columns(), &uncut_filters).await?;
                        times.wanted = Arc::new(wanted);
                    }
                    events.push(EventReads { columns: Arc::new(columns), inputs, times, window: bounds.window });
                }
                (Reads::Events(events), schema)
            }
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(SessionScanExec {
            table: self.table,
            source: self.source.clone(),
            rules,
            site,
            only: self.only.clone(),
            reads: Arc::new(reads),
            identity_inputs: Arc::new(identity_inputs),
            properties: Arc::new(properties),
        })
    }
}

/// About how many events a session, a day or a visitor has.
const EVENTS_OF_ROW: usize = 4;

/// What a scan reads.
enum Reads {
    /// Events; the second time with what tells users from the anonymous, for lakes where one id was both.
    Events(Vec<EventReads>),
    /// Only who is who.
    Identities { columns: Vec<usize> },
}

/// Columns of the table, and the events that they are made of.
struct EventReads {
    columns: Arc<Columns>,
    inputs: Inputs,
    /// Also of events before the window, if there is one.
    times: TimesOfEvents,
    window: Option<Window>,
}

/// Reads one of the tables, as a stream in no order that anybody may rely on.
struct SessionScanExec {
    table: SessionTable,
    source: Arc<SessionSource>,
    rules: Arc<Rules>,
    site: Option<Arc<str>>,
    only: Option<Arc<HashSet<i64>>>,
    reads: Arc<Reads>,
    identity_inputs: Arc<IdentityInputs>,
    properties: Arc<PlanProperties>,
}

impl SessionScanExec {
    /// How many files of the table are read, in whose order each is an input.
    fn files(&self) -> usize {
        match &*self.reads {
            Reads::Events(events) => {
                events[0].inputs.first().map_or(0, |published| published.output_partitioning().partition_count())
            }
            Reads::Identities { .. } => 0,
        }
    }
}

impl fmt::Debug for SessionScanExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionScanExec({})", self.table.name())
    }
}

impl DisplayAs for SessionScanExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionScanExec: table={}", self.table.name())?;
        if let Some(site) = &self.site {
            write!(f, ", site={site}")?;
        }
        if let Reads::Events(events) = &*self.reads {
            let EventReads { columns, inputs, .. } = &events[0];
            let inputs: usize = inputs.iter().map(|input| input.output_partitioning().partition_count()).sum();
            let read: Vec<String> = columns
                .wanted
                .columns()
                .into_iter()
                .map(|column| lake::EVENTS.file_schema.field(column).name().clone())
                .collect();
            write!(f, ", inputs={inputs}, reads=[{}]", read.join(", "))?;
        }
        Ok(())
    }
}

impl ExecutionPlan for SessionScanExec {
    fn name(&self) -> &str {
        "SessionScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf_plan!();

    /// Which side a join makes its table of, and reads whole before the other. Few rows for `identities`, however many there
    /// are: they are in memory. Of the others, fewer than there are events.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = match &*self.reads {
            Reads::Identities { .. } => Precision::Inexact(1),
            Reads::Events(events) => {
                let rows_of = |input: &Arc<dyn ExecutionPlan>| {
                    let statistics = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new()).ok()?;
                    statistics.num_rows.get_value().copied()
                };
                // Published events come first, and say how many they are.
                let published = events[0].inputs.first().and_then(rows_of);
                published.map_or(Precision::Absent, |rows| Precision::Inexact(rows / EVENTS_OF_ROW))
            }
        };
        Ok(Arc::new(statistics))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let mut stream = RecordBatchReceiverStream::builder(schema.clone(), 2);
        let answer = stream.tx();
        let (source, rules, site) = (self.source.clone(), self.rules.clone(), self.site.clone());
        let (reads, identity_inputs, only) = (self.reads.clone(), self.identity_inputs.clone(), self.only.clone());
        stream.spawn(async move {
            let identified = source.identified(site.clone(), &identity_inputs, &context).await?;
            let events = match &*reads {
                Reads::Identities { columns } => {
                    let rows = identified.rows_of(site.as_ref(), identity_rows)?.project(columns)?;
                    // Nobody listens any more if it fails.
                    let _ = answer.send(Ok(rows)).await;
                    return Ok(());
                }
                Reads::Events(events) => events,
            };
            let events = &events[usize::from(identified.stitching.tells_users())];
            let scan = Scan {
                columns: events.columns.clone(),
                rules,
                stitching: identified.stitching.clone(),
                only_site: site,
                only,
                window: events.window,
                inputs: events.inputs.clone(),
                times: events.times.clone(),
                context,
            };
            scan.run(answer).await
        });
        Ok(stream.build())
    }
}

/// The rows of `identities` of the whole lake, if it is known who is who.
pub(crate) fn known_identity_rows(source: &SessionSource) -> Option<Result<RecordBatch>> {
    source.known_identities().map(|identified| identified.rows_of(None, identity_rows))
}

/// The rows of `identities`, in the order of site and anonymous id.
fn identity_rows(identities: &Identities, site: Option<&str>) -> Result<RecordBatch> {
    let mut rows: Vec<_> = identities
        .by_visitor
        .iter()
        .filter(|(_, identity)| site.is_none_or(|site| *identity.site_id == *site))
        .collect();
    rows.sort_unstable_by_key(|(_, identity)| (&identity.site_id, &identity.anonymous_id));
    let texts = |of: fn(&crate::sessions::identities::Identity) -> &str| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(_, identity)| of(identity))))
    };
    let users = rows.iter().map(|(_, identity)| visitor_id(&identity.site_id, &identity.user_id));
    let columns: Vec<ArrayRef> = vec![
        texts(|identity| &identity.site_id),
        texts(|identity| &identity.anonymous_id),
        texts(|identity| &identity.user_id),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|(visitor, _)| **visitor))),
        Arc::new(Int64Array::from_iter_values(users)),
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, identity)| identity.last_seen_us))
                .with_timezone("UTC"),
        ),
    ];
    RecordBatch::try_new(identities_schema(), columns).map_err(DataFusionError::from)
}
