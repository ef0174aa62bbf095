//! What an aggregation makes of each file's rows, kept for whoever asks the same of them next.
//!
//! A dashboard asks the same questions again and again, of a range that ends now: only rows of the newest files are others
//! than before. The first step of an aggregation gives a state for each group, and its states of several files are put
//! together by the second step. So the first step is done for each file by itself, and its states are kept with the file's rows.
//!
//! States hold for whoever asks for the same groups and aggregates under the same conditions. Bounds of time that all rows of
//! a file are within do not count among them, so they hold for any range around the file. Who is who is part of what is
//! asked: states are made anew when somebody signs in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputOrderMode, PlanProperties,
    replace_children_if_necessary,
};
use futures::{StreamExt, TryStreamExt, stream};

use super::condition::Condition;
use super::exec::KeptRowsExec;
use super::memory::KeptRows;
use super::question::{Question, Step};
use super::site::{FileRows, SiteRowsExec};
use crate::joins::lookup_join::LookupJoinExec;
use crate::plan_inputs::plan_over_inputs;
use crate::tables::confined::ConfinedExec;

type Plan = Arc<dyn ExecutionPlan>;

/// States of so few bytes are copied to find out what they take: those of few groups come with room for many.
const COPIED_BYTES_MAX: usize = 1 << 20;

/// The aggregates whose states may be made of any part of the rows and put together in any order, but for sums of floating-point
/// numbers.
const AGGREGATES: [&str; 4] = ["count", "sum", "min", "max"];

