//! Rows of a part of the events, and where the rows of each site begin: in memory as long as there is room, else on disk.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::spill_file::{SpillFile, SpillWriter};

use super::room::{Claim, Room};
use super::text_codes::{decode, encode};
use crate::scope::Scope;

/// The site of rows that count on every site.
pub(in crate::folds) const EVERYWHERE: &str = "";
/// Rows of a batch that is read from disk.
const BATCH_ROWS: usize = 8_192;

/// What a byte on disk weighs beside one in memory where pieces are kept: disk is larger.
const DISK_WEIGHS: usize = 64;

/// Rows of some part of the events, ordered by site.
#[derive(Debug)]
pub(crate) struct Piece {
    schema: SchemaRef,
    rows: Rows,
    sites: HashMap<String, Range<usize>>,
}

#[derive(Debug)]
enum Rows {
    /// The claim gives its memory back when it goes.
    Memory(RecordBatch, #[expect(dead_code, reason = "only its end counts")] Option<Claim>),
    Disk(Arc<RowsOnDisk>),
}

/// Rows in a temporary file, which goes with them.
pub(in crate::folds) struct RowsOnDisk {
    file: Arc<dyn SpillFile>,
    bytes: u64,
    /// The first row of each batch, and behind them the number of all rows.
    starts: Vec<usize>,
}

impl fmt::Debug for RowsOnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows on disk", self.starts.last().unwrap_or(&0))
    }
}

/// Some rows of a piece, one after the other. Those in memory have codes for texts.
#[derive(Clone, Debug)]
pub(in crate::folds) enum PieceRows {
    Memory(RecordBatch),
    Disk(Arc<RowsOnDisk>, Range<usize>),
}

impl Piece {
    /// A piece of few rows, which are ordered by their first column, the site.
    pub(in crate::folds) fn new(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Arc<Self>> {
        let rows = concat_batches(schema, batches)?;
        let mut sites = Sites::default();
        sites.add(&rows);
        let rows = encode(&compacted(schema, &rows)?)?;
        Ok(Arc::new(Self { schema: schema.clone(), rows: Rows::Memory(rows, None), sites: sites.ranges() }))
    }

    /// The rows of a scope.
    pub(in crate::folds) fn rows(&self, scope: &Scope) -> Option<PieceRows> {
        let range = match scope {
            Scope::Lake => 0..self.row_count(),
            Scope::Site(site) => self.sites.get(site)?.clone(),
        };
        (!range.is_empty()).then(|| match &self.rows {
            Rows::Memory(rows, _) => PieceRows::Memory(rows.slice(range.start, range.len())),
            Rows::Disk(rows) => PieceRows::Disk(rows.clone(), range),
        })
    }

    /// The rows of a scope, and those that count on every site.
    pub(in crate::folds) fn rows_everywhere_and(&self, scope: &Scope) -> Vec<PieceRows> {
        let everywhere = match scope {
            Scope::Lake => None,
            Scope::Site(_) => self.rows(&Scope::Site(EVERYWHERE.to_owned())),
        };
        self.rows(scope).into_iter().chain(everywhere).collect()
    }

    /// All rows as one batch.
    pub(in crate::folds) fn all_rows(&self) -> Result<RecordBatch> {
        match self.rows(&Scope::Lake) {
            Some(rows) => rows.together(&self.schema),
            None => Ok(RecordBatch::new_empty(self.schema.clone())),
        }
    }

    pub(in crate::folds) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// What it takes of the room for pieces that are kept.
    pub(in crate::folds) fn weight(&self) -> usize {
        match &self.rows {
            Rows::Memory(rows, _) => rows.get_array_memory_size(),
            Rows::Disk(rows) => rows.bytes as usize / DISK_WEIGHS,
        }
    }

    /// The rows as one batch, if they are in memory.
    pub(in crate::folds) fn in_memory(&self) -> Result<Option<RecordBatch>> {
        match &self.rows {
            Rows::Memory(rows, _) => decode(rows).map(Some),
            Rows::Disk(_) => Ok(None),
        }
    }

    pub(in crate::folds) fn row_count(&self) -> usize {
        match &self.rows {
            Rows::Memory(rows, _) => rows.num_rows(),
            Rows::Disk(rows) => rows.starts.last().copied().unwrap_or(0),
        }
    }
}

impl PieceRows {
    pub(in crate::folds) fn num_rows(&self) -> usize {
        match self {
            Self::Memory(rows) => rows.num_rows(),
            Self::Disk(_, range) => range.len(),
        }
    }

    pub(in crate::folds) fn slice(&self, start: usize, length: usize) -> Self {
        match self {
            Self::Memory(rows) => Self::Memory(rows.slice(start, length)),
            Self::Disk(rows, range) => Self::Disk(rows.clone(), range.start + start..range.start + start + length),
        }
    }

