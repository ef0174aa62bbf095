//! One column of a site's rows in a file.

use std::sync::Arc;

use ahash::{HashMap, HashMapExt};
use datafusion::arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Int32Array, PrimitiveArray, StringViewArray,
    UInt8Array, UInt16Array, UInt32Array, UInt32Builder, new_null_array,
};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::kernels::cmp;
use datafusion::arrow::compute::{FilterPredicate, max_boolean, min_boolean, take};
use datafusion::arrow::datatypes::{ArrowNativeType, DataType};
use datafusion::error::Result;

use super::narrow::{self, Narrow};
use crate::truth::where_true;

/// A column's values.
#[derive(Debug)]
pub(super) struct Column {
    values: Values,
    /// The least and the greatest of them, if they are numbers or booleans and none is null.
    extremes: Option<ArrayRef>,
}

#[derive(Debug)]
enum Values {
    /// As they are read.
    Plain(ArrayRef),
    /// Numbers that lie close together.
    Narrow(Narrow),
    /// None at all, of a type.
    Null(DataType),
    /// Texts: of each row the place of its text among the different ones, which are fewer.
    Coded { places: Places, texts: StringViewArray },
}

/// Places among texts, in as few bytes as the number of texts allows.
#[derive(Debug)]
pub(super) enum Places {
    Bytes(UInt8Array),
    Words(UInt16Array),
    Long(UInt32Array),
}

impl Places {
    fn new(places: UInt32Array, texts: usize) -> Self {
        if texts <= 1 << u8::BITS {
            return Self::Bytes(places.unary_opt(|place| u8::try_from(place).ok()));
        }
        if texts <= 1 << u16::BITS {
            return Self::Words(places.unary_opt(|place| u16::try_from(place).ok()));
        }
        Self::Long(places)
    }

    fn array(&self) -> &dyn Array {
        match self {
            Self::Bytes(places) => places,
            Self::Words(places) => places,
            Self::Long(places) => places,
        }
    }

    /// Of rows that follow each other, those whose text is chosen.
    ///
    /// - `is_chosen`: for each text, and behind them for none.
    pub(super) fn chosen(&self, from: usize, count: usize, is_chosen: &BooleanBuffer) -> Result<BooleanBuffer> {
        match self {
            Self::Bytes(places) => chosen(&places.slice(from, count), is_chosen),
            Self::Words(places) => chosen(&places.slice(from, count), is_chosen),
            Self::Long(places) => chosen(&places.slice(from, count), is_chosen),
        }
    }
}

fn chosen<T: ArrowPrimitiveType>(places: &PrimitiveArray<T>, is_chosen: &BooleanBuffer) -> Result<BooleanBuffer> {
    let (values, none) = (places.values(), is_chosen.value(is_chosen.len() - 1));
    if !none
        && is_chosen.count_set_bits() == 1
        && let Some(chosen) = is_chosen.set_indices().next().and_then(T::Native::from_usize)
    {
        // By far the most frequent: a page, a name. It is compared for many rows at a time.
        let is_it = cmp::eq(places, &PrimitiveArray::<T>::new_scalar(chosen))?;
        return Ok(where_true(&is_it));
    }
    Ok(match places.nulls() {
        None => BooleanBuffer::collect_bool(values.len(), |row| is_chosen.value(values[row].as_usize())),
        Some(nulls) => BooleanBuffer::collect_bool(values.len(), |row| match nulls.is_null(row) {
            true => none,
            false => is_chosen.value(values[row].as_usize()),
        }),
    })
}

/// About what a row takes, in bytes: of texts and money the least, which is what most columns of them take.
pub(super) fn row_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8View | DataType::Decimal128(..) | DataType::Boolean => size_of::<u8>(),
        other => other.primitive_width().unwrap_or(size_of::<u128>()),
    }
}

impl Column {
    pub(super) fn of(values: ArrayRef) -> Self {
        Self { extremes: extremes_of(&values), values: Values::of(values) }
    }

