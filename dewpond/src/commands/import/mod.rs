//! Events from files. Rerunning an import adds nothing: an event's id is its own, or is derived from its
//! content and its place among equal ones.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::Utc;
use indicatif::{ProgressBar, ProgressStyle};
use intake::protocol::native;
use intake::{Client, Context, Ids, Window};
use lake::{EventId, Lake, Lane, LaneSettings, RawBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value as Json};
use uuid::Uuid;

use crate::lake_flags::LakeFlags;

/// Events are written once they take so much memory; the file is several times smaller.
const BATCH_BYTES: usize = 64 << 20;

/// Rejected events that are shown; the rest is counted.
const REJECTIONS_SHOWN: usize = 10;

#[derive(clap::Args, Debug)]
pub(crate) struct Flags {
    #[command(flatten)]
    lake: LakeFlags,

    /// The site that the events belong to; it is added if there is none of this name. Exported events that name another in
    /// site_id are left out.
    #[arg(long, value_name = "ID")]
    site: String,

    /// Files with events in the fields of the native protocol: .ndjson (or .jsonl), .csv with a header, or
    /// .parquet.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

pub(crate) async fn run(flags: Flags) -> anyhow::Result<()> {
    // Every file is opened before the first event is written, so that a wrong name changes nothing.
    let sources = flags.files.iter().map(|path| Source::open(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let lake = flags.lake.open_for_writing().await?;
    if lake.ensure_site(&flags.site, Utc::now()).await? {
        eprintln!("added site {}; `dewpond site key add {}` issues a write key", flags.site, flags.site);
    }
    let total_bytes = sources.iter().map(|source| source.size_bytes).sum();
    let progress = ProgressBar::new(total_bytes)
        .with_style(ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {msg}  {elapsed} ({eta} left)")?);
    let mut import = Import::start(lake, &flags.site);
    for source in sources {
        import.file(source, &progress).await?;
    }
    let done = import.finish().await?;
    progress.finish_and_clear();
    println!(
        "imported {} events from {} file(s) into site {}; {} rejected",
        done.accepted,
        flags.files.len(),
        flags.site,
        done.rejected
    );
    if done.of_other_sites > 0 {
        println!(
            "{} events say in site_id that they are another site's, and were left out: import them into that site, or leave \
             the column out to have them in this one",
            done.of_other_sites
        );
    }
    println!(
        "Of events that the lake had already, or that came more than once, it has one; `dewpond query` sees the new ones now."
    );
    if done.accepted == 0 && done.rejected + done.of_other_sites > 0 {
        bail!("no event could be imported");
    }
    Ok(())
}

/// A file of events, as JSON objects one after the other.
struct Source {
    path: PathBuf,
    size_bytes: u64,
    kind: Kind,
}

enum Kind {
    Ndjson(BufReader<File>),
    Csv { reader: Box<csv::Reader<BufReader<File>>>, ends_in_crlf: bool },
    Parquet(Box<parquet::arrow::arrow_reader::ParquetRecordBatchReader>),
}

impl Source {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("could not read {name}"))?;
        let size_bytes = file.metadata()?.len();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let kind = match extension.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => Kind::Ndjson(BufReader::with_capacity(1 << 20, file)),
            "csv" => {
                let mut file = BufReader::with_capacity(1 << 20, file);
                let ends_in_crlf =
                    file.fill_buf()?.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
                Kind::Csv { reader: Box::new(csv::Reader::from_reader(file)), ends_in_crlf }
            }
            "parquet" => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(file)
                    .and_then(|builder| builder.build())
                    .with_context(|| format!("{name} is no Parquet file"))?;
                Kind::Parquet(Box::new(reader))
            }
            _ => bail!("cannot tell what {name} is: name it .ndjson, .csv or .parquet"),
        };
        Ok(Self { path: path.to_owned(), size_bytes, kind })
    }
}

#[derive(Debug, Default)]
struct Imported {
    accepted: u64,
    rejected: u64,
    /// Of exports that name another site.
    of_other_sites: u64,
}

struct Import {
    lake: Lake,
    lane: Option<Lane>,
    context: Context,
    batch: RawBatch,
    /// How often each event without an id was there so far, by its content.
    seen: HashMap<[u8; 32], u64>,
    done: Imported,
}

impl Import {
    fn start(lake: Lake, site: &str) -> Self {
        let context = Context {
            site_id: site.into(),
            received_at_us: Utc::now().timestamp_micros(),
            window: Window::History,
            client: Client::default(),
            ids: Ids::new(lake.new_rng()),
        };
        let lane = Some(Lane::start(lake.clone(), lake.new_lane_id(Utc::now()), LaneSettings::default()));
        Self { lake, lane, context, batch: RawBatch::default(), seen: HashMap::new(), done: Imported::default() }
    }