/// Does the first step of an aggregation for each file by itself.
pub(crate) struct FilePartialsExec {
    /// The first step, of all rows.
    aggregate: Plan,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

/// What is asked of a file's rows.
#[derive(Clone)]
struct Asked {
    /// What has to hold of a row and does not hold of all.
    condition: Option<Condition>,
    /// By which others find the states; `None` if nobody else will ask for them.
    question: Option<Arc<Question>>,
}

impl FilePartialsExec {
    /// A plan that answers the same, in which the first steps of aggregations over rows of a site are done by file.
    pub(crate) fn in_plan(plan: &Plan) -> Result<Option<Plan>> {
        let Some(aggregate) = plan.downcast_ref::<AggregateExec>().filter(|aggregate| may_be_by_file(aggregate)) else {
            return Ok(None);
        };
        match aggregate.mode() {
            AggregateMode::Partial => by_file(plan, aggregate.input()),
            AggregateMode::Single => {
                let together = aggregate.input().downcast_ref::<CoalescePartitionsExec>();
                let together = together.filter(|together| together.fetch().is_none());
                let input = together.map_or(aggregate.input(), CoalescePartitionsExec::input);
                let first: Plan = Arc::new(AggregateExec::try_new(
                    AggregateMode::Partial,
                    aggregate.group_expr().clone(),
                    aggregate.aggr_expr().to_vec(),
                    aggregate.filter_expr().to_vec(),
                    input.clone(),
                    aggregate.input_schema(),
                )?);
                let Some(mut first) = by_file(&first, input)? else { return Ok(None) };
                if first.output_partitioning().partition_count() > 1 {
                    first = Arc::new(CoalescePartitionsExec::new(first));
                }
                Ok(Some(Arc::new(AggregateExec::try_new(
                    AggregateMode::Final,
                    aggregate.group_expr().as_final(),
                    aggregate.aggr_expr().to_vec(),
                    vec![None; aggregate.aggr_expr().len()],
                    first,
                    aggregate.input_schema(),
                )?)))
            }
            _ => Ok(None),
        }
    }
}

/// Whether the first step of an aggregation may be done for each file by itself, whatever its rows are of.
fn may_be_by_file(aggregate: &AggregateExec) -> bool {
    let groups = aggregate.group_expr();
    let exprs = groups.expr().iter().map(|(expr, _)| expr).chain(aggregate.filter_expr().iter().flatten());
    let mut is_repeatable = exprs.into_iter().all(is_repeated);
    for function in aggregate.aggr_expr() {
        is_repeatable &= AGGREGATES.contains(&function.fun().name())
            && function.order_bys().is_empty()
            && !function.field().data_type().is_floating()
            && function.expressions().iter().all(is_repeated);
    }
    is_repeatable
        && !groups.has_grouping_set()
        && aggregate.limit_options().is_none()
        && aggregate.dynamic_expressions_produced().is_empty()
        && *aggregate.input_order_mode() == InputOrderMode::Linear
}

/// The first step with its part over rows of a site done by file, if it has one.
///
/// - `input`: of the first step.
fn by_file(first: &Plan, input: &Plan) -> Result<Option<Plan>> {
    let over = |input: &Plan| replace_children_if_necessary(first.clone(), vec![input.clone()]);
    let by_file = |input: &Plan| -> Result<Plan> {
        // States that are kept are always ready, so that nothing else would let others run.
        Ok(Arc::new(CooperativeExec::new(Arc::new(FilePartialsExec::new(over(input)?)))))
    };
    match leaf_of(input) {
        Some(Leaf::Site(_)) => by_file(input).map(Some),
        Some(Leaf::Union(union)) => {
            let halves = union.children();
            let names = |plan: &dyn ExecutionPlan| -> Vec<String> {
                plan.schema().fields().iter().map(|field| field.name().clone()).collect()
            };
            // What stands above the union names its columns.
            if halves.iter().any(|half| names(half.as_ref()) != names(union)) {
                return Ok(None);
            }
            let inputs = halves.into_iter().map(|half| above(input, half)).collect::<Result<Vec<_>>>()?;
            let is_of_site = |input: &Plan| matches!(leaf_of(input), Some(Leaf::Site(_)));
            if !inputs.iter().any(is_of_site) {
                return Ok(None);
            }
            let halves = inputs.iter().map(|input| if is_of_site(input) { by_file(input) } else { over(input) });
            UnionExec::try_new(halves.collect::<Result<_>>()?).map(Some)
        }
        None => Ok(None),
    }
}

/// Whether an expression gives the same of a row in every query that has it.
fn is_repeated(expr: &Arc<dyn PhysicalExpr>) -> bool {
    !is_volatile(expr) && !expr.exists(|expr| Ok(expr.is::<ScalarSubqueryExpr>())).unwrap_or(true)
}

/// Whether a condition is about a time, such as now: nobody will ask for it again.
fn is_for_once(condition: &Arc<dyn PhysicalExpr>) -> bool {
    let is_time = |expr: &Arc<dyn PhysicalExpr>| {
        expr.downcast_ref::<Literal>()
            .is_some_and(|literal| matches!(literal.value().data_type(), DataType::Timestamp(..)))
    };
    condition.exists(|expr| Ok(is_time(expr))).unwrap_or(true)
}

/// What rows come from, through operators that treat each by itself.
enum Leaf<'a> {
    Site(&'a SiteRowsExec),
    Union(&'a UnionExec),
}

fn leaf_of(plan: &Plan) -> Option<Leaf<'_>> {
    if let Some(site) = plan.downcast_ref() {
        return Some(Leaf::Site(site));
    }
    if let Some(union) = plan.downcast_ref() {
        return Some(Leaf::Union(union));
    }
    leaf_of(row_by_row(plan)?)
}

/// The rows of which an operator leaves some out, or makes one row each.
fn row_by_row(plan: &Plan) -> Option<&Plan> {
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        return projection.expr().iter().all(|of| is_repeated(&of.expr)).then(|| projection.input());
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        return (is_repeated(filter.predicate()) && filter.fetch().is_none()).then(|| filter.input());
    }
    if plan.is::<LookupJoinExec>() {
        return plan.children().get(1).copied();
    }
    if let Some(confined) = plan.downcast_ref::<ConfinedExec>() {
        return Some(confined.rows());
    }
    plan.is::<CooperativeExec>().then(|| plan.children()[0])
}

