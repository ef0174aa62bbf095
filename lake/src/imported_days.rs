//! Numbers of days that other products counted: the table `imported_days`.
//!
//! What is imported takes the place of what the same source said of the same days of a site before, kind by kind, in one
//! commit. So an import that is repeated changes nothing, and of two that overlap the later one counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, AsArray, BooleanArray, Date32Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::compute::{SortColumn, SortOptions, filter_record_batch, lexsort_to_indices, take_record_batch};
use arrow::datatypes::Date32Type;
use chrono::{Datelike, NaiveDate};
use futures::TryStreamExt;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::parquet::reader::read_batches;
use crate::schema::tables::{DAY_DIMENSIONS, DAY_NUMBERS, IMPORTED_DAYS};
use crate::table::TableSnapshot;
use crate::table::change::Change;
use crate::table::file::{TableFile, Value};
use crate::table::writer::TableWriter;

/// How often a change is tried against competing commits.
const CONFLICT_TRIES: u32 = 8;

/// What the rows of a day are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DayKind {
    /// By nothing: the whole site.
    Days,
    /// By browser and version.
    Browsers,
    /// By the name of an event, and what it was about.
    Events,
    /// By the kind of device.
    Devices,
    /// By the first page of a visit.
    EntryPages,
    /// By the last page of a visit.
    ExitPages,
    /// By language.
    Languages,
    /// By page.
    Pages,
    /// By country, region and city.
    Places,
    /// By a property of events and its value.
    Properties,
    /// By the width of the screen.
    Screens,
    /// By where visitors came from.
    Sources,
    /// By operating system and version.
    Systems,
}

impl DayKind {
    /// As the column `kind` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Browsers => "browsers",
            Self::Events => "events",
            Self::Devices => "devices",
            Self::EntryPages => "entry_pages",
            Self::ExitPages => "exit_pages",
            Self::Languages => "languages",
            Self::Pages => "pages",
            Self::Places => "places",
            Self::Properties => "properties",
            Self::Screens => "screens",
            Self::Sources => "sources",
            Self::Systems => "systems",
        }
    }
}

