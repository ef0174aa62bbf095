//! An answer in the format that its reader asked for, written batch by batch.

pub mod binary_text;
mod contiguous;
mod exact_json;
pub(crate) mod json_rows;
pub mod text_table;

use std::fmt;
use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use clap::ValueEnum;
use datafusion::arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use self::binary_text::binary_as_text;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AnswerFormat {
    /// A table of text for people, written once the whole answer is there.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON array with an object for each row.
    Json,
    /// One JSON object for each row, each on a line of its own.
    Ndjson,
    /// A stream of Arrow's, as `pyarrow.ipc.open_stream` and the like read it.
    Arrow,
    /// A Parquet file.
    Parquet,
}

/// Why an answer was not written.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The format has no form for a column of the answer. Choose another format, or cast the column to text.
    #[error("the answer cannot be written as {format}: {message}")]
    Unsupported {
        /// The format.
        format: AnswerFormat,
        /// Which column, or which type.
        message: String,
    },

    /// The output takes no more, for example because the disk is full or the reader has gone.
    #[error("the answer could not be written")]
    Output(#[from] io::Error),
}

/// Memory of one group of rows of a Parquet file.
const PARQUET_GROUP_BYTES_MAX: usize = 16 << 20;

/// Where an answer goes.
pub type AnswerOutput = Box<dyn Write + Send>;

/// Writes one answer. Only a table is kept in memory as a whole, to align its columns.
pub struct AnswerWriter {
    format: AnswerFormat,
    encoder: Encoder,
}

enum Encoder {
    Table(SchemaRef, Vec<RecordBatch>, AnswerOutput),
    Csv(Box<arrow::csv::Writer<AnswerOutput>>),
    Json(arrow::json::ArrayWriter<AnswerOutput>),
    Ndjson(arrow::json::LineDelimitedWriter<AnswerOutput>),
    Arrow(Box<StreamWriter<AnswerOutput>>),
    Parquet(Box<ArrowWriter<AnswerOutput>>),
}

impl fmt::Display for AnswerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "a table",
            Self::Csv => "CSV",
            Self::Json => "JSON",
            Self::Ndjson => "NDJSON",
            Self::Arrow => "Arrow",
            Self::Parquet => "Parquet",
        })
    }
}

impl AnswerFormat {
    fn unsupported(self, message: impl Into<String>) -> AnswerError {
        AnswerError::Unsupported { format: self, message: message.into() }
    }

    fn arrow(self, error: ArrowError) -> AnswerError {
        match error {
            ArrowError::IoError(_, error) => AnswerError::Output(error),
            error => self.unsupported(error.to_string()),
        }
    }

    fn parquet(self, error: ParquetError) -> AnswerError {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => AnswerError::Output(*error),
                Err(error) => self.unsupported(error.to_string()),
            },
            error => self.unsupported(error.to_string()),
        }
    }
}

/// Arrow's CSV writer reports what the output says as text. Nested columns are refused before it begins, so every
/// error it has left is one of the output.
fn csv(error: ArrowError) -> AnswerError {
    AnswerError::Output(io::Error::other(error))
}

