//! Numbers in fewer bytes than their type has, where they lie close together: how many events a session has.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int32Array, PrimitiveArray};
use datafusion::arrow::compute::{FilterPredicate, max, min, take};
use datafusion::arrow::datatypes::{
    ArrowNativeType, ArrowNativeTypeOp, DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type,
};
use datafusion::error::Result;

/// Numbers as what they are above the least of them.
#[derive(Debug)]
pub(super) struct Narrow {
    /// In one, two or four bytes each.
    above: ArrayRef,
    /// The least, as the only value of an array, which has the type of the numbers.
    least: ArrayRef,
}

/// Calls a function for the type of numbers that may be narrowed; `None` for any other type.
macro_rules! of_type {
    ($data_type:expr, $function:ident, $($arg:expr),*) => {
        match $data_type {
            DataType::Int64 => Some($function::<Int64Type>($($arg),*)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some($function::<TimestampMicrosecondType>($($arg),*)),
            DataType::Date32 => Some($function::<Date32Type>($($arg),*)),
            DataType::Decimal128(..) => Some($function::<Decimal128Type>($($arg),*)),
            _ => None,
        }
    };
}

impl Narrow {
    /// `None` if they are no numbers, or take as many bytes.
    pub(super) fn of(values: &ArrayRef) -> Option<Self> {
        of_type!(values.data_type(), narrowed, values).flatten()
    }

    /// The numbers of some rows that follow each other.
    pub(super) fn values(&self, from: usize, count: usize) -> ArrayRef {
        self.widened(&self.above.slice(from, count))
    }

    /// The numbers of some rows.
    pub(super) fn at(&self, rows: &Int32Array) -> Result<ArrayRef> {
        Ok(self.widened(&take(&self.above, rows, None)?))
    }

    /// The numbers of those that are chosen among as many rows that follow each other.
    pub(super) fn chosen(&self, from: usize, chosen: &FilterPredicate, rows: usize) -> Result<ArrayRef> {
        Ok(self.widened(&chosen.filter(&self.above.slice(from, rows))?))
    }

    pub(super) fn bytes(&self) -> usize {
        self.above.get_array_memory_size() + self.least.get_array_memory_size()
    }

    fn widened(&self, above: &ArrayRef) -> ArrayRef {
        of_type!(self.least.data_type(), widened, above, &self.least).expect("numbers of this type were narrowed")
    }
}

/// The least and the greatest number, if there is one, of a type that may be narrowed.
pub(super) fn extremes_of(values: &ArrayRef) -> Option<ArrayRef> {
    of_type!(values.data_type(), ends, values).flatten()
}

fn ends<T: ArrowPrimitiveType>(values: &ArrayRef) -> Option<ArrayRef> {
    let numbers = values.as_primitive::<T>();
    let ends = PrimitiveArray::<T>::from_iter_values([min(numbers)?, max(numbers)?]);
    Some(Arc::new(ends.with_data_type(values.data_type().clone())))
}

fn narrowed<T: ArrowPrimitiveType>(values: &ArrayRef) -> Option<Narrow> {
    let values = values.as_primitive::<T>();
    let least = min(values)?;
    let range = max(values)?.sub_checked(least).ok()?;
    let most = |bytes: u32| T::Native::usize_as((1_usize << (8 * bytes)) - 1);
    // What stands in the place of a null may be anything.
    let above = |value: T::Native| value.sub_wrapping(least).as_usize();
    let above: ArrayRef = if range <= most(1) {
        Arc::new(values.unary::<_, UInt8Type>(|value| above(value) as u8))
    } else if range <= most(2) && size_of::<T::Native>() > 2 {
        Arc::new(values.unary::<_, UInt16Type>(|value| above(value) as u16))
    } else if size_of::<T::Native>() > 4 && range <= most(4) {
        Arc::new(values.unary::<_, UInt32Type>(|value| above(value) as u32))
    } else {
        return None;
    };
    let least = PrimitiveArray::<T>::from_value(least, 1).with_data_type(values.data_type().clone());
    Some(Narrow { above, least: Arc::new(least) })
}

fn widened<T: ArrowPrimitiveType>(above: &ArrayRef, least: &ArrayRef) -> ArrayRef {
    let number = least.as_primitive::<T>().value(0);
    let wide = match above.data_type() {
        DataType::UInt8 => wide::<UInt8Type, T>(above, number),
        DataType::UInt16 => wide::<UInt16Type, T>(above, number),
        _ => wide::<UInt32Type, T>(above, number),
    };
    Arc::new(wide.with_data_type(least.data_type().clone()))
}

fn wide<N: ArrowPrimitiveType, T: ArrowPrimitiveType>(above: &ArrayRef, least: T::Native) -> PrimitiveArray<T> {
    above.as_primitive::<N>().unary(|above| least.add_wrapping(T::Native::usize_as(above.as_usize())))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Date32Array, Decimal128Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;

    #[test]
    fn numbers_are_the_same_in_however_few_bytes() {
        let times = |values: Vec<Option<i64>>| TimestampMicrosecondArray::from(values).with_timezone("UTC");
        let day_us = 86_400_000_000;
        let cases: [(ArrayRef, Option<usize>); 11] = [
            (Arc::new(Int64Array::from(vec![Some(7), None, Some(262), Some(7)])), Some(1)),
            (Arc::new(Int64Array::from(vec![Some(-200), None, Some(56), Some(0)])), Some(2)),
            (Arc::new(Int64Array::from(vec![i64::MIN, i64::MIN + 65_535])), Some(2)),
            (Arc::new(Int64Array::from(vec![i64::MAX, i64::MAX - 65_536])), Some(4)),
            (Arc::new(Int64Array::from(vec![0, 1 << 32])), None),
            (Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])), None),
            (Arc::new(times(vec![Some(day_us), Some(day_us + 4_000_000_000), None])), Some(4)),
            (Arc::new(times(vec![Some(0), Some(day_us)])), None),
            (Arc::new(Date32Array::from(vec![20_500, 20_530, 20_499])), Some(1)),
            (
                Arc::new(
                    Decimal128Array::from(vec![Some(-99), None, Some(1 << 20)])
                        .with_data_type(DataType::Decimal128(38, 4)),
                ),
                Some(4),
            ),
            (Arc::new(Float64Array::from(vec![1.0, 2.0])), None),
        ];
        for (values, bytes) in cases {
            let Some(narrow) = Narrow::of(&values) else {
                assert_eq!(bytes, None, "{values:?}");
                continue;
            };
            assert_eq!(narrow.above.data_type().primitive_width(), bytes, "{values:?}");
            for (from, count) in [(0, values.len()), (1, 1), (values.len(), 0)] {
                assert_eq!(&narrow.values(from, count), &values.slice(from, count));
                let rows: Int32Array = (from as i32..(from + count) as i32).collect();
                assert_eq!(&narrow.at(&rows).unwrap(), &values.slice(from, count));
            }
        }
    }
}
