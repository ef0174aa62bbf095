//! The rows of one site in one file, as far as anybody asked for them.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{RecordBatch, StringViewArray};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{concat_batches, filter_record_batch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use futures::StreamExt;
use lake::EVENTS;
use parking_lot::Mutex;

use super::column::Column;
use super::question::Question;
use crate::tables::file_scans::{FileScans, of_site};

/// Columns of rows.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) count: usize,
    pub(super) columns: Vec<Arc<Column>>,
}

/// The columns that are kept of a site's rows in a file, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Slice {
    known: Mutex<Known>,
    /// States that were made of the rows, those that were asked for last behind.
    states: Mutex<Vec<States>>,
    /// Held by whoever reads more of the file, so that those who come meanwhile need not.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    count: Option<usize>,
    bytes: usize,
    columns: HashMap<usize, Arc<Column>>,
}

/// What an aggregation makes of the rows.
#[derive(Debug)]
struct States {
    question: Arc<Question>,
    states: RecordBatch,
    bytes: usize,
}

/// What all states of a file may take, however few rows it has, in bytes.
const STATES_BYTES_MIN: usize = 1 << 15;

/// The number of the column that tells whose a row is.
fn site_column() -> usize {
    EVENTS.file_schema.index_of("site_id").expect("events have a site")
}

impl Slice {
    /// These columns, if all of them are kept.
    pub(super) fn known(&self, columns: &[usize]) -> Option<Rows> {
        let known = self.known.lock();
        let columns: Option<Vec<_>> = columns.iter().map(|column| known.columns.get(column).cloned()).collect();
        Some(Rows { count: known.count?, columns: columns? })
    }

    /// The states that are kept for a question.
    pub(super) fn states(&self, question: &Arc<Question>) -> Option<RecordBatch> {
        let mut all = self.states.lock();
        let place = all.iter().position(|states| Arc::ptr_eq(&states.question, question))?;
        let asked = all.remove(place);
        let states = asked.states.clone();
        all.push(asked);
        Some(states)
    }

    /// Keeps states for a question. All states take no more than the rows; those that were not asked for longest go.
    /// Returns by how many bytes they are more than before.
    pub(super) fn keep_states(&self, question: Arc<Question>, states: &RecordBatch) -> isize {
        let bytes = states.get_array_memory_size();
        let bytes_max = self.known.lock().bytes.max(STATES_BYTES_MIN);
        let mut all = self.states.lock();
        // Others may have asked the same meanwhile.
        if bytes > bytes_max / 2 || all.iter().any(|states| Arc::ptr_eq(&states.question, &question)) {
            return 0;
        }
        let before: usize = all.iter().map(|states| states.bytes).sum();
        all.push(States { question, states: states.clone(), bytes });
        let (mut now, mut gone) = (before + bytes, 0);
        while now > bytes_max {
            now -= all[gone].bytes;
            gone += 1;
        }
        all.drain(..gone);
        now as isize - before as isize
    }

    /// These columns, of which it reads those that are not kept yet. With how many bytes it keeps more than before.
    pub(super) async fn read(
        &self,
        file: &PartitionedFile,
        site: &str,
        columns: &[usize],
        scans: &FileScans,
        context: Arc<TaskContext>,
    ) -> Result<(Rows, usize)> {
        let _reading = self.reading.lock().await;
        if let Some(rows) = self.known(columns) {
            return Ok((rows, 0));
        }
        let mut missing: Vec<usize> = {
            let known = self.known.lock();
            columns.iter().copied().filter(|column| !known.columns.contains_key(column)).collect()
        };
        missing.sort_unstable();
        missing.dedup();
        let read = rows_of_site(file, site, &missing, scans, context).await?;
        let mut bytes = 0;
        let mut known = self.known.lock();
        if known.count.is_some_and(|count| count != read.num_rows()) {
            let path = &file.object_meta.location;
            return Err(DataFusionError::Internal(format!("{path} had another number of rows of {site} before")));
        }
        known.count = Some(read.num_rows());
        for (number, values) in missing.iter().zip(read.columns()) {
            let column = Column::of(values.clone());
            bytes += column.bytes();
            known.columns.insert(*number, Arc::new(column));
        }
        known.bytes += bytes;
        drop(known);
        let rows = self.known(columns).expect("all of them are kept now");
        Ok((rows, bytes))
    }
}

/// Columns of a site's rows in a file, by their numbers.
async fn rows_of_site(
    file: &PartitionedFile,
    site: &str,
    columns: &[usize],
    scans: &FileScans,
    context: Arc<TaskContext>,
) -> Result<RecordBatch> {
    // The column of the site is read besides, if it is not asked for.
    let site_id = site_column();
    let with_site: Vec<usize> =
        columns.iter().copied().chain((!columns.contains(&site_id)).then_some(site_id)).collect();
    let place = with_site.iter().position(|column| *column == site_id).expect("it is one of them");
    let plan = of_site(scans.of_one(file.clone(), &with_site)?, site, context.session_config().options())?;
    let schema = plan.schema();
    let site = StringViewArray::new_scalar(site);
    let (mut events, mut batches) = (plan.execute(0, context)?, Vec::new());
    while let Some(batch) = events.next().await.transpose()? {
        let own = filter_record_batch(&batch, &cmp::eq(batch.column(place), &site)?)?;
        batches.push(own.project(&(0..columns.len()).collect::<Vec<_>>())?);
    }
    let schema = Arc::new(schema.project(&(0..columns.len()).collect::<Vec<_>>())?);
    Ok(concat_batches(&schema, &batches)?)
}
