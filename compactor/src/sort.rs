//! The sort of a publish: puts the rows of raw files in the table's order, without copies. Pure.
//!
//! Files are sorted in runs that fit into memory, and each run is written to files of its own. Merging the runs here would
//! read and write every row once more; [`merge`](crate::merge) does that later, when it is worth it. Text columns stay
//! dictionary-encoded throughout, so moving a row moves only a few integers.

use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{concat, take_record_batch};
use arrow::datatypes::{Field, Int64Type, Schema, TimestampMicrosecondType};
use chrono::NaiveDate;
use lake::{CLIENT_TIMED_SLACK, EVENTS, PendingSurvey, RawFile};

use crate::work::WorkError;

/// The rows of one raw file.
pub(crate) struct FileRows {
    pub(crate) file: RawFile,
    pub(crate) batches: Vec<RecordBatch>,
}

/// Rows that are written to the same files: one date, and either on time or late.
///
/// Late events get files of their own. Otherwise a single late event would make a file span the day, and every later publish
/// would have to search that file for duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) date: NaiveDate,
    pub(crate) late: bool,
}

/// Rows and their order in the table.
pub(crate) struct SortedRows {
    rows: RecordBatch,
    /// For each group, the numbers of its rows in the table's order.
    pub(crate) groups: Vec<(Group, Vec<u32>)>,
}

impl SortedRows {
    /// The rows with these numbers, in the given order.
    pub(crate) fn take(&self, numbers: &[u32]) -> Result<RecordBatch, WorkError> {
        Ok(take_record_batch(&self.rows, &UInt32Array::from(numbers.to_vec()))?)
    }
}

/// The sort key of a row: group, site number, visitor, time in microseconds, row number. Ascending, nulls first.
type Order = (Group, u32, Option<i64>, i64, u32);

/// Sorts the rows of raw files.
pub(crate) fn sort(files: Vec<FileRows>, duplicates: &PendingSurvey) -> Result<SortedRows, WorkError> {
    let batches = files.iter().flat_map(|file| &file.batches);
    // With its full capacity at once: a growing list is copied to new pages, which the operating system has to clear.
    let mut order: Vec<Order> = Vec::with_capacity(batches.clone().map(RecordBatch::num_rows).sum());
    let sites = number_sites(batches);
    let mut first = 0;
    for FileRows { file, batches } in &files {
        let first_of_file = first;
        let left_out = duplicates.left_out_of(file).into_iter().flat_map(|left_out| &left_out.rows);
        let mut left_out = left_out.map(|row| first_of_file + row).peekable();
        for batch in batches {
            push_order(&mut order, batch, &sites, first, &mut left_out)?;
            first += batch.num_rows() as u32;
        }
    }
    order.sort_unstable();
    let mut groups: Vec<(Group, Vec<u32>)> = Vec::new();
    for (group, _, _, _, row) in order {
        match groups.last_mut() {
            Some((last, rows)) if *last == group => rows.push(row),
            _ => groups.push((group, vec![row])),
        }
    }
    let batches = files.into_iter().flat_map(|file| file.batches).collect();
    Ok(SortedRows { rows: join(batches)?, groups })
}

/// Numbers the sites of all rows in the order of their names.
fn number_sites<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> HashMap<&'a str, u32> {
    let mut names = BTreeSet::new();
    for batch in batches {
        let mut last = None;
        for name in batch["site_id"].as_string::<i32>().iter().flatten() {
            if last.replace(name) != Some(name) {
                names.insert(name);
            }
        }
    }
    names.into_iter().zip(0..).collect()
}

/// Appends the sort keys of a batch's rows, except those left out.
///
/// - `first`: the number of the batch's first row.
/// - `left_out`: the numbers of rows to leave out, from this batch on.
fn push_order(
    order: &mut Vec<Order>,
    batch: &RecordBatch,
    sites: &HashMap<&str, u32>,
    first: u32,
    left_out: &mut Peekable<impl Iterator<Item = u32>>,
) -> Result<(), WorkError> {
    let time = |name: &str| batch[name].as_primitive::<TimestampMicrosecondType>();
    let (occurred, received) = (time("occurred_at"), time("received_at"));
    let names = batch["site_id"].as_string::<i32>();
    // The previous row's site: usually the same one.
    let mut last_site = None;
    let visitors = batch.column_by_name("visitor_id").map(|column| column.as_primitive::<Int64Type>());
    let slack_us = CLIENT_TIMED_SLACK.as_micros() as i64;
    for row in 0..batch.num_rows() {
        if left_out.next_if_eq(&(first + row as u32)).is_some() {
            continue;
        }
        let occurred_us = occurred.value(row);
        let date = occurred.value_as_date(row).ok_or(WorkError::OutsideTheCalendar)?;
        let late = received.value(row).saturating_sub(occurred_us) > slack_us;
        let visitor = visitors.filter(|visitors| visitors.is_valid(row)).map(|visitors| visitors.value(row));
        let name = names.value(row);
        let site = match last_site {
            Some((last, site)) if last == name => site,
            _ => sites[name],
        };
        last_site = Some((name, site));
        order.push((Group { date, late }, site, visitor, occurred_us, first + row as u32));
    }
    Ok(())
}

