//! Rows of a part of the events, and where the rows of each site begin: in memory as long as there is room, else on disk.

use std::collections::HashMap;
use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::utils::memory::RecordBatchMemoryCounter;
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use parking_lot::RwLock;

use super::encoding::{compacted, decode, encode};
use super::on_disk::{DiskWriter, RowsOnDisk, SEGMENT_ROWS};
use super::room::{Claim, Room};
use crate::scope::Scope;

/// The site of rows that count on every site.
pub(in crate::folds) const EVERYWHERE: &str = "";
/// Rows of a batch that is read.
const BATCH_ROWS: usize = 8_192;

/// What a byte on disk weighs beside one in memory where pieces are kept: disk is larger.
const DISK_WEIGHS: usize = 64;

/// Rows of some part of the events, ordered by site.
#[derive(Debug)]
pub(crate) struct Piece {
    schema: SchemaRef,
    /// They lie in memory or on disk, and may move there.
    rows: RwLock<Rows>,
    row_count: usize,
    sites: HashMap<String, Range<usize>>,
    /// Names it.
    number: PieceNumber,
    /// The pieces whose rows it has, if it was merged of some.
    merged_of: Vec<PieceNumber>,
}

/// Parts that a piece knows of, at most. With more it is one of its own: whoever has its parts compares rows once.
const PARTS_MAX: usize = 4_096;

/// Tells pieces apart, for as long as the process runs.
type PieceNumber = u64;

#[derive(Debug)]
enum Rows {
    /// Encoded. The claim gives its memory back when it goes.
    Memory(RecordBatch, Option<Claim>),
    Disk(Arc<RowsOnDisk>),
}

/// Some rows of a piece, one after the other.
#[derive(Clone, Debug)]
pub(in crate::folds) struct PieceRows {
    /// With the types that the rows have when they are decoded.
    schema: SchemaRef,
    place: RowsPlace,
}

#[derive(Clone, Debug)]
enum RowsPlace {
    /// Encoded.
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
        Ok(Self::of(schema, Rows::Memory(rows, None), sites))
    }

    fn of(schema: &SchemaRef, rows: Rows, sites: Sites) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (schema, row_count) = (schema.clone(), sites.rows);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let rows = RwLock::new(rows);
        Arc::new(Self { schema, rows, row_count, sites: sites.ranges(), number, merged_of: vec![] })
    }

    /// The same piece, just made, which has the rows of others.
    pub(in crate::folds) fn merged_of(mut self: Arc<Self>, pieces: &[Arc<Self>]) -> Arc<Self> {
        let parts = || pieces.iter().flat_map(|piece| piece.parts()).copied();
        if let Some(piece) = Arc::get_mut(&mut self)
            && parts().count() <= PARTS_MAX
        {
            piece.merged_of = parts().collect();
        }
        self
    }

    /// The pieces whose rows it has: itself, if it was not merged of others.
    pub(in crate::folds) fn parts(&self) -> &[PieceNumber] {
        match &self.merged_of[..] {
            [] => std::slice::from_ref(&self.number),
            parts => parts,
        }
    }

    /// The rows of a scope.
    pub(in crate::folds) fn rows(&self, scope: &Scope) -> Option<PieceRows> {
        let range = match scope {
            Scope::Lake => 0..self.row_count(),
            Scope::Site(site) => self.sites.get(site)?.clone(),
        };
        (!range.is_empty()).then(|| {
            let place = match &*self.rows.read() {
                Rows::Memory(rows, _) => RowsPlace::Memory(rows.slice(range.start, range.len())),
                Rows::Disk(rows) => RowsPlace::Disk(rows.clone(), range),
            };
            PieceRows { schema: self.schema.clone(), place }
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
            Some(rows) => rows.together(),
            None => Ok(RecordBatch::new_empty(self.schema.clone())),
        }
    }

    pub(in crate::folds) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// What it takes of the room for pieces that are kept.
    pub(in crate::folds) fn weight(&self) -> usize {
        match &*self.rows.read() {
            Rows::Memory(rows, _) => rows.get_array_memory_size(),
            Rows::Disk(rows) => rows.bytes() as usize / DISK_WEIGHS,
        }
    }

    /// What it has of the memory of queries.
    pub(in crate::folds) fn claimed_bytes(&self) -> usize {
        match &*self.rows.read() {
            Rows::Memory(_, Some(claim)) => claim.bytes(),
            Rows::Memory(_, None) | Rows::Disk(_) => 0,
        }
    }

    /// What it takes on disk.
    pub(in crate::folds) fn disk_bytes(&self) -> u64 {
        match &*self.rows.read() {
            Rows::Memory(..) => 0,
            Rows::Disk(rows) => rows.bytes(),
        }
    }

    /// Whether its file is gone.
    pub(in crate::folds) fn is_lost(&self) -> bool {
        matches!(&*self.rows.read(), Rows::Disk(rows) if rows.is_lost())
    }

    #[cfg(test)]
    pub(in crate::folds) fn delete_file(&self) {
        let Rows::Disk(rows) = &*self.rows.read() else { panic!("it is in memory") };
        std::fs::remove_file(rows.path().unwrap()).unwrap();
    }

    pub(in crate::folds) fn is_in_memory(&self) -> bool {
        matches!(&*self.rows.read(), Rows::Memory(..))
    }

    /// Moves rows in memory to disk. Whoever holds them has them in memory until he lets go of them.
    pub(in crate::folds) fn move_to_disk(&self, runtime: &RuntimeEnv) -> Result<()> {
        let rows = match &*self.rows.read() {
            Rows::Memory(rows, _) => rows.clone(),
            Rows::Disk(_) => return Ok(()),
        };
        let mut disk = DiskWriter::start(&self.schema, runtime)?;
        for start in (0..rows.num_rows()).step_by(SEGMENT_ROWS) {
            let part = rows.slice(start, SEGMENT_ROWS.min(rows.num_rows() - start));
            disk.write(&decode(&part, &self.schema)?)?;
        }
        *self.rows.write() = Rows::Disk(Arc::new(disk.finish()?));
        Ok(())
    }

    /// The rows as one batch, if they are in memory.
    pub(in crate::folds) fn in_memory(&self) -> Result<Option<RecordBatch>> {
        match &*self.rows.read() {
            Rows::Memory(rows, _) => decode(rows, &self.schema).map(Some),
            Rows::Disk(_) => Ok(None),
        }
    }

    pub(in crate::folds) fn row_count(&self) -> usize {
        self.row_count
    }
}

