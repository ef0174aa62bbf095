//! A statement with its values, as far as its rows were sent.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion::scalar::ScalarValue;
use engine::{LimitedRows, QueryLimits, Turn};
use tokio::time::{Instant, timeout_at};

use super::prepared::Prepared;
use super::{Outcome, Session};
use crate::copy::CopyForm;
use crate::failure::{self, Failure, report};
use crate::format::values::{self, Column};
use crate::messages::{Answers, Format, Report, format_of};
use crate::reader::{Asker, Query};

/// So much is written before it is sent.
const SEND_BYTES: usize = 64 << 10;

/// A statement with its values.
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    pub(super) formats: Vec<Format>,
    pub(super) state: State,
}

/// How far it is.
pub(super) enum State {
    New,
    Running(Box<Running>),
    Done,
    /// It ran for too long between two reads of its rows.
    Expired,
}

/// A query whose rows are being read.
pub(super) struct Running {
    rows: LimitedRows,
    /// Rows that were found and not sent yet.
    found: Option<(Vec<Column>, usize, usize)>,
    deadline: Instant,
    /// One of the queries that the client's key may run at a time.
    _turn: Option<Turn>,
}

impl Portal {
    pub(super) fn new(prepared: Arc<Prepared>, values: Vec<ScalarValue>, formats: Vec<Format>) -> Self {
        Self { prepared, values, formats, state: State::New }
    }

    /// When its query has to end, if it runs.
    pub(super) fn expires(&self) -> Option<Instant> {
        match &self.state {
            State::Running(running) => Some(running.deadline),
            State::New | State::Done | State::Expired => None,
        }
    }
}

/// How rows are written.
enum Form<'a> {
    Rows(&'a [Format]),
    Lines(&'a CopyForm),
}

impl Form<'_> {
    fn put(&self, columns: &[Column], row: usize, answers: &mut Answers<'_>) -> Result<(), ArrowError> {
        match self {
            Self::Rows(formats) => answers.row(columns.len(), |out| {
                for (place, column) in columns.iter().enumerate() {
                    column.put(row, format_of(formats, place).unwrap_or_default(), out)?;
                }
                Ok(())
            }),
            Self::Lines(form) => answers.copy_data(|out| form.put_row(columns, row, out)),
        }
    }
}

impl Session {
    /// Sends the next rows of a query, and returns how many.
    ///
    /// - `rows_max`: how many at most; 0 is all.
    pub(super) async fn rows(&mut self, portal: &mut Portal, rows_max: usize) -> Outcome<u64> {
        let prepared = portal.prepared.clone();
        let (query, form) = match &*prepared {
            Prepared::Query(query) => (query, Form::Rows(&portal.formats)),
            Prepared::Copy(query, form) => (query, Form::Lines(form)),
            _ => return Err(report("34000", "the portal has no rows").into()),
        };
        let mut running = match std::mem::replace(&mut portal.state, State::Done) {
            State::New => Box::new(self.begin(&prepared, &portal.values).await?),
            State::Running(running) => running,
            State::Done => return Ok(0),
            State::Expired => {
                portal.state = State::Expired;
                return Err(report("57014", "the query took too long between two reads of its rows").into());
            }
        };
        let sent = self.send(&mut running, query, &form, rows_max).await?;
        if rows_max > 0 && sent == rows_max as u64 {
            portal.state = State::Running(running);
        }
        Ok(sent)
    }

    async fn begin(&mut self, prepared: &Arc<Prepared>, values: &[ScalarValue]) -> Outcome<Running> {
        let limits = self.limits();
        let deadline = Instant::now() + limits.timeout.min(QueryLimits::default().timeout * 1_000);
        let asker = Asker { access: self.client.access.clone(), share: self.share.clone() };
        let held = self.portals.values().filter(|portal| matches!(portal.state, State::Running(_))).count();
        let (reader, prepared, values) = (self.services.reader.clone(), prepared.clone(), values.to_vec());
        let beginning = async move {
            match &*prepared {
                Prepared::Query(query) | Prepared::Copy(query, _) => {
                    reader.run(query, &values, &asker, held, limits).await
                }
                _ => Err(report("34000", "the portal has no rows")),
            }
        };
        let (rows, turn) = self.unless_cancelled(beginning).await?;
        Ok(Running { rows, found: None, deadline, _turn: turn })
    }

    /// The server's limits, or what the client wants if that is less.
    fn limits(&self) -> QueryLimits {
        let mut limits = self.services.reader.limits();
        if let Some(timeout) = self.client.timeout {
            limits.timeout = limits.timeout.min(timeout);
        }
        limits
    }

    async fn send(&mut self, running: &mut Running, query: &Query, form: &Form<'_>, rows_max: usize) -> Outcome<u64> {
        let mut sent = 0;
        loop {
            if running.found.is_none() {
                let rows = &mut running.rows;
                let next = async { rows.next().await.map_err(|error| failure::of_engine(&error, None)) };
                let Some(batch) = self.unless_cancelled(next).await? else { return Ok(sent) };
                let columns =
                    conform(&batch, &query.schema).and_then(|batch| values::columns(&batch)).map_err(unwritable)?;
                running.found = Some((columns, 0, batch.num_rows()));
            }
            let Some((columns, next, count)) = &mut running.found else { continue };
            while *next < *count {
                if rows_max > 0 && sent == rows_max as u64 {
                    return Ok(sent);
                }
                form.put(columns, *next, &mut self.wire.answers()).map_err(unwritable)?;
                *next += 1;
                sent += 1;
                if self.wire.unsent() >= SEND_BYTES {
                    self.flush_until(running.deadline).await?;
                }
            }
            running.found = None;
        }
    }

    /// Sends what is written, unless the client cancels, or reads nothing until the query's time is over.
    async fn flush_until(&mut self, deadline: Instant) -> Outcome {
        tokio::select! {
            biased;
            () = self.running.cancelled() => Err(failure::cancelled().into()),
            sent = timeout_at(deadline, self.wire.flush()) => match sent {
                Ok(sent) => sent.map_err(Failure::from),
                Err(_) => Err(Failure::Gone),
            },
        }
    }
}

fn unwritable(error: ArrowError) -> Report {
    report("0A000", format!("the answer cannot be written: {error}"))
}

/// The rows with the types that the client was told.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let told = schema.fields().iter().map(|field| field.data_type());
    if batch.columns().iter().map(|column| column.data_type()).eq(told.clone()) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().zip(told).map(|(column, told)| cast(column, told));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::new(relaxed(schema)), columns)
}

/// The schema with columns that may be null.
fn relaxed(schema: &SchemaRef) -> arrow::datatypes::Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    arrow::datatypes::Schema::new(fields.collect::<Vec<_>>())
}
