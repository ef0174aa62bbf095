//! How far apart in time two copies of an event may lie.
//!
//! A client that does not hear our acknowledgement sends the event again, perhaps after the first try was published.
//! The copy has the same site and id, and nearly the same time:
//!
//! | The event | Reach |
//! |---|---|
//! | timed by its client | 15 minutes either way ([`CLIENT_TIMED_SLACK`]): clock correction moves with network delay |
//! | timed by its arrival | 72 hours either way ([`RETRY_WINDOW`]): a copy arrives as late as the client keeps trying |
//! | corrected by more than 7½ minutes | 72 hours either way |
//!
//! The third is a body sent again unchanged, with its old `sent_at`: it looks like a clock that is slow by as long as
//! the client kept trying. Two copies that were each corrected by less lie at most 15 minutes apart, whatever the
//! clocks say.
//!
//! Not found: a copy corrected by little, of an event corrected by more than 15 minutes. That takes a client whose
//! clock is set between two tries, or a clock far ahead and the same body sent again just when its old `sent_at` has
//! become right.
//!
//! Pending and published copies follow the same rule, each by its own time. If pending rows were copies whatever their
//! times, publishing the first would make the others count. If a file's time range stood for its rows', a merge would.
//! Only within one raw file does an id stay once whatever the times, because the collector's answer says so.

use std::time::Duration;

/// How far apart the corrected times of two copies of one event may lie.
pub const CLIENT_TIMED_SLACK: Duration = Duration::from_secs(15 * 60);

/// For how long a client may go on sending one event: as long as its timestamp would be accepted.
pub(crate) const RETRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// How far apart in time an event and an earlier copy of it may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyReach {
    /// [`CLIENT_TIMED_SLACK`].
    Slack,
    /// [`RETRY_WINDOW`].
    Retries,
}

impl CopyReach {
    /// The reach of an event, judged by how it was timed.
    pub(crate) fn of(occurred_at_us: i64, received_at_us: i64, corrected_by_us: Option<i64>) -> Self {
        match corrected_by_us {
            Some(by_us) if by_us.saturating_abs() > Self::Slack.us() / 2 => Self::Retries,
            // On both sides: of two collectors, the one that got the copy may have the clock that is behind.
            None if occurred_at_us == received_at_us => Self::Retries,
            _ => Self::Slack,
        }
    }

    /// In microseconds.
    pub(crate) const fn us(self) -> i64 {
        match self {
            Self::Slack => CLIENT_TIMED_SLACK.as_micros() as i64,
            Self::Retries => RETRY_WINDOW.as_micros() as i64,
        }
    }

    /// Whether two times (µs) lie within the reach of each other.
    pub(crate) fn spans(self, one_us: i64, other_us: i64) -> bool {
        one_us.abs_diff(other_us) <= self.us().unsigned_abs()
    }

    /// The first and the last time (µs) within reach of a time.
    pub(crate) const fn around(self, occurred_at_us: i64) -> (i64, i64) {
        (occurred_at_us.saturating_sub(self.us()), occurred_at_us.saturating_add(self.us()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn a_client_timed_copy_is_looked_for_near_its_time() {
        check(10 * HOUR_US, 10 * HOUR_US + 1, Some(HOUR_US / 9), (39 * HOUR_US / 4, 41 * HOUR_US / 4));
    }

    #[test]
    fn a_copy_corrected_by_half_the_slack_is_looked_for_as_far_as_any_other_such_copy() {
        let half_us = CopyReach::Slack.us() / 2;
        let sent_us = 100 * HOUR_US;
        let [early, late] = [-half_us, half_us].map(|by_us| sent_us + by_us);
        check(early, early, Some(-half_us), (early - 2 * half_us, late));
        check(late, late, Some(half_us), (early, late + 2 * half_us));
        check(sent_us, sent_us + 1, Some(half_us + 1), (28 * HOUR_US, 172 * HOUR_US));
    }

    #[test]
    fn an_arrival_timed_copy_is_looked_for_three_days_around() {
        check(100 * HOUR_US, 100 * HOUR_US, None, (28 * HOUR_US, 172 * HOUR_US));
    }

    #[test]
    fn a_copy_with_a_clock_far_off_is_looked_for_three_days_around() {
        check(100 * HOUR_US, 101 * HOUR_US, Some(HOUR_US), (28 * HOUR_US, 172 * HOUR_US));
    }

    #[track_caller]
    fn check(occurred_at_us: i64, received_at_us: i64, corrected_by_us: Option<i64>, expected: (i64, i64)) {
        let reach = CopyReach::of(occurred_at_us, received_at_us, corrected_by_us);
        assert_eq!(reach.around(occurred_at_us), expected);
        let spans = [expected.0 - 1, expected.0, expected.1, expected.1 + 1].map(|at| reach.spans(occurred_at_us, at));
        assert_eq!(spans, [false, true, true, false]);
    }
}