/// The operators of a plan above its leaf, over another.
fn above(plan: &Plan, leaf: &Plan) -> Result<Plan> {
    let Some(input) = row_by_row(plan) else { return Ok(leaf.clone()) };
    let input = above(input, leaf)?;
    if let Some(lookup) = plan.downcast_ref::<LookupJoinExec>() {
        return Ok(Arc::new(lookup.with_right(input)?));
    }
    match plan.is::<ConfinedExec>() {
        true => Ok(Arc::new(ConfinedExec::new(input))),
        false => replace_children_if_necessary(plan.clone(), vec![input]),
    }
}

impl FilePartialsExec {
    fn new(aggregate: Plan) -> Self {
        // A group may come once for each file.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(aggregate.schema()),
            Partitioning::UnknownPartitioning(aggregate.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { aggregate, properties: Arc::new(properties), metrics: ExecutionPlanMetricsSet::new() }
    }

    fn of_inputs(&self, inputs: Vec<Plan>) -> Result<Plan> {
        let [aggregate] = <[_; 1]>::try_from(inputs)
            .map_err(|_| DataFusionError::Internal("the first step of an aggregation is one plan".into()))?;
        Ok(Arc::new(Self::new(aggregate)))
    }

    fn first_step(&self) -> Option<(&AggregateExec, &SiteRowsExec)> {
        let aggregate = self.aggregate.downcast_ref::<AggregateExec>()?;
        match leaf_of(aggregate.input())? {
            Leaf::Site(site) => Some((aggregate, site)),
            Leaf::Union(_) => None,
        }
    }

    /// What is made of rows before they are aggregated; `None` if it is not known for sure.
    async fn steps(&self, context: &Arc<TaskContext>) -> Result<Option<Vec<Step>>> {
        let (mut steps, mut plan) = (Vec::new(), self.aggregate.children()[0]);
        while let Some(input) = row_by_row(plan) {
            if let Some(filter) = plan.downcast_ref::<FilterExec>() {
                let columns = filter.projection().as_ref().map(|columns| columns.to_vec());
                steps.push(Step::Filtered(filter.predicate().clone(), columns));
            }
            if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
                let named = |ProjectionExpr { expr, alias }: &ProjectionExpr| (expr.clone(), alias.clone());
                steps.push(Step::Selected(projection.expr().iter().map(named).collect()));
            }
            if let Some(lookup) = plan.downcast_ref::<LookupJoinExec>() {
                let Some(looked) = lookup.looked(context).await? else { return Ok(None) };
                steps.push(Step::Looked(looked));
            }
            plan = input;
        }
        Ok(Some(steps))
    }

