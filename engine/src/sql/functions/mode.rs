//! `mode(x)`: the most frequent value, the least of several.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{Result, ScalarValue, internal_datafusion_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, ReversedUDAF, Signature, Volatility};

pub(super) fn mode() -> AggregateUDF {
    AggregateUDF::from(Mode { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Mode {
    signature: Signature,
}

impl AggregateUDFImpl for Mode {
    fn name(&self) -> &str {
        "mode"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, of: DataType| {
            Arc::new(Field::new_list(format_state_name(args.name, name), Field::new_list_field(of, true), true))
        };
        Ok(vec![list("values", args.input_fields[0].data_type().clone()), list("counts", DataType::Int64)])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!("mode takes no DISTINCT: of different values none is the most frequent");
        }
        let data_type = args.expr_fields[0].data_type().clone();
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Box::new(Counts { data_type, converter, counts: HashMap::new(), bytes: 0 }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// How often each value came, by its row's bytes, which are in the order of values.
#[derive(Debug)]
struct Counts {
    data_type: DataType,
    converter: RowConverter,
    counts: HashMap<Box<[u8]>, i64>,
    bytes: usize,
}

impl Counts {
    fn add(&mut self, values: &ArrayRef, count_of: impl Fn(usize) -> i64) -> Result<()> {
        let rows = self.converter.convert_columns(std::slice::from_ref(values))?;
        for (place, row) in rows.iter().enumerate() {
            if values.is_null(place) {
                continue;
            }
            match self.counts.get_mut(row.as_ref()) {
                Some(count) => *count += count_of(place),
                None => {
                    let key: Box<[u8]> = row.as_ref().into();
                    self.bytes += key.len();
                    self.counts.insert(key, count_of(place));
                }
            }
        }
        Ok(())
    }

    fn values_of(&self, rows: &[&[u8]]) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))?;
        columns.into_iter().next().ok_or_else(|| internal_datafusion_err!("one column of rows is one column"))
    }
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(&values[0], |_| -1)?;
        let bytes = &mut self.bytes;
        self.counts.retain(|key, count| {
            *bytes -= if *count == 0 { key.len() } else { 0 };
            *count != 0
        });
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let most = self.counts.iter().max_by(|(one, n), (other, m)| n.cmp(m).then_with(|| other.cmp(one)));
        match most {
            Some((row, _)) => ScalarValue::try_from_array(&self.values_of(&[row])?, 0),
            None => ScalarValue::try_from(&self.data_type),
        }
    }

    fn size(&self) -> usize {
        let slot = size_of::<(Box<[u8]>, i64)>() + 1;
        size_of::<Self>() + self.converter.size() + self.bytes + self.counts.capacity() * slot
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let rows: Vec<&[u8]> = self.counts.keys().map(AsRef::as_ref).collect();
        let values = if rows.is_empty() {
            datafusion::arrow::array::new_empty_array(&self.data_type)
        } else {
            self.values_of(&rows)?
        };
        let counts: ArrayRef = Arc::new(Int64Array::from_iter_values(self.counts.values().copied()));
        let list = |members: ArrayRef| SingleRowListArrayBuilder::new(members).build_list_scalar();
        Ok(vec![list(values), list(counts)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) = (states[0].as_list::<i32>(), states[1].as_list::<i32>());
        for row in 0..values.len() {
            if values.is_valid(row) {
                let counts = counts.value(row);
                let counts = counts.as_primitive::<Int64Type>();
                self.add(&values.value(row), |place| counts.value(place))?;
            }
        }
        Ok(())
    }
}