/// A row: what was counted on a day, of one value of what it was counted by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedDay {
    /// The day, in the time zone of whoever counted.
    pub day: NaiveDate,
    /// What it is counted by.
    pub kind: DayKind,
    /// Names of [`DAY_DIMENSIONS`] and their values.
    pub dimensions: Vec<(&'static str, String)>,
    /// Names of [`DAY_NUMBERS`] and their values.
    pub numbers: Vec<(&'static str, i64)>,
}

/// Rows of a site from one source, gathered until they take the place of earlier ones.
pub struct ImportedDays {
    site_id: Arc<str>,
    source: &'static str,
    kinds: StringBuilder,
    days: Date32Builder,
    dimensions: Vec<StringBuilder>,
    numbers: Vec<Int64Builder>,
    said: BTreeSet<(NaiveDate, DayKind)>,
    said_before: BTreeSet<(NaiveDate, DayKind)>,
}

impl ImportedDays {
    /// - `source`: the product that counted: `plausible`.
    pub fn new(site_id: &str, source: &'static str) -> Self {
        Self {
            site_id: site_id.into(),
            source,
            kinds: StringBuilder::new(),
            days: Date32Builder::new(),
            dimensions: DAY_DIMENSIONS.map(|_| StringBuilder::new()).into(),
            numbers: DAY_NUMBERS.map(|_| Int64Builder::new()).into(),
            said: BTreeSet::new(),
            said_before: BTreeSet::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &ImportedDay) {
        self.kinds.append_value(row.kind.name());
        self.days.append_value(Date32Type::from_naive_date(row.day));
        for (builder, name) in self.dimensions.iter_mut().zip(DAY_DIMENSIONS) {
            let value = row.dimensions.iter().find(|(own, _)| *own == name).map(|(_, value)| value);
            builder.append_option(value.filter(|value| !value.is_empty()));
        }
        for (builder, name) in self.numbers.iter_mut().zip(DAY_NUMBERS) {
            builder.append_option(row.numbers.iter().find(|(own, _)| *own == name).map(|(_, number)| *number));
        }
        self.said.insert((row.day, row.kind));
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.days.len()
    }

    /// The rows in the order of the table.
    fn take_batch(&mut self) -> Result<RecordBatch> {
        let rows = self.rows();
        let same = |text: &str| -> ArrayRef {
            let mut builder = StringBuilder::new();
            (0..rows).for_each(|_| builder.append_value(text));
            Arc::new(builder.finish())
        };
        let mut columns = vec![
            same(&self.site_id),
            same(self.source),
            Arc::new(self.kinds.finish()) as ArrayRef,
            Arc::new(self.days.finish()) as ArrayRef,
        ];
        columns.extend(self.dimensions.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.extend(self.numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        let sorted = || {
            let batch = RecordBatch::try_new(IMPORTED_DAYS.file_schema.clone(), columns)?;
            let options = Some(SortOptions { descending: false, nulls_first: true });
            let by: Vec<SortColumn> =
                IMPORTED_DAYS.sort.iter().map(|name| SortColumn { values: batch[*name].clone(), options }).collect();
            take_record_batch(&batch, &lexsort_to_indices(&by, None)?)
        };
        sorted().map_err(|error: arrow::error::ArrowError| LakeError::corrupt(IMPORTED_DAYS.name, error))
    }
}

/// Which rows go.
enum Leaving<'a> {
    Said(&'a BTreeSet<(NaiveDate, DayKind)>),
    All,
}

impl Leaving<'_> {
    fn has(&self, day: Option<NaiveDate>, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Said(said) => day.is_some_and(|day| {
                said.range((day, DayKind::Days)..).take_while(|(own, _)| *own == day).any(|(_, own)| own.name() == kind)
            }),
        }
    }
}

impl Lake {
    /// Puts the gathered rows in the place of what their source said of the same days and kinds before, in one commit.
    ///
    /// Of days and kinds that the same `days` were kept of before, rows are added to those: an import may keep what it has
    /// read of a file before it has read all of it.
    pub async fn keep_imported_days(&self, days: &mut ImportedDays) -> Result<()> {
        if days.rows() == 0 {
            return Ok(());
        }
        let batch = days.take_batch()?;
        let new: BTreeSet<_> = days.said.difference(&days.said_before).copied().collect();
        self.change_imported_days(&days.site_id, days.source, &Leaving::Said(&new), Some(&batch)).await?;
        days.said_before.append(&mut days.said);
        Ok(())
    }

    /// Removes all that a source said of a site. Returns how many rows that were.
    pub async fn remove_imported_days(&self, site_id: &str, source: &str) -> Result<u64> {
        self.change_imported_days(site_id, source, &Leaving::All, None).await
    }

    async fn change_imported_days(
        &self,
        site_id: &str,
        source: &str,
        leaving: &Leaving<'_>,
        coming: Option<&RecordBatch>,
    ) -> Result<u64> {
        let mut tries = 1;
        loop {
            match self.try_change_imported_days(site_id, source, leaving, coming).await {
                Err(LakeError::Conflict { .. } | LakeError::Gone { .. }) if tries < CONFLICT_TRIES => tries += 1,
                done => return done,
            }
        }
    }

    async fn try_change_imported_days(
        &self,
        site_id: &str,
        source: &str,
        leaving: &Leaving<'_>,
        coming: Option<&RecordBatch>,
    ) -> Result<u64> {
        let table = self.table(&IMPORTED_DAYS);
        let base: Arc<TableSnapshot> = table.load().await?;
        table.require_known_columns(&base)?;
        let parts = coming.map(by_month).transpose()?.unwrap_or_default();
        let mut months: BTreeSet<NaiveDate> = parts.iter().map(|(month, _)| *month).collect();
        let (mut adds, mut removes, mut removed) = (Vec::new(), Vec::new(), 0);
        let written = async {
            for file in base.files.iter().filter(|file| may_have(file, site_id, source)) {
                let is_meant = matches!(leaving, Leaving::All) || file.date.is_none_or(|date| months.contains(&date));
                if !is_meant {
                    continue;
                }
                let (stays, gone) = self.without(file, site_id, source, leaving).await?;
                if gone == 0 {
                    continue;
                }
                removed += gone;
                removes.push(file.log_path.clone());
                if !stays.is_empty() {
                    let mut writer = TableWriter::start(&table, file.date.unwrap_or_default())?;
                    for batch in &stays {
                        writer.write(batch).await?;
                    }
                    adds.push(writer.finish().await?);
                }
            }
            for (month, part) in &parts {
                let mut writer = TableWriter::start(&table, *month)?;
                writer.write(part).await?;
                adds.push(writer.finish().await?);
            }
            Ok(())
        };
        if let Err(error) = written.await {
            table.discard(&adds).await;
            return Err(error);
        }
        if adds.is_empty() && removes.is_empty() {
            return Ok(0);
        }
        months.extend(base.files.iter().filter(|file| removes.contains(&file.log_path)).filter_map(|file| file.date));
        let change = Change { removes, ..Change::publish(adds, vec![], months) };
        table.commit(change, base).await?;
        Ok(removed)
    }

    /// The rows of a file that stay, and how many go.
    async fn without(
        &self,
        file: &TableFile,
        site_id: &str,
        source: &str,
        leaving: &Leaving<'_>,
    ) -> Result<(Vec<RecordBatch>, u64)> {
        let columns: Vec<&str> = IMPORTED_DAYS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut batches = read_batches(self.store(), &file.path, file.size_bytes, &columns).await?;
        let (mut staying, mut gone) = (Vec::new(), 0);
        while let Some(batch) = batches.try_next().await? {
            let texts = |name: &str| batch[name].as_string::<i32>();
            let (sites, sources, kinds) = (texts("site_id"), texts("source"), texts("kind"));
            let days = batch["day"].as_primitive::<Date32Type>();
            let stays: BooleanArray = (0..batch.num_rows())
                .map(|row| {
                    let is_own = sites.value(row) == site_id && sources.value(row) == source;
                    let day = Date32Type::to_naive_date_opt(days.value(row));
                    Some(!(is_own && leaving.has(day, kinds.value(row))))
                })
                .collect();
            gone += (stays.len() - stays.true_count()) as u64;
            let kept = filter_record_batch(&batch, &stays)
                .map_err(|error| LakeError::corrupt(file.path.to_string(), error))?;
            if kept.num_rows() > 0 {
                staying.push(kept);
            }
        }
        Ok((staying, gone))
    }
}

/// Whether a file may have rows of a site and a source, judging by the log.
fn may_have(file: &TableFile, site_id: &str, source: &str) -> bool {
    let within = |column: &str, text: &str| match file.ranges.get(column) {
        Some(range) => {
            let text = Value::Text(text.to_owned());
            range.min <= text && range.max >= text
        }
        None => true,
    };
    within("site_id", site_id) && within("source", source)
}

/// The rows of each month, in their order.
fn by_month(rows: &RecordBatch) -> Result<Vec<(NaiveDate, RecordBatch)>> {
    let days = rows["day"].as_primitive::<Date32Type>();
    let month_of = |day: i32| Date32Type::to_naive_date_opt(day).and_then(|day| day.with_day(1)).unwrap_or_default();
    let of_rows: Vec<NaiveDate> = days.values().iter().map(|day| month_of(*day)).collect();
    let months: BTreeSet<NaiveDate> = of_rows.iter().copied().collect();
    let part = |month: NaiveDate| {
        let is_of_it: BooleanArray = of_rows.iter().map(|own| Some(*own == month)).collect();
        let part = filter_record_batch(rows, &is_of_it);
        Ok((month, part.map_err(|error| LakeError::corrupt(IMPORTED_DAYS.name, error))?))
    };
    months.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_imported_again_takes_the_place_of_what_was_there_of_the_same_days_and_kinds() {
        let lake = Lake::open("memory:///", []).unwrap();
        keep(&lake, "shop", "plausible", &[("2026-01-31", "", 1), ("2026-02-01", "", 2), ("2026-02-01", "/a", 3)])
            .await;
        keep(&lake, "shop", "goatcounter", &[("2026-02-01", "/a", 4)]).await;
        keep(&lake, "blog", "plausible", &[("2026-02-01", "", 5)]).await;
        let all = rows(&lake).await;
        keep(&lake, "shop", "plausible", &[("2026-01-31", "", 1), ("2026-02-01", "", 2), ("2026-02-01", "/a", 3)])
            .await;
        assert_eq!(rows(&lake).await, all, "the same again");
        keep(&lake, "shop", "plausible", &[("2026-02-01", "/b", 6), ("2026-03-01", "", 7)]).await;
        let expected = [
            "blog plausible 2026-02-01 days 5",
            "shop goatcounter 2026-02-01 pages/a 4",
            "shop plausible 2026-01-31 days 1",
            "shop plausible 2026-02-01 days 2",
            "shop plausible 2026-02-01 pages/b 6",
            "shop plausible 2026-03-01 days 7",
        ];
        assert_eq!(rows(&lake).await, expected);
        assert_eq!(lake.remove_imported_days("shop", "plausible").await.unwrap(), 4);
        assert_eq!(rows(&lake).await, expected[..2]);
    }

    #[tokio::test]
    async fn one_import_adds_to_what_it_kept_before() {
        let lake = Lake::open("memory:///", []).unwrap();
        keep(&lake, "shop", "plausible", &[("2026-02-01", "/old", 9)]).await;
        let mut days = ImportedDays::new("shop", "plausible");
        for path in ["/a", "/b"] {
            days.push(&row("2026-02-01", path, 1));
            lake.keep_imported_days(&mut days).await.unwrap();
        }
        let expected = ["shop plausible 2026-02-01 pages/a 1", "shop plausible 2026-02-01 pages/b 1"];
        assert_eq!(rows(&lake).await, expected);
    }

    async fn keep(lake: &Lake, site: &str, source: &'static str, said: &[(&str, &str, i64)]) {
        let mut days = ImportedDays::new(site, source);
        for (day, path, visitors) in said {
            days.push(&row(day, path, *visitors));
        }
        lake.keep_imported_days(&mut days).await.unwrap();
    }

    fn row(day: &str, path: &str, visitors: i64) -> ImportedDay {
        ImportedDay {
            day: day.parse().unwrap(),
            kind: if path.is_empty() { DayKind::Days } else { DayKind::Pages },
            dimensions: vec![("path", path.into())],
            numbers: vec![("visitors", visitors)],
        }
    }

    async fn rows(lake: &Lake) -> Vec<String> {
        let mut rows = Vec::new();
        for file in &lake.table(&IMPORTED_DAYS).load().await.unwrap().files {
            let columns = ["site_id", "source", "kind", "day", "path", "visitors"];
            let batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await.unwrap();
            for batch in batches.try_collect::<Vec<_>>().await.unwrap() {
                let text =
                    |name: &str, row: usize| arrow::util::display::array_value_to_string(&batch[name], row).unwrap();
                for row in 0..batch.num_rows() {
                    let [site, source, kind, day, path, visitors] = columns.map(|name| text(name, row));
                    rows.push(format!("{site} {source} {day} {kind}{path} {visitors}"));
                }
            }
        }
        rows.sort();
        rows
    }
}
