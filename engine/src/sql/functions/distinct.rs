//! The distinct whole numbers of groups, as sorted runs.
//!
//! Files of events lie in the order of visitors, so a group meets all events of a visitor one after the other, and visitors in
//! their order: a number that equals the one before is not noted again, and what is noted are a few sorted runs, one for each
//! file. A stable sort merges runs in linear time. A hash set, which DataFusion 55.2 has, looks up each row in memory that
//! no cache holds, and takes two to four times the room.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, Int64Builder, ListArray, ListBuilder,
};
use datafusion::arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use crate::truth::where_true;

/// Numbers of a group from which on equal ones are let go of while they are noted.
const SORTED_MIN: usize = 1 << 10;

/// Counts the distinct numbers of each group.
#[derive(Debug, Default)]
pub(super) struct DistinctNumbers {
    groups: Vec<Group>,
    /// The memory of all groups' numbers, in bytes.
    noted_bytes: usize,
}

/// Numbers that were noted in a group.
#[derive(Debug, Default)]
struct Group {
    /// The first `distinct` of them are in order and differ; the others are as they came.
    numbers: Vec<i64>,
    distinct: usize,
}

impl Group {
    fn note(&mut self, number: i64) {
        if self.numbers.last() == Some(&number) {
            return;
        }
        self.make_room(1);
        self.numbers.push(number);
    }

    /// Notes numbers in their order, each of which differs from the one before.
    fn note_all(&mut self, numbers: &[i64]) {
        let is_known = self.numbers.last().is_some_and(|last| numbers.first() == Some(last));
        let numbers = &numbers[usize::from(is_known)..];
        self.make_room(numbers.len());
        self.numbers.extend_from_slice(numbers);
    }

    /// Lets go of equal numbers before more room is taken for others.
    fn make_room(&mut self, others: usize) {
        let is_full = self.numbers.len() + others > self.numbers.capacity();
        // Twice as many as are known to differ: so each is sorted a few times at most.
        if is_full && self.numbers.len() >= SORTED_MIN.max(2 * self.distinct) {
            self.settle();
        }
    }

    /// Brings all numbers into order, each once.
    fn settle(&mut self) {
        if self.distinct < self.numbers.len() {
            self.numbers.sort();
            self.numbers.dedup();
            self.distinct = self.numbers.len();
        }
    }

    fn memory_bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<i64>()
    }
}

impl DistinctNumbers {
    fn note(&mut self, group: usize, number: i64) {
        self.in_group(group, |group| group.note(number));
    }

    fn in_group(&mut self, group: usize, note: impl FnOnce(&mut Group)) {
        let group = &mut self.groups[group];
        let before = group.numbers.capacity();
        note(group);
        self.noted_bytes += (group.numbers.capacity() - before) * size_of::<i64>();
    }

    /// Takes groups out, their numbers in order.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Group> {
        let mut taken = match emit_to {
            EmitTo::All => std::mem::take(&mut self.groups),
            EmitTo::First(count) => {
                let rest = self.groups.split_off(count);
                std::mem::replace(&mut self.groups, rest)
            }
        };
        self.noted_bytes -= taken.iter().map(Group::memory_bytes).sum::<usize>();
        taken.iter_mut().for_each(Group::settle);
        taken
    }
}

/// Counts the distinct numbers of all rows.
#[derive(Debug, Default)]
pub(super) struct AllDistinctNumbers(Group);

impl Accumulator for AllDistinctNumbers {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Int64Type>().iter().flatten().for_each(|number| self.0.note(number));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        states[0].as_list::<i32>().iter().flatten().try_for_each(|numbers| self.update_batch(&[numbers]))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.settle();
        Ok(ScalarValue::Int64(Some(self.0.distinct as i64)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.settle();
        let group = std::mem::take(&mut self.0);
        Ok(vec![ScalarValue::try_from_array(&lists_of(&[group])?, 0)?])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.0.memory_bytes()
    }
}

/// The numbers of each group as a list, as DataFusion's count hands them on.
fn lists_of(groups: &[Group]) -> Result<ArrayRef> {
    let total: usize = groups.iter().map(|group| group.distinct).sum();
    if i32::try_from(total).is_err() {
        return Err(DataFusionError::ResourcesExhausted(format!("{total} distinct numbers are too many to hand on")));
    }
    let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| group.distinct));
    let mut numbers = Vec::with_capacity(total);
    groups.iter().for_each(|group| numbers.extend_from_slice(&group.numbers));
    let numbers = Arc::new(Int64Array::new(ScalarBuffer::from(numbers), None));
    Ok(Arc::new(ListArray::new(number_field(), offsets, numbers, None)))
}

fn number_field() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, true))
}

impl GroupsAccumulator for DistinctNumbers {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        group_count: usize,
    ) -> Result<()> {
        self.groups.resize_with(group_count, Group::default);
        let numbers = values[0].as_primitive::<Int64Type>();
        // Most rows are of the visitor and the group of the row before.
        let mut last = None;
        let mut note = |row: usize| {
            let (group, number) = (groups[row], numbers.values()[row]);
            if last != Some((group, number)) {
                last = Some((group, number));
                self.note(group, number);
            }
        };
        match counted(numbers, filter) {
            Some(rows) => rows.set_indices().for_each(note),
            None => (0..groups.len()).for_each(&mut note),
        }
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], group_count: usize) -> Result<()> {
        self.groups.resize_with(group_count, Group::default);
        let lists = values[0].as_list::<i32>();
        let numbers = lists.values().as_primitive::<Int64Type>().values();
        for (row, group) in groups.iter().enumerate() {
            let (begin, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
            self.in_group(*group, |group| group.note_all(&numbers[begin..end]));
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.take(emit_to);
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| group.distinct as i64))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![lists_of(&self.take(emit_to))?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let numbers = values[0].as_primitive::<Int64Type>();
        let mut lists = ListBuilder::new(Int64Builder::with_capacity(numbers.len())).with_field(number_field());
        let counted = counted(numbers, filter);
        for row in 0..numbers.len() {
            if counted.as_ref().is_none_or(|counted| counted.value(row)) {
                lists.values().append_value(numbers.value(row));
            }
            lists.append(true);
        }
        Ok(vec![Arc::new(lists.finish())])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.capacity() * size_of::<Group>() + self.noted_bytes
    }
}

