//! Which files imports have read to their end, so that an import that was broken off can go on.
//!
//! Only the newest are remembered: each version of the document has all of them. The same of imports themselves: what each
//! read, and what became of it.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::lake::Lake;

/// How many files of a site are remembered.
const FILES_MAX: usize = 10_000;

/// How many imports of a site are remembered.
const RUNS_MAX: usize = 100;

/// The files of one site, in the order in which they were read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ImportsDocument {
    files: Vec<String>,
}

/// The imports of one site, in the order in which they ended.
#[derive(Debug, Default, Serialize, Deserialize)]
struct RunsDocument {
    runs: Vec<ImportRun>,
}

/// What an import read, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportRun {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What the files were.
    pub formats: Vec<String>,
    /// How many it read.
    pub files: u64,
    /// Events that are in the lake now, those that were there already included.
    pub accepted: u64,
    /// Records that were no valid events.
    pub refused: u64,
    /// Records that are no events, such as headers of logs.
    pub left_out: u64,
    /// Events that name another site.
    pub of_other_sites: u64,
    /// When the first event happened.
    pub first_at: Option<DateTime<Utc>>,
    /// When the last one did.
    pub last_at: Option<DateTime<Utc>>,
    /// Why records were refused, and how many, the most first.
    pub reasons: Vec<(String, u64)>,
    /// Why it ended before it had read everything, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl Lake {
    /// The marks of files whose events are in the lake. A mark is whatever the importer knows a file again by.
    pub async fn imported_files(&self, site_id: &str) -> Result<HashSet<String>> {
        let (_, document) = self.read_document::<ImportsDocument>(&document_of(site_id)).await?;
        Ok(document.files.into_iter().collect())
    }

    /// Remembers files, all of whose events are in the lake.
    pub async fn note_imported_files(&self, site_id: &str, marks: &[String]) -> Result<()> {
        self.update_document(&document_of(site_id), |_, document: &mut ImportsDocument| {
            document.files.retain(|file| !marks.contains(file));
            document.files.extend_from_slice(marks);
            let over = document.files.len().saturating_sub(FILES_MAX);
            document.files.drain(..over);
            Ok(())
        })
        .await
    }
}

impl Lake {
    /// The imports into a site, in the order in which they ended.
    pub async fn import_runs(&self, site_id: &str) -> Result<Vec<ImportRun>> {
        Ok(self.read_document::<RunsDocument>(&runs_of(site_id)).await?.1.runs)
    }

    /// Remembers an import.
    pub async fn note_import(&self, site_id: &str, run: &ImportRun) -> Result<()> {
        self.update_document(&runs_of(site_id), |_, document: &mut RunsDocument| {
            document.runs.push(run.clone());
            let over = document.runs.len().saturating_sub(RUNS_MAX);
            document.runs.drain(..over);
            Ok(())
        })
        .await
    }
}

fn runs_of(site_id: &str) -> String {
    format!("import_runs/{site_id}")
}

fn document_of(site_id: &str) -> String {
    format!("imports/{site_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_imports_of_a_site_are_remembered() {
        let lake = Lake::open("memory:///", []).unwrap();
        for accepted in 0..102 {
            lake.note_import("shop", &ImportRun { accepted, ..ImportRun::default() }).await.unwrap();
        }
        let runs = lake.import_runs("shop").await.unwrap();
        assert_eq!((runs.len(), runs[0].accepted, runs[99].accepted), (100, 2, 101));
        assert!(lake.import_runs("blog").await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn files_are_remembered_by_site() {
        let lake = Lake::open("memory:///", []).unwrap();
        for marks in [["a", "b"], ["b", "c"]] {
            lake.note_imported_files("shop", &marks.map(str::to_owned)).await.unwrap();
        }
        let expected: HashSet<String> = ["a", "b", "c"].map(str::to_owned).into();
        assert_eq!(lake.imported_files("shop").await.unwrap(), expected);
        assert!(lake.imported_files("blog").await.unwrap().is_empty());
    }
}
