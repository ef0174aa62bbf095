//! An object in the store, as the Parquet reader sees it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::error::LakeError;

/// One object, of a size known from a listing or the log.
#[derive(Clone)]
pub(crate) struct ObjectReader {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) size_bytes: u64,
}

/// Opens a Parquet file: reads its footer.
pub(crate) async fn open_parquet(
    store: Arc<dyn ObjectStore>,
    path: &Path,
    size_bytes: u64,
    options: ArrowReaderOptions,
) -> crate::error::Result<(ObjectReader, ArrowReaderMetadata)> {
    let mut reader = ObjectReader { store, path: path.clone(), size_bytes };
    let metadata =
        ArrowReaderMetadata::load_async(&mut reader, options).await.map_err(|error| LakeError::parquet(path, error))?;
    Ok((reader, metadata))
}

/// Options by which a file is read as queries read it: with its page index.
pub(crate) fn with_page_index() -> ArrowReaderOptions {
    ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional)
}

impl ObjectReader {
    /// Tells a damaged object, which stays damaged, from a store that fails. A store refuses to read beyond an object's end,
    /// which is where a damaged footer may point, and where a truncated object used to end.
    ///
    /// - `end`: where the read should have ended.
    async fn name_damage(&self, error: object_store::Error, end: u64) -> ParquetError {
        if !matches!(error, object_store::Error::NotFound { .. })
            && let Ok(found) = self.store.head(&self.path).await
            && (found.size != self.size_bytes || found.size < end)
        {
            let (found, known) = (found.size, self.size_bytes);
            return ParquetError::General(format!("it has {found} bytes of {known}, and was to be read up to {end}"));
        }
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            match self.store.get_range(&self.path, range.clone()).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.name_damage(error, range.end).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            match self.store.get_ranges(&self.path, &ranges).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => {
                    let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
                    Err(self.name_damage(error, end).await)
                }
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size_bytes = self.size_bytes;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                // One read for the footer of all but the widest files, instead of two.
                .with_prefetch_hint(Some(64 * 1024))
                .load_and_finish(self, size_bytes)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_lies_behind_an_objects_end_is_a_damage_and_what_is_not_there_is_none() {
        let (store, path) = (Arc::new(InMemory::new()), Path::from("a.parquet"));
        let mut reader = ObjectReader { store: store.clone(), path: path.clone(), size_bytes: 10 };
        let gone = reader.get_bytes(0..10).await.unwrap_err();
        assert!(matches!(LakeError::parquet(&path, gone), LakeError::Gone { .. }));
        store.put(&path, vec![7; 10].into()).await.unwrap();
        assert_eq!(reader.get_bytes(0..10).await.unwrap().len(), 10);
        let behind = [reader.get_bytes(20..30).await.err(), reader.get_byte_ranges(vec![0..5, 20..30]).await.err()];
        for error in behind {
            assert!(matches!(LakeError::parquet(&path, error.unwrap()), LakeError::Corrupt { .. }));
        }
    }
}
