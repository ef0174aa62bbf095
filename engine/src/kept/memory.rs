//! The rows that are kept, within a bound. Those of files that nobody asked for longest go first.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use object_store::path::Path;
use parking_lot::Mutex;

use super::question::Questions;
use super::slice::Slice;

/// The part of all rows that one site's may take: one in so many. What was made of them comes besides.
const SITE_SHARE: usize = 2;

/// The size of all sessions beside that of all rows: one in so many.
const SESSIONS_SHARE: usize = 4;

/// Rows of sites by file and site, and their memory.
pub(crate) struct KeptRows {
    bytes_max: usize,
    pool: Arc<dyn MemoryPool>,
    kept: Mutex<Kept>,
    questions: Questions,
}

struct Kept {
    slices: HashMap<(Path, Arc<str>), Entry>,
    /// How many rows of a site the largest of its files has.
    rows_of_file: HashMap<Arc<str>, usize>,
    bytes: usize,
    uses: u64,
    memory: MemoryReservation,
}

struct Entry {
    slice: Arc<Slice>,
    rows: usize,
    bytes: usize,
    /// What states that were made of the rows take besides.
    states_bytes: usize,
    used: u64,
}

impl fmt::Debug for KeptRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptRows({} of {} bytes)", self.kept.lock().bytes, self.bytes_max)
    }
}

impl KeptRows {
    /// - `bytes_max`: what all rows may take of the memory in `pool`.
    pub(crate) fn new(bytes_max: usize, pool: &Arc<dyn MemoryPool>) -> Self {
        let memory = MemoryConsumer::new("kept rows of sites").register(pool);
        let kept = Kept { slices: HashMap::new(), rows_of_file: HashMap::new(), bytes: 0, uses: 0, memory };
        Self { bytes_max, pool: pool.clone(), kept: Mutex::new(kept), questions: Questions::default() }
    }

    /// Memory for what is made of the rows. It is that of all queries, whoever asked first.
    pub(super) fn reserve(&self, what: &str) -> MemoryReservation {
        MemoryConsumer::new(what).register(&self.pool)
    }

    /// What files have states for.
    pub(super) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// What one site's rows may take.
    fn site_bytes_max(&self) -> usize {
        self.bytes_max / SITE_SHARE
    }

    /// What all rows take.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// Lets go of rows until the others take no more than so much. Whether it let go of any.
    pub(crate) fn shrink_to(&self, bytes_max: usize) -> bool {
        self.kept.lock().shrink_to(bytes_max)
    }

    /// Lets go of rows of so many bytes, or of all that there are. Whether it let go of any.
    pub(crate) fn shrink_by(&self, bytes: usize) -> bool {
        let mut kept = self.kept.lock();
        let bytes_max = kept.bytes.saturating_sub(bytes);
        kept.shrink_to(bytes_max)
    }

    /// What all sessions that are kept may take. They do not go when a query needs memory.
    pub(crate) fn sessions_bytes_max(&self) -> usize {
        self.bytes_max / SESSIONS_SHARE
    }

    /// The rows of a site in a file, of which nothing may be known yet.
    pub(super) fn slice(&self, path: &Path, site: &Arc<str>) -> Arc<Slice> {
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let used = kept.uses;
        let new = || Entry { slice: Arc::default(), rows: 0, bytes: 0, states_bytes: 0, used };
        let entry = kept.slices.entry((path.clone(), site.clone())).or_insert_with(new);
        entry.used = used;
        entry.slice.clone()
    }

    /// How many rows of a site the largest of its files has, as far as is known.
    pub(super) fn rows_of_file(&self, site: &str) -> Option<usize> {
        self.kept.lock().rows_of_file.get(site).copied()
    }

    /// How many rows of a site so many files have, as far as can be told by those of which rows are kept.
    pub(crate) fn rows_expected(&self, site: &str, files: usize) -> Option<usize> {
        let kept = self.kept.lock();
        let (known, rows, _) = kept.known_of(site);
        (known > 0).then(|| rows * files / known)
    }

    /// Whether so many files' rows of a site may be kept, as far as can be told by those that are.
    ///
    /// - `row_bytes`: about what a row takes.
    pub(crate) fn has_room(&self, site: &str, files: usize, row_bytes: usize) -> bool {
        let kept = self.kept.lock();
        let rows = kept.rows_of_file.get(site).copied().unwrap_or(0);
        let (known, _, bytes) = kept.known_of(site);
        let file_bytes = rows.saturating_mul(row_bytes).max(bytes / known.max(1));
        file_bytes.saturating_mul(files) <= self.site_bytes_max()
    }

    /// Takes note of a slice that has `bytes` more than before, and lets go of others if it must.
    pub(super) fn grew(&self, path: &Path, site: &Arc<str>, slice: &Arc<Slice>, rows: usize, bytes: usize) {
        let mut kept = self.kept.lock();
        let most = kept.rows_of_file.entry(site.clone()).or_default();
        *most = rows.max(*most);
        // Others may have let go of it meanwhile; then it goes with whoever reads it now.
        if let Some(entry) = kept.slices.get_mut(&(path.clone(), site.clone()))
            && Arc::ptr_eq(&entry.slice, slice)
        {
            entry.rows = rows;
            entry.bytes += bytes;
            kept.bytes += bytes;
        }
        kept.shrink_to(self.bytes_max);
    }

