//! What a commit changes, and which commits by others make it void. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use crate::layout::LaneId;
use crate::table::committer::LoggedCommit;
use crate::table::file::TableFile;

/// What kind of commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitKind {
    /// New rows. `dataChange=true`.
    Publish,
    /// The same rows in other files. `dataChange=false`.
    Merge,
    /// Fewer rows: some are erased, or too old to be kept. `dataChange=true`.
    Delete,
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
    /// The version of the list of erasures that everybody must honour from this commit on.
    pub erasures: Option<u64>,
}

impl Change {
    /// New rows.
    ///
    /// - `lanes`: the last sequence number of each lane that is in the table then.
    /// - `read_dates`: where the plan looked for duplicates.
    pub fn publish(adds: Vec<TableFile>, lanes: Vec<(LaneId, u64)>, read_dates: BTreeSet<NaiveDate>) -> Self {
        Self { kind: CommitKind::Publish, adds, removes: vec![], lanes, read_dates, erasures: None }
    }

    /// The same rows in other files.
    pub fn merge(adds: Vec<TableFile>, removed: &[TableFile]) -> Self {
        let removes = removed.iter().map(|file| file.log_path.clone()).collect();
        Self { kind: CommitKind::Merge, adds, removes, lanes: vec![], read_dates: BTreeSet::new(), erasures: None }
    }

    /// Fewer rows: `adds` are what is left of `removed`.
    pub fn delete(adds: Vec<TableFile>, removed: &[TableFile]) -> Self {
        Self { kind: CommitKind::Delete, ..Self::merge(adds, removed) }
    }

    /// No rows, but from here on everybody honours this version of the list of erasures.
    pub(crate) fn erase(version: u64) -> Self {
        Self { erasures: Some(version), ..Self::delete(vec![], &[]) }
    }

    /// Whether a commit that came in between makes this change void.
    ///
    /// It does if the commit
    ///
    /// - consumed a lane that this change consumes: its rows would be there twice;
    /// - brought new rows to a date that this change searched for copies: a copy may be among them;
    /// - removed a file that this change removes: its rows would be there twice, or come back;
    /// - named a list of erasures, and this change publishes or names one: it may bring in erased rows;
    /// - changed the schema or the protocol.
    ///
    /// A merge and a publish do not conflict in either order: a merge neither adds nor removes rows, so it cannot add a copy
    /// to a date that was searched, and a publish removes no file. Without this rule the merges of a busy day would lose
    /// against a publish every few seconds, and never finish. Publishes of different lanes that searched the same date do
    /// conflict; one of them plans again.
    pub(crate) fn is_void_after(&self, other: &LoggedCommit) -> bool {
        let lanes =
            || self.lanes.iter().any(|(lane, _)| other.lanes.iter().any(|(other, _)| *other == lane.to_string()));
        let new_rows = || {
            other.added.iter().any(|(path, data_change)| {
                *data_change && partition(path).is_none_or(|date| self.read_dates.contains(&date))
            })
        };
        let removed = || other.removed.iter().any(|(path, _)| self.removes.contains(path));
        let erasures = || {
            let brings_rows = self.kind == CommitKind::Publish || self.erasures.is_some();
            brings_rows && other.lanes.iter().any(|(app_id, _)| app_id == ERASURES)
        };
        other.redefined || lanes() || erasures() || (!self.read_dates.is_empty() && new_rows()) || removed()
    }
}

/// The application id under which the log says which list of erasures to honour.
pub(crate) const ERASURES: &str = "erasures";

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
    fn an_erasure_voids_what_may_bring_the_rows_back() {
        let erasure = || LoggedCommit { lanes: vec![(ERASURES.to_owned(), 1)], ..LoggedCommit::default() };
        check(&publish(&["2026-01-01"]), erasure(), true);
        check(&merge(&["date=2026-01-01/a"]), erasure(), false);
        let marker = Change { erasures: Some(2), ..merge(&[]) };
        check(&marker, erasure(), true);
    }

    #[test]
    fn a_new_schema_voids_everything() {
        let redefined = LoggedCommit { redefined: true, ..LoggedCommit::default() };
        check(&merge(&["date=2026-01-01/a"]), redefined, true);
    }

    #[track_caller]
    fn check(change: &Change, other: LoggedCommit, expected: bool) {
        assert_eq!(change.is_void_after(&other), expected);
    }

    fn publish(read_dates: &[&str]) -> Change {
        Change {
            kind: CommitKind::Publish,
            adds: vec![],
            removes: vec![],
            lanes: vec![(LANE, 3)],
            read_dates: read_dates.iter().map(|date| date.parse().unwrap()).collect(),
            erasures: None,
        }
    }

    fn merge(removes: &[&str]) -> Change {
        Change {
            kind: CommitKind::Merge,
            adds: vec![],
            removes: removes.iter().map(|&path| path.to_owned()).collect(),
            lanes: vec![],
            read_dates: BTreeSet::new(),
            erasures: None,
        }
    }

    fn found(added: &[(&str, bool)], removed: &[(&str, bool)], lanes: &[LaneId]) -> LoggedCommit {
        let owned = |files: &[(&str, bool)]| files.iter().map(|(path, change)| ((*path).to_owned(), *change)).collect();
        LoggedCommit {
            added: owned(added),
            removed: owned(removed),
            lanes: lanes.iter().map(|lane| (lane.to_string(), 1)).collect(),
            ..LoggedCommit::default()
        }
    }
}