impl PieceRows {
    /// Rows in memory.
    ///
    /// - `rows`: as they are or encoded.
    /// - `schema`: with the types that they have when they are not.
    pub(in crate::folds) fn new(rows: RecordBatch, schema: SchemaRef) -> Self {
        Self { schema, place: RowsPlace::Memory(rows) }
    }

    pub(in crate::folds) fn num_rows(&self) -> usize {
        match &self.place {
            RowsPlace::Memory(rows) => rows.num_rows(),
            RowsPlace::Disk(_, range) => range.len(),
        }
    }

    pub(in crate::folds) fn slice(&self, start: usize, length: usize) -> Self {
        let place = match &self.place {
            RowsPlace::Memory(rows) => RowsPlace::Memory(rows.slice(start, length)),
            RowsPlace::Disk(rows, range) => {
                RowsPlace::Disk(rows.clone(), range.start + start..range.start + start + length)
            }
        };
        Self { schema: self.schema.clone(), place }
    }

    /// The rows as one batch.
    pub(in crate::folds) fn together(&self) -> Result<RecordBatch> {
        let batches = self.encoded().map(|rows| decode(&rows?, &self.schema)).collect::<Result<Vec<_>>>()?;
        match &batches[..] {
            [whole] => Ok(whole.clone()),
            parts => Ok(concat_batches(&self.schema, parts)?),
        }
    }

    /// The rows that a choice leaves, in memory.
    ///
    /// - `choose`: chooses among encoded rows.
    pub(in crate::folds) fn chosen(&self, choose: impl Fn(&RecordBatch) -> Result<RecordBatch>) -> Result<Self> {
        if let RowsPlace::Memory(rows) = &self.place {
            return Ok(Self::new(choose(rows)?, self.schema.clone()));
        }
        let chosen = self.encoded().map(|rows| decode(&choose(&rows?)?, &self.schema));
        let rows = concat_batches(&self.schema, &chosen.collect::<Result<Vec<_>>>()?)?;
        Ok(Self::new(rows, self.schema.clone()))
    }