    /// Takes note of what a slice's states take now, and lets go of others if it must.
    pub(super) fn states_changed(&self, path: &Path, site: &Arc<str>, slice: &Arc<Slice>) {
        let mut kept = self.kept.lock();
        if let Some(entry) = kept.slices.get_mut(&(path.clone(), site.clone()))
            && Arc::ptr_eq(&entry.slice, slice)
        {
            let before = std::mem::replace(&mut entry.states_bytes, slice.states_bytes());
            let now = entry.states_bytes;
            kept.bytes = kept.bytes + now - before;
        }
        kept.shrink_to(self.bytes_max);
    }

    #[cfg(test)]
    pub(crate) fn keep_for_test(&self, path: &str, bytes: usize) {
        self.added(path, bytes);
    }

    #[cfg(test)]
    fn added(&self, path: &str, bytes: usize) -> Arc<Slice> {
        let (path, site) = (Path::from(path), "shop".into());
        let slice = self.slice(&path, &site);
        self.grew(&path, &site, &slice, 10, bytes);
        slice
    }
}

impl Kept {
    /// Of how many files rows of a site are kept, how many rows, and their bytes.
    fn known_of(&self, site: &str) -> (usize, usize, usize) {
        let of_site = self.slices.iter().filter(|((_, of), entry)| **of == *site && entry.bytes > 0);
        of_site.fold((0, 0, 0), |(known, rows, bytes), (_, entry)| (known + 1, rows + entry.rows, bytes + entry.bytes))
    }

    /// Lets go of rows until the others take no more than so much, and no more than there is. Whether it let go of any.
    fn shrink_to(&mut self, bytes_max: usize) -> bool {
        let before = self.bytes;
        while (self.bytes > bytes_max || self.memory.try_resize(self.bytes).is_err()) && self.lets_go_of_oldest() {}
        metrics::gauge!("dewpond_kept_rows_bytes").set(self.bytes as f64);
        self.bytes < before
    }

    /// Whether there was one.
    fn lets_go_of_oldest(&mut self) -> bool {
        let oldest = self.slices.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
        let Some(gone) = oldest.and_then(|oldest| self.slices.remove(&oldest)) else { return false };
        self.bytes -= gone.bytes + gone.states_bytes;
        true
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::RecordBatch;
    use datafusion::arrow::datatypes::Schema;
    use datafusion::execution::memory_pool::GreedyMemoryPool;
    use datafusion::physical_plan::aggregates::PhysicalGroupBy;

    use super::*;
    use crate::kept::question::Question;

    fn kept(bytes_max: usize, pool_bytes: usize) -> (KeptRows, Arc<dyn MemoryPool>) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(pool_bytes));
        (KeptRows::new(bytes_max, &pool), pool)
    }

    fn is_kept(kept: &KeptRows, path: &str, slice: &Arc<Slice>) -> bool {
        let kept = kept.kept.lock();
        kept.slices.get(&(Path::from(path), "shop".into())).is_some_and(|entry| Arc::ptr_eq(&entry.slice, slice))
    }

    #[test]
    fn what_nobody_asked_for_longest_goes_first() {
        let (kept, pool) = kept(100, 1_000);
        let (a, b) = (kept.added("a", 40), kept.added("b", 40));
        kept.added("a", 10);
        let c = kept.added("c", 30);
        assert!(is_kept(&kept, "a", &a) && !is_kept(&kept, "b", &b) && is_kept(&kept, "c", &c));
        assert_eq!(pool.reserved(), 80);
        drop(kept);
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn states_count_beside_the_rows_that_they_go_with() {
        let (kept, pool) = kept(1 << 20, 1 << 21);
        let (a, site) = (kept.added("a", 40), "shop".into());
        let question = Question {
            groups: PhysicalGroupBy::default(),
            aggregates: vec![],
            filters: vec![],
            steps: vec![],
            columns: vec![],
            condition: None,
        };
        let (question, states) = (kept.questions().known(question), RecordBatch::new_empty(Arc::new(Schema::empty())));
        for _ in 0..2 {
            a.keep_states(question.clone(), &states);
            kept.states_changed(&Path::from("a"), &site, &a);
            assert!(a.states(&question).is_some());
            assert_eq!(kept.bytes(), 40 + a.states_bytes());
            assert_eq!(pool.reserved(), kept.bytes());
        }
        assert!(kept.has_room("shop", 6_000, 8), "a site's share is of its rows");
        kept.shrink_to(0);
        assert_eq!((kept.bytes(), pool.reserved()), (0, 0));
        kept.states_changed(&Path::from("a"), &site, &a);
        assert_eq!(kept.bytes(), 0, "what is gone is not counted");
    }

    #[test]
    fn queries_that_need_the_memory_have_it() {
        let (kept, pool) = kept(100, 150);
        let queries = MemoryConsumer::new("a query").register(&pool);
        queries.try_grow(100).unwrap();
        let (a, b) = (kept.added("a", 40), kept.added("b", 40));
        assert!(!is_kept(&kept, "a", &a) && is_kept(&kept, "b", &b));
        assert_eq!(pool.reserved(), 140);
    }

    #[test]
    fn one_site_takes_a_part_of_it() {
        let (kept, _) = kept(1_000, 10_000);
        assert!(kept.has_room("shop", 50, 8), "nobody knows better yet");
        kept.added("a", 80);
        assert_eq!(kept.rows_of_file("shop"), Some(10));
        assert!(kept.has_room("shop", 6, 8) && !kept.has_room("shop", 7, 8), "a file's rows take 80 bytes");
        kept.added("b", 120);
        assert!(kept.has_room("shop", 5, 8) && !kept.has_room("shop", 6, 8), "a file's rows take 100 bytes");
        assert!(kept.has_room("blog", 50, 8));
        assert_eq!((kept.rows_expected("shop", 50), kept.rows_expected("blog", 50)), (Some(500), None));
    }
}
