//! One column of a site's rows in a file.

use std::sync::Arc;

use ahash::{HashMap, HashMapExt};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int32Builder, StringViewArray};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;

/// The values of a column.
#[derive(Debug)]
pub(super) enum Column {
    /// As they are read.
    Plain(ArrayRef),
    /// Texts: of each row the place of its text among the different ones, which are fewer.
    Coded { places: Int32Array, texts: StringViewArray },
}

/// What a row takes at the least, in bytes.
pub(super) fn row_bytes(data_type: &DataType) -> usize {
    match data_type {
        DataType::Utf8View => size_of::<i32>(),
        other => other.primitive_width().unwrap_or(size_of::<u128>()),
    }
}

impl Column {
    pub(super) fn of(values: ArrayRef) -> Self {
        // Views hold on to all that lies beside what they show: the same column of other rows of the file.
        if let Some(ids) = values.as_binary_view_opt() {
            return Self::Plain(Arc::new(ids.gc()));
        }
        let Some(texts) = values.as_string_view_opt() else { return Self::Plain(values) };
        match coded(texts) {
            Some((places, texts)) => Self::Coded { places, texts },
            None => Self::Plain(Arc::new(texts.gc())),
        }
    }

    /// The values of some rows that follow each other.
    pub(super) fn values(&self, from: usize, count: usize) -> Result<ArrayRef> {
        Ok(match self {
            Self::Plain(values) => values.slice(from, count),
            Self::Coded { places, texts } => take(texts, &places.slice(from, count), None)?,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Plain(values) => values.get_array_memory_size(),
            Self::Coded { places, texts } => places.get_array_memory_size() + texts.get_array_memory_size(),
        }
    }
}

/// Texts by their places among the different ones; `None` if hardly any two are the same.
fn coded(all: &StringViewArray) -> Option<(Int32Array, StringViewArray)> {
    let (mut place_of, mut texts) = (HashMap::new(), Vec::new());
    let mut places = Int32Builder::with_capacity(all.len());
    for text in all {
        let Some(text) = text else {
            places.append_null();
            continue;
        };
        let place = *place_of.entry(text).or_insert_with(|| {
            texts.push(text);
            texts.len() as i32 - 1
        });
        if texts.len() > all.len() / 2 + 1 {
            return None;
        }
        places.append_value(place);
    }
    Some((places.finish(), StringViewArray::from_iter_values(texts)))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;

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
            assert_eq!(matches!(column, Column::Coded { .. }), is_coded);
            for (from, count) in [(0, 6), (1, 3), (5, 1), (2, 0)] {
                assert_eq!(&*column.values(from, count).unwrap(), &*values.slice(from, count));
            }
        }
    }

    #[test]
    fn a_column_of_nulls_has_no_texts() {
        let nulls: StringViewArray = [None::<&str>; 3].into_iter().collect();
        let column = Column::of(Arc::new(nulls));
        assert_eq!(column.values(0, 3).unwrap().null_count(), 3);
    }
}
