//! Imports numbers of days, which are no events: into the table `imported_days`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, bail};
use chrono::NaiveDate;
use intake::history::{DaysSource, GoatCounterDays, PlausibleTable, Told};
use lake::{ImportedDay, ImportedDays, Lake};
use tokio::runtime::Handle;

use super::places::Place;
use super::rows::{self, Data, Rows};
use super::unpacked::{self, Unpacked};

/// So many rows are held before they are written.
const ROWS_MAX: usize = 500_000;

/// How many refused rows are shown, and rows of a dry run.
const SHOWN_MAX: u64 = 10;

/// What is imported, and what became of it.
pub(super) struct DaysImport {
    runtime: Handle,
    /// None to write nothing.
    lake: Option<Lake>,
    site: String,
    told: Told,
    read_bytes: Arc<AtomicU64>,
    rows: u64,
    refused: u64,
    kinds: BTreeMap<&'static str, u64>,
    from_until: Option<(NaiveDate, NaiveDate)>,
}

impl DaysImport {
    /// - `lake`: none for a dry run.
    pub(super) fn new(lake: Option<Lake>, site: &str, told: Told, read_bytes: Arc<AtomicU64>) -> Self {
        Self {
            runtime: Handle::current(),
            lake,
            site: site.to_owned(),
            told,
            read_bytes,
            rows: 0,
            refused: 0,
            kinds: BTreeMap::new(),
            from_until: None,
        }
    }

    /// Reads all files, and says what became of them. Call this off the async threads.
    pub(super) fn run(mut self, places: &[(Place, DaysSource)]) -> anyhow::Result<()> {
        for (place, source) in places {
            let outcome = match source {
                DaysSource::Plausible => self.tables(place),
                DaysSource::GoatCounter => self.statistics(place),
            };
            outcome.with_context(|| format!("could not import {}", place.name))?;
            self.say(place, *source);
        }
        if self.lake.is_none() {
            println!("Nothing was written.");
        }
        Ok(())
    }

    /// Plausible's tables. Each takes the place of what was there of its days.
    fn tables(&mut self, place: &Place) -> anyhow::Result<()> {
        let (runtime, read_bytes) = (self.runtime.clone(), self.read_bytes.clone());
        unpacked::each(place, &runtime, &read_bytes, |file| {
            let mut days = ImportedDays::new(&self.site, DaysSource::Plausible.name());
            let (name, mut table) = (file.name.clone(), None);
            rows::read(file, None, &read_bytes, &mut |rows| {
                let Data::Records(names, records) = rows.data else { bail!("{name} is no table of Plausible's") };
                if table.is_none() {
                    let columns: Vec<String> = names.iter().map(str::to_owned).collect();
                    table = PlausibleTable::of_columns(&columns);
                }
                let Some(table) = &table else { bail!("{name} is no table of Plausible's") };
                for (number, record) in records {
                    match record.and_then(|record| table.read(record.iter())) {
                        Ok(row) => self.take(&mut days, &row)?,
                        Err(reason) => self.refuse(&format!("{name}:{number}"), &reason),
                    }
                }
                Ok(true)
            })?;
            self.keep(&mut days)
        })
    }

    /// GoatCounter's statistics, after its lists, which lie in between.
    fn statistics(&mut self, place: &Place) -> anyhow::Result<()> {
        let mut sums = GoatCounterDays::new(self.told.zone);
        let (runtime, read_bytes) = (self.runtime.clone(), self.read_bytes.clone());
        let each_entry =
            |file: Unpacked, then: &mut dyn FnMut(&str, u64, &super::reading::Object) -> anyhow::Result<()>| {
                let name = file.name.clone();
                rows::read(file, None, &read_bytes, &mut |Rows { data, .. }| {
                    let Data::Json(items) = data else { bail!("{name} is not JSON") };
                    for (number, json) in items {
                        let object = intake::history::object(&json).map_err(anyhow::Error::msg);
                        then(&name, number, &object.with_context(|| format!("{name}:{number}"))?)?;
                    }
                    Ok(true)
                })
            };
        unpacked::each(place, &runtime, &read_bytes, |file| match GoatCounterDays::is_list(&file.name) {
            true => each_entry(file, &mut |name, _, entry| {
                sums.learn(name, entry);
                Ok(())
            }),
            false => Ok(()),
        })?;
        unpacked::each(place, &runtime, &read_bytes, |file| {
            if GoatCounterDays::is_list(&file.name) {
                return Ok(());
            }
            let mut days = ImportedDays::new(&self.site, DaysSource::GoatCounter.name());
            each_entry(file, &mut |name, number, entry| {
                match sums.count(name, entry) {
                    Ok(done) => done.iter().try_for_each(|row| self.take(&mut days, row))?,
                    Err(reason) => self.refuse(&format!("{name}:{number}"), &reason),
                }
                Ok(())
            })?;
            sums.finish().iter().try_for_each(|row| self.take(&mut days, row))?;
            self.keep(&mut days)
        })
    }

    fn take(&mut self, days: &mut ImportedDays, row: &ImportedDay) -> anyhow::Result<()> {
        if self.lake.is_none() && self.rows < SHOWN_MAX {
            let values = row.dimensions.iter().map(|(name, value)| format!("{name}={value}"));
            let numbers = row.numbers.iter().map(|(name, number)| format!("{name}={number}"));
            let shown: Vec<String> = values.chain(numbers).collect();
            println!("{} {} {}", row.day, row.kind.name(), shown.join(" "));
        }
        self.rows += 1;
        *self.kinds.entry(row.kind.name()).or_default() += 1;
        let (from, until) = self.from_until.unwrap_or((row.day, row.day));
        self.from_until = Some((from.min(row.day), until.max(row.day)));
        if self.lake.is_some() {
            days.push(row);
        }
        if days.rows() >= ROWS_MAX { self.keep(days) } else { Ok(()) }
    }

    fn keep(&self, days: &mut ImportedDays) -> anyhow::Result<()> {
        match &self.lake {
            Some(lake) => Ok(self.runtime.block_on(lake.keep_imported_days(days))?),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, place: &str, reason: &str) {
        if self.refused < SHOWN_MAX {
            eprintln!("rejected {place}: {reason}");
        }
        self.refused += 1;
    }

    fn say(&mut self, place: &Place, source: DaysSource) {
        let verb = if self.lake.is_none() { "would import" } else { "imported" };
        let (rows, refused) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.refused));
        println!(
            "{verb} {rows} numbers of days by {} from {} into site {}; {refused} rejected",
            source.name(),
            place.name,
            self.site
        );
        if let Some((from, until)) = self.from_until.take() {
            println!("  from {from} to {until}");
        }
        for (kind, rows) in std::mem::take(&mut self.kinds) {
            println!("  {rows:>12}  {kind}");
        }
        if self.lake.is_some() {
            println!(
                "They are in the table imported_days, in the place of what it had of the same days before. No events are made of them."
            );
        }
    }
}
