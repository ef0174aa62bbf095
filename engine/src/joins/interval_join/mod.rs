//! Joins of times with intervals: each event with the session that it is in.
//!
//! `ON e.visitor_id = s.visitor_id AND e.at >= s.started_at AND e.at <= s.ended_at` is to DataFusion a join of all events with all
//! sessions of a visitor, of which the conditions then leave few pairs. Here the intervals of a key are sorted by their begin
//! ([`intervals`]), so that those around a time are found without the others. The rule `rules::interval_joins` puts this in
//! the place of DataFusion's operator, whose rows and order it has.

mod intervals;

use std::fmt;
use std::sync::Arc;

use ahash::HashSet;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{cast, concat_batches, filter, filter_record_batch, take};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::JoinSide;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use self::intervals::{Intervals, Last, hashes_of};
use crate::plan_inputs::plan_over_inputs;
use crate::truth::where_true;

/// What is joined, and how.
#[derive(Clone, Debug)]
pub(crate) struct IntervalJoin {
    /// Rows with intervals.
    pub(crate) intervals: Arc<dyn ExecutionPlan>,
    /// Rows with a time.
    pub(crate) times: Arc<dyn ExecutionPlan>,
    /// What is equal: an expression of the intervals, and one of the times.
    pub(crate) on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// The columns of an interval's begin and end, and whether these times are in it themselves.
    pub(crate) from: (usize, bool),
    pub(crate) until: (usize, bool),
    /// The column of the time.
    pub(crate) at: usize,
    /// What else has to hold.
    pub(crate) rest: Option<JoinFilter>,
    pub(crate) joined: Joined,
    /// The columns of the answer. Left are the intervals.
    pub(crate) output: Vec<ColumnIndex>,
    /// Whether all partitions of the times are joined with the one of the intervals.
    pub(crate) is_collected: bool,
    /// Those of the join that this stands for.
    pub(crate) properties: Arc<PlanProperties>,
}

/// What a join gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Each interval with each time in it.
    Pairs,
    /// Each interval that has a time in it, once.
    Intervals,
    /// Each time that is in an interval, once.
    Times,
}

/// Joins rows.
pub(crate) struct IntervalJoinExec {
    join: IntervalJoin,
    collected: Arc<OnceCell<Arc<Built>>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The rows with intervals that a time may be in, all of which are read before the first time is looked up.
#[derive(Debug)]
struct Built {
    rows: RecordBatch,
    keys: Vec<ArrayRef>,
    intervals: Intervals,
    found: Mutex<Found>,
    _memory: MemoryReservation,
}

/// Which intervals have a time in them.
#[derive(Debug)]
struct Found {
    /// Of each interval; of none if nobody asks.
    has_time: Vec<bool>,
    /// The partitions of times that are not read yet.
    open: usize,
}

impl IntervalJoinExec {
    pub(crate) fn new(join: IntervalJoin) -> Self {
        Self { join, collected: Arc::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same join of other plans.
    fn of_inputs(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([intervals, times]) = <[_; 2]>::try_from(children) else {
            return Err(DataFusionError::Internal("a join is of two plans".into()));
        };
        Ok(Arc::new(Self::new(IntervalJoin { intervals, times, ..self.join.clone() })))
    }
}

impl fmt::Debug for IntervalJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.join.fmt(f)
    }
}

impl DisplayAs for IntervalJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IntervalJoin { intervals, times, on, from, until, at, rest, .. } = &self.join;
        let keys: Vec<String> = on.iter().map(|(interval, time)| format!("({interval}, {time})")).collect();
        let (intervals, times) = (intervals.schema(), times.schema());
        let given = match self.join.joined {
            Joined::Pairs => "",
            Joined::Intervals => " intervals alone,",
            Joined::Times => " times alone,",
        };
        write!(
            f,
            "IntervalJoinExec:{given} on=[{}], {} from {} until {}",
            keys.join(", "),
            times.field(*at).name(),
            intervals.field(from.0).name(),
            intervals.field(until.0).name()
        )?;
        match rest {
            Some(rest) => write!(f, ", filter={}", rest.expression()),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for IntervalJoinExec {
    fn name(&self) -> &str {
        "IntervalJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.join.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join.intervals, &self.join.times]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        match self.join.is_collected {
            true => vec![Distribution::SinglePartition, Distribution::UnspecifiedDistribution],
            false => {
                let (intervals, times) = self.join.on.iter().cloned().unzip();
                vec![Distribution::KeyPartitioned(intervals), Distribution::KeyPartitioned(times)]
            }
        }
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false, self.join.joined != Joined::Intervals]
    }

    plan_over_inputs!();

