//! The rows of pending files, reduced to what the search for copies needs: key, time and reach.
//!
//! A query or a publish may have millions of them, so they lie in plain lists. A growing map would place them at random
//! in memory and cost several times as much.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, NaiveDate};

use crate::copies::times::CopyReach;
use crate::erasure::list::Erasures;
use crate::event::{EventId, EventKey};

/// An event's key within one search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The site's number among [`Sites`].
    pub(crate) site: u32,
    pub(crate) id: EventId,
}

/// The sites of a search.
#[derive(Default)]
pub(crate) struct Sites {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, RandomState>,
}

/// One row of a raw file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingRow {
    pub(crate) key: Key,
    /// We assigned its id, so it has no copies.
    pub(crate) id_assigned: bool,
    /// It was erased.
    pub(crate) erased: bool,
    pub(crate) occurred_at_us: i64,
    /// How far from that an earlier copy may lie.
    pub(crate) reach: CopyReach,
}

impl PendingRow {
    /// The first and the last time (µs) at which an earlier copy may lie.
    pub(crate) fn copy_times(&self) -> (i64, i64) {
        self.reach.around(self.occurred_at_us)
    }
}

/// Where a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowPlace {
    /// The number of its file among those that are read.
    pub(crate) file: u32,
    /// Its number within the file.
    pub(crate) row: u32,
}

/// The rows of some raw files.
#[derive(Default)]
pub(crate) struct PendingRows {
    pub(crate) sites: Sites,
    /// By file.
    files: Vec<Vec<PendingRow>>,
    /// From the first to the last time (µs) at which a copy in the table may lie.
    pub(crate) times: Option<(i64, i64)>,
    /// The days of these times, counted from the epoch.
    days: BTreeSet<i64>,
}

impl Sites {
    /// The number of a site, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    fn name(&self, number: u32) -> &Arc<str> {
        &self.names[number as usize]
    }

    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.get(name) {
            return number;
        }
        let (name, number) = (Arc::<str>::from(name), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }
}

/// The keys of a batch with `site_id` and `event_id`; none for rows of sites that have no number.
pub(crate) fn keys<'a>(batch: &'a RecordBatch, sites: &'a Sites) -> impl Iterator<Item = Option<Key>> + 'a {
    let (site_ids, event_ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
    // Rows of one site often lie together.
    let mut last: Option<(&str, Option<u32>)> = None;
    (0..batch.num_rows()).map(move |row| {
        let name = site_ids.value(row);
        let number = match last {
            Some((last_name, number)) if last_name == name => number,
            _ => sites.get(name),
        };
        last = Some((name, number));
        number.map(|site| Key { site, id: EventId::of_bytes(event_ids.value(row)) })
    })
}

impl PendingRows {
    /// Reads the rows of one file. Sites are numbered within the result.
    ///
    /// - `batches`: with the columns `site_id`, `event_id`, `occurred_at` and `received_at`, `corrected_by` and
    ///   `id_assigned` if the file has them, and those that `erasures` asks for if there are any.
    pub(crate) fn of_file(batches: &[RecordBatch], erasures: &Erasures) -> Self {
        let mut sites = Sites::default();
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for batch in batches {
            let (site_ids, event_ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
            let occurred = batch["occurred_at"].as_primitive::<TimestampMicrosecondType>();
            let received = batch["received_at"].as_primitive::<TimestampMicrosecondType>();
            let corrected = batch.column_by_name("corrected_by").map(|column| column.as_primitive::<Int64Type>());
            let assigned = batch.column_by_name("id_assigned").map(|column| column.as_boolean());
            let erased = (!erasures.is_empty()).then(|| erasures.covered_rows(batch));
            rows.extend((0..batch.num_rows()).map(|row| {
                let corrected_by_us = corrected.filter(|column| column.is_valid(row)).map(|column| column.value(row));
                let occurred_at_us = occurred.value(row);
                PendingRow {
                    key: Key { site: sites.number(site_ids.value(row)), id: EventId::of_bytes(event_ids.value(row)) },
                    id_assigned: assigned.is_some_and(|assigned| assigned.value(row)),
                    erased: erased.as_ref().is_some_and(|erased| erased.value(row)),
                    occurred_at_us,
                    reach: CopyReach::of(occurred_at_us, received.value(row), corrected_by_us),
                }
            }));
        }
        Self::of_rows(sites, rows)
    }

    pub(crate) fn of_rows(sites: Sites, rows: Vec<PendingRow>) -> Self {
        let times = rows.iter().filter(|row| !row.id_assigned).map(PendingRow::copy_times);
        let (whole, days) = (times.clone().reduce(hull), days_of(times));
        Self { sites, times: whole, days, files: vec![rows] }
    }

    /// Adds the files of `other` after the own ones.
    pub(crate) fn append(&mut self, other: Self) {
        let numbers: Vec<u32> = other.sites.names.iter().map(|name| self.sites.number(name)).collect();
        for mut rows in other.files {
            rows.iter_mut().for_each(|row| row.key.site = numbers[row.key.site as usize]);
            self.files.push(rows);
        }
        self.times = self.times.into_iter().chain(other.times).reduce(hull);
        self.days.extend(other.days);
    }

    /// A key with its site's name.
    pub(crate) fn whole_key(&self, key: Key) -> EventKey {
        EventKey { site_id: self.sites.name(key.site).clone(), event_id: key.id }
    }

    pub(crate) fn row(&self, place: RowPlace) -> &PendingRow {
        &self.files[place.file as usize][place.row as usize]
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RowPlace, &PendingRow)> {
        self.files.iter().enumerate().flat_map(|(file, rows)| {
            rows.iter()
                .enumerate()
                .map(move |(row, pending)| (RowPlace { file: file as u32, row: row as u32 }, pending))
        })
    }

    /// Rows of the file with a number.
    pub(crate) fn count_in(&self, file: usize) -> usize {
        self.files[file].len()
    }

    /// Rows of all files.
    pub(crate) fn count(&self) -> usize {
        self.files.iter().map(Vec::len).sum()
    }

    /// The dates on which copies in the table may lie.
    pub(crate) fn dates(&self) -> BTreeSet<NaiveDate> {
        let date = |day: &i64| DateTime::from_timestamp_micros(day.checked_mul(DAY_US)?).map(|time| time.date_naive());
        self.days.iter().filter_map(date).collect()
    }
}

/// From the beginning of the first to the end of the last of two ranges.
fn hull(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    (a.0.min(b.0), a.1.max(b.1))
}

const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// The days on which times (µs) lie, counted from the epoch.
fn days_of(times: impl Iterator<Item = (i64, i64)>) -> BTreeSet<i64> {
    let mut days = BTreeSet::new();
    // Those of the last event, which most often are those of the next one too.
    let mut last = None;
    for times in times {
        let ends = (times.0.div_euclid(DAY_US), times.1.div_euclid(DAY_US));
        if last != Some(ends) {
            days.extend(ends.0..=ends.1);
            last = Some(ends);
        }
    }
    days
}
