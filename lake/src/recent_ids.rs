//! The ids of recently published files, in memory.
//!
//! Every publish and every query looks for its pending events among those published in the minutes before. Files never
//! change, so one that was read for this once need not be opened again.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use object_store::path::Path;
use parking_lot::Mutex;

use crate::event::EventId;

/// Of all files together: two million events, with which a quarter of an hour of 2 300 a second is at hand.
const BYTES_MAX: usize = 32 << 20;

/// Of one file, so that one does not take the place of many.
const FILE_BYTES_MAX: usize = BYTES_MAX / 4;

/// The ids of one file.
#[derive(Debug, Default)]
pub(crate) struct FileIds {
    ids: Vec<EventId>,
    /// The site of the rows from each number on.
    sites: Vec<(usize, Arc<str>)>,
}

impl FileIds {
    /// An empty list for a file of so many rows, unless it would be too large.
    pub(crate) fn for_rows(rows: u64) -> Option<Self> {
        let rows = usize::try_from(rows).ok()?;
        let fits = rows <= FILE_BYTES_MAX / size_of::<EventId>();
        fits.then(|| Self { ids: Vec::with_capacity(rows), sites: vec![] })
    }

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

    /// The ids of each run of rows of one site.
    pub(crate) fn by_site(&self) -> impl Iterator<Item = (&str, &[EventId])> {
        let ends = self.sites.iter().skip(1).map(|(start, _)| *start).chain([self.ids.len()]);
        self.sites.iter().zip(ends).map(|((start, site), end)| (&**site, &self.ids[*start..end]))
    }

    fn size_bytes(&self) -> usize {
        // A site's name is counted like two of these.
        size_of_val(&*self.ids) + 3 * size_of_val(&*self.sites)
    }
}

/// The ids of the files that searches needed last.
#[derive(Default)]
pub(crate) struct RecentIds {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    files: HashMap<Path, KeptFile>,
    bytes: usize,
    /// Searches begun.
    searches: u64,
}

struct KeptFile {
    ids: Arc<FileIds>,
    last_used_by: u64,
}

/// The number of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search(u64);

impl RecentIds {
    /// Begins a search.
    pub(crate) fn begin(&self) -> Search {
        let mut kept = self.kept.lock();
        kept.searches += 1;
        Search(kept.searches)
    }

    /// The ids of a file, if they are here.
    pub(crate) fn get(&self, file: &Path, search: Search) -> Option<Arc<FileIds>> {
        let mut kept = self.kept.lock();
        let kept = kept.files.get_mut(file)?;
        kept.last_used_by = kept.last_used_by.max(search.0);
        Some(kept.ids.clone())
    }

    /// Keeps the ids of a file in place of those that no search needed for longest. If all that is kept was needed since this
    /// search began, it stays as it is: to replace what the next search needs by what it needs too gains nothing.
    pub(crate) fn put(&self, file: &Path, ids: FileIds, search: Search) {
        let mut kept = self.kept.lock();
        kept.remove(file);
        let new_bytes = ids.size_bytes();
        while kept.bytes + new_bytes > BYTES_MAX {
            let oldest = kept.files.iter().min_by_key(|(_, file)| file.last_used_by);
            let Some((path, _)) = oldest.filter(|(_, file)| file.last_used_by < search.0) else { return };
            let path = path.clone();
            kept.remove(&path);
        }
        kept.bytes += new_bytes;
        kept.files.insert(file.clone(), KeptFile { ids: Arc::new(ids), last_used_by: search.0 });
    }
}

impl Kept {
    fn remove(&mut self, file: &Path) {
        if let Some(old) = self.files.remove(file) {
            self.bytes -= old.ids.size_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, StringArray};

    use super::*;

    #[test]
    fn ids_come_back_by_site() {
        let mut ids = FileIds::for_rows(4).unwrap();
        ids.take(&batch(&[("one", 1), ("one", 2), ("two", 1)]));
        ids.take(&batch(&[("two", 3)]));
        let found: Vec<_> = ids.by_site().map(|(site, ids)| (site, ids.iter().map(|id| id.0[0]).collect())).collect();
        assert_eq!(found, [("one", vec![1, 2]), ("two", vec![1, 3])]);
        assert_eq!(FileIds::default().by_site().count(), 0);
    }

    #[test]
    fn a_file_too_large_is_not_kept() {
        assert!(FileIds::for_rows((FILE_BYTES_MAX / 16) as u64).is_some());
        assert!(FileIds::for_rows((FILE_BYTES_MAX / 16) as u64 + 1).is_none());
    }

    #[test]
    fn what_no_search_needed_for_longest_makes_room() {
        let recent = RecentIds::default();
        let first = recent.begin();
        for number in 0..4 {
            recent.put(&path(number), quarter(), first);
        }
        recent.put(&path(4), quarter(), first);
        assert_eq!(kept(&recent), [0, 1, 2, 3], "what the same search needs stays");

        let second = recent.begin();
        for number in [0, 1, 3] {
            recent.get(&path(number), second).unwrap();
        }
        recent.put(&path(4), quarter(), second);
        assert_eq!(kept(&recent), [0, 1, 3, 4]);
        recent.put(&path(5), quarter(), second);
        assert_eq!(kept(&recent), [0, 1, 3, 4]);
        recent.put(&path(4), quarter(), second);
        assert_eq!(kept(&recent), [0, 1, 3, 4], "a file that two searches read at once is counted once");
        assert!(recent.kept.lock().bytes <= BYTES_MAX);
    }

    /// A quarter of what is kept.
    fn quarter() -> FileIds {
        FileIds { ids: vec![EventId::default(); FILE_BYTES_MAX / 16], sites: vec![] }
    }

    fn kept(recent: &RecentIds) -> Vec<u32> {
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