    /// A recursive query runs its plan again and again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.join.clone())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (join, metrics) = (self.join.clone(), BaselineMetrics::new(&self.metrics, partition));
        let built = match join.is_collected {
            true => self.collected.clone(),
            false => Arc::default(),
        };
        let of_intervals = if join.is_collected { 0 } else { partition };
        let mut times = join.times.execute(partition, context.clone())?;
        let schema = self.schema();
        let of_schema = schema.clone();
        let batches = stream::once(async move {
            let batch_rows = context.session_config().batch_size();
            let ahead = match join.times_of_intervals() {
                1 => Ahead::read(&join, &mut times, &context).await?,
                _ => Ahead::default(),
            };
            let built = built.get_or_try_init(|| build(&join, of_intervals, &ahead, context)).await?.clone();
            let times = stream::iter(ahead.batches.into_iter().map(Ok)).chain(times);
            let running = Arc::new((join, built, of_schema, metrics, ahead.memory));
            let at_end = running.clone();
            let joined = times.map(move |batch| {
                let (join, built, schema, metrics, _) = &*running;
                let _timer = metrics.elapsed_compute().timer();
                let joined = join.joined(built, &batch?, schema)?;
                metrics.record_output(joined.num_rows());
                Ok::<_, DataFusionError>(joined)
            });
            let joined = joined.try_filter(|batch| futures::future::ready(batch.num_rows() > 0));
            let rest = async move {
                let (join, built, schema, metrics, _) = &*at_end;
                let rest = join.at_end(built, schema, batch_rows)?;
                metrics.record_output(rest.iter().map(RecordBatch::num_rows).sum());
                Ok::<_, DataFusionError>(stream::iter(rest.into_iter().map(Ok)))
            };
            Ok::<_, DataFusionError>(joined.chain(stream::once(rest).try_flatten()))
        })
        .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// Times that are read before the intervals: if there are no others, only intervals of their keys are needed.
#[derive(Default)]
struct Ahead {
    batches: Vec<RecordBatch>,
    /// The hashes of their keys, if they are all.
    only: Option<HashSet<u64>>,
    memory: Option<MemoryReservation>,
}

/// How many times are read ahead before they count as many.
const AHEAD_ROWS_MAX: usize = 1 << 14;

impl Ahead {
    async fn read(join: &IntervalJoin, times: &mut SendableRecordBatchStream, context: &TaskContext) -> Result<Self> {
        let memory = MemoryConsumer::new("times of a join").register(context.memory_pool());
        let (mut batches, mut rows) = (Vec::new(), 0);
        while let Some(batch) = times.try_next().await? {
            memory.try_grow(batch.get_array_memory_size())?;
            rows += batch.num_rows();
            batches.push(batch);
            if rows > AHEAD_ROWS_MAX {
                return Ok(Self { batches, only: None, memory: Some(memory) });
            }
        }
        let mut only = HashSet::default();
        for batch in &batches {
            let keys = values_of(join.on.iter().map(|(_, time)| time), batch)?;
            only.extend(hashes_of(&keys, batch.num_rows())?.into_iter().flatten());
        }
        Ok(Self { batches, only: Some(only), memory: Some(memory) })
    }

