//! Removing rows from the table: those of people who were erased, and those older than their site keeps.
//!
//! Rewrites only files that have such rows. A publish beside it is no conflict: it touches no file that was there. A merge
//! of the same files is; then what it became is planned again.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use lake::{
    Change, ERASURE_COLUMNS, EVENTS, Erasures, EventKey, Lake, LakeError, Person, TableFile, TableWriter, read_batches,
};
use parking_lot::Mutex;

use crate::retention::Expiry;
use crate::work::{WorkError, with_new_plans};

/// Rows that leave the table.
#[derive(Clone, Debug)]
pub(crate) enum Leaving {
    /// Those older than their sites keep them.
    Expired(Expiry),
    /// Those of people who were erased.
    Erased(Arc<Erasures>),
}

/// What was removed from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows.
    pub rows: u64,
    /// Files that had some of them, and are replaced.
    pub files: usize,
}

impl AddAssign for Removed {
    fn add_assign(&mut self, more: Self) {
        self.rows += more.rows;
        self.files += more.files;
    }
}

/// What an erasure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasureDone {
    /// What it removed from the table, and what interrupted erasures had left there.
    pub published: Removed,
    /// Pending rows that no query sees any more and no publish takes in.
    pub pending_rows: usize,
    /// Refused events that mentioned the person.
    pub quarantined_rows: usize,
}

impl Leaving {
    fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Expired(_) => &["site_id"],
            Self::Erased(_) => &ERASURE_COLUMNS,
        }
    }

    /// Whether a file may have such rows, by what the log says of it.
    fn may_be_in(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired(expiry) => expiry.may_be_in(file),
            Self::Erased(erasures) => erasures.may_be_left_in(file),
        }
    }

    /// Whether all rows of a file are such, by what the log says of it.
    fn is_all_of(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired(expiry) => expiry.is_all_of(file),
            Self::Erased(_) => false,
        }
    }

    /// Which rows of a file that [`may_be_in`](Self::may_be_in) are such.
    fn rows(&self, file: &TableFile, batch: &RecordBatch) -> BooleanArray {
        match self {
            Self::Expired(expiry) => expiry.rows(file, batch),
            Self::Erased(erasures) => erasures.covered_rows(batch),
        }
    }
}

/// Removes rows from the table. They stay in the store until vacuum deletes the files that had them.
///
/// A file that fails, perhaps since it is damaged, does not keep the others from being done.
///
/// - `commit_bytes`: a commit rewrites about so many bytes of files, or one file.
/// - `removed`: counts what was removed, also if the rest fails.
pub(crate) async fn remove(
    lake: &Lake,
    leaving: &Leaving,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
) -> Result<(), WorkError> {
    if let Leaving::Expired(expiry) = leaving {
        expiry.forget_all_but(&lake.table(&EVENTS).load().await?.files);
    }
    let done_with = Mutex::default();
    loop {
        let files_before = removed.lock().files;
        match with_new_plans(|| remove_from_files(lake, leaving, commit_bytes, removed, &done_with)).await {
            // Another compactor is at the same files, perhaps with the same work: there is less of it each time.
            Err(error) if error.wants_new_plan() && removed.lock().files > files_before => {}
            done => return done,
        }
    }
}

