//! A table over an explicit list of Parquet files: which of them a query reads, and in which order.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::parquet::transform_schema_to_view;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::scalar::ScalarValue;
use lake::{EVENTS, FileRange, TableFile, TableSnapshot, TableSpec, Value};

use crate::kept::{KeptRows, SiteRows, SiteRowsExec};
use crate::tables::comparisons::site_of;
use crate::tables::file_scans::{FileScans, of_site};

/// Up to this many files for each core are read side by side, each in its declared order. More are read one after the
/// other in one group for each core, and their order is not used.
const ORDERED_FILES_PER_CORE: usize = 8;

/// A table that is a list of files, and nothing else: no listing, no inference.
#[derive(Debug)]
pub(crate) struct FilesTable {
    store: ObjectStoreUrl,
    schema: TableSchema,
    files: Files,
    sort: &'static [&'static str],
    always_ordered: bool,
    /// Whether rows of sites may be kept.
    keeps_rows: bool,
}

/// The files of a table, in the form in which they are known. DataFusion's description of a file takes twenty times the
/// memory of the log's, so it is made only of files that a query reads.
pub(crate) enum Files {
    /// The files of a snapshot, with what the log says of their columns.
    Snapshot(Arc<TableSnapshot>),
    /// Files that were chosen from a table.
    Chosen(Vec<TableFile>),
    /// Files that no log describes.
    Undescribed(Vec<PartitionedFile>),
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undescribed(files) => write!(f, "{} files", files.len()),
            other => write!(f, "{} files", other.described().len()),
        }
    }
}

impl Files {
    /// The files that the log describes.
    fn described(&self) -> &[TableFile] {
        match self {
            Self::Snapshot(snapshot) => &snapshot.files,
            Self::Chosen(files) => files,
            Self::Undescribed(_) => &[],
        }
    }
}

/// Above this many files, the bounds of their columns choose the files and are then left out of the plan.
const DESCRIBED_FILES_MAX: usize = 1_000;

impl FilesTable {
    /// - `file_schema`: the columns in the files.
    /// - `partition`: the columns that a file has one value of, in the order of its `partition_values`.
    /// - `sort`: the columns that every file is sorted by, ascending, nulls first; may be empty.
    pub(crate) fn new(
        store: ObjectStoreUrl,
        file_schema: SchemaRef,
        partition: Vec<FieldRef>,
        files: Files,
        sort: &'static [&'static str],
    ) -> Self {
        Self {
            store,
            schema: TableSchema::builder(file_schema).with_table_partition_cols(partition).build(),
            files,
            sort,
            always_ordered: false,
            keeps_rows: false,
        }
    }

    /// Files of a table with a log.
    pub(crate) fn of(spec: &'static TableSpec, store: ObjectStoreUrl, files: Files) -> Self {
        let date = Arc::new(Field::new(DATE, DataType::Date32, true));
        let keeps_rows = spec.name == EVENTS.name;
        Self { keeps_rows, ..Self::new(store, view_types(&spec.file_schema), vec![date], files, spec.sort) }
    }

    /// Reads every file in its order, however many there are: for a merge, which wants nothing else.
    pub(crate) fn always_ordered(mut self) -> Self {
        self.always_ordered = true;
        self
    }

    /// The files in which rows may satisfy `filters`, by what the log says of them and their partition values.
    fn prune(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        if let Files::Undescribed(files) = &self.files {
            return Ok(files.clone());
        }
        let files = self.files.described();
        let all = || vec![true; files.len()];
        let keep = match conjunction(filters.iter().cloned()) {
            None => all(),
            Some(filter) => {
                let schema = self.schema.table_schema();
                let predicate = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
                match PruningPredicateBuilder::new().with_file_schema(schema.clone()).build(predicate) {
                    Some(predicate) => predicate.prune(&FileBounds { files, schema })?,
                    None => all(),
                }
            }
        };
        let described = keep.iter().filter(|keep| **keep).count() <= DESCRIBED_FILES_MAX;
        let chosen = files.iter().zip(keep).filter(|(_, keep)| *keep);
        Ok(chosen.map(|(file, _)| partitioned(file, self.schema.file_schema(), described)).collect())
    }

    /// The order of the table over some of its columns.
    fn ordering_of(&self, columns: &[usize]) -> Result<Option<LexOrdering>> {
        let schema = self.schema.table_schema().project(columns)?;
        let known = self.sort.iter().map_while(|name| col(name, &schema).ok());
        Ok(LexOrdering::new(known.map(|column| PhysicalSortExpr::new(column, nulls_first()))))
    }

    fn ordering(&self) -> Result<Option<LexOrdering>> {
        let schema = self.schema.table_schema();
        let columns = self
            .sort
            .iter()
            .map(|name| Ok(PhysicalSortExpr::new(col(name, schema)?, nulls_first())))
            .collect::<Result<Vec<_>>>()?;
        Ok(LexOrdering::new(columns))
    }
}

/// The bounds of files, for pruning. DataFusion's own form of this takes only exact bounds; ours hold and are
/// not tight, which is all that pruning needs.
struct FileBounds<'a> {
    files: &'a [TableFile],
    schema: &'a SchemaRef,
}

