//! Which pending rows may have copies in a published file or row group, judged by its time range.

use crate::copies::pending::{PendingRow, PendingRows, RowPlace};
use crate::copies::times::CopyReach;

/// Pending rows by the times at which a published copy may lie.
///
/// Two lists, because nearly all copies lie near: a few events with a far reach must not make every search go back days.
pub(crate) struct Candidates {
    near: SortedCandidates,
    far: SortedCandidates,
}

impl Candidates {
    pub(crate) fn new(rows: &PendingRows) -> Self {
        let with_copies = rows.iter().filter(|(_, row)| !row.id_assigned);
        let (near, far) = with_copies.partition(|(_, row)| row.reach == CopyReach::Slack);
        Self {
            near: SortedCandidates::new(near, CopyReach::Slack),
            far: SortedCandidates::new(far, CopyReach::Retries),
        }
    }

    /// The rows that a file or row group may have copies of, if its events lie in the range `held` (µs).
    pub(crate) fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        self.near.overlapping(held).chain(self.far.overlapping(held))
    }
}

/// Candidates of one reach.
struct SortedCandidates {
    /// By time (µs); by place too, so that the same candidates always come in the same order.
    sorted: Vec<(i64, RowPlace)>,
    reach: CopyReach,
}

impl SortedCandidates {
    fn new(rows: Vec<(RowPlace, &PendingRow)>, reach: CopyReach) -> Self {
        let mut sorted: Vec<_> = rows.into_iter().map(|(place, row)| (row.occurred_at_us, place)).collect();
        sorted.sort_unstable();
        Self { sorted, reach }
    }

    fn overlapping(&self, held: Option<(i64, i64)>) -> impl Iterator<Item = RowPlace> {
        let (min, max) = held.unwrap_or((i64::MIN, i64::MAX));
        let ((first, _), (_, last)) = (self.reach.around(min), self.reach.around(max));
        let start = self.sorted.partition_point(|(at_us, _)| *at_us < first);
        let end = self.sorted.partition_point(|(at_us, _)| *at_us <= last).max(start);
        self.sorted[start..end].iter().map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::pending::{Key, Sites};
    use crate::event::EventId;

    const HOUR_US: i64 = 3_600_000_000;
    const MINUTE_US: i64 = HOUR_US / 60;

    #[test]
    fn a_file_without_statistics_may_hold_anything() {
        check(None, &[0, 1, 2]);
    }

    #[test]
    fn only_rows_of_which_a_copy_may_lie_among_the_files_times_are_of_interest() {
        check(Some((99 * HOUR_US, 100 * HOUR_US - 15 * MINUTE_US)), &[0, 2]);
        check(Some((99 * HOUR_US, 100 * HOUR_US - 15 * MINUTE_US - 1)), &[2]);
        check(Some((100 * HOUR_US + 15 * MINUTE_US, 101 * HOUR_US)), &[0, 1, 2]);
        check(Some((100 * HOUR_US + 15 * MINUTE_US + 1, 101 * HOUR_US - 15 * MINUTE_US - 1)), &[2]);
        check(Some((172 * HOUR_US, 180 * HOUR_US)), &[2]);
        check(Some((172 * HOUR_US + 1, 180 * HOUR_US)), &[]);
    }

    /// Candidates: 0 at 100 h and 1 at 101 h, timed by their clients, and 2 at 100 h, timed by its arrival.
    #[track_caller]
    fn check(held: Option<(i64, i64)>, expected: &[u32]) {
        let row = |hour: i64, reach| PendingRow {
            key: Key { site: 0, id: EventId([0; 16]) },
            id_assigned: false,
            erased: false,
            occurred_at_us: hour * HOUR_US,
            reach,
        };
        let rows = [row(100, CopyReach::Slack), row(101, CopyReach::Slack), row(100, CopyReach::Retries)];
        let candidates = Candidates::new(&PendingRows::of_rows(Sites::default(), rows.into()));
        let mut found: Vec<u32> = candidates.overlapping(held).map(|place| place.row).collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
