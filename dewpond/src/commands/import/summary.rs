//! What an import did, in words.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use lake::{Event, ImportRun, Source, event_columns};
use serde_json::{Map, Value as Json};

/// How many different names, and reasons, are counted apart. Others are counted together.
const DIFFERENT_MAX: usize = 1_000;

/// How many names, and reasons, are shown.
const SHOWN_MAX: usize = 10;

/// How many rows a dry run shows.
const PREVIEW_ROWS: usize = 5;

/// What became of rows.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) is_dry: bool,
    pub(super) files: usize,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// Exported events that name another site.
    pub(super) of_other_sites: u64,
    names: BTreeMap<String, u64>,
    reasons: BTreeMap<String, u64>,
    left_out: BTreeMap<String, u64>,
    from_until_us: Option<(i64, i64)>,
    preview: Vec<String>,
}

impl Summary {
    pub(super) fn new(is_dry: bool) -> Self {
        Self { is_dry, ..Self::default() }
    }

    pub(super) fn accepted(&mut self, event: &Event) {
        self.accepted += 1;
        add(&mut self.names, &event.name, 1);
        self.reach(event.occurred_at_us, event.occurred_at_us);
        if self.is_dry && self.preview.len() < PREVIEW_ROWS {
            self.preview.push(shown(event));
        }
    }

    pub(super) fn left_out(&mut self, what: &str) {
        add(&mut self.left_out, what, 1);
    }

    pub(super) fn refused(&mut self, reason: &str) {
        self.refused += 1;
        add(&mut self.reasons, reason, 1);
    }

    /// Adds what became of the rows that come next.
    pub(super) fn add(&mut self, next: Self) {
        let Self {
            is_dry: _,
            files,
            accepted,
            refused,
            of_other_sites,
            names,
            reasons,
            left_out,
            from_until_us,
            preview,
        } = next;
        self.files += files;
        self.accepted += accepted;
        self.refused += refused;
        self.of_other_sites += of_other_sites;
        for (counts, more) in [(&mut self.names, names), (&mut self.reasons, reasons), (&mut self.left_out, left_out)] {
            more.iter().for_each(|(what, times)| add(counts, what, *times));
        }
        if let Some((from_us, until_us)) = from_until_us {
            self.reach(from_us, until_us);
        }
        self.preview.extend(preview);
        self.preview.truncate(PREVIEW_ROWS);
    }

    fn reach(&mut self, from_us: i64, until_us: i64) {
        let reached =
            self.from_until_us.map_or((from_us, until_us), |(from, until)| (from.min(from_us), until.max(until_us)));
        self.from_until_us = Some(reached);
    }

    /// What the lake remembers of it.
    ///
    /// - `failed`: why it ended too soon, if it did.
    pub(super) fn run(&self, at: DateTime<Utc>, formats: &[String], failed: Option<String>) -> ImportRun {
        let mut reasons: Vec<(String, u64)> = self.reasons.iter().map(|(reason, n)| (reason.clone(), *n)).collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        reasons.truncate(SHOWN_MAX);
        let time = |at_us: i64| DateTime::from_timestamp_micros(at_us);
        ImportRun {
            at,
            formats: formats.to_vec(),
            files: self.files as u64,
            accepted: self.accepted,
            refused: self.refused,
            left_out: self.left_out.values().sum(),
            of_other_sites: self.of_other_sites,
            first_at: self.from_until_us.and_then(|(from_us, _)| time(from_us)),
            last_at: self.from_until_us.and_then(|(_, until_us)| time(until_us)),
            reasons,
            failed,
        }
    }

    /// - `done_before`: files that earlier imports have read.
    pub(super) fn print(&self, site: &str, done_before: usize) {
        let verb = if self.is_dry { "would import" } else { "imported" };
        println!(
            "{verb} {} events from {} file(s) into site {site}; {} rejected",
            self.accepted, self.files, self.refused
        );
        if let Some((from_us, until_us)) = self.from_until_us {
            println!("  from {} to {}", time(from_us), time(until_us));
        }
        print_counts(&self.names);
        if done_before > 0 {
            println!("left out {done_before} file(s) that earlier imports have read");
        }
        if !self.left_out.is_empty() {
            println!("left out {} records that are no events:", self.left_out.values().sum::<u64>());
            print_counts(&self.left_out);
        }
        if self.of_other_sites > 0 {
            println!(
                "left out {} events with the site_id of another site: import them into that site, or remove the column to \
                 import them into this one",
                self.of_other_sites
            );
        }
        self.print_refusals();
        if self.is_dry {
            for row in &self.preview {
                println!("{row}");
            }
            println!("Nothing was written.");
            return;
        }
        println!(
            "Events already in the lake, or repeated in the files, are stored once. New events are visible to `dewpond query` now."
        );
    }

    pub(super) fn print_refusals(&self) {
        if self.refused > 0 {
            println!("rejected, by reason:");
            print_counts(&self.reasons);
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, what: &str, times: u64) {
    if let Some(count) = counts.get_mut(what) {
        *count += times;
    } else {
        let what = if counts.len() < DIFFERENT_MAX { what } else { "others" };
        *counts.entry(what.to_owned()).or_default() += times;
    }
}

fn print_counts(counts: &BTreeMap<String, u64>) {
    let mut counts: Vec<(&String, &u64)> = counts.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    for (what, count) in counts.iter().take(SHOWN_MAX) {
        println!("  {count:>12}  {what}");
    }
    let others: u64 = counts.iter().skip(SHOWN_MAX).map(|(_, count)| **count).sum();
    if others > 0 {
        println!("  {others:>12}  of {} others", counts.len() - SHOWN_MAX);
    }
}

fn time(at_us: i64) -> String {
    let at = chrono::DateTime::from_timestamp_micros(at_us).unwrap_or_default();
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// An event as it would be stored, without what is null.
fn shown(event: &Event) -> String {
    let mut row = Map::new();
    for column in event_columns() {
        let value: Option<Json> = match column.source {
            Source::Id => Some(uuid::Uuid::from_bytes(event.event_id.0).to_string().into()),
            Source::Text(get, _) => get(event).map(Into::into),
            Source::TimeUs(get, _) => Some(time(get(event)).into()),
            Source::Integer(get, _) => get(event).map(Into::into),
            Source::MoneyE4(get, _) => get(event).map(|amount| (amount as f64 / 10_000.0).into()),
            Source::Flag(get, _) => Some(get(event).into()),
        };
        row.extend(value.map(|value| (column.name.to_owned(), value)));
    }
    Json::Object(row).to_string()
}
