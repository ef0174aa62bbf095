//! Rows of a piece in a temporary file, which goes with them.
//!
//! They lie in segments, each encoded by itself and written as an Arrow IPC stream of one batch: so each has texts and numbers
//! in the fewest bytes for its own rows, and can be read without the others.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::writer::StreamWriter;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::spill_file::{SpillFile, SpillWriter};

use super::encoding::{compacted, encode};

/// Rows of a segment, at most.
pub(in crate::folds) const SEGMENT_ROWS: usize = 1 << 16;

/// Rows in a temporary file.
pub(in crate::folds) struct RowsOnDisk {
    file: Arc<dyn SpillFile>,
    bytes: u64,
    segments: Vec<Segment>,
    row_count: usize,
}

/// Where a segment lies.
struct Segment {
    first_row: usize,
    bytes: Range<u64>,
}

impl fmt::Debug for RowsOnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows on disk", self.row_count)
    }
}

impl RowsOnDisk {
    pub(in crate::folds) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.file.path()
    }

    /// Whether somebody has deleted the file.
    pub(super) fn is_lost(&self) -> bool {
        self.path().is_none_or(|path| !path.exists())
    }

    /// The rows of a range, encoded, segment by segment.
    pub(super) fn encoded(
        self: &Arc<Self>,
        range: Range<usize>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let path = self.path().ok_or_else(|| DataFusionError::Internal("a temporary file has no path".into()))?;
        let (file, this) = (File::open(path)?, self.clone());
        let first = self.segments.partition_point(|segment| segment.first_row <= range.start).saturating_sub(1);
        let rows = (first..self.segments.len()).map_while(move |number| {
            let start = this.segments[number].first_row;
            let end = this.segments.get(number + 1).map_or(this.row_count, |next| next.first_row);
            let (from, until) = (range.start.max(start), range.end.min(end));
            (from < until).then(|| Ok(this.segments[number].read(&file)?.slice(from - start, until - from)))
        });
        Ok(rows)
    }
}

impl Segment {
    fn read(&self, file: &File) -> Result<RecordBatch> {
        let mut bytes = vec![0; (self.bytes.end - self.bytes.start) as usize];
        file.read_exact_at(&mut bytes, self.bytes.start)?;
        let (mut buffer, mut decoder) = (Buffer::from_vec(bytes), StreamDecoder::new());
        let rows = decoder.decode(&mut buffer)?;
        rows.ok_or_else(|| DataFusionError::Internal("a segment on disk has no rows".into()))
    }
}

/// Writes rows as they come.
pub(super) struct DiskWriter {
    schema: SchemaRef,
    file: Arc<dyn SpillFile>,
    writer: Box<dyn SpillWriter>,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    segments: Vec<Segment>,
    row_count: usize,
    bytes: u64,
}

impl DiskWriter {
    pub(super) fn start(schema: &SchemaRef, runtime: &RuntimeEnv) -> Result<Self> {
        let file = runtime.disk_manager.create_tmp_file("keeping the rows of a recurring query")?;
        let writer = file.open_writer()?;
        let (waiting, segments) = (Vec::new(), Vec::new());
        Ok(Self { schema: schema.clone(), file, writer, waiting, waiting_rows: 0, segments, row_count: 0, bytes: 0 })
    }

    /// Takes rows that are not encoded.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for start in (0..batch.num_rows()).step_by(SEGMENT_ROWS) {
            let part = batch.slice(start, SEGMENT_ROWS.min(batch.num_rows() - start));
            if self.waiting_rows + part.num_rows() > SEGMENT_ROWS {
                self.write_segment()?;
            }
            self.waiting_rows += part.num_rows();
            self.waiting.push(compacted(&self.schema, &part)?);
        }
        Ok(())
    }

    fn write_segment(&mut self) -> Result<()> {
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let rows = encode(&concat_batches(&self.schema, &self.waiting)?)?;
        self.waiting.clear();
        self.waiting_rows = 0;
        let mut bytes = Vec::new();
        let mut stream = StreamWriter::try_new(&mut bytes, rows.schema_ref())?;
        stream.write(&rows)?;
        stream.finish()?;
        drop(stream);
        self.writer.write_all(&bytes)?;
        let end = self.bytes + bytes.len() as u64;
        self.segments.push(Segment { first_row: self.row_count, bytes: self.bytes..end });
        self.row_count += rows.num_rows();
        self.bytes = end;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<RowsOnDisk> {
        self.write_segment()?;
        self.writer.finish()?;
        Ok(RowsOnDisk { file: self.file, bytes: self.bytes, segments: self.segments, row_count: self.row_count })
    }
}
