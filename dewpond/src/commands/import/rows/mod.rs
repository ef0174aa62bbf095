//! Rows of a file, some thousands at a time, so that several threads can read them.

pub(super) mod cells;
pub(super) mod csv_rows;
mod json_items;
pub(super) mod names;
pub(super) mod parquet_rows;

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arrow::array::{RecordBatch, RecordBatchReader};
use arrow_avro::reader::ReaderBuilder;
use csv::{ByteRecord, StringRecord};
use intake::history::{FileKind, Format, Header, TextTable};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use self::json_items::{JsonItems, without_mark};
use self::names::Names;
use super::unpacked::Unpacked;

/// Rows that are handed over together, unless they are large.
const ROWS_MAX: usize = 2_048;

/// The size of rows that are handed over together, unless one is larger.
const ROWS_BYTES_MAX: usize = 1 << 20;

/// A line that is longer ends the import.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Rows of one file, with their numbers in it.
pub(super) struct Rows {
    /// Whether the numbers are those of lines; else they are those of rows.
    pub(super) are_lines: bool,
    pub(super) data: Data,
}

pub(super) enum Data {
    /// JSON, an item each.
    Json(Vec<(u64, String)>),
    /// Lines of a log, and what the lines before said of them.
    Lines(Header, Vec<(u64, String)>),
    /// Records of a table of text; or why one cannot be read.
    Records(Arc<Names>, Vec<(u64, Result<StringRecord, String>)>),
    /// Rows of a table, from this number on.
    Batch(u64, RecordBatch),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Json(rows) | Self::Lines(_, rows) => rows.len(),
            Self::Records(_, rows) => rows.len(),
            Self::Batch(_, batch) => batch.num_rows(),
        }
    }
}

/// Reads a file and hands over its rows, until `then` says that no more are needed.
///
/// - `format`: how text is read; a table with a header if none is given.
pub(super) fn read(
    file: Unpacked,
    format: Option<&Format>,
    read_bytes: &Arc<std::sync::atomic::AtomicU64>,
    then: &mut dyn FnMut(Rows) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let Some(kind) = file.kind() else { return Ok(()) };
    let name = file.name;
    let cut = || format!("could not read {name} to its end: it is damaged or was cut off");
    match kind {
        FileKind::Json => json(buffered(file.content.into_reader(read_bytes)), &name, then).with_context(cut),
        FileKind::Text if format.is_some_and(Format::is_log) => {
            lines(buffered(file.content.into_reader(read_bytes)), &name, then).with_context(cut)
        }
        FileKind::Text => {
            let start = String::from_utf8_lossy(&file.start);
            let of_native = || TextTable { separator: csv_rows::separator(&start), ..TextTable::default() };
            let table = format.and_then(|format| format.table.clone()).unwrap_or_else(of_native);
            records(buffered(file.content.into_reader(read_bytes)), &name, &table, then).with_context(cut)
        }
        FileKind::Parquet => {
            let rows = ParquetRecordBatchReaderBuilder::try_new(file.content.into_file()?)
                .and_then(|builder| builder.with_batch_size(ROWS_MAX).build())
                .with_context(|| format!("{name} is not a Parquet file"))?;
            parquet_rows::check(&rows.schema()).with_context(|| format!("{name} cannot be imported"))?;
            let mut number = 1;
            for batch in rows {
                let batch = batch.with_context(cut)?;
                let count = batch.num_rows() as u64;
                if !then(Rows { are_lines: false, data: Data::Batch(number, batch) })? {
                    return Ok(());
                }
                number += count;
            }
            Ok(())
        }
        FileKind::Avro => avro(buffered(file.content.into_reader(read_bytes)), &name, then).with_context(cut),
    }
}

fn buffered(reader: Box<dyn Read + Send>) -> BufReader<Box<dyn Read + Send>> {
    BufReader::with_capacity(1 << 20, reader)
}

fn json(reader: impl BufRead, name: &str, then: &mut dyn FnMut(Rows) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let mut items = JsonItems::new(reader, name);
    let (mut rows, mut bytes, mut item) = (Vec::new(), 0, Vec::new());
    loop {
        let number = items.next(&mut item)?;
        let is_array = items.is_array();
        if let Some(number) = number {
            // Bytes that are not UTF-8 become U+FFFD.
            rows.push((number, String::from_utf8_lossy(without_mark(&item)).into_owned()));
            bytes += item.len();
        }
        if number.is_none() || rows.len() == ROWS_MAX || bytes >= ROWS_BYTES_MAX {
            let data = Data::Json(std::mem::take(&mut rows));
            bytes = 0;
            if (data.len() > 0 && !then(Rows { are_lines: !is_array, data })?) || number.is_none() {
                return Ok(());
            }
        }
    }
}

