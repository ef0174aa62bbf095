//! Limits that end a query: its wall clock, and the rows of its answer. (Memory and temporary disk are the
//! [engine's](crate::EngineSettings), which all queries share.)
//!
//! A query runs on threads of its own and hands its rows over. Whoever waits for them reads the clock, so the limit holds
//! even if the query keeps its threads busy without a pause, or waits for something that never comes, as DataFusion 55 may
//! when it spills with very little memory (its issue 24883).

pub mod floors;
pub(crate) mod memory;
pub(crate) mod shares;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::error::{EngineError, Result};
use crate::params::Param;
use crate::session::{QueryResult, SqlSession};

/// Batches that a query may be ahead of its reader.
const BATCHES_AHEAD: usize = 2;

/// What one query may take.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// How long a query may take, until its last row is read.
    #[arg(long = "query-timeout", env = "DEWPOND_QUERY_TIMEOUT", default_value = "10m", value_parser = floors::timeout, value_name = "TIME")]
    pub timeout: Duration,

    /// How many rows an answer may have; as many as there are if not given.
    #[arg(long = "query-rows-max", env = "DEWPOND_QUERY_ROWS_MAX", value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub rows_max: Option<u64>,

    /// The flags that raise these limits, for messages.
    #[arg(skip)]
    pub flags: LimitFlags,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(600), rows_max: None, flags: LimitFlags::default() }
    }
}

/// The flags that raise a query's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFlags {
    /// Of the wall clock.
    pub timeout: &'static str,
    /// Of the answer's rows.
    pub rows_max: &'static str,
}

impl Default for LimitFlags {
    fn default() -> Self {
        Self { timeout: "--query-timeout", rows_max: "--query-rows-max" }
    }
}

/// Where queries run, apart from whoever waits for them: a query that keeps these threads busy keeps no clock from being
/// read and no request from being answered.
static QUERY_THREADS: LazyLock<Runtime> = LazyLock::new(|| {
    let threads = Builder::new_multi_thread().thread_name("query").enable_all().build();
    threads.expect("the system has threads for queries")
});

/// The rows of an answer as they are found, within the query's limits. Dropped, it ends the query.
pub struct LimitedRows {
    schema: SchemaRef,
    repeatable: bool,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    query: AbortOnDrop,
    clock: Clock,
    rows: u64,
    /// Whether the last rows were read. How the query ended can be asked once.
    is_over: bool,
}

/// When a query must end, and what to say if it has not.
#[derive(Clone, Copy)]
struct Clock {
    deadline: Instant,
    limits: QueryLimits,
}

impl Clock {
    async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let done = timeout_at(self.deadline, work).await.map_err(|_| self.too_late())?;
        // Rows that always wait to be read must not keep the clock from being looked at.
        match Instant::now() <= self.deadline {
            true => Ok(done),
            false => Err(self.too_late()),
        }
    }

    fn too_late(&self) -> EngineError {
        let QueryLimits { timeout, flags, .. } = self.limits;
        EngineError::Timeout { after: timeout, flag: flags.timeout }
    }
}

/// A query on its threads.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LimitedRows {
    /// Names and types of the columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Whether the answer may be kept, see [`SqlSession::plan_repeatable`].
    pub fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// When the query ends whether it is done or not.
    pub fn deadline(&self) -> Instant {
        self.clock.deadline
    }

    /// What is said of a query that has not ended by then.
    pub fn too_late(&self) -> EngineError {
        self.clock.too_late()
    }

    /// The next rows; `None` after the last, however often they are asked for.
    ///
    /// Fails with [`EngineError::Timeout`] or [`EngineError::TooManyRows`] beyond a limit, and as the query does. Nothing
    /// comes after an error.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.is_over {
            return Ok(None);
        }
        let batch = match self.clock.within(self.batches.recv()).await {
            Ok(Some(batch)) => batch?,
            Ok(None) => return self.ended().await,
            Err(error) => {
                self.query.0.abort();
                self.batches.close();
                return Err(error);
            }
        };
        self.rows += batch.num_rows() as u64;
        self.clock.limits.check_row_count(self.rows).inspect_err(|_| self.query.0.abort())?;
        Ok(Some(batch))
    }

    /// The query hands no more over: it is done, or it crashed.
    async fn ended(&mut self) -> Result<Option<RecordBatch>> {
        self.is_over = true;
        match (&mut self.query.0).await {
            Ok(()) => Ok(None),
            Err(error) => Err(EngineError::Defect { message: format!("the query crashed: {error}") }),
        }
    }
}

