//! Which of the kept rows satisfy a condition, found before anything else of them is looked at.
//!
//! What depends on one column of coded texts is decided for each different text, and rows only look up what was decided of
//! theirs: a page in the address of 400 000 events is compared 500 times.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Int32Array, RecordBatch, RecordBatchOptions, StringViewArray,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::concat;
use datafusion::arrow::datatypes::{DataType, FieldRef, Schema, SchemaRef};
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::utils::{collect_columns, conjunction, reassign_expr_columns};
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};

use super::column::Places;
use super::slice::Rows;
use crate::truth::where_true;

/// Rows are few that are one in so many: to ask of them alone costs less than to ask of all.
const FEW: usize = 8;

/// What has to hold of a row.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    whole: Arc<dyn PhysicalExpr>,
    parts: Vec<Part>,
}

/// One of several conditions, each of which has to hold.
#[derive(Clone, Debug)]
struct Part {
    /// Over all columns of the rows.
    whole: Arc<dyn PhysicalExpr>,
    /// Over the columns it names alone.
    expr: Arc<dyn PhysicalExpr>,
    /// These columns, by their places in the rows.
    columns: Vec<usize>,
    /// Whether it compares a column with a value, so that it holds between any two rows of which it holds.
    is_comparison: bool,
    schema: SchemaRef,
}

impl Condition {
    /// - `schema`: of the rows.
    /// - `all`: each has to hold.
    pub(super) fn new(schema: &SchemaRef, all: impl IntoIterator<Item = Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let whole = conjunction(all);
        let parts = split_conjunction(&whole).into_iter().map(|expr| Part::new(schema, expr)).collect::<Result<_>>()?;
        Ok(Self { whole, parts })
    }

    /// The parts, by their places, that do not hold of all these rows, as far as that can be told without a look at each.
    pub(super) fn left_of(&self, rows: &Rows) -> Vec<usize> {
        let is_left = |place: &usize| !matches!(self.parts[*place].holds_of_all(rows), Ok(Some(true)));
        (0..self.parts.len()).filter(is_left).collect()
    }

    /// Some of the parts, by their places; `None` of none.
    pub(super) fn only(&self, places: &[usize]) -> Option<Self> {
        let parts: Vec<Part> = places.iter().map(|place| self.parts[*place].clone()).collect();
        let whole = conjunction(parts.iter().map(|part| part.whole.clone()));
        (!parts.is_empty()).then_some(Self { whole, parts })
    }

    /// Whether it is about a time.
    pub(super) fn is_of_time(&self) -> bool {
        let is_time = |field: &FieldRef| matches!(field.data_type(), DataType::Timestamp(..));
        self.parts.iter().any(|part| part.schema.fields().iter().any(is_time))
    }

    pub(super) fn expr(&self) -> &Arc<dyn PhysicalExpr> {
        &self.whole
    }

    /// Those of some rows that follow each other, which satisfy it.
    pub(super) fn holds(&self, rows: &Rows, from: usize, count: usize) -> Result<BooleanBuffer> {
        match self.parts_hold(rows, from, count) {
            // A part may fail of a text that an earlier one would have left out.
            Err(_) => self.parts_hold_in_turn(rows, from, count),
            held => held,
        }
    }

    /// Those of coded texts first, which cost least. Where few rows are left, no others are asked.
    fn parts_hold(&self, rows: &Rows, from: usize, count: usize) -> Result<BooleanBuffer> {
        let (mut coded, mut others) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match part.holds_of_all(rows)? {
                Some(true) => {}
                Some(false) => return Ok(BooleanBuffer::new_unset(count)),
                None if part.texts_of(rows, count).is_some() => coded.push(part),
                None => others.push(part),
            }
        }
        let mut all = BooleanBuffer::new_set(count);
        for part in coded.into_iter().chain(others) {
            let left = all.count_set_bits();
            if left == 0 {
                break;
            }
            all = match left * FEW <= count {
                true => part.holds_of(rows, from, &all)?,
                false => &all & &part.holds(rows, from, count)?,
            };
        }
        Ok(all)
    }

    /// The same, each part asked of those rows alone that satisfy the ones before.
    fn parts_hold_in_turn(&self, rows: &Rows, from: usize, count: usize) -> Result<BooleanBuffer> {
        let all = BooleanBuffer::new_set(count);
        self.parts.iter().try_fold(all, |left, part| part.holds_of(rows, from, &left))
    }
}