    async fn file(&mut self, source: Source, progress: &ProgressBar) -> anyhow::Result<()> {
        let Source { path, size_bytes, kind } = source;
        let name = path.display().to_string();
        let before = progress.position();
        match kind {
            Kind::Ndjson(mut reader) => {
                let (mut line, mut number) = (Vec::new(), 0_u64);
                loop {
                    line.clear();
                    // A line without an end must not fill the memory.
                    let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
                    if read == 0 {
                        break;
                    }
                    number += 1;
                    if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                        bail!(
                            "{name}:{number} is longer than {LINE_BYTES_MAX} bytes: an event must be on a line of its own"
                        );
                    }
                    progress.inc(read as u64);
                    if !line.trim_ascii().is_empty() {
                        match std::str::from_utf8(&line) {
                            Ok(json) => {
                                let event = from_export(json.trim(), &self.context.site_id);
                                self.exported(event, &format_args!("{name}:{number}"), progress);
                            }
                            Err(_) => self.reject("it is not UTF-8", &format_args!("{name}:{number}"), progress),
                        }
                    }
                    self.write_if_full(progress).await?;
                }
            }
            Kind::Csv { mut reader, ends_in_crlf } => {
                let header = reader.headers().with_context(|| format!("could not read the header of {name}"))?.clone();
                let mut record = csv::StringRecord::new();
                loop {
                    // The reader stands between the two bytes that end a line.
                    let place = reader.position().line() + u64::from(ends_in_crlf);
                    match reader.read_record(&mut record) {
                        Ok(false) => break,
                        Ok(true) => {
                            let event = csv_json(&header, &record, &self.context.site_id).map(Cow::Owned);
                            self.exported(event, &format_args!("{name}:{place}"), progress);
                        }
                        Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(error.into()),
                        Err(error) => self.reject(&error.to_string(), &format_args!("{name}:{place}"), progress),
                    }
                    progress.set_position(before + reader.position().byte());
                    self.write_if_full(progress).await?;
                }
            }
            Kind::Parquet(reader) => {
                let mut number = 0_u64;
                for batch in *reader {
                    let batch = batch.with_context(|| format!("could not read {name}"))?;
                    let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
                    lines.write(&in_utc(&batch)?)?;
                    lines.finish()?;
                    for line in String::from_utf8(lines.into_inner())?.lines() {
                        number += 1;
                        let event = from_columns(serde_json::from_str(line)?, &self.context.site_id);
                        let event = event.map(|json| Cow::Owned(json.to_string()));
                        self.exported(event, &format_args!("{name}, row {number}"), progress);
                    }
                    self.write_if_full(progress).await?;
                }
                progress.set_position(before + size_bytes);
            }
        }
        Ok(())
    }

    /// - `json`: none if it is another site's.
    fn exported(&mut self, json: Option<Cow<'_, str>>, place: &dyn std::fmt::Display, progress: &ProgressBar) {
        match json {
            Some(json) => self.event(&json, place, progress),
            None => self.done.of_other_sites += 1,
        }
    }

    fn event(&mut self, json: &str, place: &dyn std::fmt::Display, progress: &ProgressBar) {
        let seen = &mut self.seen;
        // Equal events without an id are several events, told apart by which of them they are.
        let derived = || {
            let content = blake3::hash(json.as_bytes());
            let nth = seen.entry(*content.as_bytes()).or_default();
            *nth += 1;
            EventId::derived(&[b"import", content.as_bytes(), &nth.to_le_bytes()])
        };
        match native::parse_event(json, &self.context, derived) {
            Ok(event) => {
                self.done.accepted += 1;
                self.batch.push(&event);
            }
            Err(reason) => self.reject(&reason, place, progress),
        }
    }

    fn reject(&mut self, reason: &str, place: &dyn std::fmt::Display, progress: &ProgressBar) {
        self.done.rejected += 1;
        if self.done.rejected <= REJECTIONS_SHOWN as u64 {
            progress.suspend(|| eprintln!("rejected {place}: {reason}"));
        }
    }

    async fn write_if_full(&mut self, progress: &ProgressBar) -> anyhow::Result<()> {
        if self.batch.estimated_bytes() >= BATCH_BYTES {
            self.write().await?;
            progress.set_message(format!("{} events", self.done.accepted));
        }
        Ok(())
    }

    async fn write(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let file = tokio::task::spawn_blocking(move || batch.encode()).await?;
        let lane = self.lane.take().context("the lane ended with an error before")?;
        let (lane, _) = lane.append(file, Utc::now()).await.context("could not write; run the import again")?;
        self.lane = Some(lane);
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<Imported> {
        self.write().await?;
        tracing::debug!(lake = %self.lake.url(), "imported");
        Ok(self.done)
    }
}