impl QueryLimits {
    /// Does work of a query on the threads of queries, within the wall clock.
    ///
    /// Fails with [`EngineError::Timeout`] beyond it, and as the work does.
    pub async fn run<T: Send + 'static>(self, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (sender, done) = tokio::sync::oneshot::channel();
        // Nobody may wait any more.
        let _query = AbortOnDrop(QUERY_THREADS.spawn(async move { drop(sender.send(work.await)) }));
        match self.clock().within(done).await? {
            Ok(done) => done,
            Err(_) => Err(EngineError::Defect { message: "the query crashed".into() }),
        }
    }

    /// Checks the number of an answer's rows. Fails with [`EngineError::TooManyRows`].
    pub fn check_rows(&self, answer: &QueryResult) -> Result<()> {
        self.check_row_count(answer.batches.iter().map(|batch| batch.num_rows() as u64).sum())
    }

    fn check_row_count(&self, rows: u64) -> Result<()> {
        match self.rows_max {
            Some(rows_max) if rows > rows_max => Err(EngineError::TooManyRows { rows_max, flag: self.flags.rows_max }),
            _ => Ok(()),
        }
    }

    fn clock(self) -> Clock {
        // A time too far away is none.
        let far = Duration::from_secs(100 * 366 * 24 * 3_600);
        Clock { deadline: Instant::now() + self.timeout.min(far), limits: self }
    }
}

impl SqlSession {
    /// Answers one query as [`stream`](Self::stream) does, within `limits`.
    pub async fn stream_within(
        self: &Arc<Self>,
        sql: &str,
        params: &[(String, Param)],
        limits: QueryLimits,
    ) -> Result<LimitedRows> {
        let clock = limits.clock();
        let (session, sql, params) = (self.clone(), sql.to_owned(), params.to_vec());
        let (planned, plan) = tokio::sync::oneshot::channel();
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let query = AbortOnDrop(QUERY_THREADS.spawn(async move {
            let begin = async {
                let (rows, repeatable) = session.plan_repeatable(&sql, &params).await?;
                Ok::<_, EngineError>((rows.execute_stream().await?, repeatable))
            };
            let mut rows = match begin.await {
                Ok((rows, repeatable)) => {
                    // Nobody waits any more.
                    let Ok(()) = planned.send(Ok((rows.schema(), repeatable))) else { return };
                    rows
                }
                Err(error) => return drop(planned.send(Err(error))),
            };
            loop {
                let batch = match rows.try_next().await {
                    Ok(Some(batch)) => Ok(batch),
                    Ok(None) => return,
                    Err(error) => Err(error.into()),
                };
                let is_last = batch.is_err();
                if sender.send(batch).await.is_err() || is_last {
                    return;
                }
            }
        }));
        let (schema, repeatable) = match clock.within(plan).await? {
            Ok(planned) => planned?,
            Err(_) => return Err(EngineError::Defect { message: "the query crashed while it was planned".into() }),
        };
        Ok(LimitedRows { schema, repeatable, batches, query, clock, rows: 0, is_over: false })
    }

    /// Answers one query whole, within `limits`.
    pub async fn query_within(
        self: &Arc<Self>,
        sql: &str,
        params: &[(String, Param)],
        limits: QueryLimits,
    ) -> Result<QueryResult> {
        let mut rows = self.stream_within(sql, params, limits).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await? {
            batches.push(batch);
        }
        Ok(QueryResult { schema: rows.schema(), batches })
    }
}
