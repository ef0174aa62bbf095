//! What a commit changes, and when somebody else's commit makes it void. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::committer::FoundCommit;
use crate::layout::LaneId;
use crate::table_file::TableFile;

/// What kind of commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitKind {
    /// New rows. `dataChange=true`.
    Publish,
    /// The same rows in other files. `dataChange=false`.
    Merge,
}

/// A change to a table, planned on a snapshot.
#[derive(Clone, Debug)]
pub struct Change {
    /// What kind.
    pub kind: CommitKind,
    /// Files to add.
    pub adds: Vec<TableFile>,
    /// Log paths of files to remove.
    pub removes: Vec<String>,
    /// Lanes consumed, each with the last sequence number that is now in the table.
    pub lanes: Vec<(LaneId, u64)>,
    /// Partitions in which the plan looked for duplicates. New rows there make it void.
    pub read_dates: BTreeSet<NaiveDate>,
}

impl Change {
    /// Whether a commit that came in between makes this change void.
    ///
    /// - The same lane was consumed: its rows would be there twice.
    /// - New rows came to a date in which this change looked for duplicates: one of them may be among them.
    /// - A file that this change removes was removed: its rows would be there twice, or come back.
    /// - Schema or protocol changed.
    ///
    /// A merge beside a publish is no conflict in either order: a merge neither brings nor takes rows, and
    /// a publish touches no file that was there. Without this distinction, merges of a busy day would lose
    /// against the publishes of every few seconds for ever.
    pub(crate) fn is_void_after(&self, other: &FoundCommit) -> bool {
        let lanes =
            || self.lanes.iter().any(|(lane, _)| other.lanes.iter().any(|(other, _)| *other == lane.to_string()));
        let new_rows = || {
            other.added.iter().any(|(path, data_change)| {
                *data_change && partition(path).is_none_or(|date| self.read_dates.contains(&date))
            })
        };
        let removed = || other.removed.iter().any(|(path, _)| self.removes.contains(path));
        other.redefined || lanes() || (!self.read_dates.is_empty() && new_rows()) || removed()
    }
}

fn partition(log_path: &str) -> Option<NaiveDate> {
    log_path.strip_prefix("date=")?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LANE: LaneId = LaneId(Uuid::from_u128(1));

    #[test]
    fn two_publishes_of_one_lane_conflict() {
        check(&publish(&["2026-01-01"]), found(&[], &[], &[LANE]), true);
        check(&publish(&["2026-01-01"]), found(&[], &[], &[LaneId(Uuid::from_u128(2))]), false);
    }

    #[test]
    fn new_rows_in_a_date_searched_for_duplicates_conflict() {
        check(&publish(&["2026-01-01"]), found(&[("date=2026-01-01/x", true)], &[], &[]), true);
        check(&publish(&["2026-01-01"]), found(&[("date=2026-01-02/x", true)], &[], &[]), false);
    }

    #[test]
    fn a_merge_in_a_date_searched_for_duplicates_is_harmless() {
        let merge = found(&[("date=2026-01-01/x", false)], &[("date=2026-01-01/a", false)], &[]);
        check(&publish(&["2026-01-01"]), merge, false);
    }

    #[test]
    fn two_merges_of_one_file_conflict() {
        check(&merge(&["date=2026-01-01/a"]), found(&[], &[("date=2026-01-01/a", false)], &[]), true);
        check(&merge(&["date=2026-01-01/a"]), found(&[], &[("date=2026-01-01/b", false)], &[]), false);
    }

    #[test]
    fn a_merge_beside_a_publish_is_harmless() {
        check(&merge(&["date=2026-01-01/a"]), found(&[("date=2026-01-01/x", true)], &[], &[LANE]), false);
    }

    #[test]
    fn an_unpartitioned_add_may_be_anywhere() {
        check(&publish(&["2026-01-01"]), found(&[("x.parquet", true)], &[], &[]), true);
    }

    #[test]
    fn a_new_schema_voids_everything() {
        let redefined = FoundCommit { redefined: true, ..FoundCommit::default() };
        check(&merge(&["date=2026-01-01/a"]), redefined, true);
    }

    #[track_caller]
    fn check(change: &Change, other: FoundCommit, expected: bool) {
        assert_eq!(change.is_void_after(&other), expected);
    }

    fn publish(read_dates: &[&str]) -> Change {
        Change {
            kind: CommitKind::Publish,
            adds: vec![],
            removes: vec![],
            lanes: vec![(LANE, 3)],
            read_dates: read_dates.iter().map(|date| date.parse().unwrap()).collect(),
        }
    }

    fn merge(removes: &[&str]) -> Change {
        Change {
            kind: CommitKind::Merge,
            adds: vec![],
            removes: removes.iter().map(|&path| path.to_owned()).collect(),
            lanes: vec![],
            read_dates: BTreeSet::new(),
        }
    }

    fn found(added: &[(&str, bool)], removed: &[(&str, bool)], lanes: &[LaneId]) -> FoundCommit {
        let owned = |files: &[(&str, bool)]| files.iter().map(|(path, change)| ((*path).to_owned(), *change)).collect();
        FoundCommit {
            added: owned(added),
            removed: owned(removed),
            lanes: lanes.iter().map(|lane| (lane.to_string(), 1)).collect(),
            ..FoundCommit::default()
        }
    }
}
