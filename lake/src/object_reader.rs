//! Parquet's view of an object in the store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use crate::error::LakeError;
use crate::store::Lake;

/// One object, of a size known from a listing or the log.
#[derive(Clone)]
pub(crate) struct ObjectReader {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) size_bytes: u64,
}

impl Lake {
    /// Opens a Parquet file: reads its footer.
    pub(crate) async fn open_parquet(
        &self,
        path: &Path,
        size_bytes: u64,
        options: ArrowReaderOptions,
    ) -> crate::error::Result<(ObjectReader, ArrowReaderMetadata)> {
        let mut reader = ObjectReader { store: self.store(), path: path.clone(), size_bytes };
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options)
            .await
            .map_err(|error| LakeError::parquet(path, error))?;
        Ok((reader, metadata))
    }
}

impl ObjectReader {
    /// Tells an object of another size than is known, which is damaged for good, from a store that fails: stores refuse to
    /// read what lies behind an object's end.
    async fn name_damage(&self, error: object_store::Error) -> ParquetError {
        if !matches!(error, object_store::Error::NotFound { .. })
            && let Ok(found) = self.store.head(&self.path).await
            && found.size != self.size_bytes
        {
            return ParquetError::General(format!("it has {} bytes and should have {}", found.size, self.size_bytes));
        }
        ParquetError::External(Box::new(error))
    }
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            match self.store.get_range(&self.path, range).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.name_damage(error).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            match self.store.get_ranges(&self.path, &ranges).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => Err(self.name_damage(error).await),
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
