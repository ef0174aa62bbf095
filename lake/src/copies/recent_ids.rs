//! The ids of recently published files in memory, with their times once one of the ids was found.
//!
//! Every publish and every query looks for its pending events in the files of the last minutes. Files never change, so
//! one that was read for a search need not be opened again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{AsArray, RecordBatch};
use object_store::path::Path;
use parking_lot::Mutex;

use crate::event::EventId;

/// For all files together: two million events, a quarter of an hour at 2 300 events a second.
const BYTES_MAX: usize = 48 << 20;

/// For one file, so that a large one does not evict many small ones.
const FILE_BYTES_MAX: usize = BYTES_MAX / 4;

/// The most that an event takes: its id and its time.
const EVENT_BYTES: usize = size_of::<EventId>() + size_of::<i64>();

/// The ids of one file.
#[derive(Debug)]
pub(crate) struct FileIds {
    ids: Vec<EventId>,
    /// When the events happened. Most searches do not need it.
    occurred_at_us: OnceLock<Vec<i64>>,
    /// The site of the rows from each number on.
    sites: Vec<(usize, Arc<str>)>,
    /// Their share of [`BYTES_MAX`], given back when the list is dropped.
    _reservation: Reservation,
}

impl FileIds {
    /// Appends rows with `site_id` and `event_id`.
    pub(crate) fn take(&mut self, batch: &RecordBatch) {
        let (site_ids, event_ids) = (batch["site_id"].as_string::<i32>(), batch["event_id"].as_binary::<i32>());
        for row in 0..batch.num_rows() {
            let site = site_ids.value(row);
            if self.sites.last().is_none_or(|(_, last)| **last != *site) {
                self.sites.push((self.ids.len(), site.into()));
            }
            self.ids.push(EventId::of_bytes(event_ids.value(row)));
        }
    }

    /// The number of the first row and the ids of each run of rows of one site.
    pub(crate) fn by_site(&self) -> impl Iterator<Item = (&str, usize, &[EventId])> {
        let ends = self.sites.iter().skip(1).map(|(start, _)| *start).chain([self.ids.len()]);
        self.sites.iter().zip(ends).map(|((start, site), end)| (&**site, *start, &self.ids[*start..end]))
    }

    /// When the events happened (µs), if that was read.
    pub(crate) fn occurred_at_us(&self) -> Option<&[i64]> {
        self.occurred_at_us.get().map(Vec::as_slice)
    }

    /// Sets when the events happened (µs): one time for each id.
    pub(crate) fn set_times(&self, occurred_at_us: Vec<i64>) -> &[i64] {
        self.occurred_at_us.get_or_init(|| occurred_at_us)
    }
}

/// Bytes reserved until this is dropped.
#[derive(Debug)]
struct Reservation {
    bytes: usize,
    reserved_bytes: Arc<AtomicUsize>,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.reserved_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A cache of the ids of the files that searches used last.
#[derive(Default)]
pub(crate) struct RecentIds {
    cache: Mutex<Cache>,
    /// Bytes of all lists: cached, in use or being read.
    reserved_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Cache {
    files: HashMap<Path, CachedFile>,
    /// Searches begun.
    searches: u64,
}

struct CachedFile {
    ids: Arc<FileIds>,
    last_used_by: u64,
}

/// The number of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search(u64);

impl RecentIds {
    /// Begins a search.
    pub(crate) fn begin(&self) -> Search {
        let mut cache = self.cache.lock();
        cache.searches += 1;
        Search(cache.searches)
    }

    /// The ids of a file, if they are cached.
    pub(crate) fn get(&self, file: &Path, search: Search) -> Option<Arc<FileIds>> {
        let mut cache = self.cache.lock();
        let file = cache.files.get_mut(file)?;
        file.last_used_by = file.last_used_by.max(search.0);
        Some(file.ids.clone())
    }