/// Concatenates batches. The result has all columns of the table: a column that an older file lacks is null in its rows.
fn join(mut batches: Vec<RecordBatch>) -> Result<RecordBatch, WorkError> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in EVENTS.file_schema.fields() {
        // The column is removed from its batches, so that rows are not in memory twice for long.
        let parts: Vec<Option<ArrayRef>> = batches
            .iter_mut()
            .map(|batch| batch.schema().index_of(field.name()).ok().map(|index| batch.remove_column(index)))
            .collect();
        let data_type = parts.iter().flatten().next().map_or(field.data_type(), |part| part.data_type()).clone();
        let parts: Vec<ArrayRef> = parts
            .into_iter()
            .zip(&batches)
            .map(|(part, batch)| part.unwrap_or_else(|| new_null_array(&data_type, batch.num_rows())))
            .collect();
        let column = match parts.as_slice() {
            [only] => only.clone(),
            parts => concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>())?,
        };
        fields.push(Arc::new(Field::new(field.name(), data_type, field.is_nullable())));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use lake::{Event, EventId, LaneId, LeftOut, RawBatch};
    use uuid::Uuid;

    use super::*;

    const SECOND_US: i64 = 1_000_000;

    #[test]
    fn rows_are_sorted_by_date_site_visitor_and_time_with_nobody_first() {
        check(&["b:1@5 a:2@3 a:1@9 a:-@7", "a:1@2 b:-@86400"], "a:-@7 a:1@2 a:1@9 a:2@3 b:1@5 | b:-@86400");
    }

    #[test]
    fn what_came_late_is_apart() {
        check(&["a:1@1 a:1@2~3600"], "a:1@1 | a:1@2");
    }

    #[test]
    fn rows_that_are_left_out_are_told_by_their_number_in_their_file() {
        let files = vec![file(1, "a:1@5"), file(2, "a:1@6 a:1@7 a:1@8")];
        let left_out = LeftOut { rows: vec![0, 2], of: 3 };
        let left_out = [(files[1].file.path.clone(), left_out)].into();
        let sorted = sort(files, &PendingSurvey { left_out, ..PendingSurvey::default() }).unwrap();
        assert_eq!(sorted.groups.iter().map(|(_, rows)| rows.as_slice()).collect::<Vec<_>>(), [&[0, 2]]);
    }

    #[test]
    fn rows_are_counted_through_the_batches_of_a_file() {
        let mut two = file(2, "a:1@6 a:1@7 a:1@8 a:1@9");
        two.batches = vec![two.batches[0].slice(0, 2), two.batches[0].slice(2, 2)];
        let left_out = [(two.file.path.clone(), LeftOut { rows: vec![1, 2], of: 4 })].into();
        let sorted =
            sort(vec![file(1, "a:1@5"), two], &PendingSurvey { left_out, ..PendingSurvey::default() }).unwrap();
        assert_eq!(sorted.groups.iter().map(|(_, rows)| rows.as_slice()).collect::<Vec<_>>(), [&[0, 1, 4]]);
    }

    #[test]
    fn columns_that_older_files_lack_are_null_in_their_rows() {
        let mut older = file(1, "a:1@5");
        let column = older.batches[0].schema().index_of("sdk").unwrap();
        older.batches[0].remove_column(column);
        let sorted = sort(vec![older, file(2, "a:1@6")], &PendingSurvey::default()).unwrap();
        assert_eq!(sorted.rows["sdk"].null_count(), 1);
        assert_eq!(sorted.rows.num_columns(), EVENTS.file_schema.fields().len());
    }

    /// Sorts files whose events are `site:visitor@second`, or `site:visitor@second~delay` if they were received later;
    /// groups are told apart by a bar.
    #[track_caller]
    fn check(files: &[&str], expected: &str) {
        let files: Vec<FileRows> = files.iter().zip(1..).map(|(events, number)| file(number, events)).collect();
        let sorted = sort(files, &PendingSurvey::default()).unwrap();
        let groups: Vec<String> =
            sorted.groups.iter().map(|(_, numbers)| show(&sorted.take(numbers).unwrap())).collect();
        assert_eq!(groups.join(" | "), expected);
    }

    fn show(rows: &RecordBatch) -> String {
        let (sites, visitors) = (rows["site_id"].as_string::<i32>(), rows["visitor_id"].as_primitive::<Int64Type>());
        let times = rows["occurred_at"].as_primitive::<TimestampMicrosecondType>();
        let row = |row: usize| {
            let visitor = if visitors.is_valid(row) { visitors.value(row).to_string() } else { "-".into() };
            format!("{}:{visitor}@{}", sites.value(row), times.value(row) / SECOND_US)
        };
        (0..rows.num_rows()).map(row).collect::<Vec<_>>().join(" ")
    }

    fn file(number: u128, events: &str) -> FileRows {
        let mut batch = RawBatch::default();
        for text in events.split_whitespace() {
            let (text, delay) = text.split_once('~').unwrap_or((text, "0"));
            let (site, rest) = text.split_once(':').unwrap();
            let (visitor, second) = rest.split_once('@').unwrap();
            let occurred_at_us = second.parse::<i64>().unwrap() * SECOND_US;
            batch.push(&Event {
                event_id: id(text),
                site_id: site.into(),
                name: "a".into(),
                visitor_id: visitor.parse().ok(),
                occurred_at_us,
                received_at_us: occurred_at_us + delay.parse::<i64>().unwrap() * SECOND_US,
                sdk: Some("s".into()),
                ..Event::default()
            });
        }
        let (lane, modified_at) = (LaneId(Uuid::from_u128(number)), DateTime::<Utc>::UNIX_EPOCH);
        let file = RawFile { path: format!("raw/{number}").into(), lane, seq: 1, size_bytes: 0, modified_at };
        FileRows { file, batches: vec![batch.into_batch()] }
    }

    fn id(text: &str) -> EventId {
        EventId::from_client(text)
    }
}
