//! Files that a killed process was writing to a local disk. Listings leave them out, so nothing else finds them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Vacuumed;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::{AUDIT_DIR, DAMAGED_DIR, QUARANTINE, RAW_DIR, REGISTRY_DIR, SIGN_INS_DIR, STATES_DIR};
use crate::schema::tables::TableSpec;
use crate::table::log_times::is_as_old;

/// No writer pauses this long. If one does, its write fails once the file is gone, and is not confirmed.
const ABANDONED: Duration = Duration::from_secs(3_600);

impl Lake {
    /// Deletes the staging files of processes that died, if the lake lies on a local disk.
    ///
    /// - `now`: by the store's clock.
    pub(super) async fn vacuum_staging(&self, tables: &[&'static TableSpec], now: DateTime<Utc>) -> Result<Vacuumed> {
        let Some(root) = self.local_dir() else { return Ok(Vacuumed::default()) };
        // Anything else in the directory is not ours.
        let ours = [RAW_DIR, DAMAGED_DIR, QUARANTINE, REGISTRY_DIR, STATES_DIR, SIGN_INS_DIR, AUDIT_DIR]
            .into_iter()
            .chain(tables.iter().map(|spec| spec.name));
        let dirs = ours.map(|name| root.join(name)).collect();
        let deleted = self.run_aside(move || delete_abandoned(dirs, now)).await;
        let action = "delete what was never finished";
        deleted
            .map_err(|panicked| LakeError::unavailable(action, panicked))?
            .map_err(|error| LakeError::unavailable(action, error))
    }
}

/// A directory or file that fails does not keep the rest from being deleted. The first error is returned at the end.
fn delete_abandoned(mut dirs: Vec<PathBuf>, now: DateTime<Utc>) -> io::Result<Vacuumed> {
    let (mut done, mut failed) = (Vacuumed::default(), None);
    while let Some(dir) = dirs.pop() {
        match delete_abandoned_in(&dir, now, &mut done) {
            Ok(below) => dirs.extend(below),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(done), Err)
}

/// Returns the directories in it.
fn delete_abandoned_in(dir: &Path, now: DateTime<Utc>, done: &mut Vacuumed) -> io::Result<Vec<PathBuf>> {
    let mut below = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            below.push(entry.path());
        } else if is_staging(&entry.file_name().to_string_lossy()) {
            // Gone, if its put has just come to its end.
            let Some(metadata) = if_there(entry.metadata())? else { continue };
            if is_as_old(metadata.modified()?.into(), now, ABANDONED)
                && if_there(fs::remove_file(entry.path()))?.is_some()
            {
                done.unfinished_files += 1;
                done.bytes += metadata.len();
            }
        }
    }
    Ok(below)
}

/// Whether listings leave out a file of this name, as `object_store` does.
fn is_staging(name: &str) -> bool {
    let digits = name.split_once('#').map(|(_, digits)| digits);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// `None` if what was looked for is gone by now.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use chrono::TimeDelta;

    use super::*;
    use crate::schema::tables::EVENTS;

    #[tokio::test]
    async fn what_a_killed_process_was_writing_is_deleted_once_nobody_can_be_writing_it() {
        let dir = tempfile::tempdir().unwrap();
        let partition = dir.path().join("events/date=2026-03-01");
        fs::create_dir_all(&partition).unwrap();
        let file = |name: &str, age: Duration| {
            let path = partition.join(name);
            fs::write(&path, "12345").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now() - age).unwrap();
            path
        };
        let old = Duration::from_secs(2 * 3_600);
        let abandoned = [file("a.parquet#1", old), file("b.parquet#26910000000008", old)];
        let kept = [
            file("a.parquet", old),
            file("a.parquet#", old),
            file("a.parquet#1a", old),
            file("a#b#1", old),
            file("c.parquet#2", Duration::from_secs(60)),
            file("../../somebody's#3", old),
        ];
        let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
        let done = lake.vacuum_staging(&[&EVENTS], Utc::now() + TimeDelta::seconds(1)).await.unwrap();
        assert_eq!((done.unfinished_files, done.bytes), (2, 10));
        assert!(abandoned.iter().all(|path| !path.exists()) && kept.iter().all(|path| path.exists()));
    }
}