    /// Reserves space for the ids of a file with `rows` rows, evicting the least recently used lists. Lists used since this
    /// search began are never evicted: the next search needs them as much as the new one.
    pub(crate) fn reserve(&self, rows: usize, search: Search) -> Option<FileIds> {
        let bytes = rows.checked_mul(EVENT_BYTES).filter(|bytes| *bytes <= FILE_BYTES_MAX)?;
        let mut cache = self.cache.lock();
        while self.reserved_bytes.load(Ordering::Relaxed) + bytes > BYTES_MAX {
            let (path, oldest) = cache.files.iter().min_by_key(|(_, file)| file.last_used_by)?;
            if oldest.last_used_by >= search.0 {
                return None;
            }
            let path = path.clone();
            cache.files.remove(&path);
        }
        // Only ever raised under the lock.
        self.reserved_bytes.fetch_add(bytes, Ordering::Relaxed);
        let reservation = Reservation { bytes, reserved_bytes: self.reserved_bytes.clone() };
        Some(FileIds {
            ids: Vec::with_capacity(rows),
            occurred_at_us: OnceLock::new(),
            sites: vec![],
            _reservation: reservation,
        })
    }

    /// Caches the ids of a file.
    pub(crate) fn insert(&self, file: &Path, ids: FileIds, search: Search) {
        self.cache.lock().files.insert(file.clone(), CachedFile { ids: Arc::new(ids), last_used_by: search.0 });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, StringArray};

    use super::*;

    const QUARTER_ROWS: usize = FILE_BYTES_MAX / EVENT_BYTES;

    #[test]
    fn ids_come_back_by_site() {
        let recent = RecentIds::default();
        let mut ids = recent.reserve(4, recent.begin()).unwrap();
        assert_eq!(ids.by_site().count(), 0);
        ids.take(&batch(&[("one", 1), ("one", 2), ("two", 1)]));
        ids.take(&batch(&[("two", 3)]));
        let found: Vec<_> =
            ids.by_site().map(|(site, first, ids)| (site, first, ids.iter().map(|id| id.0[0]).collect())).collect();
        assert_eq!(found, [("one", 0, vec![1, 2]), ("two", 2, vec![1, 3])]);
    }

    #[test]
    fn there_is_no_room_for_a_file_too_large() {
        let recent = RecentIds::default();
        assert!(recent.reserve(QUARTER_ROWS, recent.begin()).is_some());
        assert!(recent.reserve(QUARTER_ROWS + 1, recent.begin()).is_none());
        assert!(recent.reserve(usize::MAX, recent.begin()).is_none());
    }

    #[test]
    fn what_no_search_needed_for_longest_makes_room() {
        let recent = RecentIds::default();
        let put = |number: u32, search| {
            let ids = recent.reserve(QUARTER_ROWS, search);
            ids.map(|ids| recent.insert(&path(number), ids, search)).is_some()
        };
        let first = recent.begin();
        assert!((0..4).all(|number| put(number, first)));
        assert!(!put(4, first), "what the same search needs stays");
        assert_eq!(cached(&recent), [0, 1, 2, 3]);

        let second = recent.begin();
        for number in [0, 1, 3] {
            recent.get(&path(number), second).unwrap();
        }
        assert!(put(4, second) && !put(5, second));
        assert_eq!(cached(&recent), [0, 1, 3, 4]);
    }

    #[test]
    fn a_list_in_use_or_being_made_takes_its_room() {
        let recent = RecentIds::default();
        let made: Vec<_> = (0..4).map(|_| recent.reserve(QUARTER_ROWS, recent.begin()).unwrap()).collect();
        assert!(recent.reserve(1, recent.begin()).is_none());
        drop(made);

        let search = recent.begin();
        let ids = recent.reserve(QUARTER_ROWS, search).unwrap();
        recent.insert(&path(0), ids, search);
        let in_use = recent.get(&path(0), search).unwrap();
        let others: Vec<_> = (0..3).map(|_| recent.reserve(QUARTER_ROWS, recent.begin()).unwrap()).collect();
        assert!(recent.reserve(1, recent.begin()).is_none(), "though it was let go");
        assert!(cached(&recent).is_empty());
        drop((in_use, others));
        assert_eq!(recent.reserved_bytes.load(Ordering::Relaxed), 0);
    }

    fn cached(recent: &RecentIds) -> Vec<u32> {
        let search = Search(0);
        (0..9).filter(|number| recent.get(&path(*number), search).is_some()).collect()
    }

    fn path(number: u32) -> Path {
        Path::from(format!("{number}"))
    }

    fn batch(rows: &[(&str, u8)]) -> RecordBatch {
        let sites: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(site, _)| site)));
        let ids: ArrayRef = Arc::new(BinaryArray::from_iter_values(rows.iter().map(|(_, id)| [*id; 16])));
        RecordBatch::try_from_iter([("site_id", sites), ("event_id", ids)]).unwrap()
    }
}