    /// The rows as they lie, encoded.
    fn encoded(&self) -> Batches {
        match &self.place {
            RowsPlace::Memory(rows) => Box::new(iter::once(Ok(rows.clone()))),
            RowsPlace::Disk(rows, range) => match rows.encoded(range.clone()) {
                Ok(batches) => Box::new(batches),
                Err(error) => Box::new(iter::once(Err(error))),
            },
        }
    }

    /// The rows in batches, with the columns of a projection or all.
    pub(in crate::folds) fn batches(&self, projection: Option<&[usize]>) -> Batches {
        let projected = projection.map(|projection| self.schema.project(projection)).transpose();
        let schema = match projected {
            Ok(projected) => projected.map_or_else(|| self.schema.clone(), Arc::new),
            Err(error) => return Box::new(iter::once(Err(error.into()))),
        };
        let projection = projection.map(<[usize]>::to_vec);
        Box::new(self.encoded().flat_map(move |rows| -> Batches {
            let rows = rows.and_then(|rows| match &projection {
                Some(projection) => Ok(rows.project(projection)?),
                None => Ok(rows),
            });
            let rows = match rows {
                Ok(rows) => rows,
                Err(error) => return Box::new(iter::once(Err(error))),
            };
            let schema = schema.clone();
            let starts = (0..rows.num_rows()).step_by(BATCH_ROWS);
            Box::new(
                starts.map(move |start| decode(&rows.slice(start, BATCH_ROWS.min(rows.num_rows() - start)), &schema)),
            )
        }))
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Takes the rows of a piece as they come.
pub(in crate::folds) struct PieceWriter<'a> {
    schema: &'a SchemaRef,
    room: &'a Room,
    runtime: &'a RuntimeEnv,
    sites: Sites,
    held: Vec<RecordBatch>,
    /// Batches may share memory.
    held_bytes: RecordBatchMemoryCounter,
    claim: Claim,
    disk: Option<DiskWriter>,
}

impl<'a> PieceWriter<'a> {
    pub(in crate::folds) fn new(schema: &'a SchemaRef, room: &'a Room, runtime: &'a RuntimeEnv) -> Self {
        let (held, claim) = (Vec::new(), room.claim());
        let held_bytes = RecordBatchMemoryCounter::default();
        Self { schema, room, runtime, sites: Sites::default(), held, held_bytes, claim, disk: None }
    }

    /// Takes rows that come after all others in the order of sites.
    pub(in crate::folds) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.sites.add(batch);
        if let Some(disk) = &mut self.disk {
            return disk.write(batch);
        }
        let batch = compacted(self.schema, batch)?;
        self.held_bytes.count_batch(&batch);
        self.held.push(batch);
        // Twice, because the batches are put together.
        if self.room.grow(&mut self.claim, 2 * self.held_bytes.memory_usage()) {
            return Ok(());
        }
        let mut disk = DiskWriter::start(self.schema, self.runtime)?;
        for batch in self.held.drain(..) {
            disk.write(&batch)?;
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
        Ok(Piece::of(self.schema, rows, self.sites))
    }
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
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;
    use crate::limits::memory::QueryMemory;

    #[test]
    fn each_site_has_its_rows_whatever_their_number_and_wherever_they_lie() {
        for counts in [vec![], vec![1], vec![3, 1, 2], vec![100, 1, 37, 64, 65], vec![1, 1, 1, 1], vec![90_000, 50_000]]
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
                let (room, runtime) = (Room::new(bytes, Arc::new(QueryMemory::new(128 << 20))), RuntimeEnv::default());
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
                // As they are, then all of them on disk.
                for is_moved in [false, true] {
                    if is_moved {
                        piece.move_to_disk(&runtime).unwrap();
                    }
                    assert_eq!(piece.is_in_memory(), has_room && !is_moved);
                    assert_eq!(piece.all_rows().unwrap(), batch);
                    check_sites(&piece, &names, &counts);
                }
            }
        }
    }

    #[track_caller]
    fn check_sites(piece: &Piece, names: &[String], counts: &[usize]) {
        let mut first = 0;
        for (name, count) in names.iter().zip(counts) {
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
        assert_eq!(piece.rows(&Scope::Lake).map_or(0, |all| all.num_rows()), counts.iter().sum::<usize>());
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
