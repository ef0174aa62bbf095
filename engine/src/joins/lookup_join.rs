//! Joins of rows with the one row, if any, that a number names: each event with who its visitor turned out to be.
//!
//! `identities AS i RIGHT JOIN events AS e ON i.anonymous_visitor_id = e.visitor_id` gives each event once and in its place,
//! because nobody is two people. DataFusion 55.2 knows this of no join: it lists pairs, and copies all columns of the events by
//! the list. Here events are handed on as they are, with the columns of identities beside them. Events of a visitor follow each other in
//! a file, so most of them need no look. Rows of which several have one number are left to DataFusion's join.
//! The rule `rules::lookup_joins` puts this in the join's place.

use std::fmt;
use std::sync::{Arc, OnceLock};

use ahash::{HashMap, HashMapExt, RandomState};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBufferBuilder, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
    new_null_array,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer};
use datafusion::arrow::compute::{concat_batches, take};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::hash_utils::create_hashes_with_hasher;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions,
    replace_children_if_necessary,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::truth::where_true;

/// Joins rows. Left are those that are looked up.
pub(crate) struct LookupJoinExec {
    join: Arc<dyn ExecutionPlan>,
    read: Arc<OnceCell<Arc<Left>>>,
    /// The join as DataFusion has it, where rows cannot be looked up.
    other: Arc<OnceLock<Arc<dyn ExecutionPlan>>>,
    metrics: ExecutionPlanMetricsSet,
}

/// The rows that are looked up, all of which are read before the first row of the right side.
enum Left {
    /// No two of them have one number.
    Unique(Lookup),
    /// The rows as a plan, for the join as DataFusion has it.
    Any { rows: Arc<dyn ExecutionPlan>, _memory: MemoryReservation },
}

/// Rows by their numbers.
struct Lookup {
    rows: RecordBatch,
    place_of: HashMap<i64, u32>,
    fingerprint: OnceLock<[u64; 2]>,
    _memory: MemoryReservation,
}

/// What a join by looking up makes of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Looked {
    on: (Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>),
    filter: Option<(Arc<dyn PhysicalExpr>, Vec<ColumnIndex>)>,
    projection: Option<Vec<usize>>,
    /// The columns that are looked up, and a hash of all rows: other rows have another one.
    schema: SchemaRef,
    fingerprint: [u64; 2],
}

impl Looked {
    pub(crate) fn fingerprint(&self) -> [u64; 2] {
        self.fingerprint
    }
}

/// About what a row takes in the table of numbers, in bytes.
const ROW_BYTES: usize = 2 * size_of::<(i64, u32)>();

impl LookupJoinExec {
    /// The same join, if rows can be looked up for it.
    pub(crate) fn of(join: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let plan = join.downcast_ref::<HashJoinExec>()?;
        let is_plain = *plan.join_type() == JoinType::Right
            && *plan.partition_mode() == PartitionMode::CollectLeft
            && plan.null_equality() == NullEquality::NullEqualsNothing
            && plan.fetch().is_none();
        let is_number = |side: &Arc<dyn ExecutionPlan>, expr: &Arc<dyn PhysicalExpr>| {
            matches!(expr.data_type(&side.schema()), Ok(DataType::Int64))
        };
        let is_of_one_number =
            matches!(plan.on(), [(one, other)] if is_number(plan.left(), one) && is_number(plan.right(), other));
        let is_repeatable = plan.on().iter().all(|(one, other)| !is_volatile(one) && !is_volatile(other));
        let asks_right_alone = plan.filter().is_none_or(|filter| {
            filter.column_indices().iter().all(|column| column.side == JoinSide::Right)
                && !is_volatile(filter.expression())
        });
        (is_plain && is_of_one_number && is_repeatable && asks_right_alone).then(|| Self::new(join.clone()))
    }

    fn new(join: Arc<dyn ExecutionPlan>) -> Self {
        Self { join, read: Arc::default(), other: Arc::default(), metrics: ExecutionPlanMetricsSet::new() }
    }

