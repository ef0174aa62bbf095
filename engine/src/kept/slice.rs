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
    states: Mutex<AllStates>,
    /// Held by whoever reads more of the file, so that those who come meanwhile need not.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    count: Option<usize>,
    bytes: usize,
    columns: HashMap<usize, Arc<Column>>,
}

/// What aggregations make of the rows.
#[derive(Debug, Default)]
struct AllStates {
    /// Those that were asked for last come last.
    kept: Vec<States>,
    /// Questions whose states are too large, those that were asked last behind.
    without_room: Vec<Arc<Question>>,
}

impl AllStates {
    fn bytes(&self) -> usize {
        self.kept.iter().map(|states| states.bytes).sum()
    }
}

/// What an aggregation makes of the rows.
#[derive(Debug)]
struct States {
    question: Arc<Question>,
    states: RecordBatch,
    bytes: usize,
}

/// What all states of a file may take of what its rows do: one in so many bytes.
const STATES_SHARE: usize = 2;

/// What all states of a file may take, however few rows it has, in bytes.
const STATES_BYTES_MIN: usize = 1 << 16;

/// About what a question takes, in bytes.
const QUESTION_BYTES: usize = 1 << 11;

/// Questions of which a file remembers that their states are too large.
const WITHOUT_ROOM_MAX: usize = 16;

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
        let place = all.kept.iter().position(|states| Arc::ptr_eq(&states.question, question))?;
        let asked = all.kept.remove(place);
        let states = asked.states.clone();
        all.kept.push(asked);
        Some(states)
    }

    /// Whether states of so many bytes may be kept.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= self.states_bytes_max() / 2
    }

    /// What all states may take: a part of what the rows do, and some for questions however few the rows are.
    fn states_bytes_max(&self) -> usize {
        (self.known.lock().bytes / STATES_SHARE).max(STATES_BYTES_MIN)
    }

    /// Takes note that a question's states are too large to be kept.
    pub(super) fn note_no_room_for(&self, question: Arc<Question>) {
        let mut states = self.states.lock();
        states.without_room.retain(|other| !Arc::ptr_eq(other, &question));
        states.without_room.push(question);
        let too_many = states.without_room.len().saturating_sub(WITHOUT_ROOM_MAX);
        states.without_room.drain(..too_many);
    }

    pub(super) fn has_no_room_for(&self, question: &Arc<Question>) -> bool {
        self.states.lock().without_room.iter().any(|other| Arc::ptr_eq(other, question))
    }

    /// Keeps states for a question. Those that were not asked for longest go if there is no room for all.
    pub(super) fn keep_states(&self, question: Arc<Question>, states: &RecordBatch) {
        let (bytes, bytes_max) = (states.get_array_memory_size() + QUESTION_BYTES, self.states_bytes_max());
        let mut all = self.states.lock();
        // Others may have asked the same meanwhile.
        if all.kept.iter().any(|states| Arc::ptr_eq(&states.question, &question)) {
            return;
        }
        all.kept.push(States { question, states: states.clone(), bytes });
        let (mut left, mut gone) = (all.bytes(), 0);
        while left > bytes_max && gone < all.kept.len() {
            left -= all.kept[gone].bytes;
            gone += 1;
        }
        all.kept.drain(..gone);
    }

    /// What all states take.
    pub(super) fn states_bytes(&self) -> usize {
        self.states.lock().bytes()
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
