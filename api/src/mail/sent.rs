//! What one process knows of its mails.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

/// How soon somebody may try again how a report looks, and how many such mails one process sends in an hour: whoever may
/// edit a site may not fill the boxes of others.
const TESTS_APART: TimeDelta = TimeDelta::seconds(30);
const TESTS_PER_HOUR: usize = 60;

/// Mails that need no look at the lake any more, and those that were sent to try how they look.
#[derive(Default)]
pub(crate) struct SentMails {
    done: Mutex<HashSet<(String, String)>>,
    tests: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl SentMails {
    pub(super) fn is_done(&self, report: &str, period: &str) -> bool {
        self.done.lock().contains(&(report.to_owned(), period.to_owned()))
    }

    pub(super) fn note_done(&self, report: &str, period: &str) {
        self.done.lock().insert((report.to_owned(), period.to_owned()));
    }

    /// Whether another test of a report may be sent; if not, after how many seconds.
    pub(super) fn begin_test(&self, report: &str, now: DateTime<Utc>) -> Result<(), u64> {
        let mut tests = self.tests.lock();
        tests.retain(|_, at| now - *at < TimeDelta::hours(1));
        if let Some(at) = tests.get(report)
            && now - *at < TESTS_APART
        {
            return Err((TESTS_APART - (now - *at)).num_seconds().max(1) as u64);
        }
        if tests.len() >= TESTS_PER_HOUR {
            return Err(600);
        }
        tests.insert(report.to_owned(), now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_few() {
        let (sent, now) = (SentMails::default(), DateTime::UNIX_EPOCH);
        assert_eq!(sent.begin_test("a", now), Ok(()));
        let soon = now + TimeDelta::seconds(10);
        assert_eq!(sent.begin_test("a", soon), Err(20));
        assert_eq!(sent.begin_test("a", now + TimeDelta::seconds(30)), Ok(()));
        for other in 1..TESTS_PER_HOUR {
            assert_eq!(sent.begin_test(&other.to_string(), soon), Ok(()), "{other}");
        }
        assert_eq!(sent.begin_test("one more", soon), Err(600));
        assert_eq!(sent.begin_test("one more", soon + TimeDelta::hours(2)), Ok(()));
    }
}