    /// The same join of other rows with the rows that are looked up, which are read once for both.
    pub(crate) fn with_right(&self, right: Arc<dyn ExecutionPlan>) -> Result<Self> {
        let inputs = vec![hash_join(&self.join).left().clone(), right];
        let join = replace_children_if_necessary(self.join.clone(), inputs)?;
        Ok(Self { read: self.read.clone(), ..Self::new(join) })
    }

    /// What it makes of a row; `None` if not by looking up.
    pub(crate) async fn looked(&self, context: &Arc<TaskContext>) -> Result<Option<Looked>> {
        let left = self.read.get_or_try_init(|| read_left(&self.join, context.clone())).await?;
        let Left::Unique(lookup) = &**left else { return Ok(None) };
        let join = hash_join(&self.join);
        Ok(Some(Looked {
            on: join.on()[0].clone(),
            filter: join.filter().map(|filter| (filter.expression().clone(), filter.column_indices().to_vec())),
            projection: join.projection.as_ref().map(|columns| columns.to_vec()),
            schema: lookup.rows.schema(),
            fingerprint: lookup.fingerprint()?,
        }))
    }

    fn of_inputs(&self, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(replace_children_if_necessary(self.join.clone(), inputs)?)))
    }
}

/// The join as DataFusion has it.
fn hash_join(join: &Arc<dyn ExecutionPlan>) -> &HashJoinExec {
    join.downcast_ref().expect("a hash join stays one with other inputs")
}

impl fmt::Debug for LookupJoinExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookupJoinExec({:?})", self.join)
    }
}

impl DisplayAs for LookupJoinExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = hash_join(&self.join);
        let (left, right) = &join.on()[0];
        write!(f, "LookupJoinExec: on=[({left}, {right})]")?;
        if let Some(filter) = join.filter() {
            write!(f, ", filter={}", filter.expression())?;
        }
        match &join.projection {
            Some(columns) => {
                let names =
                    columns.iter().map(|column| format!("{}@{column}", join.join_schema().field(*column).name()));
                write!(f, ", projection=[{}]", names.collect::<Vec<_>>().join(", "))
            }
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for LookupJoinExec {
    fn name(&self) -> &str {
        "LookupJoinExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.join.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.join.children()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.join.input_distribution_requirements()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![false, true]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.join.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        inputs: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.of_inputs(inputs)
    }

    fn with_new_children(self: Arc<Self>, inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.of_inputs(inputs)
    }

    /// A recursive query runs its plan again and again.
    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.join.clone().reset_state()?)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (join, read, other) = (self.join.clone(), self.read.clone(), self.other.clone());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let joined = stream::once(async move {
            let left = read.get_or_try_init(|| read_left(&join, context.clone())).await?.clone();
            if let Left::Any { rows, .. } = &*left {
                let inputs = vec![rows.clone(), hash_join(&join).right().clone()];
                let joined = replace_children_if_necessary(join, inputs)?;
                return other.get_or_init(|| joined).execute(partition, context);
            }
            let (right, schema) = (hash_join(&join).right().execute(partition, context)?, join.schema());
            let of_schema = schema.clone();
            let joined = right.map(move |batch| {
                let _timer = metrics.elapsed_compute().timer();
                let Left::Unique(lookup) = &*left else { unreachable!("any other rows are left to the other join") };
                let joined = lookup.joined(hash_join(&join), &batch?, &of_schema)?;
                metrics.record_output(joined.num_rows());
                Ok(joined)
            });
            Ok(Box::pin(RecordBatchStreamAdapter::new(schema, joined)) as SendableRecordBatchStream)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), joined.try_flatten())))
    }
}

