//! An answer in the format that was asked for, piece by piece, and how a cut one ends.
//!
//! A query may fail, or reach a limit, when a part of its answer is under way. The status cannot be changed any more, so the
//! connection ends without the end of the body, which every client reports as an error. Formats that allow it say it once
//! more, for those who keep what they got: no cut answer reads as a whole one, but for lines and CSV, whose lines stand
//! alone.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::body::Bytes;
use engine::{AnswerError, AnswerWriter, QueryResult, column_names, to_json_rows};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::format::Format;

/// What begins a message of Arrow's stream. Without the message that it announces, readers fail.
const ARROW_MESSAGE_BEGINS: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0x00, 0x01, 0x00, 0x00];

/// Writes one answer into memory, from where it is taken in pieces.
pub(super) struct Encoder {
    format: Format,
    kind: Kind,
    pieces: Pieces,
}

enum Kind {
    /// Columns, types and rows: what no writer of Arrow's writes.
    Json {
        schema: SchemaRef,
        rows: u64,
    },
    Engine(Option<AnswerWriter>),
}

/// Bytes that a writer has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Encoder {
    /// Begins an answer. Fails with [`AnswerError::Unsupported`] if the format has no form for a column.
    pub(super) fn start(format: Format, schema: SchemaRef) -> Result<Self, AnswerError> {
        let pieces = Pieces::default();
        let kind = match format.of_engine() {
            Some(format) => Kind::Engine(Some(AnswerWriter::start(format, Box::new(pieces.clone()), schema)?)),
            None => {
                let columns = column_names(&QueryResult { schema: schema.clone(), batches: vec![] });
                let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
                let (columns, types) = (Value::from(columns), Value::from(types));
                write!(pieces.0.lock(), r#"{{"columns":{columns},"types":{types},"rows":["#)?;
                Kind::Json { schema, rows: 0 }
            }
        };
        Ok(Self { format, kind, pieces })
    }

    /// Writes some rows.
    pub(super) fn write(&mut self, batch: RecordBatch) -> Result<(), AnswerError> {
        match &mut self.kind {
            Kind::Engine(Some(writer)) => writer.write(batch),
            Kind::Engine(None) => unreachable!("nothing is written to an answer that has ended"),
            Kind::Json { schema, rows } => {
                let answer = QueryResult { schema: schema.clone(), batches: vec![batch] };
                let values = to_json_rows(&answer).map_err(|error| AnswerError::Output(io::Error::other(error)))?;
                let mut pieces = self.pieces.0.lock();
                for row in values {
                    let between: &[u8] = if *rows > 0 { b",\n" } else { b"\n" };
                    pieces.extend_from_slice(between);
                    serde_json::to_writer(&mut *pieces, &row).map_err(io::Error::from)?;
                    *rows += 1;
                }
                Ok(())
            }
        }
    }

    /// Writes the end of a whole answer.
    pub(super) fn finish(&mut self) -> Result<(), AnswerError> {
        match &mut self.kind {
            Kind::Engine(writer) => writer.take().map_or(Ok(()), AnswerWriter::finish),
            Kind::Json { rows, .. } => Ok(write!(self.pieces.0.lock(), "\n],\"row_count\":{rows}}}\n")?),
        }
    }

    /// Writes what a cut answer ends with: the reason where there is a place for it, and never what would make it look
    /// whole.
    ///
    /// - `error`: as a refused query has it.
    pub(super) fn cut(&mut self, error: &Value) {
        let end = match self.format {
            // The object stays open, so that it is not read as an answer.
            Format::Json => format!("\n],\"error\":{error}\n").into_bytes(),
            Format::Ndjson => format!("{}\n", json!({ "error": error })).into_bytes(),
            Format::Arrow => ARROW_MESSAGE_BEGINS.to_vec(),
            // A line might be taken for a row, and a file without its end is none.
            Format::Csv | Format::Parquet => vec![],
        };
        self.pieces.0.lock().extend_from_slice(&end);
    }

    /// Bytes that are written and not taken.
    pub(super) fn len(&self) -> usize {
        self.pieces.0.lock().len()
    }

    /// Takes what is written.
    pub(super) fn take(&mut self) -> Bytes {
        std::mem::take(&mut *self.pieces.0.lock()).into()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow_ipc::reader::StreamReader;

    use super::*;

    fn rows() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![7, (1 << 53) + 1]));
        RecordBatch::try_from_iter([("name", names), ("n", counts)]).unwrap()
    }

    fn written(format: Format, end: impl FnOnce(&mut Encoder)) -> Bytes {
        let mut encoder = Encoder::start(format, rows().schema()).unwrap();
        encoder.write(rows()).unwrap();
        end(&mut encoder);
        encoder.take()
    }

    #[test]
    fn json_has_columns_types_rows_and_their_number() {
        let whole = written(Format::Json, |encoder| encoder.finish().unwrap());
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        let expected = json!({
            "columns": ["name", "n"], "types": ["Utf8", "Int64"],
            "rows": [["a\"b", 7], [null, "9007199254740993"]], "row_count": 2,
        });
        assert_eq!(whole, expected);
        let mut none = Encoder::start(Format::Json, rows().schema()).unwrap();
        none.finish().unwrap();
        let none: Value = serde_json::from_slice(&none.take()).unwrap();
        assert_eq!((&none["rows"], &none["row_count"]), (&json!([]), &json!(0)));
    }

    #[test]
    fn no_cut_answer_reads_as_a_whole_one() {
        let error = json!({ "message": "too many rows" });
        let cut = |format| written(format, |encoder| encoder.cut(&error));
        assert!(serde_json::from_slice::<Value>(&cut(Format::Json)).unwrap_err().is_eof());
        let lines = cut(Format::Ndjson);
        assert!(lines.ends_with(b"{\"error\":{\"message\":\"too many rows\"}}\n"), "{lines:?}");
        let arrow = cut(Format::Arrow);
        let read: Vec<_> = StreamReader::try_new(&*arrow, None).unwrap().collect();
        assert!(read[0].is_ok() && read[1].is_err(), "{read:?}");
    }
}