impl AnswerWriter {
    /// Begins an answer with the columns of `schema`.
    pub fn start(format: AnswerFormat, output: AnswerOutput, schema: SchemaRef) -> Result<Self, AnswerError> {
        let encoder = match format {
            AnswerFormat::Table => Encoder::Table(schema, vec![], output),
            AnswerFormat::Csv => {
                if let Some(nested) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
                    return Err(format.unsupported(format!("the column {} is nested", nested.name())));
                }
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(output);
                // An answer without rows still has a header.
                writer.write(&RecordBatch::new_empty(schema)).map_err(csv)?;
                Encoder::Csv(Box::new(writer))
            }
            AnswerFormat::Json => Encoder::Json(exact_json::writer().build(output)),
            AnswerFormat::Ndjson => Encoder::Ndjson(exact_json::writer().build(output)),
            AnswerFormat::Arrow => {
                let schema = contiguous::schema_of(&schema);
                let writer = StreamWriter::try_new(output, &schema).map_err(|error| format.arrow(error))?;
                Encoder::Arrow(Box::new(writer))
            }
            AnswerFormat::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
                let writer = ArrowWriter::try_new(output, schema, Some(properties));
                Encoder::Parquet(Box::new(writer.map_err(|error| format.parquet(error))?))
            }
        };
        Ok(Self { format, encoder })
    }

    /// Writes some rows. In every format but Arrow and Parquet, binary values are text: 16 bytes as a UUID, others in hexadecimal.
    /// In Arrow, columns of texts are `Utf8` and those of bytes `Binary`, and a batch may become several.
    pub fn write(&mut self, batch: RecordBatch) -> Result<(), AnswerError> {
        let arrow = |error| self.format.arrow(error);
        let batch = match self.format {
            AnswerFormat::Arrow | AnswerFormat::Parquet => batch,
            _ => binary_as_text(&batch).map_err(arrow)?,
        };
        match &mut self.encoder {
            Encoder::Table(_, batches, _) => batches.push(batch),
            Encoder::Csv(writer) => writer.write(&batch).map_err(csv)?,
            Encoder::Json(writer) => writer.write(&batch).map_err(arrow)?,
            Encoder::Ndjson(writer) => writer.write(&batch).map_err(arrow)?,
            Encoder::Arrow(writer) => {
                for batch in contiguous::batches_of(&batch).map_err(arrow)? {
                    writer.write(&batch).map_err(arrow)?;
                }
            }
            Encoder::Parquet(writer) => {
                writer.write(&batch).map_err(|error| self.format.parquet(error))?;
                // A group of rows is in memory until it is whole.
                if writer.memory_size() > PARQUET_GROUP_BYTES_MAX {
                    writer.flush().map_err(|error| self.format.parquet(error))?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is left and flushes the output.
    pub fn finish(self) -> Result<(), AnswerError> {
        let format = self.format;
        match self.encoder {
            Encoder::Table(schema, batches, mut output) => {
                let table = table(&schema, &batches).map_err(|error| format.arrow(error))?;
                output.write_all(table.as_bytes())?;
                output.flush()?;
            }
            Encoder::Csv(writer) => writer.into_inner().flush()?,
            Encoder::Json(mut writer) => {
                writer.finish().map_err(|error| format.arrow(error))?;
                let mut output = writer.into_inner();
                writeln!(output)?;
                output.flush()?;
            }
            Encoder::Ndjson(mut writer) => {
                writer.finish().map_err(|error| format.arrow(error))?;
                writer.into_inner().flush()?;
            }
            Encoder::Arrow(mut writer) => {
                writer.finish().map_err(|error| format.arrow(error))?;
                writer.get_mut().flush()?;
            }
            Encoder::Parquet(mut writer) => {
                writer.finish().map_err(|error| format.parquet(error))?;
                writer.inner_mut().flush()?;
            }
        }
        Ok(())
    }
}

/// The rows as a table of text, with nulls as empty cells.
fn table(schema: &Schema, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| column.value(row).try_to_string()).collect::<Result<_, _>>()?);
        }
    }
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    Ok(text_table::render_whole(&names, &rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListArray, StringArray};
    use arrow::datatypes::Int64Type;
    use parking_lot::Mutex;

    use super::*;

    /// Bytes that can be looked at after the writer is gone.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that takes nothing.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    fn rows() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a,b"), None]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
        RecordBatch::try_from_iter([("name", names), ("count", counts)]).unwrap()
    }

    fn write(format: AnswerFormat, output: AnswerOutput, batch: RecordBatch) -> Result<(), AnswerError> {
        let mut writer = AnswerWriter::start(format, output, batch.schema())?;
        writer.write(batch)?;
        writer.finish()
    }

    #[test]
    fn each_format_holds_the_rows() {
        check(AnswerFormat::Csv, "name,count\n\"a,b\",7\n,8\n");
        check(AnswerFormat::Json, "[{\"name\":\"a,b\",\"count\":7},{\"name\":null,\"count\":8}]\n");
        check(AnswerFormat::Ndjson, "{\"name\":\"a,b\",\"count\":7}\n{\"name\":null,\"count\":8}\n");
        check(AnswerFormat::Table, "name  count\n────  ─────\na,b       7\n          8\n");
    }

    #[track_caller]
    fn check(format: AnswerFormat, expected: &str) {
        let output = Shared::default();
        write(format, Box::new(output.clone()), rows()).unwrap();
        assert_eq!(String::from_utf8(output.0.lock().clone()).unwrap(), expected);
    }

    #[test]
    fn an_answer_without_rows_still_has_its_header() {
        let output = Shared::default();
        let schema = rows().schema();
        AnswerWriter::start(AnswerFormat::Csv, Box::new(output.clone()), schema).unwrap().finish().unwrap();
        assert_eq!(*output.0.lock(), b"name,count\n");
    }

    #[test]
    fn a_full_disk_is_the_outputs_fault_in_every_format() {
        for format in AnswerFormat::value_variants() {
            let error = write(*format, Box::new(Full), rows()).unwrap_err();
            assert!(matches!(error, AnswerError::Output(_)), "{format}: {error:?}");
        }
    }

    #[test]
    fn a_column_that_the_format_has_no_form_for_is_the_callers_fault() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)])]);
        let batch = RecordBatch::try_from_iter([("list", Arc::new(list) as ArrayRef)]).unwrap();
        let error = write(AnswerFormat::Csv, Box::new(Shared::default()), batch).unwrap_err();
        assert_eq!(error.to_string(), "the answer cannot be written as CSV: the column list is nested");
    }
}
