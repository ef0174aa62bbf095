//! A scan of a site's rows, which reads from files what is not kept yet.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::config::ConfigOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, Statistics, StatisticsArgs, StatisticsContext,
};
use futures::{TryStreamExt, stream};
use object_store::path::Path;

use super::column;
use super::condition::Condition;
use super::exec::{batches, estimate, fmt_condition};
use super::memory::KeptRows;
use super::pushdown::with_conditions;
use super::slice::{Rows, Slice};
use crate::plan_inputs::leaf_plan;
use crate::tables::file_scans::{FileScans, is_site, pushed};

/// What a scan is of.
#[derive(Clone)]
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

/// The rows of the site in a file.
pub(super) struct FileRows {
    pub(super) path: Path,
    pub(super) slice: Arc<Slice>,
    pub(super) rows: Rows,
}

/// Reads rows of a site, those that are kept from memory. Rows of other sites come, too, where they are too many to be kept.
#[derive(Clone)]
pub(crate) struct SiteRowsExec {
    kept: Arc<KeptRows>,
    rows: Arc<SiteRows>,
    condition: Option<Condition>,
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
        Self { kept, rows: Arc::new(rows), condition: None, properties: Arc::new(properties) }
    }

    pub(super) fn kept(&self) -> &Arc<KeptRows> {
        &self.kept
    }

    pub(super) fn site(&self) -> &Arc<str> {
        &self.rows.site
    }

    pub(super) fn columns(&self) -> &[usize] {
        &self.rows.columns
    }

    /// What has to hold of its rows.
    pub(super) fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// The rows in each file of a partition, whatever has to hold of them; `None` if they are too many to be kept.
    pub(super) async fn files_of(&self, partition: usize, context: &Arc<TaskContext>) -> Result<Option<Vec<FileRows>>> {
        self.rows.of_partition(partition, &self.kept, context).await
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

    /// The same without parts of files in which no row satisfies a condition.
    fn pruned(&self, condition: &Condition, config: &ConfigOptions) -> Result<Self> {
        let plain = pushed(&self.plain, condition.expr().clone(), config)?;
        Ok(Self { plain: plain.unwrap_or_else(|| self.plain.clone()), ..self.clone() })
    }

    /// Reads from the files. No condition is asked of rows of other sites: that it fails of one would tell of them.
    fn plain_satisfying(&self, condition: Option<Condition>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(condition) = condition else { return Ok(self.plain.clone()) };
        let own: Arc<dyn ExecutionPlan> = match is_site(&self.site, &self.plain.schema()) {
            Some(is_site) => Arc::new(FilterExec::try_new(is_site, self.plain.clone())?),
            None => self.plain.clone(),
        };
        Ok(Arc::new(FilterExec::try_new(condition.expr().clone(), own)?))
    }

    /// The rows in the files of a partition; `None` if they are too many to be kept.
    async fn of_partition(
        &self,
        partition: usize,
        kept: &KeptRows,
        context: &Arc<TaskContext>,
    ) -> Result<Option<Vec<FileRows>>> {
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
            all.push(FileRows { path: path.clone(), slice, rows });
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
        write!(f, "SiteRowsExec: site={}, files={}", self.rows.site, self.rows.files())?;
        fmt_condition(&self.condition, f)
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
        statistics.num_rows = estimate(rows * files, &self.condition);
        Ok(Arc::new(statistics))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        pushed: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        with_conditions(&self.schema(), &self.condition, phase, pushed, |condition| {
            let rows = self.rows.pruned(&condition, config)?;
            Ok(Arc::new(Self { rows: Arc::new(rows), condition: Some(condition), ..self.clone() }))
        })
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (kept, rows, schema, condition) =
            (self.kept.clone(), self.rows.clone(), self.schema(), self.condition.clone());
        let of_schema: SchemaRef = schema.clone();
        let found = stream::once(async move {
            match rows.of_partition(partition, &kept, &context).await? {
                Some(files) => {
                    let rows = files.into_iter().map(|file| file.rows).collect();
                    Ok(batches(&of_schema, rows, condition, &context))
                }
                None => rows.plain_satisfying(condition)?.execute(partition, context),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, found.try_flatten())))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{RecordBatch, StringViewArray};
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::datasource::memory::MemorySourceConfig;
    use datafusion::datasource::table_schema::TableSchema;
    use datafusion::execution::object_store::ObjectStoreUrl;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, cast, col, lit};
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn no_condition_is_asked_of_rows_of_other_sites() {
        let texts = |name: &str| Field::new(name, DataType::Utf8View, false);
        let schema = Arc::new(Schema::new(vec![texts("site_id"), texts("path")]));
        let (sites, paths) = (["blog", "shop", "shop"], ["no number", "7", "2"]);
        let columns = [sites, paths].map(|values| Arc::new(StringViewArray::from_iter_values(values)) as _);
        let rows = RecordBatch::try_new(schema.clone(), columns.to_vec()).unwrap();
        let context = SessionContext::new();
        let store = ObjectStoreUrl::local_filesystem();
        let site_rows = SiteRows {
            site: "shop".into(),
            columns: vec![0, 1],
            groups: vec![],
            ordering: None,
            scans: FileScans::new(&context.state(), &store, &TableSchema::from(schema.clone())).unwrap(),
            plain: MemorySourceConfig::try_new_exec(&[vec![rows]], schema.clone(), None).unwrap(),
        };
        let number = cast(col("path", &schema).unwrap(), &schema, DataType::Int64).unwrap();
        let is_large = Arc::new(BinaryExpr::new(number, Operator::Gt, lit(3_i64)));
        let condition =
            Condition::new(&schema, [is_large as Arc<dyn datafusion::physical_expr::PhysicalExpr>]).unwrap();
        let plan = site_rows.plain_satisfying(Some(condition)).unwrap();
        let found = collect(plan, context.task_ctx()).await.unwrap();
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    }
}
