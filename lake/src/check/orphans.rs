//! Objects in a table's directory that no version refers to.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use object_store::path::Path;

use super::replay::Log;
use super::{Finding, relative};
use crate::vacuum::{VacuumSettings, is_in_a_partition, is_older_than_log};

/// Younger files may belong to a running publish or merge.
const UNDER_WAY: TimeDelta = TimeDelta::hours(1);

/// Finds the objects that only take up space.
///
/// - `objects`: a listing of the table, taken before the log was read.
pub(super) fn find_orphans(
    root: &Path,
    objects: &[ObjectMeta],
    log: &Log,
    now: DateTime<Utc>,
    findings: &mut Vec<Finding>,
) {
    let grace = VacuumSettings::default().orphan_grace;
    let (mut left, mut left_bytes) = (0, 0);
    for object in objects {
        let log_path = relative(root, &object.location);
        if log_path.starts_with('_') || log.live.contains_key(&log_path) {
            continue;
        }
        if let Some(&removed_at) = log.removed_at.get(&log_path) {
            if (now - removed_at).to_std().is_ok_and(|age| age > grace) {
                (left, left_bytes) = (left + 1, left_bytes + object.size);
            }
            continue;
        }
        let age = now - object.last_modified;
        if age < UNDER_WAY {
            continue;
        }
        let remedy = match object.location.extension() {
            Some("parquet") if is_older_than_log(object, log.born) => {
                "it is older than the log's first entry, so vacuum leaves it alone: if the log was restored, its rows may be \
                 in no other file"
            }
            Some("parquet") if is_in_a_partition(&log_path) => "vacuum removes it after 7 days",
            _ => "vacuum leaves it alone; remove it if it is not yours",
        };
        let message = format!("it is in no version, {} bytes, {} old; {remedy}", object.size, in_words(age));
        findings.push(Finding::warning(&object.location, message));
    }
    if left > 0 {
        findings.push(Finding::warning(
            root,
            format!(
                "{left} files of {left_bytes} bytes were replaced more than 7 days ago and are still there; a compactor \
                 removes them after --replaced-grace"
            ),
        ));
    }
}

fn in_words(age: TimeDelta) -> String {
    match (age.num_days(), age.num_hours()) {
        (0, hours) => format!("{hours} h"),
        (days, _) => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orphan_is_said_to_leave_only_if_vacuum_removes_it() {
        check(TimeDelta::days(1), "vacuum removes it after 7 days");
        check(TimeDelta::days(-2), "vacuum leaves it alone");

        #[track_caller]
        fn check(after_the_log: TimeDelta, words: &str) {
            let born = DateTime::UNIX_EPOCH + TimeDelta::days(100);
            let last_modified = born + after_the_log;
            let location = Path::from("lake/events/date=1970-04-11/a.parquet");
            let orphan = ObjectMeta { location, last_modified, size: 9, e_tag: None, version: None };
            let log = Log { born: Some(born), ..Log::default() };
            let mut findings = Vec::new();
            find_orphans(&Path::from("lake/events"), &[orphan], &log, born + TimeDelta::days(3), &mut findings);
            assert!(findings[0].message.contains(words), "{findings:?}");
        }
    }
}