    /// The intervals that a time may be in.
    fn needed(&self, join: &IntervalJoin, intervals: RecordBatch) -> Result<RecordBatch> {
        let Some(only) = &self.only else { return Ok(intervals) };
        let keys = values_of(join.on.iter().map(|(interval, _)| interval), &intervals)?;
        let hashes = hashes_of(&keys, intervals.num_rows())?;
        let is_needed = hashes.into_iter().map(|hash| Some(hash.is_some_and(|hash| only.contains(&hash))));
        Ok(filter_record_batch(&intervals, &is_needed.collect())?)
    }
}

/// Reads all rows with intervals of a partition.
async fn build(join: &IntervalJoin, partition: usize, ahead: &Ahead, context: Arc<TaskContext>) -> Result<Arc<Built>> {
    let memory = MemoryConsumer::new("intervals of a join").register(context.memory_pool());
    let (mut rows, mut batches) = (join.intervals.execute(partition, context)?, Vec::new());
    while let Some(batch) = rows.try_next().await? {
        let batch = ahead.needed(join, batch)?;
        // Once as it comes, and once put together.
        memory.try_grow(2 * batch.get_array_memory_size() + batch.num_rows() * Intervals::ROW_BYTES)?;
        batches.push(batch);
    }
    let rows = concat_batches(&join.intervals.schema(), &batches)?;
    drop(batches);
    let found = Found {
        has_time: if join.joined == Joined::Intervals { vec![false; rows.num_rows()] } else { vec![] },
        open: join.times_of_intervals(),
    };
    let row_bytes = Intervals::ROW_BYTES + usize::from(!found.has_time.is_empty());
    memory.try_resize(rows.get_array_memory_size() + rows.num_rows() * row_bytes)?;
    let keys = values_of(join.on.iter().map(|(interval, _)| interval), &rows)?;
    let (from, until) = (bound(&rows, join.from, 1)?, bound(&rows, join.until, -1)?);
    let intervals = Intervals::new(&hashes_of(&keys, rows.num_rows())?, &from, &until);
    Ok(Arc::new(Built { rows, keys, intervals, found: Mutex::new(found), _memory: memory }))
}

/// The first or the last time within intervals. One that is not in its interval itself is next to that.
fn bound(rows: &RecordBatch, (column, is_within): (usize, bool), step: i64) -> Result<Int64Array> {
    let bounds = numbers(rows.column(column))?;
    Ok(match is_within {
        true => bounds,
        false => bounds.iter().map(|bound| bound?.checked_add(step)).collect(),
    })
}

/// Times as numbers.
fn numbers(times: &ArrayRef) -> Result<Int64Array> {
    let times = match times.data_type() {
        DataType::Date32 => cast(&cast(times, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(times, &DataType::Int64)?,
    };
    Ok(times.as_primitive().clone())
}

fn values_of<'a>(exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>, rows: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.map(|expr| expr.evaluate(rows)?.into_array(rows.num_rows())).collect()
}

impl IntervalJoin {
    /// How many partitions of times are joined with one of the intervals.
    fn times_of_intervals(&self) -> usize {
        if self.is_collected { self.times.output_partitioning().partition_count() } else { 1 }
    }

    /// What a batch of times gives of the answer, in the order of the times.
    fn joined(&self, built: &Built, times: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let keys = values_of(self.on.iter().map(|(_, time)| time), times)?;
        let (hashes, at) = (hashes_of(&keys, times.num_rows())?, numbers(times.column(self.at))?);
        let (mut left, mut right, mut last) = (Vec::new(), Vec::new(), Last::default());
        for (row, hash) in hashes.iter().enumerate() {
            let (Some(hash), true) = (*hash, at.is_valid(row)) else { continue };
            built.intervals.each_at(hash, at.value(row), &mut last, |interval| {
                left.push(interval);
                right.push(row as u32);
            });
        }
        let mut pairs = Pairs { built, times, left: left.into(), right: right.into() };
        // Two keys may have one hash.
        for (of_interval, of_time) in built.keys.iter().zip(&keys) {
            let (one, other) = (take(of_interval, &pairs.left, None)?, take(of_time, &pairs.right, None)?);
            pairs.keep(cmp::eq(&one, &other)?)?;
        }
        if let Some(rest) = &self.rest {
            let columns = pairs.columns(rest.column_indices())?;
            let rows = batch_of(rest.schema(), columns, pairs.left.len())?;
            let holds = rest.expression().evaluate(&rows)?.into_array(rows.num_rows())?;
            pairs.keep(holds.as_boolean().clone())?;
        }
        match self.joined {
            Joined::Pairs => {}
            Joined::Times => {
                let mut times = pairs.right.values().to_vec();
                times.dedup();
                pairs.right = times.into();
            }
            Joined::Intervals => {
                let mut found = built.found.lock();
                pairs.left.values().iter().for_each(|interval| found.has_time[*interval as usize] = true);
                return Ok(RecordBatch::new_empty(schema.clone()));
            }
        }
        batch_of(schema, pairs.columns(&self.output)?, pairs.right.len())
    }

    /// What is left of the answer when a partition of times is read: the intervals, if it was the last one and they are asked for.
    fn at_end(&self, built: &Built, schema: &SchemaRef, batch_rows: usize) -> Result<Vec<RecordBatch>> {
        if self.joined != Joined::Intervals {
            return Ok(vec![]);
        }
        let mut found = built.found.lock();
        let was_read_before = || DataFusionError::Internal("all times of a join were read before".into());
        found.open = found.open.checked_sub(1).ok_or_else(was_read_before)?;
        if found.open > 0 {
            return Ok(vec![]);
        }
        let rows: Vec<u32> =
            (0..).zip(&found.has_time).filter(|(_, has_time)| **has_time).map(|(row, _)| row).collect();
        let batch = |rows: &[u32]| {
            let rows = UInt32Array::from(rows.to_vec());
            let columns = self.output.iter().map(|of| Ok(take(built.rows.column(of.index), &rows, None)?));
            batch_of(schema, columns.collect::<Result<_>>()?, rows.len())
        };
        rows.chunks(batch_rows).map(batch).collect()
    }
}

/// Rows of both sides that belong together.
struct Pairs<'a> {
    built: &'a Built,
    times: &'a RecordBatch,
    left: UInt32Array,
    right: UInt32Array,
}

impl Pairs<'_> {
    /// Keeps those pairs for which it is true.
    fn keep(&mut self, is_kept: BooleanArray) -> Result<()> {
        let is_kept = BooleanArray::new(where_true(&is_kept), None);
        if is_kept.true_count() < is_kept.len() {
            self.left = filter(&self.left, &is_kept)?.as_primitive().clone();
            self.right = filter(&self.right, &is_kept)?.as_primitive().clone();
        }
        Ok(())
    }

    fn columns(&self, chosen: &[ColumnIndex]) -> Result<Vec<ArrayRef>> {
        let column = |of: &ColumnIndex| match of.side {
            JoinSide::Left => take(self.built.rows.column(of.index), &self.left, None),
            _ => take(self.times.column(of.index), &self.right, None),
        };
        chosen.iter().map(|of| Ok(column(of)?)).collect()
    }
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