/// - `done_with`: log paths of files that have nothing to remove, so that a new plan does not read them again.
async fn remove_from_files(
    lake: &Lake,
    leaving: &Leaving,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
    done_with: &Mutex<HashSet<String>>,
) -> Result<(), WorkError> {
    let table = lake.table(&EVENTS);
    let base = table.load().await?;
    table.require_known_columns(&base)?;
    let is_left = |file: &&TableFile| leaving.may_be_in(file) && !done_with.lock().contains(&file.log_path);
    let mut files: Vec<&TableFile> = base.files.iter().filter(is_left).collect();
    // Large ones first: merges leave those alone, so that no work on them is in vain. What is left for the last commit is
    // small, and done before the next merge.
    files.sort_by_key(|file| Reverse(file.size_bytes));
    let (mut work, mut replaced, mut failed) = (Work::default(), None, None);
    for file in files {
        match remove_from_file(lake, leaving, file).await {
            Ok(None) => drop(done_with.lock().insert(file.log_path.clone())),
            Ok(Some(replacement)) => {
                done_with.lock().extend(replacement.rest.as_ref().map(|rest| rest.log_path.clone()));
                work.push(replacement);
            }
            Err(error) => {
                // Only what looks replaced may be so.
                let is_live = if error.wants_new_plan() { table.has(file).await } else { Ok(true) };
                match is_live {
                    Ok(false) => replaced = replaced.or(Some(error)),
                    Ok(true) => {
                        tracing::warn!(path = %file.path, %error, "could not remove rows of a file; the others go on");
                        failed = failed.or(Some(error.of_a_live_file()));
                    }
                    Err(error) => failed = failed.or(Some(error.into())),
                }
            }
        }
        if work.rewritten_bytes >= commit_bytes {
            match std::mem::take(&mut work).commit(lake, removed).await {
                Err(error) if error.wants_new_plan() => replaced = replaced.or(Some(error)),
                done => failed = failed.or(done.err()),
            }
        }
    }
    work.commit(lake, removed).await?;
    // A new plan first: what failed fails there again.
    replaced.or(failed).map_or(Ok(()), Err)
}

/// Files that one commit replaces.
#[derive(Default)]
struct Work {
    replacements: Vec<Replacement>,
    rewritten_bytes: u64,
}

/// A file without the rows that leave it.
struct Replacement {
    file: TableFile,
    rows_removed: u64,
    /// A new file with the others, if there are any.
    rest: Option<TableFile>,
}

impl Work {
    fn push(&mut self, replacement: Replacement) {
        if replacement.rest.is_some() {
            self.rewritten_bytes += replacement.file.size_bytes;
        }
        self.replacements.push(replacement);
    }

    /// Commits it on the newest version: files do not change, so that only what others have replaced meanwhile is void.
    /// Fails with [`LakeError::Conflict`] for that, once the rest is committed.
    async fn commit(self, lake: &Lake, removed: &Mutex<Removed>) -> Result<(), WorkError> {
        if self.replacements.is_empty() {
            return Ok(());
        }
        let table = lake.table(&EVENTS);
        let newest = match table.load().await {
            Ok(newest) => newest,
            Err(error) => {
                table.discard(&rests(&self.replacements)).await;
                return Err(error.into());
            }
        };
        let is_live = |replacement: &Replacement| newest.has_all(std::slice::from_ref(&replacement.file));
        let (live, void): (Vec<_>, Vec<_>) = self.replacements.into_iter().partition(is_live);
        table.discard(&rests(&void)).await;
        if !live.is_empty() {
            let files: Vec<TableFile> = live.iter().map(|replacement| replacement.file.clone()).collect();
            table.commit(Change::delete(rests(&live), &files), newest.clone()).await?;
            let rows = live.iter().map(|replacement| replacement.rows_removed).sum();
            *removed.lock() += Removed { rows, files: live.len() };
        }
        match void.is_empty() {
            true => Ok(()),
            false => {
                let version = newest.version.unwrap_or(0);
                Err(LakeError::Conflict { table: EVENTS.name.into(), version }.into())
            }
        }
    }
}

fn rests(replacements: &[Replacement]) -> Vec<TableFile> {
    replacements.iter().filter_map(|replacement| replacement.rest.clone()).collect()
}

/// `None` if nothing leaves it.
async fn remove_from_file(lake: &Lake, leaving: &Leaving, file: &TableFile) -> Result<Option<Replacement>, WorkError> {
    if leaving.is_all_of(file) {
        return Ok(Some(Replacement { file: file.clone(), rows_removed: file.rows, rest: None }));
    }
    let rows = count_rows(lake, leaving, file).await?;
    if rows == 0 {
        return Ok(None);
    }
    let rest = write_rest(lake, leaving, file).await?;
    let found = rows + rest.as_ref().map_or(0, |rest| rest.rows);
    // A file that another engine added may come without a count.
    if found != file.rows && file.rows > 0 {
        lake.table(&EVENTS).discard(rest.as_slice()).await;
        return Err(WorkError::Changed { expected: file.rows, found });
    }
    Ok(Some(Replacement { file: file.clone(), rows_removed: rows, rest }))
}

