//! The quarantine: files of refused events can be read.

use futures::TryStreamExt;

use super::{Checked, Finding};
use crate::error::{LakeError, Result, whole_text};
use crate::lake::Lake;
use crate::quarantine::QuarantineFile;

impl Lake {
    /// Reads every file of refused events.
    pub(super) async fn check_quarantine(&self, checked: &mut Checked) -> Result<()> {
        for file in self.quarantine_files().await? {
            match self.count_refused(&file).await {
                Ok(rows) => checked.quarantine.add(rows, file.size_bytes),
                // Deleted since the listing, or rewritten by an erasure.
                Err(LakeError::Gone { .. }) => {}
                Err(error @ LakeError::Corrupt { .. }) => checked.findings.push(Finding::error(
                    &file.path,
                    format!(
                        "it cannot be read ({}), so queries of the table quarantine fail, and an erasure does not look into \
                         it; restore it from an older version of the object, or remove it: it has nothing but refused events",
                        whole_text(&error)
                    ),
                )),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn count_refused(&self, file: &QuarantineFile) -> Result<u64> {
        let mut batches = self.read_refused(file).await?;
        let mut rows = 0;
        while let Some(batch) = batches.try_next().await? {
            rows += batch.num_rows() as u64;
        }
        Ok(rows)
    }
}
