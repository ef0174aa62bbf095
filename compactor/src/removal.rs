//! Removing rows from the table: those of people who were erased, and those older than their site keeps.
//!
//! Goes date by date, and rewrites only files that have such rows. A publish beside it is no conflict: it
//! touches no file that was there. A merge of the same files is; then the date is planned again.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate, Utc};
use datafusion::arrow::array::{AsArray, BooleanArray, RecordBatch};
use datafusion::arrow::compute::{filter_record_batch, not};
use futures::TryStreamExt;
use lake::{
    Change, ERASURE_COLUMNS, EVENTS, Erasures, EventKey, Lake, Person, Site, TableFile, TableWriter, Value,
    read_batches,
};

use crate::compactor::{WorkError, with_new_plans};

/// Rows that leave the table.
#[derive(Clone, Debug)]
pub(crate) enum Leaving {
    /// All of a site before a date.
    Expired { site_id: Arc<str>, keep_from: NaiveDate },
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

/// Which sites' events are too old, and from which date on they are kept.
pub(crate) fn plan_expiry(sites: &[Arc<Site>], today: NaiveDate) -> Vec<Leaving> {
    let keep_from = |days: u32| today.checked_sub_days(Days::new(u64::from(days)));
    sites
        .iter()
        .filter_map(|site| {
            Some(Leaving::Expired { site_id: site.site_id.clone(), keep_from: keep_from(site.retention_days?)? })
        })
        .collect()
}

impl Leaving {
    fn columns(&self) -> &'static [&'static str] {
        match self {
            Self::Expired { .. } => &["site_id"],
            Self::Erased(_) => &ERASURE_COLUMNS,
        }
    }

    /// Whether a file may have such rows, by what the log says of it.
    fn may_be_in(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired { site_id, keep_from } => {
                file.date.is_some_and(|date| date < *keep_from)
                    && site_range(file).is_none_or(|(min, max)| min <= site_id.as_ref() && site_id.as_ref() <= max)
            }
            Self::Erased(erasures) => erasures.may_be_left_in(file),
        }
    }

    /// Whether all rows of a file are such, by what the log says of it.
    fn is_all_of(&self, file: &TableFile) -> bool {
        match self {
            Self::Expired { site_id, .. } => {
                self.may_be_in(file) && site_range(file) == Some((site_id.as_ref(), site_id.as_ref()))
            }
            Self::Erased(_) => false,
        }
    }

    /// Which rows of a file that [`may_be_in`](Self::may_be_in) are such.
    fn rows(&self, batch: &RecordBatch) -> BooleanArray {
        match self {
            Self::Expired { site_id, .. } => {
                let sites = batch["site_id"].as_string::<i32>();
                sites.iter().map(|site| Some(site == Some(site_id.as_ref()))).collect()
            }
            Self::Erased(erasures) => erasures.covered_rows(batch),
        }
    }
}

fn site_range(file: &TableFile) -> Option<(&str, &str)> {
    let range = file.ranges.get("site_id")?;
    match (&range.min, &range.max) {
        (Value::Text(min), Value::Text(max)) => Some((min, max)),
        _ => None,
    }
}