impl Part {
    fn new(schema: &SchemaRef, expr: &Arc<dyn PhysicalExpr>) -> Result<Self> {
        let mut columns: Vec<usize> = collect_columns(expr).iter().map(|column| column.index()).collect();
        columns.sort_unstable();
        // Conditions are asked of nulls, too, whether or not there are any.
        let fields = columns.iter().map(|column| schema.field(*column).clone().with_nullable(true));
        let schema = Schema::new(fields.collect::<Vec<_>>());
        Ok(Self {
            whole: expr.clone(),
            expr: reassign_expr_columns(expr.clone(), &schema)?,
            columns,
            is_comparison: is_comparison(expr),
            schema: Arc::new(schema),
        })
    }

    /// Whether it holds of all rows, or of none, if that can be told by the least and the greatest value.
    fn holds_of_all(&self, rows: &Rows) -> Result<Option<bool>> {
        let [column] = self.columns.as_slice() else { return Ok(None) };
        let Some(extremes) = rows.columns[*column].extremes() else { return Ok(None) };
        if !self.is_comparison && extremes.slice(0, 1) != extremes.slice(1, 1) {
            return Ok(None);
        }
        let held = self.decide(vec![extremes.clone()], extremes.len())?;
        Ok((held.value(0) == held.value(1)).then(|| held.value(0)))
    }

    /// The texts that decide of so many rows, if they are coded and fewer.
    fn texts_of<'a>(&self, rows: &'a Rows, count: usize) -> Option<(&'a Places, &'a StringViewArray)> {
        match self.columns.as_slice() {
            [column] => rows.columns[*column].coded().filter(|(_, texts)| texts.len() <= count),
            _ => None,
        }
    }

    fn holds(&self, rows: &Rows, from: usize, count: usize) -> Result<BooleanBuffer> {
        let Some((places, texts)) = self.texts_of(rows, count) else { return self.of_values(rows, from, count) };
        // Behind the texts stands what is none.
        let none = StringViewArray::new_null(1);
        let decided = self.decide(vec![concat(&[texts as &dyn Array, &none])?], texts.len() + 1)?;
        places.chosen(from, count, &decided)
    }

    /// Those of the rows that are left, from a row on, which satisfy it, too.
    fn holds_of(&self, rows: &Rows, from: usize, left: &BooleanBuffer) -> Result<BooleanBuffer> {
        let places: Int32Array = left.set_indices().map(|place| (from + place) as i32).collect();
        let values = self.columns.iter().map(|column| rows.columns[*column].at(&places));
        let held = self.decide(values.collect::<Result<_>>()?, places.len())?;
        let mut all = BooleanBufferBuilder::new(left.len());
        all.append_n(left.len(), false);
        held.set_indices().for_each(|place| all.set_bit(places.value(place) as usize - from, true));
        Ok(all.finish())
    }

    fn of_values(&self, rows: &Rows, from: usize, count: usize) -> Result<BooleanBuffer> {
        let values = self.columns.iter().map(|column| rows.columns[*column].values(from, count));
        self.decide(values.collect::<Result<_>>()?, count)
    }

    /// Anything but true does not hold.
    fn decide(&self, values: Vec<ArrayRef>, count: usize) -> Result<BooleanBuffer> {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), values, &options)?;
        let held = self.expr.evaluate(&batch)?.into_array(count)?;
        let held: &BooleanArray = as_boolean_array(&held)?;
        Ok(where_true(held))
    }
}