async fn count_rows(lake: &Lake, leaving: &Leaving, file: &TableFile) -> Result<u64, WorkError> {
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, leaving.columns()).await?;
    let (mut count, mut next) = (0, None);
    while let Some(batch) = batches.try_next().await? {
        count += leaving.rows(file, &batch).true_count() as u64;
        if let Leaving::Expired(expiry) = leaving {
            next = next.into_iter().chain(expiry.next(file, &batch)).min();
        }
    }
    if let (0, Leaving::Expired(expiry)) = (count, leaving) {
        expiry.keep(file, next);
    }
    Ok(count)
}

/// Writes the rows of a file that stay, in their order; `None` if none does.
async fn write_rest(lake: &Lake, leaving: &Leaving, file: &TableFile) -> Result<Option<TableFile>, WorkError> {
    let columns: Vec<&str> = EVENTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
    let mut writer = None;
    while let Some(batch) = batches.try_next().await? {
        let staying = filter_record_batch(&batch, &not(&leaving.rows(file, &batch))?)?;
        if staying.num_rows() == 0 {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::start(&lake.table(&EVENTS), file.date.unwrap_or_default())?),
        };
        writer.write(&staying).await?;
    }
    match writer {
        Some(writer) => Ok(Some(writer.finish().await?)),
        None => Ok(None),
    }
}

/// Erases a person. Safe to repeat. After a crash once the person is on the list, the compactor completes it; after one
/// before that, only the same call does.
///
/// - `commit_bytes`: as for [`remove`].
pub(crate) async fn erase(
    lake: &Lake,
    person: &Person,
    commit_bytes: u64,
    now: DateTime<Utc>,
) -> Result<ErasureDone, WorkError> {
    let mut quarantined = lake.erase_quarantined(person).await;
    let theirs = with_new_plans(|| async { Ok(lake.find_events_of(person, now).await?) }).await?;
    // From here on nothing of the person comes in, and what cannot be done now is known to be left.
    lake.forget(person, theirs.pending.iter().chain(&theirs.recent), now).await?;
    let removed = Mutex::default();
    complete_erasures(lake, commit_bytes, &removed, now).await?;
    let published = *removed.lock();
    // What a collector had refused and not yet put when the first look was taken.
    if let Ok(rows) = &mut quarantined {
        *rows += lake.erase_quarantined(person).await?;
    }
    // A damaged file of refused events keeps nobody's events in the lake.
    Ok(ErasureDone { published, pending_rows: theirs.pending.len(), quarantined_rows: quarantined? })
}

/// Removes what the table still has of anybody who was erased.
///
/// - `commit_bytes`, `removed`: as for [`remove`].
pub(crate) async fn complete_erasures(
    lake: &Lake,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
    now: DateTime<Utc>,
) -> Result<(), WorkError> {
    lake.announce_erasures().await?;
    let erasures = with_new_plans(|| list_recent(lake, now)).await?;
    if !erasures.are_unfinished() {
        return Ok(());
    }
    remove(lake, &Leaving::Erased(erasures.clone()), commit_bytes, removed).await?;
    Ok(lake.finish_erasures(&erasures, now).await?)
}

/// The newest list, once it has the ids of all events that it asks to remove and that clients may send again.
async fn list_recent(lake: &Lake, now: DateTime<Utc>) -> Result<Arc<Erasures>, WorkError> {
    let table = lake.table(&EVENTS).load().await?;
    let erasures = lake.erasures_of(&table).await?;
    if erasures.are_unfinished() {
        let recent = lake.find_erased(&table, &erasures, now).await?;
        require_listed(lake, recent, &erasures, now).await?;
    }
    Ok(erasures)
}

/// Makes sure that erased events are on the list before their rows go. Fails with [`WorkError::ErasuresListed`] if some
/// were not: plans that were made before are void.
///
/// A late copy of one of them without a time of its own looks like something new, and only its id tells otherwise.
pub(crate) async fn require_listed(
    lake: &Lake,
    keys: impl IntoIterator<Item = EventKey>,
    erasures: &Erasures,
    now: DateTime<Utc>,
) -> Result<(), WorkError> {
    let unlisted: Vec<EventKey> = keys.into_iter().filter(|key| !erasures.lists(key)).collect();
    if unlisted.is_empty() {
        return Ok(());
    }
    lake.forget_events(&unlisted, now).await?;
    Err(WorkError::ErasuresListed)
}