/// Removes rows from the table. They stay in the store until vacuum deletes the files that had them.
///
/// A file that fails, perhaps since it is damaged, does not keep the others from being done.
pub(crate) async fn remove(lake: &Lake, leaving: &Leaving) -> Result<Removed, WorkError> {
    let table = lake.table(&EVENTS);
    let loaded = table.load().await?;
    let dates: BTreeSet<Option<NaiveDate>> =
        loaded.files.iter().filter(|file| leaving.may_be_in(file)).map(|file| file.date).collect();
    let (mut total, mut failed) = (Removed::default(), None);
    for date in dates {
        match with_new_plans(|| remove_from(lake, leaving, date)).await {
            Ok(removed) => total += removed,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(total), Err)
}

async fn remove_from(lake: &Lake, leaving: &Leaving, date: Option<NaiveDate>) -> Result<Removed, WorkError> {
    let table = lake.table(&EVENTS);
    let base = table.load().await?;
    table.require_known_columns(&base)?;
    let (mut adds, mut removed, mut rows, mut failed) = (Vec::new(), Vec::new(), 0, None);
    for file in base.files.iter().filter(|file| file.date == date && leaving.may_be_in(file)) {
        match remove_from_file(lake, leaving, file).await {
            Ok(None) => {}
            Ok(Some(found)) => {
                rows += found.rows;
                adds.extend(found.rest);
                removed.push(file.clone());
            }
            // Replaced meanwhile, and not lost.
            Err(error) if error.wants_new_plan() && !table.has(file).await? => {
                table.discard(&adds).await;
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(path = %file.path, %error, "could not remove rows of a file; the others go on");
                failed = failed.or(Some(error));
            }
        }
    }
    let done = Removed { rows, files: removed.len() };
    if !removed.is_empty() {
        table.commit(Change::delete(adds, &removed), base).await?;
    }
    failed.map_or(Ok(done), Err)
}

/// What leaves a file.
struct RemovedFromFile {
    rows: u64,
    /// A new file with the others, if there are any.
    rest: Option<TableFile>,
}

/// `None` if nothing leaves it.
async fn remove_from_file(
    lake: &Lake,
    leaving: &Leaving,
    file: &TableFile,
) -> Result<Option<RemovedFromFile>, WorkError> {
    if leaving.is_all_of(file) {
        return Ok(Some(RemovedFromFile { rows: file.rows, rest: None }));
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
    Ok(Some(RemovedFromFile { rows, rest }))
}

async fn count_rows(lake: &Lake, leaving: &Leaving, file: &TableFile) -> Result<u64, WorkError> {
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, leaving.columns()).await?;
    let mut count = 0;
    while let Some(batch) = batches.try_next().await? {
        count += leaving.rows(&batch).true_count() as u64;
    }
    Ok(count)
}

/// Writes the rows of a file that stay, in their order; `None` if none does.
async fn write_rest(lake: &Lake, leaving: &Leaving, file: &TableFile) -> Result<Option<TableFile>, WorkError> {
    let columns: Vec<&str> = EVENTS.file_schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
    let mut writer = None;
    while let Some(batch) = batches.try_next().await? {
        let staying = filter_record_batch(&batch, &not(&leaving.rows(&batch))?)?;
        if staying.num_rows() == 0 {
            continue;
        }
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(TableWriter::start(lake, &EVENTS, file.date.unwrap_or_default())?),
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
pub(crate) async fn erase(lake: &Lake, person: &Person, now: DateTime<Utc>) -> Result<ErasureDone, WorkError> {
    let quarantined = lake.erase_quarantined(person).await;
    let theirs = with_new_plans(|| async { Ok(lake.find_events_of(person, now).await?) }).await?;
    // From here on nothing of the person comes in, and what cannot be done now is known to be left.
    lake.forget(person, theirs.pending.iter().chain(&theirs.recent), now).await?;
    let published = complete_erasures(lake, now).await?;
    // A damaged file of refused events keeps nobody's events in the lake.
    Ok(ErasureDone { published, pending_rows: theirs.pending.len(), quarantined_rows: quarantined? })
}

/// Removes what the table still has of anybody who was erased.
pub(crate) async fn complete_erasures(lake: &Lake, now: DateTime<Utc>) -> Result<Removed, WorkError> {
    lake.announce_erasures().await?;
    let erasures = with_new_plans(|| list_recent(lake, now)).await?;
    if !erasures.are_unfinished() {
        return Ok(Removed::default());
    }
    let removed = remove(lake, &Leaving::Erased(erasures.clone())).await?;
    lake.finish_erasures(&erasures, now).await?;
    Ok(removed)
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