    /// Of texts that are fewer than rows: the place of each row's text, and the texts.
    pub(super) fn coded(&self) -> Option<(&Places, &StringViewArray)> {
        match &self.values {
            Values::Coded { places, texts } => Some((places, texts)),
            _ => None,
        }
    }

    /// The least and the greatest value, if they are known and none is null.
    pub(super) fn extremes(&self) -> Option<&ArrayRef> {
        self.extremes.as_ref()
    }

    /// The values of some rows that follow each other.
    pub(super) fn values(&self, from: usize, count: usize) -> Result<ArrayRef> {
        Ok(match &self.values {
            Values::Plain(values) => values.slice(from, count),
            Values::Narrow(narrow) => narrow.values(from, count),
            Values::Null(data_type) => new_null_array(data_type, count),
            Values::Coded { places, texts } => take(texts, &places.array().slice(from, count), None)?,
        })
    }

    /// The values of those that are chosen among as many rows that follow each other.
    pub(super) fn chosen(&self, from: usize, chosen: &FilterPredicate, rows: usize) -> Result<ArrayRef> {
        Ok(match &self.values {
            Values::Plain(values) => chosen.filter(&values.slice(from, rows))?,
            Values::Narrow(narrow) => narrow.chosen(from, chosen, rows)?,
            Values::Null(data_type) => new_null_array(data_type, chosen.count()),
            Values::Coded { places, texts } => take(texts, &chosen.filter(&places.array().slice(from, rows))?, None)?,
        })
    }

