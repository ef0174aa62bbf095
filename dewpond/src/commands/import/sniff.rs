//! What the files of an import are, found out before the first event is written.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, bail};
use intake::history::{DaysSource, FileKind, Format, guess};

use super::reading::{Object, object_of};
use super::rows::{self, Data, Rows, csv_rows, names, parquet_rows};
use super::unpacked::Unpacked;

/// How many records of a file are looked at.
const SAMPLE_ROWS: usize = 100;

/// What is known of a file.
pub(super) enum Found {
    /// It has nothing.
    Empty,
    /// Its rows are records of a format; none for those of the native protocol.
    Records(Option<Arc<Format>>),
    /// Its rows are numbers of days, and no events.
    Days(DaysSource),
    /// Its rows are values that belong to the records of other files.
    Joined,
}

/// A look at the beginning of a file.
pub(super) struct Sample {
    name: String,
    kind: Option<FileKind>,
    records: Vec<Object>,
    /// The records as they look if nobody says what they are.
    guessed_by: Vec<Object>,
    lines: Vec<String>,
    columns: Vec<String>,
}

impl Sample {
    /// Looks at the start of a file, which is then read no further.
    ///
    /// - `format`: the format that it should be of.
    pub(super) fn take(file: Unpacked, format: Option<&Format>) -> anyhow::Result<Self> {
        let kind = file.kind();
        let mut sample =
            Self { name: file.name.clone(), kind, records: vec![], guessed_by: vec![], lines: vec![], columns: vec![] };
        if kind == Some(FileKind::Text) {
            let text = String::from_utf8_lossy(&file.start);
            let text = text.trim_start_matches('\u{feff}');
            // The last line may be cut.
            let whole = text.lines().count().saturating_sub(usize::from(!text.ends_with('\n'))).max(1);
            let lines = text.lines().take(whole.min(SAMPLE_ROWS)).filter(|line| !line.trim().is_empty());
            // Tabs at the end of a line are columns without a value.
            sample.lines = lines.map(str::to_owned).collect();
            let natural = csv_rows::separator(text);
            let wanted = format.and_then(|format| Some(format.table.as_ref()?.separator));
            sample.columns = columns_of(text, wanted.unwrap_or(natural));
            sample.records = vec![intake::history::record_of_columns(&sample.columns)];
            sample.guessed_by = vec![intake::history::record_of_columns(&columns_of(text, natural))];
            return Ok(sample);
        }
        let nobody = Arc::new(AtomicU64::new(0));
        rows::read(file, format, &nobody, &mut |rows| {
            sample.records = objects(rows)?;
            Ok(false)
        })?;
        let names = sample.records.first().into_iter().flat_map(|record| record.keys().cloned());
        sample.columns = names.collect();
        sample.guessed_by.clone_from(&sample.records);
        Ok(sample)
    }

    /// What the file is. `wanted` is the format that it should be of; without one it is guessed if `is_open`, and else the
    /// file has the fields of the native protocol.
    ///
    /// Fails with what it is instead, as far as that can be told.
    ///
    /// - `days`: the product whose numbers of days it may have.
    pub(super) fn judge(
        &self,
        wanted: Option<&Arc<Format>>,
        days: Option<DaysSource>,
        is_open: bool,
    ) -> anyhow::Result<Found> {
        let Some(kind) = self.kind else { return Ok(Found::Empty) };
        let guessed = || guess(kind, &self.guessed_by, &self.lines);
        let name = &self.name;
        if let Some(found) = DaysSource::of_file(name, &self.columns).filter(|found| is_open || days == Some(*found)) {
            return Ok(Found::Days(found));
        }
        let Some(format) = wanted else {
            if let Some(source) = days {
                bail!("{name} is not {}. Nothing was imported", source.title());
            }
            if !is_open {
                return self.judge_native(kind);
            }
            if let Some(format) = guessed() {
                return Ok(Found::Records(Some(Arc::new(format.clone()))));
            }
            if self.is_native() {
                return Ok(Found::Records(None));
            }
            bail!(
                "could not tell what {name} is; name its format with --format ({}), or describe it in a file for --map",
                names_of_formats()
            );
        };
        if let Some(join) = &format.join
            && join.fits(&self.columns)
        {
            return Ok(Found::Joined);
        }
        let is_of_kind = format.reads(kind);
        let fits = is_of_kind
            && match kind {
                FileKind::Text if format.is_log() => format.fits_lines(&self.lines),
                FileKind::Text if format.table.as_ref().is_some_and(|table| !table.header.is_empty()) => {
                    format.fits_width(&self.lines)
                }
                _ => format.fits(&self.records),
            };
        if fits {
            return Ok(Found::Records(Some(format.clone())));
        }
        let instead = match guessed() {
            Some(other) => format!(": it looks like {}, so try --format {}", other.title, other.name),
            None if self.is_native() => {
                ": it has events in the fields of the native protocol; leave --format out".into()
            }
            None if !is_of_kind => format!(": it is {}", name_of(kind)),
            None => format!(", whose records have {}", format.needs()),
        };
        bail!("{name} is not {}{instead}. Nothing was imported", format.title)
    }

