//! Rows that were made of a site's events and hold for these events alone: sessions.

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::error::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;

use super::column::Column;
use super::exec::KeptRowsExec;
use super::memory::KeptRows;
use super::slice::Rows;

/// Rows in parts, within the memory of all queries.
#[derive(Debug)]
pub(crate) struct MadeRows {
    schema: SchemaRef,
    parts: Vec<Rows>,
    memory: MemoryReservation,
}

/// Rows of a part. The different texts of each part are kept once, so larger parts take less.
const PART_ROWS: usize = 1 << 15;

impl MadeRows {
    /// All rows of a stream; `None` if they take more than sessions may, or than there is.
    pub(crate) async fn of(mut rows: SendableRecordBatchStream, kept: &KeptRows) -> Result<Option<Self>> {
        let schema = rows.schema();
        let mut made = Self { schema: schema.clone(), parts: vec![], memory: kept.reserve("kept sessions of sites") };
        let (mut parts, filling) = (BatchCoalescer::new(schema, PART_ROWS), kept.reserve("a part of kept sessions"));
        loop {
            let batch = rows.next().await.transpose()?;
            let is_over = batch.is_none();
            match batch {
                Some(batch) => {
                    if !grow(&filling, batch.get_array_memory_size(), kept) {
                        return Ok(None);
                    }
                    parts.push_batch(batch)?;
                }
                None => parts.finish_buffered_batch()?,
            }
            while let Some(part) = parts.next_completed_batch() {
                if !made.push(part, kept) {
                    return Ok(None);
                }
                filling.free();
            }
            if is_over {
                return Ok(Some(made));
            }
        }
    }

    /// Adds a part. Returns whether there is room for it.
    fn push(&mut self, part: RecordBatch, kept: &KeptRows) -> bool {
        let (_, columns, count) = part.into_parts();
        let columns: Vec<_> = columns.into_iter().map(|values| Arc::new(Column::of(values))).collect();
        let bytes: usize = columns.iter().map(|column| column.bytes()).sum();
        if self.memory.size() + bytes > kept.sessions_bytes_max() || !grow(&self.memory, bytes, kept) {
            return false;
        }
        self.parts.push(Rows { count, columns });
        true
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.size()
    }

    /// A plan with some of the columns, by their numbers, in so many partitions.
    pub(crate) fn plan(&self, columns: &[usize], partitions: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let chosen = |part: &Rows| Rows {
            count: part.count,
            columns: columns.iter().map(|column| part.columns[*column].clone()).collect(),
        };
        let each = self.parts.len().div_ceil(partitions).max(1);
        let mut groups: Vec<Vec<Rows>> =
            self.parts.chunks(each).map(|parts| parts.iter().map(chosen).collect()).collect();
        if groups.is_empty() {
            groups.push(vec![]);
        }
        Ok(Arc::new(KeptRowsExec::new(Arc::new(self.schema.project(columns)?), groups)))
    }
}

/// Takes memory. Rows go for what is made of them. Returns whether there is so much.
fn grow(memory: &MemoryReservation, bytes: usize, kept: &KeptRows) -> bool {
    memory.try_grow(bytes).is_ok() || kept.shrink_by(bytes) && memory.try_grow(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::Int64Array;
    use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn few_rows_take_little() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(64 << 20));
        let kept = KeptRows::new(32 << 20, &pool);
        let visitors = Int64Array::from(vec![i64::MIN, 0, i64::MAX]);
        let rows = RecordBatch::try_from_iter([("visitor_id", Arc::new(visitors) as _)]).unwrap();
        let rows = RecordBatchStreamAdapter::new(rows.schema(), stream::iter([Ok(rows.clone()), Ok(rows)]));
        let made = MadeRows::of(Box::pin(rows), &kept).await.unwrap().unwrap();
        assert!((1..1_000).contains(&made.bytes()), "{} bytes", made.bytes());
        assert_eq!((made.parts.len(), pool.reserved()), (1, made.bytes()));
    }
}
