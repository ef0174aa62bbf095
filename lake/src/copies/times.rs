//! When two copies of one event may have happened.
//!
//! A client that did not hear our acknowledgement sends again, perhaps after its first try was published.
//! The copy has the same site and id, and nearly the same time:
//!
//! - A client's own timestamp comes back the same, but for the clock correction, which moves with the
//!   network's delay: [`CLIENT_TIMED_SLACK`].
//! - An event without one takes its time of arrival, so its copy lies later by as long as the client kept
//!   trying: [`RETRY_WINDOW`].
//! - A body sent again as it is, with its old time of sending, looks like a clock that is late by as long
//!   as the client kept trying. So an event that was corrected by more than half of the slack is looked for as far
//!   as clients try, too. Two that were corrected by less lie no farther apart than the slack, whatever the clocks of
//!   the client and of the two collectors say.
//!
//! What is not found: a copy that was corrected by little, of an event that was corrected by so much that it lies farther away than
//! the slack. Such a copy tells nothing of the first one's time. It takes a client's clock that is set between two tries, or
//! that is ahead by more than half of the slack, and the same body again just when its old time of sending has become right.
//!
//! Pending and published copies are told by the same rule, each by its own time. If pending ones were copies whatever their
//! times, publishing the first would make the others count; if a file's range of times stood for its rows', a merge would.
//! Only within one raw file an id stays once, whatever the times: the collector's answer says so.

use std::time::Duration;

/// How far the corrected times of two copies of one event may lie apart.
pub const CLIENT_TIMED_SLACK: Duration = Duration::from_secs(15 * 60);

/// For how long a client may go on sending one event: as long as its timestamp would be accepted.
pub(crate) const RETRY_WINDOW: Duration = Duration::from_secs(72 * 3_600);

/// How far before and after an event's time one that came earlier may lie of which it is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyReach {
    /// [`CLIENT_TIMED_SLACK`].
    Slack,
    /// [`RETRY_WINDOW`].
    Retries,
}

impl CopyReach {
    /// By what an event tells of its time.
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

    /// Whether two times (µs) lie within it.
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
