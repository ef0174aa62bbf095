//! Removes rows from a table: events of erased people, events that have expired, and runs that leave the history of reports.
//!
//! Only files with such rows are rewritten. A concurrent publish is no conflict, because it touches no existing file. A
//! concurrent merge of the same files is one: the removal is then planned again on the merged files.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::AddAssign;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, not};
use chrono::{DateTime, Utc};
use engine::Engine;
use futures::TryStreamExt;
use lake::{
    Change, ERASURE_COLUMNS, EVENTS, Erasures, EventKey, Lake, LakeError, Person, REPORTS, TableFile, TableSpec,
    TableWriter, read_batches,
};
use parking_lot::Mutex;

use crate::archive::Archive;
use crate::retention::Expiry;
use crate::sessions;
use crate::thinning::Thinning;
use crate::work::{WorkError, with_new_plans};

/// Which rows to remove.
#[derive(Clone, Debug)]
pub(crate) enum Removal {
    /// Rows older than their site's retention, and where they go before.
    Expired(Expiry, Option<Archive>),
    /// Rows of erased people.
    Erased(Arc<Erasures>),
    /// Runs that leave the history of reports.
    Thinned(Thinning),
}

/// What was removed from the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Rows.
    pub rows: u64,
    /// Files replaced, because they had some of these rows.
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
    /// Rows removed from the table, including those that interrupted erasures had left there.
    pub published: Removed,
    /// Pending rows, which queries and publishes now leave out.
    pub pending_rows: usize,
    /// Events removed from the quarantine because they mentioned the person.
    pub quarantined_rows: usize,
}

impl Removal {
    /// The table.
    fn spec(&self) -> &'static TableSpec {
        match self {
            Self::Expired(..) | Self::Erased(_) => &EVENTS,
            Self::Thinned(_) => &REPORTS,
        }
    }

    fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Expired(..) => &["site_id"],
            Self::Erased(_) => &ERASURE_COLUMNS,
            Self::Thinned(_) => &["generated_at"],
        }
    }

    /// Whether a file may have such rows, judging by the log.
    fn may_match(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired(expiry, _) => expiry.may_match(file),
            Self::Erased(erasures) => erasures.may_be_left_in(file),
            Self::Thinned(thinning) => thinning.may_match(file),
        }
    }

    /// Whether every row of a file is such a row, judging by the log.
    fn matches_whole(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired(expiry, _) => expiry.matches_whole(file),
            Self::Erased(_) => false,
            Self::Thinned(thinning) => thinning.matches_whole(file),
        }
    }

    /// Which rows of a batch to remove, from a file that [may have some](Self::may_match).
    fn matching_rows(&self, file: &TableFile, batch: &RecordBatch) -> BooleanArray {
        match self {
            Self::Expired(expiry, _) => expiry.matching_rows(file, batch),
            Self::Erased(erasures) => erasures.covered_rows(batch),
            Self::Thinned(thinning) => thinning.matching_rows(batch),
        }
    }
}

/// Removes rows from the table. They stay in the store until a vacuum deletes the files that had them.
///
/// A file that fails, for example because it is damaged, does not stop the others.
///
/// - `commit_bytes`: one commit rewrites about this many bytes, or one file.
/// - `removed`: counts the removed rows and replaced files, even if the rest fails.
pub(crate) async fn remove(
    lake: &Lake,
    removal: &Removal,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
) -> Result<(), WorkError> {
    if let Removal::Expired(expiry, _) = removal {
        expiry.forget_all_but(&lake.table(&EVENTS).load().await?.files);
    }
    let done_with = Mutex::default();
    loop {
        let files_before = removed.lock().files;
        match with_new_plans(|| remove_from_files(lake, removal, commit_bytes, removed, &done_with)).await {
            // Another compactor rewrites the same files. Every round makes progress, so this ends.
            Err(error) if error.wants_new_plan() && removed.lock().files > files_before => {}
            done => return done,
        }
    }
}

