//! The files of an import, read one event at a time.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context as _, bail};
use arrow::array::RecordBatchReader;
use csv::{ByteRecord, StringRecord};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::names::Names;
use super::{csv_rows, parquet_rows};

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
    Ndjson { file: BufReader<File>, line: Vec<u8>, number: u64 },
    Csv { file: Box<csv::Reader<BufReader<File>>>, names: Option<Names>, record: ByteRecord, ends_in_crlf: bool },
    Parquet { file: Box<ParquetRecordBatchReader>, rows: std::vec::IntoIter<Result<String, String>>, number: u64 },
}

/// One line, record or row of a file.
pub(super) enum Entry<'a> {
    /// An event as JSON.
    Event(Cow<'a, str>),
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
        let extension = extension.to_ascii_lowercase();
        if extension != "parquet" && file.metadata()?.is_file() && is_utf_16(&file)? {
            bail!("{name} is UTF-16; save it as UTF-8, or in PowerShell write it with `-Encoding utf8`");
        }
        let reader = match &*extension {
            "ndjson" | "jsonl" | "json" => {
                Reader::Ndjson { file: BufReader::with_capacity(1 << 20, file), line: Vec::new(), number: 0 }
            }
            "csv" => {
                let mut file = BufReader::with_capacity(1 << 20, file);
                let ends_in_crlf =
                    file.fill_buf()?.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
                let file = Box::new(csv::Reader::from_reader(file));
                Reader::Csv { file, names: None, record: ByteRecord::new(), ends_in_crlf }
            }
            "parquet" => {
                let file = ParquetRecordBatchReaderBuilder::try_new(file)
                    .and_then(|builder| builder.build())
                    .with_context(|| format!("{name} is not a Parquet file"))?;
                parquet_rows::check(&file.schema()).with_context(|| format!("{name} cannot be imported"))?;
                Reader::Parquet { file: Box::new(file), rows: vec![].into_iter(), number: 0 }
            }
            _ => bail!("{name} must end in .ndjson, .csv or .parquet, which tells its format"),
        };
        Ok(Self { name, size_bytes, read_bytes: 0, reader })
    }

    /// The next entry and its place; `None` at the end of the file.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(Place<'_>, Entry<'_>)>> {
        let Self { name, read_bytes, reader, .. } = self;
        match reader {
            Reader::Ndjson { file, line, number } => {
                while read_line(file, line, name, number)? {
                    *read_bytes += line.len() as u64;
                    if !without_mark(line).is_empty() {
                        // Bytes that are not UTF-8 become U+FFFD.
                        let json = String::from_utf8_lossy(without_mark(line));
                        return Ok(Some((Place::Line(name, *number), Entry::Event(json))));
                    }
                }
                Ok(None)
            }
            Reader::Csv { file, names, record, ends_in_crlf } => {
                let names = match names {
                    Some(names) => names,
                    none => {
                        let header = file.byte_headers();
                        let header = header.with_context(|| format!("could not read the header of {name}"))?.clone();
                        none.insert(Names::new(StringRecord::from_byte_record_lossy(header).iter()))
                    }
                };
                // The reader stands between the two bytes that end a line.
                let number = file.position().line() + u64::from(*ends_in_crlf);
                let entry = match file.read_byte_record(record) {
                    Ok(false) => return Ok(None),
                    Ok(true) => {
                        // Takes the bytes as they are if they are UTF-8.
                        let text = StringRecord::from_byte_record_lossy(std::mem::take(record));
                        let json = csv_rows::json(names, &text);
                        *record = text.into_byte_record();
                        Entry::Event(json.into())
                    }
                    Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(error.into()),
                    Err(error) => Entry::Unreadable(error.to_string()),
                };
                *read_bytes = file.position().byte();
                Ok(Some((Place::Line(name, number), entry)))
            }
            Reader::Parquet { file, rows, number } => loop {
                if let Some(row) = rows.next() {
                    *number += 1;
                    let entry = row.map_or_else(Entry::Unreadable, |json| Entry::Event(json.into()));
                    return Ok(Some((Place::Row(name, *number), entry)));
                }
                let Some(batch) = file.next() else { return Ok(None) };
                let batch = batch.with_context(|| format!("could not read {name}"))?;
                *rows = parquet_rows::json(&batch).with_context(|| format!("could not read {name}"))?.into_iter();
            },
        }
    }
}

/// A line without blanks around it and without the byte order mark that many programs begin a file with. Files that were
/// joined have one in the middle.
fn without_mark(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii();
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii()
}

/// Whether a file begins with the byte order mark of UTF-16, in either order.
fn is_utf_16(mut file: &File) -> std::io::Result<bool> {
    let mut start = [0; 2];
    let read = file.read(&mut start)?;
    file.rewind()?;
    Ok(read == 2 && matches!(start, [0xff, 0xfe] | [0xfe, 0xff]))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_odd_byte_is_one_odd_character_and_a_mark_is_none() {
        // Windows programs, PowerShell and .NET begin files with a mark, and `cat` joins them.
        check(
            "ndjson",
            b"\xef\xbb\xbf{\"name\":\"a\"}\r\n\xef\xbb\xbf{\"name\":\"b\"}",
            r#"{"name":"a"} {"name":"b"}"#,
        );
        check("ndjson", b"\xef\xbb\xbf\n{\"name\":\"a\"}\n", r#"{"name":"a"}"#);
        check("csv", b"\xef\xbb\xbfname,title\na,b\n", r#"{"name":"a","title":"b"}"#);
        // A shell and a spreadsheet in Latin-1.
        check("ndjson", b"{\"name\":\"Gr\xf6\xdfe\"}\n", "{\"name\":\"Gr\u{fffd}\u{fffd}e\"}");
        check("csv", b"name,gr\xf6\xdfe\nM\xfcller,1\n", "{\"gr\u{fffd}\u{fffd}e\":\"1\",\"name\":\"M\u{fffd}ller\"}");
    }

    #[test]
    fn utf_16_is_refused_in_words() {
        for start in [b"\xff\xfe{\0", b"\xfe\xff\0{"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("events.ndjson");
            fs::write(&path, start).unwrap();
            let error = Source::open(&path).err().unwrap().to_string();
            assert!(
                error.ends_with("is UTF-16; save it as UTF-8, or in PowerShell write it with `-Encoding utf8`"),
                "{error}"
            );
        }
    }

    /// Compares the events of a file.
    #[track_caller]
    fn check(extension: &str, bytes: &[u8], expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events").with_extension(extension);
        fs::write(&path, bytes).unwrap();
        let mut source = Source::open(&path).unwrap();
        let mut events = Vec::new();
        while let Some((_, entry)) = source.next().unwrap() {
            match entry {
                Entry::Event(json) => events.push(json.into_owned()),
                Entry::Unreadable(_) => events.push("!".into()),
            }
        }
        assert_eq!(events.join(" "), expected);
    }
}
