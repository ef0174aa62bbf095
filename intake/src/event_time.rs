//! The time of an event: the client's time, with the error of its clock corrected.

/// Which times an event may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// At most 72 hours before and 5 minutes after the arrival: everything that comes over the network.
    Live,
    /// Any time from 1970 to 2100: imports of history.
    History,
}

const US_PER_S: i64 = 1_000_000;

/// How long an event may have been on its way: an offline phone over a weekend.
const BACK_US: i64 = 72 * 3_600 * US_PER_S;

/// How far a clock may be ahead if there is no time of sending to correct it by.
const AHEAD_US: i64 = 5 * 60 * US_PER_S;

/// 1970-01-01 to the end of 2100.
const HISTORY_US: std::ops::Range<i64> = 0..4_133_980_800 * US_PER_S;

/// When an event happened. All times are microseconds since the Unix epoch, UTC.
///
/// - `created_us`: the client's time of the event. If it gave none, the event happened at its arrival.
/// - `sent_us`: the client's time of sending, by the same clock. The error of the clock cancels out: the event is as
///   old on arrival as it was when it was sent.
/// - `received_us`: the time of arrival, by our clock.
///
/// Fails with a reason for the sender if the corrected time is outside the window.
pub fn occurred_at_us(
    created_us: Option<i64>,
    sent_us: Option<i64>,
    received_us: i64,
    window: Window,
) -> Result<i64, String> {
    let Some(created_us) = created_us else { return Ok(received_us) };
    let occurred_us = match sent_us {
        Some(sent_us) => received_us.saturating_sub(sent_us.saturating_sub(created_us)),
        None => created_us,
    };
    match window {
        Window::Live => {
            let age_us = received_us.saturating_sub(occurred_us);
            if (-AHEAD_US..=BACK_US).contains(&age_us) {
                return Ok(occurred_us);
            }
            let clock = if sent_us.is_some() { ", corrected by its time of sending," } else { "" };
            Err(format!(
                "the event's time{clock} is {} its arrival; it may be at most 72 hours before and 5 minutes after it; \
                 `dewpond import` takes older ones",
                describe_age(age_us)
            ))
        }
        Window::History if HISTORY_US.contains(&occurred_us) => Ok(occurred_us),
        Window::History => Err("the event's time is not within the years 1970 to 2100".into()),
    }
}

fn describe_age(age_us: i64) -> String {
    let hours = age_us.unsigned_abs() / (3_600 * US_PER_S as u64);
    let minutes = age_us.unsigned_abs() / (60 * US_PER_S as u64) % 60;
    format!("{hours} h {minutes} min {}", if age_us < 0 { "after" } else { "before" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_772_366_400 * US_PER_S;

    #[test]
    fn an_event_without_a_time_happened_when_it_arrived() {
        check(None, None, Ok(0));
        check(None, Some(-50), Ok(0));
    }

    #[test]
    fn without_a_sent_time_the_clients_clock_is_believed() {
        check(Some(-30), None, Ok(-30));
    }

    #[test]
    fn a_wrong_clock_is_corrected_by_the_sent_time() {
        let year_s = 365 * 86_400;
        check(Some(-year_s - 30), Some(-year_s), Ok(-30));
        check(Some(year_s - 30), Some(year_s), Ok(-30));
    }

    #[test]
    fn the_window_is_72_hours_back_and_5_minutes_ahead() {
        check(Some(-72 * 3_600), None, Ok(-72 * 3_600));
        check(Some(300), None, Ok(300));
        check(Some(-72 * 3_600 - 60), None, Err("72 h 1 min before its arrival"));
        check(Some(360), None, Err("0 h 6 min after its arrival"));
        check(Some(360), None, Err("at most 72 hours before and 5 minutes after"));
    }

    #[test]
    fn history_may_be_as_old_as_the_epoch_and_no_older() {
        check_history(0, true);
        check_history(1_000_000_000, true);
        check_history(4_133_980_799, true);
        check_history(4_133_980_800, false);
        check_history(-1, false);
    }

    #[test]
    fn absurd_times_do_not_overflow() {
        assert!(occurred_at_us(Some(i64::MIN), Some(i64::MAX), NOON, Window::Live).is_err());
        assert!(occurred_at_us(Some(i64::MAX), Some(i64::MIN), NOON, Window::Live).is_err());
    }

    /// Seconds relative to the arrival.
    #[track_caller]
    fn check(created_s: Option<i64>, sent_s: Option<i64>, expected_s: Result<i64, &str>) {
        let at = |s: i64| NOON + s * US_PER_S;
        let actual = occurred_at_us(created_s.map(at), sent_s.map(at), NOON, Window::Live);
        match expected_s {
            Ok(s) => assert_eq!(actual, Ok(at(s))),
            Err(part) => assert!(actual.as_ref().is_err_and(|reason| reason.contains(part)), "{actual:?}"),
        }
    }

    #[track_caller]
    fn check_history(created_s: i64, fits: bool) {
        assert_eq!(occurred_at_us(Some(created_s * US_PER_S), None, NOON, Window::History).is_ok(), fits);
    }
}