/// The rows with a number, for which a filter holds; `None` if that are all. Null is not true.
fn counted(numbers: &Int64Array, filter: Option<&BooleanArray>) -> Option<BooleanBuffer> {
    let holds = filter.map(where_true);
    match (holds, numbers.nulls()) {
        (Some(holds), Some(nulls)) => Some(&holds & nulls.inner()),
        (None, Some(nulls)) => Some(nulls.inner().clone()),
        (holds, None) => holds,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// A number in a group, or none, and whether a filter lets it pass.
    type Row = (usize, Option<i64>, Option<bool>);

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        // Few numbers and many, in runs and not.
        let number = prop_oneof![-3..3_i64, 0..100_000_i64, Just(i64::MIN), Just(i64::MAX)];
        let row = (0..5_usize, prop::option::weighted(0.9, number), prop::option::weighted(0.9, any::<bool>()));
        prop::collection::vec(row, 0..6_000)
    }

    fn columns(rows: &[Row]) -> (ArrayRef, Vec<usize>, BooleanArray) {
        let numbers: Int64Array = rows.iter().map(|(_, number, _)| *number).collect();
        (Arc::new(numbers), rows.iter().map(|(group, ..)| *group).collect(), rows.iter().map(|row| row.2).collect())
    }

    fn counts(accumulator: &mut DistinctNumbers, emit_to: EmitTo) -> Vec<i64> {
        accumulator.evaluate(emit_to).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn each_number_counts_once_however_the_rows_are_divided(
            rows in rows(),
            at in any::<prop::sample::Index>(),
            first in 0..5_usize,
            sorted in any::<bool>(),
        ) {
            let mut rows = rows;
            if sorted {
                rows.sort_by_key(|row| row.1);
            }
            let mut expected: BTreeMap<usize, BTreeSet<i64>> = (0..5).map(|group| (group, BTreeSet::new())).collect();
            for (group, number, passes) in &rows {
                if let (Some(number), Some(true)) = (number, passes) {
                    expected.get_mut(group).unwrap().insert(*number);
                }
            }
            let expected: Vec<i64> = expected.values().map(|numbers| numbers.len() as i64).collect();
            let (one, other) = rows.split_at(at.index(rows.len() + 1));

            let mut whole = DistinctNumbers::default();
            let mut merged = DistinctNumbers::default();
            for part in [one, other] {
                let (numbers, groups, filter) = columns(part);
                let numbers = [numbers];
                whole.update_batch(&numbers, &groups, Some(&filter), 5).unwrap();
                let mut of_part = DistinctNumbers::default();
                of_part.update_batch(&numbers, &groups, Some(&filter), 5).unwrap();
                let begin = of_part.state(EmitTo::First(first)).unwrap();
                let rest = of_part.state(EmitTo::All).unwrap();
                merged.merge_batch(&begin, &(0..first).collect::<Vec<_>>(), 5).unwrap();
                merged.merge_batch(&rest, &(first..5).collect::<Vec<_>>(), 5).unwrap();
            }
            let mut unfolded = DistinctNumbers::default();
            let (numbers, groups, filter) = columns(&rows);
            let states = unfolded.convert_to_state(&[numbers], Some(&filter)).unwrap();
            unfolded.merge_batch(&states, &groups, 5).unwrap();

            let mut in_one = AllDistinctNumbers::default();
            let mut of_parts = AllDistinctNumbers::default();
            for part in [one, other] {
                let numbers = [columns(part).0];
                let mut of_part = AllDistinctNumbers::default();
                in_one.update_batch(&numbers).unwrap();
                of_part.update_batch(&numbers).unwrap();
                let states: Vec<ArrayRef> = of_part.state().unwrap().iter().map(|state| state.to_array().unwrap()).collect();
                of_parts.merge_batch(&states).unwrap();
            }
            let all = rows.iter().filter_map(|row| row.1).collect::<BTreeSet<i64>>().len() as i64;
            prop_assert_eq!(in_one.evaluate().unwrap(), ScalarValue::Int64(Some(all)));
            prop_assert_eq!(of_parts.evaluate().unwrap(), ScalarValue::Int64(Some(all)));

            for counted in [&mut whole, &mut merged, &mut unfolded] {
                prop_assert_eq!(counts(counted, EmitTo::First(first)), &expected[..first]);
                prop_assert_eq!(counts(counted, EmitTo::All), &expected[first..]);
                prop_assert_eq!(counted.noted_bytes, 0);
            }
        }
    }

    #[test]
    fn many_equal_numbers_take_no_more_memory_than_few() {
        let mut counted = DistinctNumbers::default();
        for _ in 0..100 {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
            counted.update_batch(&[numbers], &vec![0; 10_000], None, 1).unwrap();
        }
        assert!(counted.size() < 4 * 80_000, "{}", counted.size());
        assert_eq!(counts(&mut counted, EmitTo::All), [10_000]);
    }
}