/// - `done_with`: log paths of files without rows to remove, so that a new plan does not read them again.
async fn remove_from_files(
    lake: &Lake,
    removal: &Removal,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
    done_with: &Mutex<HashSet<String>>,
) -> Result<(), WorkError> {
    let table = lake.table(removal.spec());
    let base = table.load().await?;
    table.require_known_columns(&base)?;
    let is_left = |file: &&TableFile| removal.may_match(file) && !done_with.lock().contains(&file.log_path);
    let mut files: Vec<&TableFile> = base.files.iter().filter(is_left).collect();
    // Large files first: merges leave them alone, so work on them is never wasted. The last commit is small, and usually
    // done before the next merge.
    files.sort_by_key(|file| Reverse(file.size_bytes));
    let (mut replacements, mut void, mut failed) = (Replacements::of(removal.spec()), None, None);
    for file in files {
        match remove_from_file(lake, removal, file).await {
            Ok(None) => drop(done_with.lock().insert(file.log_path.clone())),
            Ok(Some(replacement)) => {
                done_with.lock().extend(replacement.remainder.as_ref().map(|remainder| remainder.log_path.clone()));
                replacements.push(replacement);
            }
            Err(error) => {
                // Only these errors can mean that the file was replaced.
                let is_live = if error.wants_new_plan() { table.has(file).await } else { Ok(true) };
                match is_live {
                    Ok(false) => void = void.or(Some(error)),
                    Ok(true) => {
                        tracing::warn!(path = %file.path, %error, "could not remove rows of a file; the others go on");
                        failed = failed.or(Some(error.with_gone_as_lost()));
                    }
                    Err(error) => failed = failed.or(Some(error.into())),
                }
            }
        }
        if replacements.rewritten_bytes >= commit_bytes {
            match std::mem::replace(&mut replacements, Replacements::of(removal.spec())).commit(lake, removed).await {
                Err(error) if error.wants_new_plan() => void = void.or(Some(error)),
                done => failed = failed.or(done.err()),
            }
        }
    }
    replacements.commit(lake, removed).await?;
    // A new plan takes precedence: other failures show up in it again.
    void.or(failed).map_or(Ok(()), Err)
}

/// The files that one commit replaces.
struct Replacements {
    spec: &'static TableSpec,
    list: Vec<Replacement>,
    rewritten_bytes: u64,
}

/// A file and what takes its place.
struct Replacement {
    file: TableFile,
    rows_removed: u64,
    /// A new file with the remaining rows, if there are any.
    remainder: Option<TableFile>,
}

impl Replacements {
    fn of(spec: &'static TableSpec) -> Self {
        Self { spec, list: vec![], rewritten_bytes: 0 }
    }

    fn push(&mut self, replacement: Replacement) {
        if replacement.remainder.is_some() {
            self.rewritten_bytes += replacement.file.size_bytes;
        }
        self.list.push(replacement);
    }

    /// Commits on the newest version. Files never change, so a replacement is void only if another commit has replaced the
    /// same file. Commits the others, and then fails with [`LakeError::Conflict`] if any was void.
    async fn commit(self, lake: &Lake, removed: &Mutex<Removed>) -> Result<(), WorkError> {
        if self.list.is_empty() {
            return Ok(());
        }
        let table = lake.table(self.spec);
        let newest = match table.load().await {
            Ok(newest) => newest,
            Err(error) => {
                table.discard(&remainders(&self.list)).await;
                return Err(error.into());
            }
        };
        let is_live = |replacement: &Replacement| newest.has_all(std::slice::from_ref(&replacement.file));
        let (live, void): (Vec<_>, Vec<_>) = self.list.into_iter().partition(is_live);
        table.discard(&remainders(&void)).await;
        if !live.is_empty() {
            let files: Vec<TableFile> = live.iter().map(|replacement| replacement.file.clone()).collect();
            table.commit(Change::delete(remainders(&live), &files), newest.clone()).await?;
            let rows = live.iter().map(|replacement| replacement.rows_removed).sum();
            *removed.lock() += Removed { rows, files: live.len() };
        }
        match void.is_empty() {
            true => Ok(()),
            false => {
                let version = newest.version.unwrap_or(0);
                Err(LakeError::Conflict { table: self.spec.name.into(), version }.into())
            }
        }
    }
}

fn remainders(replacements: &[Replacement]) -> Vec<TableFile> {
    replacements.iter().filter_map(|replacement| replacement.remainder.clone()).collect()
}

/// Rewrites a file without the rows to remove; `None` if it has none.
async fn remove_from_file(lake: &Lake, removal: &Removal, file: &TableFile) -> Result<Option<Replacement>, WorkError> {
    if removal.matches_whole(file) {
        archive(lake, removal, file).await?;
        return Ok(Some(Replacement { file: file.clone(), rows_removed: file.rows, remainder: None }));
    }
    let rows = count_rows(lake, removal, file).await?;
    if rows == 0 {
        return Ok(None);
    }
    archive(lake, removal, file).await?;
    let remainder = write_remainder(lake, removal, file).await?;
    let found = rows + remainder.as_ref().map_or(0, |remainder| remainder.rows);
    // A file that another engine added may come without a count.
    if found != file.rows && file.rows > 0 {
        lake.table(removal.spec()).discard(remainder.as_slice()).await;
        return Err(WorkError::Changed { expected: file.rows, found });
    }
    Ok(Some(Replacement { file: file.clone(), rows_removed: rows, remainder }))
}