const LINE_BYTES_MAX: u64 = 16 << 20;

/// A record of a CSV file as JSON: empty cells are absent, and a time in digits is a number of milliseconds. `None` as of
/// [`from_columns`].
fn csv_json(header: &csv::StringRecord, record: &csv::StringRecord, site: &str) -> Option<String> {
    let fields = header.iter().zip(record).filter(|(_, cell)| !cell.is_empty()).map(|(name, cell)| {
        let value = match cell.parse::<i64>() {
            Ok(millis) if name == "timestamp" => millis.into(),
            _ => cell.into(),
        };
        (name.to_owned(), value)
    });
    Some(from_columns(fields.collect(), site)?.to_string())
}

/// A line as an event, which it is already unless it was exported. `None` as of [`from_columns`].
fn from_export<'a>(json: &'a str, site: &str) -> Option<Cow<'a, str>> {
    match json.contains("\"occurred_at\"").then(|| serde_json::from_str(json)) {
        Some(Ok(fields)) => Some(Cow::Owned(from_columns(fields, site)?.to_string())),
        _ => Some(Cow::Borrowed(json)),
    }
}

/// A row of a table as an event: `properties` is JSON in a string, and an exported event has its time in
/// `occurred_at` and its id as 16 bytes in hexadecimal. `None` of an exported event of another site.
fn from_columns(mut fields: Map<String, Json>, site: &str) -> Option<Json> {
    if let Some(properties) =
        fields.get("properties").and_then(Json::as_str).and_then(|text| serde_json::from_str(text).ok())
    {
        fields.insert("properties".into(), properties);
    }
    if let Some(occurred_at) = fields.remove("occurred_at") {
        if fields.get("site_id").and_then(Json::as_str).is_some_and(|of| of != site) {
            return None;
        }
        fields.entry("timestamp").or_insert(occurred_at);
        // What the lake derives anew, or knows better.
        for derived in [
            "received_at",
            "visitor_id",
            "site_id",
            "protocol",
            "date",
            "is_bot",
            "hostname",
            "path",
            "query",
            "referrer_host",
        ] {
            fields.remove(derived);
        }
        let id = fields.get("event_id").and_then(Json::as_str).filter(|id| id.len() == 32);
        if let Some(id) = id.and_then(|id| Uuid::try_parse(id).ok()) {
            fields.insert("event_id".into(), id.hyphenated().to_string().into());
        }
    }
    Some(Json::Object(fields))
}

/// The batch with its times in UTC, so that they are written with a zone.
fn in_utc(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let fields: Vec<Field> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| match field.data_type() {
            DataType::Timestamp(_, None) => Field::new(
                field.name(),
                DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                field.is_nullable(),
            ),
            other => Field::new(field.name(), other.clone(), field.is_nullable()),
        })
        .collect();
    let columns = batch
        .columns()
        .iter()
        .zip(&fields)
        .map(|(column, field)| arrow::compute::cast(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_csv_record_becomes_the_json_of_its_filled_cells() {
        let header = csv::StringRecord::from(vec!["name", "user_id", "properties", "timestamp"]);
        let record = csv::StringRecord::from(vec!["buy", "", r#"{"a":1}"#, "1700000000000"]);
        assert_eq!(
            csv_json(&header, &record, "shop").unwrap(),
            r#"{"name":"buy","properties":{"a":1},"timestamp":1700000000000}"#
        );
    }

    #[test]
    fn a_line_that_was_not_exported_stays_as_it_is() {
        let line = r#"{"name":"a", "n":12345678901234567890123}"#;
        assert_eq!(from_export(line, "shop").unwrap(), line);
    }

    #[test]
    fn an_exported_event_keeps_its_id_and_its_time() {
        let row = r#"{"event_id":"4be2b2dd4a594b91b39d2db84cdf31c5","name":"a","occurred_at":"2024-01-01T00:00:00Z","visitor_id":7}"#;
        assert_eq!(
            from_export(row, "shop").unwrap(),
            r#"{"event_id":"4be2b2dd-4a59-4b91-b39d-2db84cdf31c5","name":"a","timestamp":"2024-01-01T00:00:00Z"}"#
        );
    }

    #[test]
    fn an_exported_event_of_another_site_is_left_out() {
        let row = r#"{"site_id":"blog","name":"a","occurred_at":"2024-01-01T00:00:00Z"}"#;
        assert_eq!(from_export(row, "shop"), None);
        assert!(from_export(row, "blog").is_some());
    }
}
