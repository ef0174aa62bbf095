//! A scan of a site's rows, which reads from files what is not kept yet.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs, StatisticsContext,
};
use futures::{TryStreamExt, stream};

use super::column;
use super::exec::batches;
use super::memory::KeptRows;
use super::slice::Rows;
use crate::leaf_plan::leaf_plan;
use crate::tables::file_scans::FileScans;

/// What a scan is of.
pub(crate) struct SiteRows {
    pub(crate) site: Arc<str>,
    /// The columns that are read, by their numbers in the table.
    pub(crate) columns: Vec<usize>,
    /// The files of each partition.
    pub(crate) groups: Vec<Vec<PartitionedFile>>,
    /// The order that each partition's rows come in over these columns, if they have one.
    pub(crate) ordering: Option<LexOrdering>,
    /// Reads columns of one file.
    pub(crate) scans: FileScans,
    /// Reads the same from the files, with rows of other sites.
    pub(crate) plain: Arc<dyn ExecutionPlan>,
}

/// Reads rows of a site, those that are kept from memory. Rows of other sites come, too, where they are too many to be kept.
pub(crate) struct SiteRowsExec {
    kept: Arc<KeptRows>,
    rows: Arc<SiteRows>,
    properties: Arc<PlanProperties>,
}

impl SiteRowsExec {
    pub(crate) fn new(kept: Arc<KeptRows>, rows: SiteRows) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(rows.plain.schema(), rows.ordering.clone()),
            Partitioning::UnknownPartitioning(rows.groups.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { kept, rows: Arc::new(rows), properties: Arc::new(properties) }
    }
}

impl SiteRows {
    fn files(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Whether all of them may be kept, as far as is known.
    pub(crate) fn have_room(&self, kept: &KeptRows) -> bool {
        let schema = self.plain.schema();
        let row_bytes = schema.fields().iter().map(|field| column::row_bytes(field.data_type())).sum();
        kept.has_room(&self.site, self.files(), row_bytes)
    }

    /// The rows in the files of a partition; `None` if they are too many to be kept.
    async fn of_partition(
        &self,
        partition: usize,
        kept: &KeptRows,
        context: &Arc<TaskContext>,
    ) -> Result<Option<Vec<Rows>>> {
        let mut all = Vec::new();
        for file in &self.groups[partition] {
            let path = &file.object_meta.location;
            let slice = kept.slice(path, &self.site);
            let rows = match slice.known(&self.columns) {
                Some(rows) => rows,
                None if !self.have_room(kept) => return Ok(None),
                None => {
                    let (rows, bytes) =
                        slice.read(file, &self.site, &self.columns, &self.scans, context.clone()).await?;
                    kept.grew(path, &self.site, &slice, rows.count, bytes);
                    rows
                }
            };
            all.push(rows);
        }
        Ok(Some(all))
    }
}

impl fmt::Debug for SiteRowsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteRowsExec({}, {} files)", self.rows.site, self.rows.files())
    }
}

impl DisplayAs for SiteRowsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteRowsExec: site={}, files={}", self.rows.site, self.rows.files())
    }
}

impl ExecutionPlan for SiteRowsExec {
    fn name(&self) -> &str {
        "SiteRowsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    leaf_plan!();

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let Some(rows) = self.kept.rows_of_file(&self.rows.site).filter(|_| self.rows.have_room(&self.kept)) else {
            return StatisticsContext::new().compute(self.rows.plain.as_ref(), args);
        };
        let files = args.partition().map_or(self.rows.files(), |partition| self.rows.groups[partition].len());
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(rows * files);
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (kept, rows, schema) = (self.kept.clone(), self.rows.clone(), self.schema());
        let of_schema: SchemaRef = schema.clone();
        let found = stream::once(async move {
            match rows.of_partition(partition, &kept, &context).await? {
                Some(found) => Ok(batches(&of_schema, found, &context)),
                None => rows.plain.execute(partition, context),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, found.try_flatten())))
    }
}
