//! Rows of sites, kept in memory for whoever asks of the site next.
//!
//! A dashboard asks a dozen questions of one site at once, and a dozen more at each click. Files of the table never change, so
//! what a question reads of one is there for the next: the rows of the site in a file, column by column as they are asked for,
//! texts as numbers of the different ones ([`column`]). Pending rows are not kept; they are few, and others at each moment.
//! Sessions are kept as they were made ([`made`]), for as long as no event comes.
//!
//! [`KeptRows`] has them within a bound, of which one site takes no more than a part: larger sites are read from their
//! files. Whether a session keeps rows is its caller's choice ([`SqlSession::keeping_rows`](crate::SqlSession::keeping_rows)).

mod column;
mod exec;
mod made;
mod memory;
mod slice;

use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::ExecutionPlan;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::exec::KeptRowsExec;
pub(crate) use self::made::MadeRows;
pub(crate) use self::memory::KeptRows;
use self::slice::Rows;
use crate::tables::file_scans::FileScans;

/// What a scan wants of files.
pub(crate) struct Wanted<'a> {
    /// The columns of the table.
    pub(crate) schema: &'a SchemaRef,
    /// Those that are read, by their numbers.
    pub(crate) columns: &'a [usize],
    pub(crate) site: Arc<str>,
    /// The files of each partition.
    pub(crate) groups: Vec<Vec<PartitionedFile>>,
    /// The order that each partition's rows come in, if they have one.
    pub(crate) ordering: Option<LexOrdering>,
}

impl KeptRows {
    /// A plan with the site's rows, which it reads as far as they are not kept. `None` if they are too many to be kept.
    pub(crate) async fn scan(
        self: &Arc<Self>,
        state: &dyn Session,
        wanted: Wanted<'_>,
        scans: &FileScans,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Wanted { schema, columns, site, groups, ordering } = wanted;
        let files: Vec<&PartitionedFile> = groups.iter().flatten().collect();
        let row_bytes =
            columns.iter().map(|column| column::row_bytes(schema.field(*column).data_type())).sum::<usize>();
        let mut all = Vec::with_capacity(files.len());
        if self.rows_of_file(&site).is_none()
            && let Some(first) = files.first()
        {
            all.extend(self.rows(state, &site, columns, &[first], scans).await?);
        }
        if !self.has_room(&site, files.len(), row_bytes) {
            return Ok(None);
        }
        all.extend(self.rows(state, &site, columns, &files[all.len()..], scans).await?);
        let mut all = all.into_iter();
        let partitions = groups.iter().map(|group| all.by_ref().take(group.len()).collect()).collect();
        Ok(Some(Arc::new(KeptRowsExec::new(Arc::new(schema.project(columns)?), partitions, ordering))))
    }

    /// The site's rows in some files, in their order.
    async fn rows(
        self: &Arc<Self>,
        state: &dyn Session,
        site: &Arc<str>,
        columns: &[usize],
        files: &[&PartitionedFile],
        scans: &FileScans,
    ) -> Result<Vec<Rows>> {
        let mut all: Vec<Option<Rows>> = Vec::with_capacity(files.len());
        let (mut reading, turns) = (JoinSet::new(), Arc::new(Semaphore::new(state.config().target_partitions())));
        for (number, file) in files.iter().enumerate() {
            let slice = self.slice(&file.object_meta.location, site);
            let known = slice.known(columns);
            if known.is_none() {
                let (kept, scans, turns, context) = (self.clone(), scans.clone(), turns.clone(), state.task_ctx());
                let (file, site, columns) = ((*file).clone(), site.clone(), columns.to_vec());
                reading.spawn(async move {
                    let _turn = turns.acquire_owned().await;
                    let (rows, bytes) = slice.read(&file, &site, &columns, &scans, context).await?;
                    kept.grew(&file.object_meta.location, &site, &slice, rows.count, bytes);
                    Ok::<_, DataFusionError>((number, rows))
                });
            }
            all.push(known);
        }
        while let Some(read) = reading.join_next().await {
            let read =
                read.map_err(|error| DataFusionError::Internal(format!("a reader of events stopped: {error}")))?;
            let (number, rows) = read?;
            all[number] = Some(rows);
        }
        Ok(all.into_iter().map(|rows| rows.expect("each was kept, or read")).collect())
    }
}
