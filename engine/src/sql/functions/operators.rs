//! Functions that stand for operators which DataFusion carries out in another way than PostgreSQL.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Datum, Float64Array, Int64Array, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::{cmp, numeric};
use datafusion::arrow::datatypes::{
    DataType, Float64Type, Int64Type, IntervalDayTime, IntervalDayTimeType, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, TimeUnit,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{Result, ScalarValue, exec_datafusion_err, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::columns::of_columns;
use crate::answer::binary_text;

/// What a function does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) enum Function {
    /// `+` of whole numbers. DataFusion's goes on below zero.
    Add,
    /// `-` of whole numbers.
    Subtract,
    /// `*` of whole numbers.
    Multiply,
    /// `/` of decimals, as a double. DataFusion's has four places more than its operand and cuts the rest.
    Divide,
    /// A time between two instants, or an interval, in microseconds: a month has 30 days, and a day 24 hours. DataFusion
    /// compares months with months, then days with days, so that 36 hours are less than a day.
    Microseconds,
    /// Bytes as text: an id as its UUID. DataFusion's takes the bytes for UTF-8.
    BytesAsText,
}

impl Function {
    /// The function for an operator between whole numbers.
    pub(in crate::sql) fn of(op: Operator) -> Option<Self> {
        match op {
            Operator::Plus => Some(Self::Add),
            Operator::Minus => Some(Self::Subtract),
            Operator::Multiply => Some(Self::Multiply),
            _ => None,
        }
    }

    pub(in crate::sql) fn call(self, args: Vec<Expr>) -> Expr {
        let arguments = args.len();
        ScalarUDF::from(Udf { function: self, signature: Signature::any(arguments, Volatility::Immutable) }).call(args)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Udf {
    function: Function,
    signature: Signature,
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        match self.function {
            Function::Add => "checked_add",
            Function::Subtract => "checked_subtract",
            Function::Multiply => "checked_multiply",
            Function::Divide => "divide",
            Function::Microseconds => "microseconds",
            Function::BytesAsText => "bytes_as_text",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::Add | Function::Subtract | Function::Multiply => types[0].clone(),
            Function::Divide => DataType::Float64,
            Function::Microseconds => DataType::Int64,
            Function::BytesAsText => DataType::LargeUtf8,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        of_columns(&args, |columns, _| self.apply(columns))
    }
}

impl Udf {
    fn apply(&self, columns: &[ArrayRef]) -> Result<ArrayRef> {
        let whole =
            |kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>| match kernel(&columns[0], &columns[1])
            {
                Ok(answer) => Ok(answer),
                Err(ArrowError::ArithmeticOverflow(_)) => {
                    exec_err!(
                        "a number is beyond what {} holds: cast to numeric or float first",
                        columns[0].data_type()
                    )
                }
                Err(error) => Err(error.into()),
            };
        match self.function {
            Function::Add => whole(numeric::add),
            Function::Subtract => whole(numeric::sub),
            Function::Multiply => whole(numeric::mul),
            Function::Divide => {
                let zero = Float64Array::new_scalar(0.0);
                let by_zero = cmp::eq(&columns[1], &zero)?;
                let (above, below) =
                    (columns[0].as_primitive::<Float64Type>(), columns[1].as_primitive::<Float64Type>());
                // As in PostgreSQL: what is divided by null is null, whatever it is.
                if (0..by_zero.len()).any(|row| by_zero.is_valid(row) && by_zero.value(row) && above.is_valid(row)) {
                    return exec_err!("division by zero: divide by nullif(x, 0)");
                }
                Ok(numeric::div(above, below)?)
            }
            Function::Microseconds => microseconds(&columns[0]),
            Function::BytesAsText => match binary_text::text_of(&columns[0]) {
                Some(text) => Ok(text),
                None => exec_err!("{} are no bytes", columns[0].data_type()),
            },
        }
    }
}

/// Spans of time in microseconds.
fn microseconds(spans: &ArrayRef) -> Result<ArrayRef> {
    const DAY_US: i64 = 86_400_000_000;
    let of_parts = |months: i32, days: i32, us: i64| {
        let days = i64::from(months) * 30 + i64::from(days);
        days.checked_mul(DAY_US).and_then(|days_us| days_us.checked_add(us))
    };
    let beyond = || exec_datafusion_err!("an interval is longer than can be compared");
    let all = |values: Vec<Option<Option<i64>>>| -> Result<ArrayRef> {
        let values = values.into_iter().map(|value| value.map(|us| us.ok_or_else(beyond)).transpose());
        Ok(Arc::new(values.collect::<Result<Int64Array>>()?))
    };
    match spans.data_type() {
        DataType::Duration(unit) => {
            let (times, by) = match unit {
                TimeUnit::Second => (1_000_000, 1),
                TimeUnit::Millisecond => (1_000, 1),
                TimeUnit::Microsecond => (1, 1),
                TimeUnit::Nanosecond => (1, 1_000),
            };
            let ticks = cast(spans, &DataType::Int64)?;
            let ticks = ticks.as_primitive::<Int64Type>().iter();
            all(ticks.map(|ticks| ticks.map(|ticks| ticks.checked_mul(times).map(|us| us.div_euclid(by)))).collect())
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let parts = spans.as_primitive::<IntervalMonthDayNanoType>().iter();
            let us = |part: IntervalMonthDayNano| of_parts(part.months, part.days, part.nanoseconds.div_euclid(1_000));
            all(parts.map(|part| part.map(us)).collect())
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let parts = spans.as_primitive::<IntervalDayTimeType>().iter();
            let us = |part: IntervalDayTime| of_parts(0, part.days, i64::from(part.milliseconds) * 1_000);
            all(parts.map(|part| part.map(us)).collect())
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            let months = spans.as_primitive::<IntervalYearMonthType>().iter();
            all(months.map(|months| months.map(|months| of_parts(months, 0, 0))).collect())
        }
        DataType::Null => Ok(new_null_array(&DataType::Int64, spans.len())),
        other => exec_err!("{other} is no span of time"),
    }
}

/// Bytes as a literal.
pub(in crate::sql) fn bytes(bytes: &[u8]) -> Expr {
    Expr::Literal(ScalarValue::Binary(Some(bytes.to_vec())), None)
}
