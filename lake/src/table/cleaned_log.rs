//! Logs that do not grow for ever: which entries may be deleted, and how a writer finds out that it came too late.
//!
//! A table whose spec says [`log_is_cleaned`](crate::schema::tables::TableSpec::log_is_cleaned) gets a commit a minute or
//! more. Readers begin at a checkpoint, so older entries are of no use. They are dangerous to delete: a writer that
//! was stalled since version *v − 1* could create version *v* again, and what it then reports as committed is before
//! every checkpoint, where nobody reads it. Three rules together exclude that, without a clock and without a lock:
//!
//! 1. Vacuum deletes entry *u* only below an old checkpoint that reads, and only more than `log_entries_kept` (*K*)
//!    versions behind a version that exists. Of checkpoints the highest is never deleted. See [`last_to_go`].
//! 2. A commit that was planned on version *b* gives up once it sees a version above *b + K*. See [`is_too_late`].
//! 3. A commit that created version *v* lists the log from *v* on. A checkpoint of *v* or later there means that *v* may
//!    have been deleted before. Then the commit counts as one of unknown outcome, unless the newest version has its files.
//!
//! Why it suffices: if nobody had ever created *v* before, no version from *v* on existed, so by rule 2 none above
//! *b + K + 1*, so by rule 1 no entry above *b* had been deleted: all entries that the commit was compared with are the
//! real ones, and it is the next version. If somebody had created *v* before, it was deleted below a checkpoint, and
//! that one or a higher one is in the listing. An outcome that is unknown is what every caller must expect of a store that
//! loses answers, so a stalled writer is no new case for them: its files are orphans, and the next plan is right either way.
//!
//! What is left of such a writer, an entry below every checkpoint, is read by nobody, and vacuum deletes it with age. Entry
//! 0 is never deleted: it says that the table exists.

use futures::TryStreamExt;

use super::Table;
use super::change::Change;
use crate::error::Result;
use crate::layout::log_object;

/// The last entry that may be deleted; `None` if none may.
///
/// - `needed_from`: the checkpoint that readers may begin with.
/// - `newest`: a version that exists.
/// - `kept`: how many of the newest entries stay in any case.
pub(crate) fn last_to_go(needed_from: u64, newest: u64, kept: u64) -> Option<u64> {
    let last = needed_from.min(newest.saturating_sub(kept)).checked_sub(1)?;
    (last > 0).then_some(last)
}

/// Whether entries that a commit must be compared with may have been deleted.
///
/// - `base`: the version that it was planned on.
pub(crate) fn is_too_late(base: u64, newest: u64, kept: u64) -> bool {
    newest > base + kept
}

impl Table {
    /// Whether a version that we have just created is certain to be in the table: either it came last, or the newest version
    /// has its files.
    pub(super) async fn is_surely_in(&self, version: u64, change: &Change) -> Result<bool> {
        let mut objects = self.list_log(version);
        let mut is_behind = false;
        while let Some(object) = objects.try_next().await? {
            is_behind |= log_object(&object.location).is_some_and(|(_, kind)| kind.starts_with("checkpoint"));
        }
        if !is_behind {
            return Ok(true);
        }
        // Their names are of this change alone, so it is in the table if they are. They may have been replaced since.
        Ok(!change.adds.is_empty() && self.load().await?.has_all(&change.adds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_go_that_are_below_a_checkpoint_and_far_from_the_newest() {
        // needed_from, newest, kept; the last that goes.
        for (needed_from, newest, kept, expected) in [
            (900, 2_500, 1_000, Some(899)),
            (2_400, 2_500, 1_000, Some(1_499)),
            (900, 1_000, 1_000, None),
            (900, 1_002, 1_000, Some(1)),
            // The first entry stays.
            (1, 5_000, 1_000, None),
            (2, 5_000, 1_000, Some(1)),
            (0, 5_000, 1_000, None),
        ] {
            assert_eq!(last_to_go(needed_from, newest, kept), expected, "{needed_from} {newest}");
        }
    }

    #[test]
    fn a_plan_is_too_late_once_the_entry_after_its_base_may_be_deleted() {
        for base in [0, 7, 1_000] {
            for newest in base..base + 3_000 {
                let goes = last_to_go(u64::MAX, newest, 1_000).is_some_and(|last| last > base);
                assert!(!goes || is_too_late(base, newest, 1_000), "{base} {newest}");
            }
        }
    }
}
