//! Merging: the same rows in fewer, larger, sorted files.

use std::sync::Arc;

use engine::Engine;
use futures::TryStreamExt;
use lake::{Change, TableSnapshot, TableSpec, TableWriter};

use crate::compactor::WorkError;
use crate::plan::Merge;

/// What merges did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Files replaced.
    pub files_in: usize,
    /// Files they became.
    pub files_out: usize,
    /// Rows moved.
    pub rows: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// Carries one merge out. The files are sorted already, so their rows stream through a merge sort: memory
/// does not grow with their size.
///
/// - `base`: what the merge was planned on.
pub(crate) async fn merge(
    engine: &Engine,
    spec: &'static TableSpec,
    base: Arc<TableSnapshot>,
    merge: &Merge,
) -> Result<Merged, WorkError> {
    let lake = engine.lake();
    let table = lake.table(spec);
    table.require_known_columns(&base)?;
    let mut rows = engine.sorted_rows(spec, &merge.files)?.execute_stream().await?;
    let mut writer = TableWriter::start(lake, spec, merge.date)?;
    while let Some(batch) = rows.try_next().await? {
        writer.write(&batch).await?;
    }
    let written = writer.finish().await?;
    let expected: u64 = merge.files.iter().map(|file| file.rows).sum();
    if written.rows != expected {
        table.discard(std::slice::from_ref(&written)).await;
        return Err(WorkError::Changed { expected, found: written.rows });
    }
    let done =
        Merged { files_in: merge.files.len(), files_out: 1, rows: written.rows, bytes_written: written.size_bytes };
    table.commit(Change::merge(vec![written], &merge.files), base).await?;
    Ok(done)
}