    fn judge_native(&self, kind: FileKind) -> anyhow::Result<Found> {
        let name = &self.name;
        let is_table = super::unpacked::has_ending(name, &["csv", "tsv"]) || name == super::places::STDIN;
        if kind == FileKind::Text && !is_table {
            let instead = match guess(kind, &self.guessed_by, &self.lines) {
                Some(format) => format!(". It looks like {}: try --format {}", format.title, format.name),
                None => String::new(),
            };
            bail!("{name} must end in .ndjson, .csv or .parquet, which tells its format{instead}");
        }
        if let Some(source) = DaysSource::of_file(name, &self.columns)
            && !self.guessed_by.iter().any(|record| record.contains_key("timestamp"))
        {
            bail!("{name} looks like {}: import it with --format {}", source.title(), source.name());
        }
        // Rows that all lack a name would all be refused: say so once, and what the file is.
        if !self.is_native()
            && let Some(format) = guess(kind, &self.guessed_by, &self.lines)
        {
            bail!("{name} looks like {}: import it with --format {}", format.title, format.name);
        }
        Ok(Found::Records(None))
    }

    fn is_native(&self) -> bool {
        self.guessed_by.iter().any(|record| record.contains_key("name"))
    }
}

/// The names in the first line of a table.
fn columns_of(text: &str, separator: char) -> Vec<String> {
    let mut table = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(separator).unwrap_or(b','))
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let Some(Ok(record)) = table.records().next() else { return vec![] };
    names::Names::new(record.iter()).iter().map(str::to_owned).collect()
}

fn objects(rows: Rows) -> anyhow::Result<Vec<Object>> {
    let read = |json: &String| intake::history::object(json).ok();
    Ok(match rows.data {
        Data::Json(items) => items.iter().take(SAMPLE_ROWS).filter_map(|(_, json)| read(json)).collect(),
        Data::Records(names, records) => {
            let records = records.iter().take(SAMPLE_ROWS);
            records.filter_map(|(_, record)| Some(object_of(&names, record.as_ref().ok()?))).collect()
        }
        Data::Lines(..) => vec![],
        Data::Batch(_, batch) => {
            let names: Vec<String> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            let batch = batch.slice(0, batch.num_rows().min(SAMPLE_ROWS));
            let rows = parquet_rows::json(&batch).context("could not read its first rows")?;
            let mut objects: Vec<Object> = rows.iter().filter_map(|json| read(json.as_ref().ok()?)).collect();
            // Nulls are left out of rows.
            for object in &mut objects {
                for name in &names {
                    object.entry(name.clone()).or_insert(serde_json::Value::Null);
                }
            }
            objects
        }
    })
}

/// The names of the formats that come with Dewpond.
pub(super) fn names_of_formats() -> String {
    let mut names: Vec<&str> = Format::shipped().iter().map(|format| &*format.name).collect();
    for source in DaysSource::ALL {
        if !names.contains(&source.name()) {
            names.push(source.name());
        }
    }
    names.join(", ")
}

fn name_of(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Json => "JSON",
        FileKind::Text => "text",
        FileKind::Parquet => "Parquet",
        FileKind::Avro => "Avro",
    }
}

/// Fails if a day of Google Analytics is there twice: as its table, and as the one that was written during the day, whose
/// rows have other ids.
pub(super) fn refuse_intraday_beside_its_day<'a>(names: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let pattern = |name: &str, beginning: &str| {
        let (_, rest) = name.rsplit_once(beginning)?;
        rest.get(..8).filter(|day| day.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
    };
    let names: Vec<&str> = names.collect();
    let days: std::collections::HashSet<String> = names.iter().filter_map(|name| pattern(name, "events_")).collect();
    for name in &names {
        if let Some(day) = pattern(name, "events_intraday_").filter(|day| days.contains(day)) {
            bail!(
                "{name} is a part of what events_{day} has: Google replaces the table of the running day by that of the day. \
                 Import one of them. Nothing was imported"
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_and_what_it_replaced_are_not_imported_together() {
        let check =
            |names: &[&str]| refuse_intraday_beside_its_day(names.iter().copied()).map_err(|error| error.to_string());
        assert!(check(&["b/events_20260301.json", "b/events_intraday_20260301-000.json"]).is_err());
        assert_eq!(check(&["events_20260301.json", "events_intraday_20260302.json"]), Ok(()));
        assert_eq!(check(&["events_intraday_20260301-0.json", "events_intraday_20260301-1.json"]), Ok(()));
    }
}
