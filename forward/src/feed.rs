//! The rows that come after a position, in order.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Schema, TimestampMicrosecondType};
use futures::StreamExt;
use futures::stream::BoxStream;
use lake::{EVENTS, Erasures, Lake, LakeError, Position, Scan, TableFile, event_schema, read_batches};
use tokio::time::Instant;

/// For how long a list of erasures is taken for the newest.
const ERASURES_FOR: Duration = Duration::from_secs(1);

/// Rows, and where the row behind the last of them is.
pub(crate) struct Rows {
    /// Rows with the columns of `events`.
    pub(crate) batch: RecordBatch,
    /// Where the first of them is.
    pub(crate) at: Position,
}

/// What comes next.
pub(crate) enum Next {
    Rows(Rows),
    /// Nothing yet; the position to go on at.
    Nothing(Position),
}

/// Reads the rows of `events` in the order in which they became part of it.
pub(crate) struct Feed {
    lake: Lake,
    rows_min: usize,
    open: Option<Open>,
    erasures: Option<(Instant, Arc<Erasures>)>,
}

struct Open {
    files: Vec<TableFile>,
    rows: BoxStream<'static, lake::Result<RecordBatch>>,
    /// Where the next row of `rows` is.
    at: Position,
}

impl Feed {
    /// - `rows_min`: how many rows are handed over at a time at the least, if a file has as many.
    pub(crate) fn new(lake: Lake, rows_min: usize) -> Self {
        Self { lake, rows_min, open: None, erasures: None }
    }

    /// The rows at a position.
    pub(crate) async fn next(&mut self, position: Position) -> anyhow::Result<Next> {
        match self.read(position).await {
            Err(error) if is_gone(&error) => {
                self.open = None;
                Ok(Next::Nothing(around(&self.lake, position).await?))
            }
            other => {
                if other.is_err() {
                    self.open = None;
                }
                other
            }
        }
    }

    /// The list of erasures that the newest version of `events` honours.
    pub(crate) async fn erasures(&mut self) -> anyhow::Result<Arc<Erasures>> {
        if let Some((at, erasures)) = &self.erasures
            && at.elapsed() < ERASURES_FOR
        {
            return Ok(erasures.clone());
        }
        let table = self.lake.table(&EVENTS).load().await?;
        let erasures = self.lake.erasures_of(&table).await?;
        self.erasures = Some((Instant::now(), erasures.clone()));
        Ok(erasures)
    }

    async fn read(&mut self, mut position: Position) -> anyhow::Result<Next> {
        loop {
            if self.open.as_ref().is_none_or(|open| open.at != position) {
                self.open = open_at(&self.lake, &mut position).await?;
            }
            let Some(open) = &mut self.open else { return Ok(Next::Nothing(position)) };
            // Versions without new rows were passed over.
            position = open.at;
            match open.rows.next().await {
                Some(batch) => {
                    let mut batches = vec![batch?];
                    let mut count = batches[0].num_rows();
                    while count < self.rows_min
                        && let Some(batch) = open.rows.next().await
                    {
                        batches.push(batch?);
                        count = batches.iter().map(RecordBatch::num_rows).sum();
                    }
                    let batch = concat_batches(&batches[0].schema(), &batches)?;
                    let at = position;
                    open.at.row += batch.num_rows() as u64;
                    let batch = match position.scan {
                        Some(scan) => since(&batch, scan)?,
                        None => batch,
                    };
                    let batch = with_all_columns(&batch)?;
                    return Ok(Next::Rows(Rows { batch, at }));
                }
                None if (open.at.file + 1) < open.files.len() as u64 => {
                    position = Position { file: open.at.file + 1, row: 0, ..open.at };
                    self.open = None;
                }
                None => {
                    // The version is done. What it was scanned for is in it, so new rows come behind it.
                    position = Position { version: position.version + 1, ..Position::default() };
                    self.open = None;
                }
            }
        }
    }
}

/// Opens the file of a position, or that of the next version with new rows. `None` if there is none yet; then the position
/// is behind all versions that there are, so that vacuum keeps nothing for it.
async fn open_at(lake: &Lake, position: &mut Position) -> anyhow::Result<Option<Open>> {
    let Some(newest) = lake.newest_events().await? else { return Ok(None) };
    while position.version <= newest {
        let files = match position.scan {
            Some(scan) => lake.files_since(position.version, scan).await?,
            None => lake.new_files(position.version).await?,
        };
        if let Some(file) = files.get(position.file as usize) {
            let rows = rows_of(lake, file, position.row).await?;
            return Ok(Some(Open { rows, files, at: *position }));
        }
        *position = Position { version: position.version + 1, ..Position::default() };
    }
    Ok(None)
}

/// The rows of a file behind the first `skipped`.
async fn rows_of(
    lake: &Lake,
    file: &TableFile,
    skipped: u64,
) -> anyhow::Result<BoxStream<'static, lake::Result<RecordBatch>>> {
    let schema = event_schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let rows = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
    let mut left = skipped as usize;
    Ok(rows
        .filter_map(move |batch| {
            let batch = batch.map(|batch| {
                let skipped = left.min(batch.num_rows());
                left -= skipped;
                batch.slice(skipped, batch.num_rows() - skipped)
            });
            std::future::ready(Some(batch).filter(|batch| batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)))
        })
        .boxed())
}

/// The position to go on at if the files of one are deleted: all rows of the newest version that came no earlier than
/// the earliest that was not sent. Some of them were sent before; none is left out.
async fn around(lake: &Lake, position: Position) -> anyhow::Result<Position> {
    let newest = lake.newest_events().await?.unwrap_or(position.version);
    let scan = match position.scan {
        Some(scan) => scan,
        None => {
            let mut since_us = i64::MAX;
            for version in position.version..=newest {
                for file in lake.new_files(version).await? {
                    since_us = since_us.min(file.times_us("received_at").map_or(0, |(first, _)| first));
                }
            }
            Scan::ReceivedSince(since_us)
        }
    };
    tracing::warn!(
        version = position.version,
        newest,
        "events that wait were merged and their own files deleted; they are found by their time of arrival, and some \
         that were sent before are sent again. A longer --replaced-grace of the compactor avoids it"
    );
    Ok(Position { version: newest, scan: Some(scan), file: 0, row: 0 })
}

fn is_gone(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<LakeError>(), Some(LakeError::Gone { .. }))
}

/// The same number of rows; those before the time of a scan have no site, so that they are nobody's.
fn since(batch: &RecordBatch, scan: Scan) -> anyhow::Result<RecordBatch> {
    let times = batch[scan.column()].as_primitive::<TimestampMicrosecondType>();
    let is_before: BooleanArray = times.iter().map(|at| Some(at.is_none_or(|at| at < scan.since_us()))).collect();
    if is_before.true_count() == 0 {
        return Ok(batch.clone());
    }
    let sites = batch["site_id"].as_string::<i32>();
    let kept: arrow::array::StringArray =
        (0..batch.num_rows()).map(|row| Some(if is_before.value(row) { "" } else { sites.value(row) })).collect();
    let index = batch.schema().index_of("site_id")?;
    let mut columns = batch.columns().to_vec();
    columns[index] = Arc::new(kept);
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// Rows with the columns of `events`, in order: files of earlier releases lack some.
fn with_all_columns(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let schema = event_schema();
    let column = |field: &Arc<arrow::datatypes::Field>| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => cast(column, field.data_type()),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<_> = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    debug_assert!(fields.iter().all(|field| !matches!(field.data_type(), DataType::Null)));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
