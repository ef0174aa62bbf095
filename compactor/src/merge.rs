//! Merging: the same rows in fewer, larger, sorted files.

use std::sync::Arc;

use engine::Engine;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use lake::{Change, Lake, TableFile, TableSnapshot, TableSpec, TableWriter, decoded_row_bytes};

use crate::plan::Merge;
use crate::work::WorkError;

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

/// Carries out one merge. The files are already sorted, so their rows stream through a merge sort and memory does not
/// grow with the size of the files.
///
/// - `base`: the snapshot that the merge was planned from.
pub(crate) async fn merge(
    engine: &Engine,
    spec: &'static TableSpec,
    base: Arc<TableSnapshot>,
    merge: &Merge,
) -> Result<Merged, WorkError> {
    let lake = engine.lake();
    let table = lake.table(spec);
    table.require_known_columns(&base)?;
    let batch_rows = batch_rows(merge.files.len(), widest_row_bytes(lake, &merge.files).await?);
    let mut rows = engine.sorted_rows(spec, &merge.files, batch_rows)?.execute_stream().await?;
    let mut writer = TableWriter::start(&lake.table(spec), merge.date)?;
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

/// How many footers are read at the same time.
const CONCURRENT_FOOTERS: usize = 8;

async fn widest_row_bytes(lake: &Lake, files: &[TableFile]) -> Result<u64, WorkError> {
    let mut reads = Vec::new();
    for file in files {
        reads.push(decoded_row_bytes(lake.store(), &file.path, file.size_bytes).boxed());
    }
    let widths: Vec<u64> = stream::iter(reads).buffered(CONCURRENT_FOOTERS).try_collect().await?;
    Ok(widths.into_iter().max().unwrap_or(0))
}

/// Decoded bytes of one batch per file, summed over all files. About three batches per file are in memory at once.
const DECODED_BYTES_MAX: u64 = 192 << 20;

/// Merging is fast with batches of this size as long as rows are small.
const BATCH_ROWS_MAX: u64 = 8_192;

/// How many rows to decode from each file at a time.
fn batch_rows(files: usize, row_bytes: u64) -> usize {
    let of_file = DECODED_BYTES_MAX / files.max(1) as u64;
    (of_file / row_bytes.max(1)).clamp(1, BATCH_ROWS_MAX) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_large_in_memory_are_merged_fewer_at_a_time() {
        assert_eq!(batch_rows(64, 100), 8_192);
        assert_eq!(batch_rows(64, 32 << 10), 96);
        assert_eq!(batch_rows(2, 32 << 10), 3_072);
        assert_eq!(batch_rows(64, u64::MAX), 1);
        assert_eq!(batch_rows(0, 0), 8_192);
    }
}