impl FileBounds<'_> {
    fn bounds(&self, column: &Column, of: impl Fn(&FileRange) -> &Value) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(column.name()).ok()?;
        let unknown = ScalarValue::try_new_null(field.data_type()).ok()?;
        let known = |file: &TableFile| match column.name() {
            DATE => Some(ScalarValue::Date32(days_since_epoch(file)).cast_to(field.data_type()).ok()?),
            name => Some(scalar(of(file.ranges.get(name)?), field.data_type())),
        };
        let bounds: Vec<Option<ScalarValue>> = self.files.iter().map(known).collect();
        if bounds.iter().all(Option::is_none) {
            return None;
        }
        ScalarValue::iter_to_array(bounds.into_iter().map(|bound| bound.unwrap_or_else(|| unknown.clone()))).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |range| &range.min)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(column, |range| &range.max)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

fn nulls_first() -> datafusion::arrow::compute::SortOptions {
    datafusion::arrow::compute::SortOptions { descending: false, nulls_first: true }
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
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
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.prune(state, filters)?;
        if files.is_empty() {
            let schema = datafusion::physical_plan::project_schema(&self.schema(), projection)?;
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let cores = state.config().target_partitions();
        let ordering =
            self.ordering()?.filter(|_| self.always_ordered || files.len() <= cores * ORDERED_FILES_PER_CORE);
        let groups = match ordering {
            Some(_) => files.into_iter().map(|file| FileGroup::new(vec![file])).collect(),
            None => FileGroup::new(files).split_files(cores),
        };

        let scans = FileScans::new(state, &self.store, &self.schema)?;
        if let (true, Some(kept), Some(site), Some(columns)) =
            (self.keeps_rows, state.config().get_extension::<KeptRows>(), site_of(filters), projection)
        {
            let ordering_of_columns = match ordering {
                Some(_) => self.ordering_of(columns)?,
                None => None,
            };
            let rows = SiteRows {
                site: site.clone(),
                columns: columns.clone(),
                groups: groups.iter().map(|group| group.files().to_vec()).collect(),
                ordering: ordering_of_columns,
                plain: of_site(scans.plan(groups, projection, None, ordering)?, &site, state.config().options())?,
                scans,
            };
            return Ok(match rows.have_room(&kept) {
                true => Arc::new(SiteRowsExec::new(kept, rows)),
                false => rows.plain,
            });
        }
        scans.plan(groups, projection, limit, ordering)
    }
}

/// The same columns with text and bytes as views, which scans read without copying.
pub(crate) fn view_types(schema: &SchemaRef) -> SchemaRef {
    Arc::new(transform_schema_to_view(schema as &Schema))
}

/// The partition column of every table with a log.
const DATE: &str = "date";

fn days_since_epoch(file: &TableFile) -> Option<i32> {
    file.date.map(|date| (date - chrono::NaiveDate::default()).num_days() as i32)
}

/// A published file as DataFusion plans with it: place, size, date and, if it is to be `described`, what the log says
/// of its columns.
fn partitioned(file: &TableFile, file_schema: &SchemaRef, described: bool) -> PartitionedFile {
    let place = immutable(file.path.clone(), file.size_bytes)
        .with_partition_values(vec![ScalarValue::Date32(days_since_epoch(file))]);
    if !described {
        return place;
    }
    let columns = file_schema
        .fields()
        .iter()
        .map(|field| match file.ranges.get(field.name()) {
            Some(range) => column_statistics(range, field.data_type()),
            None => ColumnStatistics::new_unknown(),
        })
        .collect();
    let statistics = Statistics {
        // Another engine's file may come without a count.
        num_rows: if file.rows == 0 { Precision::Absent } else { Precision::Exact(file.rows as usize) },
        total_byte_size: Precision::Inexact(file.size_bytes as usize),
        column_statistics: columns,
    };
    place.with_statistics(Arc::new(statistics))
}

/// A file by its path and size. Files of the lake never change, so a fixed time of modification serves as the key
/// under which their metadata is cached.
pub(crate) fn immutable(path: object_store::path::Path, size_bytes: u64) -> PartitionedFile {
    PartitionedFile::new_from_meta(object_store::ObjectMeta {
        location: path,
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: size_bytes,
        e_tag: None,
        version: None,
    })
}

/// Bounds are inexact: times are cut to milliseconds, so that no answer may be taken from them.
fn column_statistics(range: &FileRange, data_type: &DataType) -> ColumnStatistics {
    ColumnStatistics::new_unknown()
        .with_min_value(Precision::Inexact(scalar(&range.min, data_type)))
        .with_max_value(Precision::Inexact(scalar(&range.max, data_type)))
        .with_null_count(match range.nulls {
            Some(nulls) => Precision::Exact(nulls as usize),
            None => Precision::Absent,
        })
}

fn scalar(value: &Value, data_type: &DataType) -> ScalarValue {
    match value {
        Value::Integer(integer) => ScalarValue::Int64(Some(*integer)),
        Value::TimeUs(us) => ScalarValue::TimestampMicrosecond(Some(*us), Some("UTC".into())),
        Value::Text(text) if *data_type == DataType::Utf8View => ScalarValue::Utf8View(Some(text.clone())),
        Value::Text(text) => ScalarValue::Utf8(Some(text.clone())),
    }
}