/// Keeps what is about to be removed, if it is to be kept.
async fn archive(lake: &Lake, removal: &Removal, file: &TableFile) -> Result<(), WorkError> {
    match removal {
        Removal::Expired(expiry, Some(archive)) => archive.keep(lake, expiry, file).await,
        _ => Ok(()),
    }
}

async fn count_rows(lake: &Lake, removal: &Removal, file: &TableFile) -> Result<u64, WorkError> {
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, removal.columns()).await?;
    let (mut count, mut next) = (0, None);
    while let Some(batch) = batches.try_next().await? {
        count += removal.matching_rows(file, &batch).true_count() as u64;
        if let Removal::Expired(expiry, _) = removal {
            next = next.into_iter().chain(expiry.next_expiry(file, &batch)).min();
        }
    }
    if let (0, Removal::Expired(expiry, _)) = (count, removal) {
        expiry.remember(file, next);
    }
    Ok(count)
}

/// Writes the remaining rows of a file in their order; `None` if there are none.
async fn write_remainder(lake: &Lake, removal: &Removal, file: &TableFile) -> Result<Option<TableFile>, WorkError> {
    let columns: Vec<&str> = removal.spec().file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
    let mut writer = None;
    while let Some(batch) = batches.try_next().await? {
        let staying = filter_record_batch(&batch, &not(&removal.matching_rows(file, &batch))?)?;
        if staying.num_rows() == 0 {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::start(&lake.table(removal.spec()), file.date.unwrap_or_default())?),
        };
        writer.write(&staying).await?;
    }
    match writer {
        Some(writer) => Ok(Some(writer.finish().await?)),
        None => Ok(None),
    }
}

/// Erases a person. Safe to repeat.
///
/// After a crash the compactor completes the erasure if the person is already on the list. If not, the call must be
/// repeated.
///
/// - `commit_bytes`: as for [`remove`].
pub(crate) async fn erase(
    engine: &Engine,
    person: &Person,
    commit_bytes: u64,
    now: DateTime<Utc>,
) -> Result<ErasureDone, WorkError> {
    let lake = engine.lake();
    let mut quarantined = lake.erase_quarantined(person).await;
    let theirs = with_new_plans(|| async { Ok(lake.find_events_of(person, now).await?) }).await?;
    // From here on no earlier event of the person comes in, and whatever fails below is known to be unfinished.
    lake.record_erasure(person, theirs.pending.iter().chain(&theirs.recent), now).await?;
    let removed = Mutex::default();
    complete_erasures(engine, commit_bytes, &removed, now).await?;
    let published = *removed.lock();
    // Once more, for events that a collector had refused but not yet written at the first pass.
    if let Ok(rows) = &mut quarantined {
        *rows += lake.erase_quarantined(person).await?;
    }
    // Only now, so that a damaged quarantine file does not keep the person's events in the lake.
    Ok(ErasureDone { published, pending_rows: theirs.pending.len(), quarantined_rows: quarantined? })
}

/// Removes the rows that the table still has of erased people.
///
/// - `commit_bytes`, `removed`: as for [`remove`].
pub(crate) async fn complete_erasures(
    engine: &Engine,
    commit_bytes: u64,
    removed: &Mutex<Removed>,
    now: DateTime<Utc>,
) -> Result<(), WorkError> {
    let lake = engine.lake();
    lake.announce_erasures().await?;
    let erasures = with_new_plans(|| list_recent(lake, now)).await?;
    if !erasures.are_unfinished() {
        return Ok(());
    }
    remove(lake, &Removal::Erased(erasures.clone()), commit_bytes, removed).await?;
    // What recurring queries kept of the files that were replaced has the person's ids in it.
    lake.delete_states_of_replaced_files().await?;
    sessions::leave_out_erased(engine, now).await?;
    Ok(lake.finish_erasures(&erasures, now).await?)
}

/// The newest list of erasures, once it names every erased event that a client may still send again.
async fn list_recent(lake: &Lake, now: DateTime<Utc>) -> Result<Arc<Erasures>, WorkError> {
    let table = lake.table(&EVENTS).load().await?;
    let erasures = lake.erasures_of(&table).await?;
    if erasures.are_unfinished() {
        let recent = lake.find_erased(&table, &erasures, now).await?;
        require_listed(lake, recent, &erasures, now).await?;
    }
    Ok(erasures)
}

/// Makes sure that erased events are on the list before their rows are removed.
///
/// A late copy without a time of its own looks like a new event, and only its id on the list shows that it was erased. Fails
/// with [`WorkError::ErasuresListed`] if events had to be added, because earlier plans are void then.
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
    lake.record_erased_events(&unlisted, now).await?;
    Err(WorkError::ErasuresListed)
}
