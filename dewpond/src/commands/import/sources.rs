//! The files of an import, read one event at a time.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use csv::StringRecord;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::exported::{csv_json, from_columns, from_export, in_utc};

/// A line of JSON longer than this ends the import: without a bound, a file without line ends would fill the memory.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// A file of events.
pub(super) struct Source {
    name: String,
    pub(super) size_bytes: u64,
    /// How much of it has been read. Unknown for a Parquet file until its end.
    pub(super) read_bytes: u64,
    reader: Reader,
}

enum Reader {
    Ndjson {
        file: BufReader<File>,
        line: Vec<u8>,
        number: u64,
    },
    Csv {
        file: Box<csv::Reader<BufReader<File>>>,
        header: Option<StringRecord>,
        record: StringRecord,
        ends_in_crlf: bool,
    },
    Parquet {
        file: Box<ParquetRecordBatchReader>,
        batch: Rows,
        number: u64,
    },
}

/// The rows of one batch of a Parquet file, as lines of JSON.
#[derive(Default)]
struct Rows {
    lines: String,
    /// Where the next line begins.
    next: usize,
}

/// One line, record or row of a file.
pub(super) enum Entry<'a> {
    /// An event as JSON, in the fields of the native protocol.
    Event(Cow<'a, str>),
    /// An exported event that names another site.
    OfOtherSite,
    /// Not an event, and why.
    Unreadable(String),
}

/// The place of an entry, as messages show it.
pub(super) enum Place<'a> {
    Line(&'a str, u64),
    Row(&'a str, u64),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, number) => write!(f, "{file}:{number}"),
            Self::Row(file, number) => write!(f, "{file}, row {number}"),
        }
    }
}

impl Source {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file = File::open(path).with_context(|| format!("could not read {name}"))?;
        let size_bytes = file.metadata()?.len();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let reader = match extension.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => {
                Reader::Ndjson { file: BufReader::with_capacity(1 << 20, file), line: Vec::new(), number: 0 }
            }
            "csv" => {
                let mut file = BufReader::with_capacity(1 << 20, file);
                let ends_in_crlf =
                    file.fill_buf()?.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
                let file = Box::new(csv::Reader::from_reader(file));
                Reader::Csv { file, header: None, record: StringRecord::new(), ends_in_crlf }
            }
            "parquet" => {
                let file = ParquetRecordBatchReaderBuilder::try_new(file)
                    .and_then(|builder| builder.build())
                    .with_context(|| format!("{name} is not a Parquet file"))?;
                Reader::Parquet { file: Box::new(file), batch: Rows::default(), number: 0 }
            }
            _ => bail!("{name} must end in .ndjson, .csv or .parquet, which tells its format"),
        };
        Ok(Self { name, size_bytes, read_bytes: 0, reader })
    }

    /// The next entry and its place; `None` at the end of the file.
    ///
    /// - `site`: the site that events are imported into.
    pub(super) fn next(&mut self, site: &str) -> anyhow::Result<Option<(Place<'_>, Entry<'_>)>> {
        let Self { name, read_bytes, reader, .. } = self;
        match reader {
            Reader::Ndjson { file, line, number } => {
                while read_line(file, line, name, number)? {
                    *read_bytes += line.len() as u64;
                    if !line.trim_ascii().is_empty() {
                        let entry = match std::str::from_utf8(line) {
                            Ok(json) => Entry::of(from_export(json.trim(), site)),
                            Err(_) => Entry::Unreadable("it is not UTF-8".into()),
                        };
                        return Ok(Some((Place::Line(name, *number), entry)));
                    }
                }
                Ok(None)
            }
            Reader::Csv { file, header, record, ends_in_crlf } => {
                let header = match header {
                    Some(header) => header,
                    none => none.insert(
                        file.headers().with_context(|| format!("could not read the header of {name}"))?.clone(),
                    ),
                };
                // The reader stands between the two bytes that end a line.
                let number = file.position().line() + u64::from(*ends_in_crlf);
                let entry = match file.read_record(record) {
                    Ok(false) => return Ok(None),
                    Ok(true) => Entry::of(csv_json(header, record, site).map(Cow::Owned)),
                    Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(error.into()),
                    Err(error) => Entry::Unreadable(error.to_string()),
                };
                *read_bytes = file.position().byte();
                Ok(Some((Place::Line(name, number), entry)))
            }
            Reader::Parquet { file, batch, number } => {
                while batch.is_read() {
                    let Some(next) = file.next() else { return Ok(None) };
                    let mut lines = arrow::json::LineDelimitedWriter::new(Vec::new());
                    lines.write(&in_utc(&next.with_context(|| format!("could not read {name}"))?)?)?;
                    lines.finish()?;
                    *batch = Rows { lines: String::from_utf8(lines.into_inner())?, next: 0 };
                }
                *number += 1;
                let event = from_columns(serde_json::from_str(batch.next_line())?, site);
                let event = event.map(|json| Cow::Owned(json.to_string()));
                Ok(Some((Place::Row(name, *number), Entry::of(event))))
            }
        }
    }
}

impl Rows {
    fn is_read(&self) -> bool {
        self.next >= self.lines.len()
    }

    fn next_line(&mut self) -> &str {
        let rest = &self.lines[self.next..];
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        self.next += line.len() + 1;
        line
    }
}

impl<'a> Entry<'a> {
    fn of(event: Option<Cow<'a, str>>) -> Self {
        event.map_or(Self::OfOtherSite, Self::Event)
    }
}

/// Reads the next line; `false` if there is none.
fn read_line(file: &mut BufReader<File>, line: &mut Vec<u8>, name: &str, number: &mut u64) -> anyhow::Result<bool> {
    line.clear();
    let read = file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', line)?;
    *number += u64::from(read > 0);
    if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
        bail!("{name}:{number} is longer than {LINE_BYTES_MAX} bytes; put each event on a line of its own");
    }
    Ok(read > 0)
}