    /// The rows as one batch.
    pub(in crate::folds) fn together(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        match self {
            Self::Memory(rows) => decode(rows),
            Self::Disk(..) => {
                let batches = self.batches(None).collect::<Result<Vec<_>>>()?;
                Ok(concat_batches(schema, &batches)?)
            }
        }
    }

    /// The rows in batches, with the columns of a projection or all.
    pub(in crate::folds) fn batches(
        &self,
        projection: Option<&[usize]>,
    ) -> Box<dyn Iterator<Item = Result<RecordBatch>> + Send> {
        match self {
            Self::Memory(rows) => {
                let rows = match projection {
                    Some(projection) => rows.project(projection),
                    None => Ok(rows.clone()),
                };
                let rows = match rows {
                    Ok(rows) => rows,
                    Err(error) => return Box::new(std::iter::once(Err(error.into()))),
                };
                let starts = (0..rows.num_rows()).step_by(BATCH_ROWS);
                Box::new(starts.map(move |start| decode(&rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start)))))
            }
            Self::Disk(rows, range) => match rows.read(range.clone(), projection) {
                Ok(batches) => Box::new(batches),
                Err(error) => Box::new(std::iter::once(Err(error))),
            },
        }
    }
}

impl RowsOnDisk {
    fn read(
        self: &Arc<Self>,
        range: Range<usize>,
        projection: Option<&[usize]>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + Send + use<>> {
        let path = self.file.path().ok_or_else(|| DataFusionError::Internal("a temporary file has no path".into()))?;
        let mut reader = FileReader::try_new_buffered(File::open(path)?, projection.map(<[usize]>::to_vec))?;
        // The batch with the first row.
        let first = self.starts.partition_point(|start| *start <= range.start).saturating_sub(1);
        if first < reader.num_batches() {
            reader.set_index(first)?;
        }
        let this = self.clone();
        let batches = (first..).zip(reader).map_while(move |(number, batch)| {
            let (start, end) = (this.starts[number], this.starts[number + 1]);
            let (from, until) = (range.start.max(start), range.end.min(end));
            (from < until).then(|| Ok(batch?.slice(from - start, until - from)))
        });
        Ok(batches)
    }
}

/// Takes the rows of a piece as they come.
pub(in crate::folds) struct PieceWriter<'a> {
    schema: &'a SchemaRef,
    room: &'a Room,
    runtime: &'a RuntimeEnv,
    sites: Sites,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    claim: Claim,
    disk: Option<DiskWriter>,
}

struct DiskWriter {
    file: Arc<dyn SpillFile>,
    writer: FileWriter<Box<dyn SpillWriter>>,
    starts: Vec<usize>,
}

impl<'a> PieceWriter<'a> {
    pub(in crate::folds) fn new(schema: &'a SchemaRef, room: &'a Room, runtime: &'a RuntimeEnv) -> Self {
        let (held, claim) = (Vec::new(), room.claim());
        Self { schema, room, runtime, sites: Sites::default(), held, held_bytes: 0, claim, disk: None }
    }

    /// Takes rows that come after all others in the order of sites.
    pub(in crate::folds) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.sites.add(batch);
        if let Some(disk) = &mut self.disk {
            return disk.write(self.schema, batch);
        }
        let batch = compacted(self.schema, batch)?;
        self.held_bytes += batch.get_array_memory_size();
        self.held.push(batch);
        // Twice, because the batches are put together.
        if self.room.grow(&mut self.claim, 2 * self.held_bytes) {
            return Ok(());
        }
        let mut disk = DiskWriter::start(self.schema, self.runtime)?;
        for batch in self.held.drain(..) {
            disk.write(self.schema, &batch)?;
        }
        self.claim = self.room.claim();
        self.disk = Some(disk);
        Ok(())
    }

    pub(in crate::folds) fn finish(mut self) -> Result<Arc<Piece>> {
        let rows = match self.disk.take() {
            Some(disk) => Rows::Disk(Arc::new(disk.finish()?)),
            None => {
                let rows = encode(&concat_batches(self.schema, &self.held)?)?;
                self.held.clear();
                self.claim.shrink(rows.get_array_memory_size());
                Rows::Memory(rows, Some(self.claim))
            }
        };
        Ok(Arc::new(Piece { schema: self.schema.clone(), rows, sites: self.sites.ranges() }))
    }
}

impl DiskWriter {
    fn start(schema: &SchemaRef, runtime: &RuntimeEnv) -> Result<Self> {
        let file = runtime.disk_manager.create_tmp_file("keeping the rows of a recurring query")?;
        let writer = FileWriter::try_new(file.open_writer()?, schema)?;
        Ok(Self { file, writer, starts: vec![0] })
    }