fn lines(
    mut reader: impl BufRead,
    name: &str,
    then: &mut dyn FnMut(Rows) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let (mut header, mut number) = (Header::default(), 0);
    let (mut before, mut rows, mut bytes, mut line) = (header.clone(), Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        number += 1;
        if read as u64 == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            bail!("{name}:{number} is longer than {LINE_BYTES_MAX} bytes");
        }
        let text = String::from_utf8_lossy(without_mark(&line)).into_owned();
        if !text.is_empty() {
            header.take(&text);
            bytes += text.len();
            rows.push((number, text));
        }
        if read == 0 || rows.len() == ROWS_MAX || bytes >= ROWS_BYTES_MAX {
            let data = Data::Lines(std::mem::replace(&mut before, header.clone()), std::mem::take(&mut rows));
            bytes = 0;
            if (data.len() > 0 && !then(Rows { are_lines: true, data })?) || read == 0 {
                return Ok(());
            }
        }
    }
}

fn records(
    mut reader: impl BufRead,
    name: &str,
    table: &TextTable,
    then: &mut dyn FnMut(Rows) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    // The reader of CSV stands between the two bytes that end a line.
    let ends_in_crlf = reader.fill_buf()?.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"\r"));
    let mut file = csv::ReaderBuilder::new()
        .delimiter(u8::try_from(table.separator).unwrap_or(b','))
        .quoting(table.quotes)
        .has_headers(table.header.is_empty())
        .from_reader(reader);
    let names = match table.header.is_empty() {
        false => Names::new(table.header.iter().map(String::as_str)),
        true => {
            let header = file.byte_headers();
            let header = header.with_context(|| format!("could not read the header of {name}"))?.clone();
            Names::new(StringRecord::from_byte_record_lossy(header).iter())
        }
    };
    let names = Arc::new(names);
    let (mut rows, mut bytes, mut record) = (Vec::new(), 0, ByteRecord::new());
    loop {
        let number = file.position().line() + u64::from(ends_in_crlf);
        let is_there = match file.read_byte_record(&mut record) {
            Ok(is_there) => {
                if is_there {
                    bytes += record.as_slice().len();
                    // Takes the bytes as they are if they are UTF-8.
                    rows.push((number, Ok(StringRecord::from_byte_record_lossy(std::mem::take(&mut record)))));
                }
                is_there
            }
            Err(error) if matches!(error.kind(), csv::ErrorKind::Io(_)) => return Err(error.into()),
            Err(error) => {
                rows.push((number, Err(error.to_string())));
                true
            }
        };
        if !is_there || rows.len() == ROWS_MAX || bytes >= ROWS_BYTES_MAX {
            let data = Data::Records(names.clone(), std::mem::take(&mut rows));
            bytes = 0;
            if (data.len() > 0 && !then(Rows { are_lines: true, data })?) || !is_there {
                return Ok(());
            }
        }
    }
}

fn avro(reader: impl BufRead, name: &str, then: &mut dyn FnMut(Rows) -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let mut tail = Tail::default();
    let reader = ReaderBuilder::new()
        .with_batch_size(ROWS_MAX)
        .build(Tailed { inner: reader, tail: &mut tail })
        .with_context(|| format!("{name} is not an Avro file"))?;
    parquet_rows::check(&reader.schema()).with_context(|| format!("{name} cannot be imported"))?;
    let mark = reader.avro_header().sync();
    let mut number = 1;
    for batch in reader {
        let batch = batch?;
        let count = batch.num_rows() as u64;
        if !then(Rows { are_lines: false, data: Data::Batch(number, batch) })? {
            return Ok(());
        }
        number += count;
    }
    // Each block ends with the mark. The library takes half a block for the end of the file.
    if tail.0 != mark {
        bail!("it ends within a block");
    }
    Ok(())
}

/// The last sixteen bytes that were read.
#[derive(Default)]
struct Tail([u8; 16]);

struct Tailed<'a, R> {
    inner: R,
    tail: &'a mut Tail,
}

impl<R: BufRead> Read for Tailed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.tail.add(&buffer[..read]);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Tailed<'_, R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Ok(buffer) = self.inner.fill_buf() {
            self.tail.add(&buffer[..amount.min(buffer.len())]);
        }
        self.inner.consume(amount);
    }
}

impl Tail {
    fn add(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(16);
        self.0.rotate_left(kept);
        self.0[16 - kept..].copy_from_slice(&bytes[bytes.len() - kept..]);
    }
}
