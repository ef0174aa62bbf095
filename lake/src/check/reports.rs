//! Checks that no report was made from a version of `events` newer than the table.

use arrow::array::AsArray;
use arrow::compute;
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use object_store::path::Path;

use super::Finding;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::parquet::reader::read_batches;
use crate::schema::tables::EVENTS;

impl Lake {
    /// Detects that `events`, or its newest versions, were lost, if a report was made from them.
    ///
    /// - `reports`: the readable files of reports, and their sizes.
    pub(super) async fn check_reported_versions(
        &self,
        reports: &[(Path, u64)],
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut reported = None;
        for (path, size_bytes) in reports {
            match self.newest_reported(path, *size_bytes).await {
                Ok(newest) => reported = reported.max(newest),
                // Replaced after it was read.
                Err(LakeError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        // Read after the reports, so that none of them can be of a later version.
        let events = match self.table(&EVENTS).load().await {
            Ok(events) => events,
            Err(error) if error.is_of_the_store() => return Err(error),
            // A problem with its log is already reported.
            Err(_) => return Ok(()),
        };
        let version = events.version.map_or(-1, |version| version as i64);
        if let Some(reported) = reported
            && reported > version
        {
            let is = if version < 0 { "is not there".to_owned() } else { format!("ends at version {version}") };
            findings.push(Finding::error(
                self.path(EVENTS.name),
                format!(
                    "the table {is}, and a report was made of its version {reported}: what was published in between is lost. \
                     Stop the compactors, and restore the directory from a backup or from older versions of its objects"
                ),
            ));
        }
        Ok(())
    }

    /// The newest version of `events` from which a report in a file was made.
    async fn newest_reported(&self, path: &Path, size_bytes: u64) -> Result<Option<i64>> {
        let mut batches = read_batches(self.store(), path, size_bytes, &["lake_version"]).await?;
        let mut newest = None;
        while let Some(batch) = batches.try_next().await? {
            newest = newest.max(compute::max(batch["lake_version"].as_primitive::<Int64Type>()));
        }
        Ok(newest)
    }
}