    fn write(&mut self, schema: &SchemaRef, batch: &RecordBatch) -> Result<()> {
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let part = compacted(schema, &batch.slice(start, BATCH_ROWS.min(batch.num_rows() - start)))?;
            self.writer.write(&part)?;
            self.starts.push(self.starts.last().copied().unwrap_or(0) + part.num_rows());
        }
        Ok(())
    }

    fn finish(mut self) -> Result<RowsOnDisk> {
        self.writer.finish()?;
        self.writer.into_inner()?.finish()?;
        let bytes = self.file.size().unwrap_or(0);
        Ok(RowsOnDisk { file: self.file, bytes, starts: self.starts })
    }
}

/// The rows with strings of their own: views would keep everything alive that they were cut from.
fn compacted(schema: &SchemaRef, rows: &RecordBatch) -> Result<RecordBatch> {
    if rows.num_columns() == 0 {
        return Ok(rows.clone());
    }
    let columns = rows.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    });
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

/// Where the rows of each site lie.
#[derive(Default)]
struct Sites {
    /// In the order of the rows.
    ranges: Vec<(String, Range<usize>)>,
    rows: usize,
}

impl Sites {
    fn add(&mut self, batch: &RecordBatch) {
        let site = batch.column(0).as_string_view();
        let mut start = 0;
        while start < site.len() {
            let name = site.value(start);
            let (mut end, mut beyond) = (start + 1, site.len());
            while end < beyond {
                let middle = end + (beyond - end) / 2;
                match site.value(middle) == name {
                    true => end = middle + 1,
                    false => beyond = middle,
                }
            }
            let range = self.rows + start..self.rows + end;
            match self.ranges.last_mut() {
                Some((last, known)) if last == name => known.end = range.end,
                _ => self.ranges.push((name.to_owned(), range)),
            }
            start = end;
        }
        self.rows += site.len();
    }

    fn ranges(self) -> HashMap<String, Range<usize>> {
        self.ranges.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::{Field, Int64Type, Schema};

    use super::*;

    #[test]
    fn each_site_has_its_rows_whatever_their_number_and_wherever_they_lie() {
        for counts in [vec![], vec![1], vec![3, 1, 2], vec![100, 1, 37, 64, 65], vec![1, 1, 1, 1], vec![20_000, 9_000]]
        {
            let names: Vec<String> = (0..counts.len()).map(|n| format!("site{n}")).collect();
            let rows: Vec<&str> = names
                .iter()
                .zip(&counts)
                .flat_map(|(name, count)| std::iter::repeat_n(name.as_str(), *count))
                .collect();
            let schema = Arc::new(Schema::new(vec![
                Field::new("site", DataType::Utf8View, false),
                Field::new("p0", DataType::Int64, true),
            ]));
            let numbers = Int64Array::from_iter_values(0..rows.len() as i64);
            let columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(&rows)), Arc::new(numbers)];
            let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
            // With room for none, for some and for all.
            for bytes in [0, 8 << 10, 64 << 20] {
                let (room, runtime) = (Room::new(bytes), RuntimeEnv::default());
                let mut writer = PieceWriter::new(&schema, &room, &runtime);
                for start in (0..rows.len()).step_by(1_000) {
                    writer.write(&batch.slice(start, 1_000.min(rows.len() - start))).unwrap();
                }
                let piece = writer.finish().unwrap();
                let has_room = match bytes {
                    0 => rows.is_empty(),
                    8_192 => rows.len() < 50,
                    _ => true,
                };
                assert_eq!(piece.in_memory().unwrap().is_some(), has_room, "{counts:?} in {bytes} bytes");
                let mut first = 0;
                for (name, count) in names.iter().zip(&counts) {
                    let own = piece.rows(&Scope::Site(name.clone())).unwrap();
                    assert_eq!(own.num_rows(), *count, "{name} of {counts:?}");
                    check(&own, name, first..first + *count as i64);
                    // Any part of it.
                    let (start, length) = (*count / 3, *count / 2);
                    let from = first + start as i64;
                    check(&own.slice(start, length), name, from..from + length as i64);
                    first += *count as i64;
                }
                assert!(piece.rows(&Scope::Site("another".into())).is_none());
                assert_eq!(piece.rows(&Scope::Lake).map_or(0, |all| all.num_rows()), rows.len());
            }
        }
    }

    #[track_caller]
    fn check(rows: &PieceRows, name: &str, expected: Range<i64>) {
        let mut found = Vec::new();
        for batch in rows.batches(None) {
            let batch = batch.unwrap();
            assert!(batch.num_rows() <= BATCH_ROWS && batch.num_rows() > 0);
            assert!(batch.column(0).as_string_view().iter().all(|site| site == Some(name)));
            found.extend_from_slice(batch.column(1).as_primitive::<Int64Type>().values());
        }
        assert!(found.iter().copied().eq(expected.clone()), "{name}");
        let numbers: usize = rows.batches(Some(&[1])).map(|batch| batch.unwrap().column(0).len()).sum();
        assert_eq!(numbers as i64, expected.end - expected.start);
    }
}