async fn read_left(join: &Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Arc<Left>> {
    let plan = hash_join(join);
    let memory = MemoryConsumer::new("rows that are looked up").register(context.memory_pool());
    let (mut rows, mut batches, mut counter) =
        (plan.left().execute(0, context)?, Vec::new(), RecordBatchMemoryCounter::new());
    while let Some(batch) = rows.try_next().await? {
        // Once as it comes, and once put together. Batches may be parts of one.
        memory.try_grow(2 * counter.count_batch(&batch) + batch.num_rows() * ROW_BYTES)?;
        batches.push(batch);
    }
    let rows = concat_batches(&plan.left().schema(), &batches)?;
    drop(batches);
    let keys = numbers(&plan.on()[0].0, &rows)?;
    let mut place_of = HashMap::with_capacity(rows.num_rows());
    for (place, key) in (0_u32..).zip(&keys) {
        let Some(key) = key else { continue };
        if place_of.insert(key, place).is_some() {
            memory.try_resize(rows.get_array_memory_size())?;
            let rows = MemorySourceConfig::try_new_exec(&[vec![rows]], plan.left().schema(), None)?;
            return Ok(Arc::new(Left::Any { rows, _memory: memory }));
        }
    }
    memory.try_resize(rows.get_array_memory_size() + place_of.capacity() * ROW_BYTES)?;
    Ok(Arc::new(Left::Unique(Lookup { rows, place_of, fingerprint: OnceLock::new(), _memory: memory })))
}

fn numbers(expr: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<Int64Array> {
    Ok(expr.evaluate(rows)?.into_array(rows.num_rows())?.as_primitive::<Int64Type>().clone())
}

/// A hash of rows in their order. Each column is hashed by itself: nulls leave a row's hash as the columns before have it.
fn fingerprint(rows: &RecordBatch) -> Result<[u64; 2]> {
    let of_seed = |seed: usize| -> Result<u64> {
        let state = RandomState::with_seed(seed);
        let columns = rows.columns().iter().map(|column| {
            let mut hashes = vec![0; rows.num_rows()];
            create_hashes_with_hasher([column], &state, &mut hashes)?;
            Ok(hashes)
        });
        Ok(state.hash_one(columns.collect::<Result<Vec<_>>>()?))
    };
    Ok([of_seed(1)?, of_seed(2)?])
}

impl Lookup {
    /// Found when somebody asks for it.
    fn fingerprint(&self) -> Result<[u64; 2]> {
        match self.fingerprint.get() {
            Some(known) => Ok(*known),
            None => fingerprint(&self.rows).map(|found| *self.fingerprint.get_or_init(|| found)),
        }
    }

    /// The rows of a batch, each with the row that it names.
    fn joined(&self, join: &HashJoinExec, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
        let keys = numbers(&join.on()[0].1, batch)?;
        let mut found = self.found(&keys);
        if let Some(filter) = join.filter().filter(|_| !found.is_empty()) {
            // It may fail of rows that have no partner, so it is asked of the others alone.
            let holds = of_rows(filter, batch, &found)?;
            let mut holds = holds.iter();
            found.retain(|_| holds.next() == Some(true));
        }
        let found = places(&found, batch.num_rows());
        let left_columns = self.rows.num_columns();
        let column = |column: usize| -> Result<ArrayRef> {
            Ok(match (column.checked_sub(left_columns), &found) {
                (Some(column), _) => batch.column(column).clone(),
                (None, Some(places)) => take(self.rows.column(column), places, None)?,
                (None, None) => new_null_array(self.rows.column(column).data_type(), batch.num_rows()),
            })
        };
        let columns = match &join.projection {
            Some(chosen) => chosen.iter().map(|place| column(*place)).collect::<Result<_>>()?,
            None => (0..left_columns + batch.num_columns()).map(column).collect::<Result<_>>()?,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    }

    /// The rows of keys that name one, and its place.
    fn found(&self, keys: &Int64Array) -> Vec<(usize, u32)> {
        let (mut found, mut last) = (Vec::new(), None);
        for (row, key) in keys.values().iter().enumerate() {
            let place = match last {
                Some((last, place)) if last == *key => place,
                _ => self.place_of.get(key).copied(),
            };
            last = Some((*key, place));
            if let Some(place) = place.filter(|_| keys.is_valid(row)) {
                found.push((row, place));
            }
        }
        found
    }
}

/// The places of all rows, null where none was found; `None` if none was found of any.
fn places(found: &[(usize, u32)], rows: usize) -> Option<UInt32Array> {
    if found.is_empty() {
        return None;
    }
    let (mut places, mut is_found) = (vec![0; rows], BooleanBufferBuilder::new(rows));
    is_found.append_n(rows, false);
    for (row, place) in found {
        places[*row] = *place;
        is_found.set_bit(*row, true);
    }
    Some(UInt32Array::new(places.into(), Some(NullBuffer::new(is_found.finish()))))
}

/// For which of the found rows the condition of a join holds.
fn of_rows(filter: &JoinFilter, batch: &RecordBatch, found: &[(usize, u32)]) -> Result<BooleanBuffer> {
    let rows: UInt32Array = found.iter().map(|(row, _)| *row as u32).collect();
    let columns = filter.column_indices().iter().map(|column| take(batch.column(column.index), &rows, None));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let rows =
        RecordBatch::try_new_with_options(filter.schema().clone(), columns.collect::<Result<_, _>>()?, &options)?;
    let holds = filter.expression().evaluate(&rows)?.into_array(rows.num_rows())?;
    Ok(where_true(as_boolean_array(&holds)?))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::StringArray;
    use datafusion::arrow::datatypes::{Field, Schema};
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, col, lit};
    use datafusion::physical_plan::collect;
    use datafusion::prelude::SessionContext;
    use proptest::prelude::*;

    use super::*;

    /// Numbered rows of two columns, in batches.
    fn rows(keys: &[Option<i64>], batch_rows: usize) -> Arc<dyn ExecutionPlan> {
        let schema = Schema::new(vec![Field::new("key", DataType::Int64, true), Field::new("n", DataType::Utf8, true)]);
        let schema = Arc::new(schema);
        let numbered: Vec<_> = keys.iter().enumerate().collect();
        let batches = numbered.chunks(batch_rows).map(|rows| {
            let keys: Int64Array = rows.iter().map(|(_, key)| **key).collect();
            let names: StringArray = rows.iter().map(|(n, _)| (n % 3 > 0).then(|| n.to_string())).collect();
            RecordBatch::try_new(schema.clone(), vec![Arc::new(keys), Arc::new(names)]).unwrap()
        });
        MemorySourceConfig::try_new_exec(&[batches.collect()], schema.clone(), None).unwrap()
    }

    /// A join as DataFusion has it.
    ///
    /// - `above`: of the right side, only keys above this are joined.
    fn join_of(
        left: &[Option<i64>],
        right: &[Option<i64>],
        above: Option<i64>,
        projection: Option<Vec<usize>>,
    ) -> Arc<dyn ExecutionPlan> {
        let (left, right) = (rows(left, 3), rows(right, 7));
        let key = |side: &Arc<dyn ExecutionPlan>| col("key", &side.schema()).unwrap();
        let filter = above.map(|above| {
            let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true)]));
            let expr = BinaryExpr::new(col("key", &schema).unwrap(), Operator::Gt, lit(above));
            JoinFilter::new(Arc::new(expr), vec![ColumnIndex { index: 0, side: JoinSide::Right }], schema)
        });
        let on = vec![(key(&left), key(&right))];
        let (mode, nulls) = (PartitionMode::CollectLeft, NullEquality::NullEqualsNothing);
        let join =
            HashJoinExec::try_new(left, right, on, filter, &JoinType::Right, projection, mode, nulls, false).unwrap();
        Arc::new(join)
    }

    async fn rows_of(plan: Arc<dyn ExecutionPlan>) -> RecordBatch {
        let schema = plan.schema();
        let batches = collect(plan, SessionContext::new().task_ctx()).await.unwrap();
        concat_batches(&schema, &batches).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_are_those_of_datafusion(
            left in prop::collection::vec(prop::option::weighted(0.9, 0..40_i64), 0..12),
            right in prop::collection::vec(prop::option::weighted(0.9, 0..40_i64), 0..60),
            above in prop::option::of(0..40_i64),
            projection in prop::option::of(prop::sample::subsequence(vec![0_usize, 1, 2, 3], 1..4)),
        ) {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let join = join_of(&left, &right, above, projection);
            let lookup = Arc::new(LookupJoinExec::of(&join).expect("rows can be looked up"));
            let (expected, found) = (runtime.block_on(rows_of(join)), runtime.block_on(rows_of(lookup)));
            let lines = |rows: &RecordBatch| {
                let text = pretty_format_batches(std::slice::from_ref(rows)).unwrap().to_string();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            prop_assert_eq!(lines(&found), lines(&expected));
        }
    }

    #[tokio::test]
    async fn rows_stay_in_the_order_of_the_right_side() {
        let right: Vec<Option<i64>> = (0..30).map(|n| (n % 5 > 0).then_some(n * 7 % 11)).collect();
        let join = join_of(&[Some(3), None, Some(9)], &right, Some(4), None);
        let found = rows_of(Arc::new(LookupJoinExec::of(&join).unwrap())).await;
        let right: Int64Array = right.into_iter().collect();
        assert_eq!(found.column(2).as_primitive(), &right);
        let joined = found.column(0).as_primitive::<Int64Type>();
        assert!(joined.iter().zip(&right).all(|(one, other)| one == other.filter(|key| *key == 9)));
    }

    #[tokio::test]
    async fn a_condition_is_asked_of_rows_with_a_partner_alone() {
        let join = join_of(&[Some(2)], &[Some(0), Some(2), None, Some(0)], None, None);
        let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, true)]));
        let inverse = BinaryExpr::new(lit(6_i64), Operator::Divide, col("key", &schema).unwrap());
        let is_three = Arc::new(BinaryExpr::new(Arc::new(inverse), Operator::Eq, lit(3_i64)));
        let filter = JoinFilter::new(is_three, vec![ColumnIndex { index: 0, side: JoinSide::Right }], schema);
        let join: Arc<dyn ExecutionPlan> =
            Arc::new(hash_join(&join).builder().with_filter(Some(filter)).build().unwrap());
        let found = rows_of(Arc::new(LookupJoinExec::of(&join).unwrap())).await;
        assert_eq!(found.column(0).as_primitive(), &Int64Array::from(vec![None, Some(2), None, None]));
    }

    #[test]
    fn rows_with_nulls_elsewhere_are_other_rows() {
        let of = |values: [Option<i64>; 3]| {
            let fields = ["a", "b", "c"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
            let columns = values.map(|value| Arc::new(Int64Array::from(vec![value])) as ArrayRef).to_vec();
            fingerprint(&RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()).unwrap()
        };
        assert_eq!(of([Some(7), Some(9), None]), of([Some(7), Some(9), None]));
        assert_ne!(of([Some(7), Some(9), None]), of([Some(7), None, Some(9)]));
        assert_ne!(of([Some(7), Some(9), Some(9)]), of([Some(7), Some(9), Some(8)]));
    }

    #[test]
    fn other_joins_stay_as_they_are() {
        let join = join_of(&[Some(1)], &[Some(1)], None, None);
        let other = |join_type: JoinType| -> Arc<dyn ExecutionPlan> {
            Arc::new(hash_join(&join).builder().with_type(join_type).build().unwrap())
        };
        assert!(LookupJoinExec::of(&other(JoinType::Right)).is_some());
        for join_type in [JoinType::Inner, JoinType::Left, JoinType::Full, JoinType::RightSemi, JoinType::RightAnti] {
            assert!(LookupJoinExec::of(&other(join_type)).is_none(), "{join_type}");
        }
    }
}
