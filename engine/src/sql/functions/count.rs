//! `count(DISTINCT x)` in groups, in less time and memory than DataFusion 55.2 takes.
//!
//! Whole numbers, visitor ids above all, are counted in [sorted runs](crate::sql::functions::distinct). Values of other types are
//! counted as DataFusion does, with one difference: an aggregation that meets its limit hands on or spills what it has, and
//! begins anew. DataFusion keeps its emptied set at full size then and counts it as used: the next reservation fails, and so
//! does the query, however much it might spill.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::count::Count;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use datafusion::physical_plan::PhysicalExpr;

use super::distinct::{AllDistinctNumbers, DistinctNumbers};

/// `count`: of distinct values in groups as above, and otherwise as DataFusion has it.
pub(super) fn count() -> AggregateUDF {
    AggregateUDF::from(CountInGroups { inner: Count::new() })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CountInGroups {
    inner: Count,
}

impl AggregateUDFImpl for CountInGroups {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct && is_whole(&args) {
            return Ok(Box::new(AllDistinctNumbers::default()));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.inner.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        if !args.is_distinct {
            return self.inner.create_groups_accumulator(args);
        }
        if is_whole(&args) {
            return Ok(Box::new(DistinctNumbers::default()));
        }
        let begin = Begin::of(&args);
        Ok(Box::new(Releasing { inner: begin.begin()?, begin }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn value_from_stats(&self, args: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        // The values of `n` under `WHERE n = 1` count as exactly one there, though no row may have it.
        (!args.is_distinct).then(|| self.inner.value_from_stats(args)).flatten()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }
}

/// Whether one whole number of each row is counted.
fn is_whole(args: &AccumulatorArgs<'_>) -> bool {
    matches!(args.expr_fields, [field] if field.data_type() == &DataType::Int64)
}

/// What a count is made of, to make it anew.
#[derive(Debug)]
struct Begin {
    return_field: FieldRef,
    schema: Schema,
    ignore_nulls: bool,
    is_reversed: bool,
    name: String,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    expr_fields: Vec<FieldRef>,
}

impl Begin {
    fn of(args: &AccumulatorArgs<'_>) -> Self {
        Self {
            return_field: args.return_field.clone(),
            schema: args.schema.clone(),
            ignore_nulls: args.ignore_nulls,
            is_reversed: args.is_reversed,
            name: args.name.to_owned(),
            exprs: args.exprs.to_vec(),
            expr_fields: args.expr_fields.to_vec(),
        }
    }

    fn begin(&self) -> Result<Box<dyn GroupsAccumulator>> {
        Count::new().create_groups_accumulator(AccumulatorArgs {
            return_field: self.return_field.clone(),
            schema: &self.schema,
            ignore_nulls: self.ignore_nulls,
            // The order in which values come makes no difference to how many there are.
            order_bys: &[],
            is_reversed: self.is_reversed,
            name: &self.name,
            is_distinct: true,
            exprs: &self.exprs,
            expr_fields: &self.expr_fields,
        })
    }
}

/// Counts of distinct values that are made anew once all are handed on.
struct Releasing {
    inner: Box<dyn GroupsAccumulator>,
    begin: Begin,
}

impl fmt::Debug for Releasing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Releasing").field("begin", &self.begin).finish_non_exhaustive()
    }
}

impl Releasing {
    fn release(&mut self, emitted: EmitTo) -> Result<()> {
        if matches!(emitted, EmitTo::All) {
            self.inner = self.begin.begin()?;
        }
        Ok(())
    }
}

impl GroupsAccumulator for Releasing {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, groups, filter, group_count)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, group_count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = self.inner.evaluate(emit_to)?;
        self.release(emit_to)?;
        Ok(counts)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let state = self.inner.state(emit_to)?;
        self.release(emit_to)?;
        Ok(state)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.inner.size()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, UInt64Array};
    use datafusion::arrow::datatypes::{Field, Int64Type};
    use datafusion::physical_expr::expressions::col;

    use super::*;

    #[test]
    fn what_was_handed_on_takes_no_memory_and_the_count_goes_on() {
        let mut counts = distinct_counts();
        let empty = counts.size();
        for _ in 0..2 {
            update(&mut *counts, 10_000);
            assert!(counts.size() > empty + 100_000, "{}", counts.size());
            let state = counts.state(EmitTo::All).unwrap();
            assert_eq!(state[0].as_list::<i32>().value_length(0), 10_000);
            assert_eq!(counts.size(), empty);
        }
        update(&mut *counts, 3);
        assert_eq!(counts.evaluate(EmitTo::All).unwrap().as_primitive::<Int64Type>().value(0), 3);
        assert_eq!(counts.size(), empty);
    }

    fn distinct_counts() -> Box<dyn GroupsAccumulator> {
        let schema = Schema::new(vec![Field::new("x", DataType::UInt64, true)]);
        let args = AccumulatorArgs {
            return_field: Arc::new(Field::new("n", DataType::Int64, false)),
            schema: &schema,
            ignore_nulls: false,
            order_bys: &[],
            is_reversed: false,
            name: "n",
            is_distinct: true,
            exprs: &[col("x", &schema).unwrap()],
            expr_fields: &[Arc::new(schema.field(0).clone())],
        };
        count().inner().create_groups_accumulator(args).unwrap()
    }

    /// Counts the numbers below `values` in one group.
    fn update(counts: &mut dyn GroupsAccumulator, values: u64) {
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(0..values));
        counts.update_batch(&[numbers], &vec![0; values as usize], None, 1).unwrap();
    }
}
