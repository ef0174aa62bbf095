//! Which files imports have read to their end, so that an import that was broken off can go on.
//!
//! Only the newest are remembered: each version of the document has all of them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::lake::Lake;

/// How many files of a site are remembered.
const FILES_MAX: usize = 10_000;

/// The files of one site, in the order in which they were read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct ImportsDocument {
    files: Vec<String>,
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

fn document_of(site_id: &str) -> String {
    format!("imports/{site_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

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