/// Whether a column is less or greater than a value.
fn is_comparison(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<BinaryExpr>().is_some_and(|comparison| {
        matches!(comparison.op(), Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
            && comparison.left().is::<Column>()
            && comparison.right().is::<Literal>()
    })
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::arrow::datatypes::Field;
    use datafusion::physical_expr::expressions::{IsNullExpr, NotExpr, cast, col, lit};
    use datafusion::scalar::ScalarValue;

    use super::*;
    use crate::kept::column;

    fn rows() -> (SchemaRef, Rows) {
        let texts: StringViewArray = [Some("a"), None, Some("7"), Some("a"), Some("7"), None].into_iter().collect();
        let numbers = Int64Array::from(vec![Some(1), Some(2), None, Some(4), Some(5), Some(6)]);
        let schema =
            Schema::new(vec![Field::new("text", DataType::Utf8View, true), Field::new("n", DataType::Int64, true)]);
        let columns = [Arc::new(texts) as ArrayRef, Arc::new(numbers)];
        (
            Arc::new(schema),
            Rows { count: 6, columns: columns.map(|values| Arc::new(column::Column::of(values))).to_vec() },
        )
    }

    fn text(value: &str) -> Arc<dyn PhysicalExpr> {
        lit(ScalarValue::Utf8View(Some(value.to_owned())))
    }

    fn is(left: Arc<dyn PhysicalExpr>, operator: Operator, right: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
        Arc::new(BinaryExpr::new(left, operator, right))
    }

    fn held(all: impl Fn(&Schema) -> Vec<Arc<dyn PhysicalExpr>>, from: usize, count: usize) -> Vec<bool> {
        let (schema, rows) = rows();
        Condition::new(&schema, all(&schema)).unwrap().parts_hold(&rows, from, count).unwrap().iter().collect()
    }

    #[test]
    fn a_condition_on_a_text_holds_of_the_rows_that_have_it() {
        let is_a = |schema: &Schema| vec![is(col("text", schema).unwrap(), Operator::Eq, text("a"))];
        assert_eq!(held(is_a, 0, 6), [true, false, false, true, false, false]);
        assert_eq!(held(is_a, 3, 2), [true, false]);
        let is_none = |schema: &Schema| -> Vec<Arc<dyn PhysicalExpr>> {
            vec![Arc::new(IsNullExpr::new(col("text", schema).unwrap()))]
        };
        assert_eq!(held(is_none, 1, 5), [true, false, false, false, true]);
    }

    #[test]
    fn a_column_that_is_never_null_is_asked_by_its_texts() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8View, false)]));
        let texts: StringViewArray = [Some("a"), Some("b"), Some("a"), Some("a")].into_iter().collect();
        let rows = Rows { count: 4, columns: vec![Arc::new(column::Column::of(Arc::new(texts)))] };
        let condition = Condition::new(&schema, [is(col("text", &schema).unwrap(), Operator::Eq, text("a"))]).unwrap();
        let held = condition.parts_hold(&rows, 0, 4).unwrap();
        assert_eq!(held.iter().collect::<Vec<_>>(), [true, false, true, true]);
        assert_eq!(condition.parts_hold_in_turn(&rows, 1, 2).unwrap().iter().collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn all_conditions_have_to_hold() {
        let both = |schema: &Schema| {
            let large = is(col("n", schema).unwrap(), Operator::Gt, lit(3_i64));
            vec![is(col("text", schema).unwrap(), Operator::Eq, text("a")), large]
        };
        assert_eq!(held(both, 0, 6), [false, false, false, true, false, false]);
        let either = |schema: &Schema| {
            let large = is(col("n", schema).unwrap(), Operator::Gt, lit(4_i64));
            vec![is(is(col("text", schema).unwrap(), Operator::Eq, text("a")), Operator::Or, large)]
        };
        assert_eq!(held(either, 0, 6), [true, false, false, true, true, true]);
        assert_eq!(held(|_| vec![], 0, 6), [true; 6]);
    }

    #[test]
    fn the_least_and_the_greatest_value_tell_of_all_rows_what_they_can() {
        let schema =
            Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("b", DataType::Boolean, false)]);
        let columns: [ArrayRef; 2] =
            [Arc::new(Int64Array::from(vec![3, 9, 5])), Arc::new(BooleanArray::from(vec![false; 3]))];
        let rows = Rows { count: 3, columns: columns.map(|values| Arc::new(column::Column::of(values))).to_vec() };
        let n = || col("n", &schema).unwrap();
        let number = |number: i64| lit(number);
        for (expr, of_all, held) in [
            (is(n(), Operator::GtEq, number(3)), Some(true), [true, true, true]),
            (is(n(), Operator::Gt, number(3)), None, [false, true, true]),
            (is(n(), Operator::Lt, number(3)), Some(false), [false, false, false]),
            (is(n(), Operator::LtEq, number(8)), None, [true, false, true]),
            // Neither of the two is 5, and both differ from it.
            (is(n(), Operator::Eq, number(5)), None, [false, false, true]),
            (is(n(), Operator::NotEq, number(5)), None, [true, true, false]),
            (Arc::new(NotExpr::new(col("b", &schema).unwrap())), Some(true), [true, true, true]),
            (col("b", &schema).unwrap(), Some(false), [false, false, false]),
        ] {
            let condition = Condition::new(&Arc::new(schema.clone()), [expr.clone()]).unwrap();
            assert_eq!(condition.parts[0].holds_of_all(&rows).unwrap(), of_all, "{expr}");
            assert_eq!(condition.holds(&rows, 0, 3).unwrap().iter().collect::<Vec<_>>(), held, "{expr}");
        }
    }

    #[test]
    fn few_rows_that_are_left_are_asked_alone() {
        let texts = (0..40).map(|row| (row % 5 > 0).then_some(if row % 20 == 6 { "a" } else { "b" }));
        let schema =
            Schema::new(vec![Field::new("text", DataType::Utf8View, true), Field::new("n", DataType::Int64, true)]);
        let columns = [
            Arc::new(texts.collect::<StringViewArray>()) as ArrayRef,
            Arc::new((0..40).map(Some).collect::<Int64Array>()),
        ];
        let rows = Rows { count: 40, columns: columns.map(|values| Arc::new(column::Column::of(values))).to_vec() };
        let column = |name: &str| col(name, &schema).unwrap();
        let all = [is(column("n"), Operator::Gt, lit(9_i64)), is(column("text"), Operator::Eq, text("a"))];
        let condition = Condition::new(&Arc::new(schema.clone()), all).unwrap();
        for (from, count, expected) in [(0, 40, vec![26]), (20, 20, vec![6]), (26, 1, vec![0]), (7, 0, vec![])] {
            let held = condition.parts_hold(&rows, from, count).unwrap();
            assert_eq!(held.set_indices().collect::<Vec<_>>(), expected, "{from}");
            assert_eq!(condition.parts_hold_in_turn(&rows, from, count).unwrap(), held);
        }
    }

    #[test]
    fn a_condition_that_another_one_guards_fails_of_no_other_row() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8View, false)]));
        let texts = (0..20).map(|row| Some(if row % 2 == 0 { "7" } else { "a" }));
        let values = Arc::new(column::Column::of(Arc::new(texts.collect::<StringViewArray>())));
        let rows = Rows { count: 20, columns: vec![values] };
        let column = || col("text", &schema).unwrap();
        let number = cast(column(), &schema, DataType::Int64).unwrap();
        let guarded = [is(column(), Operator::Eq, text("7")), is(number, Operator::Gt, lit(3_i64))];
        let condition = Condition::new(&schema, guarded).unwrap();
        assert!(condition.parts_hold(&rows, 0, 20).is_err());
        let held = condition.holds(&rows, 4, 5).unwrap();
        assert_eq!(held.set_indices().collect::<Vec<_>>(), [0, 2, 4]);
    }
}
