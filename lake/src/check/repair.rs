//! Repairs what can be repaired without touching a row.
//!
//! Checkpoints and checksums only repeat what the entries say, so bad ones can be removed while every entry
//! exists: the kernel rebuilds them from the entries. Entries, live files, raw files and documents are never touched.

use std::time::Duration;

use object_store::ObjectStoreExt;

use super::replay::Log;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::schema::tables::TableSpec;
use crate::vacuum::VacuumSettings;

/// Longer than the age of any lake.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Lake {
    /// Removes bad checkpoints and checksums of a log that has all its entries, and writes what is missing for
    /// the newest version. Returns what was done, in words.
    pub(super) async fn repair_log(&self, spec: &'static TableSpec, log: &Log) -> Result<Vec<String>> {
        let mut done = Vec::new();
        let log_dir = self.path(spec.name).join("_delta_log");
        for path in &log.bad_summaries {
            match self.store().delete(path).await {
                Ok(()) => done.push(format!("removed {path}, which contradicted the entries")),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("delete {path}"), error)),
            }
        }
        let lost_checkpoint = log.bad_summaries.iter().any(|path| path.extension() == Some("parquet"));
        if lost_checkpoint {
            // If it names the deleted checkpoint, the table does not load. Without the hint, readers list the log.
            let hint = log_dir.clone().join("_last_checkpoint");
            match self.store().delete(&hint).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store(format!("delete {hint}"), error)),
            }
        }
        let Some(newest) = log.version else { return Ok(done) };
        let table = self.table(spec);
        let snapshot = table.read_log_at(newest).await?;
        let with_checkpoint = lost_checkpoint || log.wants_checkpoint;
        table.write_summaries(&snapshot, with_checkpoint).await?;
        if log.wants_checksum {
            done.push(format!("wrote the checksum of version {newest} of {}", spec.name));
        }
        if with_checkpoint {
            done.push(format!("wrote a checkpoint of version {newest} of {}", spec.name));
        }
        Ok(done)
    }

    /// Removes the orphans that vacuum would remove, and nothing else.
    pub(super) async fn remove_orphans(&self, tables: &[&'static TableSpec]) -> Result<Option<String>> {
        let settings = VacuumSettings { replaced_grace: FOR_EVER, ..VacuumSettings::default() };
        let now = self.store_now().await?;
        let (mut files, mut bytes) = (0, 0);
        for spec in tables {
            let objects = self.list(spec.name).await?;
            let removed = self.vacuum_table(spec, &objects, now, settings).await?;
            files += removed.table_files;
            bytes += removed.bytes;
        }
        Ok((files > 0).then(|| format!("removed {files} orphans, {bytes} bytes in total")))
    }
}