    /// The values of some rows.
    pub(super) fn at(&self, rows: &Int32Array) -> Result<ArrayRef> {
        Ok(match &self.values {
            Values::Plain(values) => take(values, rows, None)?,
            Values::Narrow(narrow) => narrow.at(rows)?,
            Values::Null(data_type) => new_null_array(data_type, rows.len()),
            Values::Coded { places, texts } => take(texts, &take(places.array(), rows, None)?, None)?,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::Plain(values) => values.get_array_memory_size(),
            Values::Narrow(narrow) => narrow.bytes(),
            Values::Null(_) => 0,
            Values::Coded { places, texts } => places.array().get_array_memory_size() + texts.get_array_memory_size(),
        }
    }
}

impl Values {
    fn of(mut values: ArrayRef) -> Self {
        if values.null_count() == values.len() {
            return Self::Null(values.data_type().clone());
        }
        if let Some(narrow) = Narrow::of(&values) {
            return Self::Narrow(narrow);
        }
        // Views hold on to all that lies beside what they show: the same column of other rows of the file.
        if let Some(ids) = values.as_binary_view_opt() {
            return Self::Plain(Arc::new(ids.gc()));
        }
        let Some(texts) = values.as_string_view_opt() else {
            // What was made in parts may have room for more.
            values.shrink_to_fit();
            return Self::Plain(values);
        };
        match coded(texts) {
            Some((places, texts)) => Self::Coded { places, texts },
            None => Self::Plain(Arc::new(texts.gc())),
        }
    }
}

/// The least and the greatest of values, if they are numbers or booleans and none is null.
fn extremes_of(values: &ArrayRef) -> Option<ArrayRef> {
    if values.null_count() > 0 {
        return None;
    }
    match values.as_boolean_opt() {
        Some(values) => Some(Arc::new(BooleanArray::from(vec![min_boolean(values)?, max_boolean(values)?]))),
        None => narrow::extremes_of(values),
    }
}

/// Texts by their places among the different ones; `None` if hardly any two are the same.
fn coded(all: &StringViewArray) -> Option<(Places, StringViewArray)> {
    let (mut place_of, mut texts) = (HashMap::new(), Vec::new());
    let mut places = UInt32Builder::with_capacity(all.len());
    for text in all {
        let Some(text) = text else {
            places.append_null();
            continue;
        };
        let place = *place_of.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() as u32 - 1
        });
        if texts.len() > all.len() / 2 + 1 {
            return None;
        }
        places.append_value(place);
    }
    Some((Places::new(places.finish(), texts.len()), StringViewArray::from_iter_values(texts)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Date32Array, Float64Array, Int64Array};
    use datafusion::arrow::compute::{FilterBuilder, filter};

    use super::*;

    #[test]
    fn values_are_the_same_however_they_are_kept() {
        let long = "a text that is too long to stand in a view";
        let few: StringViewArray = [Some("a"), None, Some(long), Some("a"), Some(long), Some("")].into_iter().collect();
        let many: StringViewArray = (0..6).map(|n| (n != 3).then(|| format!("{long} {n}"))).collect();
        let numbers = Int64Array::from(vec![Some(1), None, Some(3), Some(4), Some(5), Some(6)]);
        for (values, is_coded) in
            [(Arc::new(few) as ArrayRef, true), (Arc::new(many), false), (Arc::new(numbers), false)]
        {
            let column = Column::of(values.clone());
            assert_eq!(column.coded().is_some(), is_coded);
            for (from, count) in [(0, 6), (1, 3), (5, 1), (2, 0)] {
                assert_eq!(&*column.values(from, count).unwrap(), &*values.slice(from, count));
                let rows: Int32Array = (from as i32..(from + count) as i32).collect();
                assert_eq!(&*column.at(&rows).unwrap(), &*values.slice(from, count));
                let every_other: BooleanArray = (0..count).map(|row| Some(row % 2 == 0)).collect();
                let chosen = FilterBuilder::new(&every_other).optimize().build();
                let expected = filter(&values.slice(from, count), &every_other).unwrap();
                assert_eq!(&*column.chosen(from, &chosen, count).unwrap(), &*expected);
            }
        }
    }

    #[test]
    fn places_take_as_few_bytes_as_the_number_of_texts_allows() {
        for (different, bytes) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)] {
            let rows = 2 * different + 1;
            let all: StringViewArray =
                (0..rows).map(|row| (row != rows / 2).then(|| format!("{}", row % different))).collect();
            let column = Column::of(Arc::new(all.clone()));
            let Some((places, _)) = column.coded() else { panic!("{different} texts are not coded") };
            assert_eq!(places.array().data_type().primitive_width(), Some(bytes), "{different}");
            assert_eq!(&*column.values(0, rows).unwrap(), &all as &dyn Array);
        }
    }

    #[test]
    fn the_least_and_the_greatest_are_known_where_none_is_null() {
        let extremes = |values: ArrayRef| Column::of(values).extremes().cloned();
        let far = Int64Array::from(vec![3, i64::MIN, i64::MAX]);
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX]));
        assert_eq!(extremes(Arc::new(far)).as_ref(), Some(&expected));
        let days: ArrayRef = Arc::new(Date32Array::from(vec![7, 7]));
        assert_eq!(extremes(days.clone()).as_ref(), Some(&days));
        for (values, expected) in [(vec![false, false], [false, false]), (vec![true, false], [false, true])] {
            let expected: ArrayRef = Arc::new(BooleanArray::from(expected.to_vec()));
            assert_eq!(extremes(Arc::new(BooleanArray::from(values))).as_ref(), Some(&expected));
        }
        assert!(extremes(Arc::new(Int64Array::from(vec![Some(1), None]))).is_none());
        assert!(extremes(Arc::new(BooleanArray::from(Vec::<bool>::new()))).is_none());
        assert!(extremes(Arc::new(Float64Array::from(vec![1.0, f64::NAN]))).is_none());
    }

    #[test]
    fn a_column_of_nulls_has_no_texts() {
        let nulls: StringViewArray = [None::<&str>; 3].into_iter().collect();
        let column = Column::of(Arc::new(nulls));
        assert_eq!(column.values(0, 3).unwrap().null_count(), 3);
    }
}
