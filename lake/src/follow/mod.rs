//! Following the table `events`: which files each version brought new rows in, and how far somebody has come.
//!
//! A merge and a removal write rows anew that were there before, so only the files of a publish are new: those of a
//! version whose rows are new to the table and that removes no file. The log of `events` keeps every version, so what was
//! new is known for ever; vacuum leaves the files themselves for whoever has a cursor before they were replaced, for some days.
//! Whoever is further behind reads what replaced them, by the time of arrival.

mod cursors;

pub use self::cursors::{Cursor, HeldCursor, Position, Scan};

use crate::error::Result;
use crate::lake::Lake;
use crate::schema::tables::EVENTS;
use crate::table::file::TableFile;

impl Lake {
    /// The newest version of `events`; `None` while there is none.
    pub async fn newest_events(&self) -> Result<Option<u64>> {
        Ok(self.table(&EVENTS).load().await?.version)
    }

    /// The files that a version brought new rows in, in the order of their rows.
    ///
    /// They may be deleted: reading one then fails with [`LakeError::Gone`](crate::LakeError::Gone).
    pub async fn new_files(&self, version: u64) -> Result<Vec<TableFile>> {
        let table = self.table(&EVENTS);
        let logged = table.read_version(version).await?;
        if !logged.removed.is_empty() {
            return Ok(vec![]);
        }
        let added: Vec<&String> = logged.added.iter().filter(|(_, is_new)| *is_new).map(|(path, _)| path).collect();
        if added.is_empty() {
            return Ok(vec![]);
        }
        let is_added = |file: &&TableFile| added.contains(&&file.log_path);
        let newest = table.load().await?;
        let live: Vec<TableFile> = newest.files.iter().filter(is_added).cloned().collect();
        if live.len() == added.len() {
            return Ok(in_order(live));
        }
        // Some were replaced since: the version itself says what it had.
        Ok(in_order(table.load_at(version).await?.files.iter().filter(is_added).cloned().collect()))
    }

    /// The files of a version that may have events from a time on.
    pub async fn files_since(&self, version: u64, scan: Scan) -> Result<Vec<TableFile>> {
        let column = scan.column();
        let may_have = |file: &&TableFile| file.times_us(column).is_none_or(|(_, newest)| newest >= scan.since_us());
        Ok(in_order(self.table(&EVENTS).load_at(version).await?.files.iter().filter(may_have).cloned().collect()))
    }
}

/// Files in the order of their rows: a publish divides a date with many rows into several, whose names say nothing.
fn in_order(mut files: Vec<TableFile>) -> Vec<TableFile> {
    let first = |file: &TableFile, column: &str| file.ranges.get(column).map(|range| range.min.clone());
    files.sort_by_cached_key(|file| {
        let key = ["site_id", "visitor_id", "occurred_at"].map(|column| first(file, column));
        (file.date, key, file.log_path.clone())
    });
    files
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::NaiveDate;

    use super::*;
    use crate::event::Event;
    use crate::raw::batch::RawBatch;
    use crate::table::change::Change;
    use crate::table::writer::TableWriter;

    #[tokio::test]
    async fn rows_that_were_only_written_anew_are_not_new() {
        let lake = Lake::open("memory:///", []).unwrap();
        let first = publish(&lake, "a").await;
        let second = publish(&lake, "b").await;
        let table = lake.table(&EVENTS);
        let live = table.load().await.unwrap();
        let merged = write(&lake, "ab").await;
        table.commit(Change::merge(vec![merged], &live.files), live).await.unwrap();
        let live = table.load().await.unwrap();
        let kept = write(&lake, "k").await;
        table.commit(Change::delete(vec![kept], &live.files), live).await.unwrap();
        let newest = lake.newest_events().await.unwrap().unwrap();
        let mut new = Vec::new();
        for version in 0..=newest {
            new.extend(lake.new_files(version).await.unwrap().into_iter().map(|file| file.log_path));
        }
        assert_eq!(new, [first.log_path, second.log_path]);
    }

    async fn publish(lake: &Lake, name: &str) -> TableFile {
        let file = write(lake, name).await;
        let table = lake.table(&EVENTS);
        let live = table.load().await.unwrap();
        table.commit(Change::publish(vec![file.clone()], vec![], BTreeSet::new()), live).await.unwrap();
        file
    }

    async fn write(lake: &Lake, name: &str) -> TableFile {
        let mut batch = RawBatch::default();
        batch.push(&Event { name: name.into(), ..Event::default() });
        let mut writer = TableWriter::start(&lake.table(&EVENTS), NaiveDate::default()).unwrap();
        writer.write(&batch.into_batch()).await.unwrap();
        writer.finish().await.unwrap()
    }
}
