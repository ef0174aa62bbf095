//! Pending events as rows: what the collectors wrote and the table does not have yet, each event once.
//!
//! Queries read these beside the published table. A publish writes the same rows into it: both leave out what one search
//! for duplicates found, and of several copies keep the same one, so that publishing cannot change an answer.

use std::sync::Arc;

use datafusion::arrow::array::{BinaryArray, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{ExprFunctionExt, JoinType, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use lake::{DamagedFile, Duplicates, EVENTS, RawFile};

use crate::files::{Files, FilesTable, unchanging};
use crate::session::view_types;

/// Raw files and what is known of copies of their events.
#[derive(Clone)]
pub(crate) struct PendingEvents {
    /// The raw files to read.
    pub(crate) files: Vec<RawFile>,
    /// Which of their events the table has already.
    pub(crate) duplicates: Arc<Duplicates>,
}

impl PendingEvents {
    /// Those of `files` that can be read.
    pub(crate) fn new(files: &[RawFile], duplicates: Arc<Duplicates>) -> Self {
        Self { files: DamagedFile::leave_out(&duplicates.damaged, files), duplicates }
    }

    /// The rows: the columns of the table `events`, `date` among them, each event once, none that the table
    /// has already. Of several copies the one with the smallest `(received_at, lane, seq)` stays.
    pub(crate) fn plan(&self, context: &SessionContext, store: &ObjectStoreUrl) -> Result<LogicalPlan> {
        let partition = vec![
            Arc::new(Field::new("lane", DataType::Utf8, false)),
            Arc::new(Field::new("seq", DataType::Int64, false)),
        ];
        let files = self
            .files
            .iter()
            .map(|file| {
                unchanging(file.path.clone(), file.size_bytes)
                    .with_partition_values(vec![file.lane.to_string().into(), (file.seq as i64).into()])
            })
            .collect();
        let raw = FilesTable::new(store.clone(), view_types(&EVENTS.file_schema), partition, Files::Plain(files), &[]);
        let mut rows = context.read_table(Arc::new(raw))?;
        if !self.duplicates.repeated.is_empty() {
            rows = first_copies(rows)?;
        }
        if !self.duplicates.keys.is_empty() {
            rows = without(rows, context, &self.duplicates)?;
        }
        let mut columns: Vec<_> = EVENTS.file_schema.fields().iter().map(|field| col(field.name())).collect();
        columns.push(cast(col("occurred_at"), DataType::Date32).alias("date"));
        Ok(rows.select(columns)?.into_unoptimized_plan())
    }
}

fn first_copies(rows: DataFrame) -> Result<DataFrame> {
    let copy = row_number()
        .partition_by(vec![col("site_id"), col("event_id")])
        .order_by(vec![col("received_at").sort(true, true), col("lane").sort(true, true), col("seq").sort(true, true)])
        .build()?
        .alias("copy");
    rows.window(vec![copy])?.filter(col("copy").eq(lit(1_u64)))
}

fn without(rows: DataFrame, context: &SessionContext, duplicates: &Duplicates) -> Result<DataFrame> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("published_site", DataType::Utf8, false),
        Field::new("published_id", DataType::Binary, false),
    ]));
    let sites = StringArray::from_iter_values(duplicates.keys.iter().map(|key| &*key.site_id));
    let ids = BinaryArray::from_iter_values(duplicates.keys.iter().map(|key| key.event_id.0));
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(sites), Arc::new(ids)])?;
    let published = context.read_table(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?;
    rows.join(published, JoinType::LeftAnti, &["site_id", "event_id"], &["published_site", "published_id"], None)
}

/// Both halves of the table `events` as one plan.
pub(crate) fn union(published: LogicalPlan, pending: LogicalPlan) -> Result<LogicalPlan> {
    LogicalPlanBuilder::from(published).union(pending)?.build()
}