    /// The states of a partition's files.
    async fn states(self: Arc<Self>, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let as_usual = || self.aggregate.execute(partition, context.clone());
        let Some((aggregate, site)) = self.first_step() else { return as_usual() };
        let Some(steps) = self.steps(&context).await? else { return as_usual() };
        let Some(files) = site.files_of(partition, &context).await? else { return as_usual() };
        let (kept, over) = (site.kept().clone(), KeptRowsExec::new(site.schema(), vec![vec![]]));
        // The same operators for all files, of which only the rows are others.
        let first_step = self.over(&(Arc::new(over.clone()) as Plan))?;
        let known = MetricBuilder::new(&self.metrics).counter("states_kept", partition);
        let asks_for_once = |step: &Step| matches!(step, Step::Filtered(condition, _) if is_for_once(condition));
        let is_for_others =
            !steps.iter().any(asks_for_once) && !aggregate.filter_expr().iter().flatten().any(is_for_once);
        // What is asked of most files is the same, and of the one that a range begins or ends in something else.
        let mut questions: HashMap<Vec<usize>, Asked> = HashMap::new();
        let mut asked = Vec::with_capacity(files.len());
        for file in files {
            let left = site.condition().map_or(vec![], |condition| condition.left_of(&file.rows));
            let of_file = match questions.entry(left) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(new) => {
                    let condition = site.condition().and_then(|condition| condition.only(new.key()));
                    let is_for_others =
                        is_for_others && condition.as_ref().is_none_or(|condition| !condition.is_of_time());
                    let question = is_for_others.then(|| Question {
                        groups: aggregate.group_expr().clone(),
                        aggregates: aggregate.aggr_expr().to_vec(),
                        filters: aggregate.filter_expr().to_vec(),
                        steps: steps.clone(),
                        columns: site.columns().to_vec(),
                        condition: condition.as_ref().map(|condition| condition.expr().clone()),
                    });
                    let question = question.map(|question| kept.questions().known(question));
                    new.insert(Asked { condition, question }).clone()
                }
            };
            if of_file.question.as_ref().is_some_and(|question| file.slice.has_no_room_for(question)) {
                return as_usual();
            }
            asked.push((file, of_file));
        }
        let site_id = site.site().clone();
        let states = stream::iter(asked).then(move |(file, asked)| {
            let (this, kept, known, context) = (self.clone(), kept.clone(), known.clone(), context.clone());
            let (site_id, over, first_step) = (site_id.clone(), over.clone(), first_step.clone());
            async move {
                if let Some(states) = asked.question.as_ref().and_then(|question| file.slice.states(question)) {
                    known.add(1);
                    return Ok(vec![states]);
                }
                let rows = over.satisfying(vec![file.rows.clone()], asked.condition);
                let first = with_rows(&first_step, &(Arc::new(rows) as Plan))?;
                this.make_states(first, file, asked.question, &kept, &site_id, context).await
            }
        });
        let states = states.map_ok(|states| stream::iter(states.into_iter().map(Ok))).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, states)))
    }

    /// The first step over other rows of the same columns.
    fn over(&self, rows: &Plan) -> Result<Plan> {
        with_rows(&self.aggregate, rows)
    }

    /// - `first`: the first step over the file's rows.
    async fn make_states(
        &self,
        first: Plan,
        file: FileRows,
        question: Option<Arc<Question>>,
        kept: &KeptRows,
        site: &Arc<str>,
        context: Arc<TaskContext>,
    ) -> Result<Vec<RecordBatch>> {
        let memory = MemoryConsumer::new("states of a file").register(context.memory_pool());
        let (mut stream, mut states, mut counter) =
            (first.execute(0, context)?, Vec::new(), RecordBatchMemoryCounter::new());
        while let Some(batch) = stream.try_next().await? {
            // They may be parts of one batch, each of which keeps all of it.
            memory.try_grow(counter.count_batch(&batch))?;
            states.push(batch);
        }
        let Some(question) = question else { return Ok(states) };
        if memory.size() > COPIED_BYTES_MAX && !file.slice.has_room_for(memory.size()) {
            file.slice.note_no_room_for(question);
            return Ok(states);
        }
        memory.try_grow(memory.size())?;
        let states = concat_batches(&self.schema(), &states)?;
        if !file.slice.has_room_for(states.get_array_memory_size()) {
            file.slice.note_no_room_for(question);
            return Ok(vec![states]);
        }
        file.slice.keep_states(question, &states);
        kept.states_changed(&file.path, site, &file.slice);
        Ok(vec![states])
    }
}

/// The first step of an aggregation over other rows of the same columns.
fn with_rows(first: &Plan, rows: &Plan) -> Result<Plan> {
    replace_children_if_necessary(first.clone(), vec![above(first.children()[0], rows)?])
}

impl fmt::Debug for FilePartialsExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePartialsExec({:?})", self.aggregate)
    }
}

impl DisplayAs for FilePartialsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FilePartialsExec")
    }
}

impl ExecutionPlan for FilePartialsExec {
    fn name(&self) -> &str {
        "FilePartialsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Plan> {
        vec![&self.aggregate]
    }

    plan_over_inputs!();

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (aggregate, properties) = (self.aggregate.clone(), self.properties.clone());
        let this = Arc::new(Self { aggregate, properties, metrics: self.metrics.clone() });
        let states = stream::once(this.states(partition, context)).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), states)))
    }
}
