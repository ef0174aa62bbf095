//! Reads files of the lake for scans. An error says which file, and by its type what to do about it.
//!
//! DataFusion's own reader turns the store's errors at a footer into text, where nobody can tell a file that is gone
//! from a damaged one.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::FileMetadataCache;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use lake::LakeError;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

use crate::error::EngineError;

/// How long a failed read may ask for the size of its file. A store that is down has been asked for long enough.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes readers that share cached footers.
#[derive(Debug)]
pub(crate) struct LakeReaders {
    store: Arc<dyn ObjectStore>,
    footers: Arc<FileMetadataCache>,
    inner: CachedParquetFileReaderFactory,
}

impl LakeReaders {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, footers: Arc<FileMetadataCache>) -> Self {
        let inner = CachedParquetFileReaderFactory::new(store.clone(), footers.clone());
        Self { store, footers, inner }
    }
}

impl ParquetFileReaderFactory for LakeReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_bytes: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let object = file.object_meta.clone();
        let inner = self.inner.create_reader(partition, file, footer_bytes, metrics)?;
        let (store, footers) = (self.store.clone(), self.footers.clone());
        Ok(Box::new(LakeReader { file: LakeFile { store, object }, footers, footer_bytes, inner }))
    }
}

struct LakeReader {
    file: LakeFile,
    footers: Arc<FileMetadataCache>,
    footer_bytes: Option<usize>,
    /// Reads the bytes, and counts them for `EXPLAIN ANALYZE`.
    inner: Box<dyn AsyncFileReader + Send>,
}

impl AsyncFileReader for LakeReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let wanted = range.end - range.start;
            match self.inner.get_bytes(range).await {
                Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
                Ok(_) => Err(self.file.cut_short().await),
                Err(error) => Err(self.file.explain(error.into()).await),
            }
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let wanted: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            match self.inner.get_byte_ranges(ranges).await {
                Ok(bytes) if bytes.iter().map(|bytes| bytes.len() as u64).sum::<u64>() == wanted => Ok(bytes),
                Ok(_) => Err(self.file.cut_short().await),
                Err(error) => Err(self.file.explain(error.into()).await),
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let footer = DFParquetMetadata::new(&*self.file.store, &self.file.object)
                .with_file_metadata_cache(Some(self.footers.clone()))
                .with_metadata_size_hint(self.footer_bytes)
                .with_page_index_policy(options.map(ArrowReaderOptions::column_index_policy));
            // Parquet panics where a store gives fewer bytes of a file than the log says it has.
            match AssertUnwindSafe(footer.fetch_metadata()).catch_unwind().await {
                Ok(Ok(footer)) => Ok(footer),
                Ok(Err(error)) => Err(self.file.explain(error).await),
                Err(_) => Err(self.file.cut_short().await),
            }
        }
        .boxed()
    }
}

/// A file by what the log or the listing says of it.
struct LakeFile {
    store: Arc<dyn ObjectStore>,
    object: ObjectMeta,
}

impl LakeFile {
    /// The same error with the name of the file.
    async fn explain(&self, error: DataFusionError) -> ParquetError {
        let object = self.object.location.to_string();
        let explained = match EngineError::from(error) {
            EngineError::Lake(LakeError::Gone { .. }) => LakeError::Gone { object },
            EngineError::Lake(LakeError::Corrupt { source, .. }) => LakeError::Corrupt { object, source },
            EngineError::Lake(LakeError::Unavailable { source, .. }) => match self.size_if_another().await {
                // Stores refuse to read what lies behind an object's end.
                Some(found) => {
                    let source = format!("it has {found} bytes of {}", self.object.size).into();
                    LakeError::Corrupt { object, source }
                }
                None => LakeError::Unavailable { action: format!("read {object}"), source },
            },
            ran_out @ (EngineError::Limit { .. } | EngineError::Disk { .. }) => {
                return ParquetError::External(Box::new(ran_out));
            }
            other => LakeError::Corrupt { object, source: other.into() },
        };
        ParquetError::External(Box::new(explained))
    }

    /// The error of a file that has fewer bytes than was written.
    async fn cut_short(&self) -> ParquetError {
        let error = object_store::Error::Generic { store: "lake", source: "it gave fewer bytes than asked for".into() };
        self.explain(error.into()).await
    }

    /// The file's size on the store, if it is there with another one than was written.
    async fn size_if_another(&self) -> Option<u64> {
        let head = self.store.head(&self.object.location);
        let found = tokio::time::timeout(HEAD_TIMEOUT, head).await.ok()?.ok()?.size;
        (found != self.object.size).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    /// What a reader says of the footer of a file of ten bytes, and of its last bytes, when the store has `bytes` under
    /// its name. Nothing of what can be read.
    async fn read(bytes: Option<&[u8]>) -> Vec<LakeError> {
        let (store, path) = (Arc::new(InMemory::new()), Path::from("events/a.parquet"));
        if let Some(bytes) = bytes {
            store.put(&path, bytes.to_vec().into()).await.unwrap();
        }
        let readers = LakeReaders::new(store, footers());
        let object = PartitionedFile::new_from_meta(ObjectMeta {
            location: path,
            last_modified: chrono::DateTime::UNIX_EPOCH,
            size: 10,
            e_tag: None,
            version: None,
        });
        let mut reader = readers.create_reader(0, object, None, &ExecutionPlanMetricsSet::new()).unwrap();
        let footer = reader.get_metadata(None).await.map(drop).unwrap_err();
        let bytes = reader.get_bytes(5..10).await.map(drop);
        let errors = [Some(footer), bytes.err()].into_iter().flatten();
        errors
            .map(|error| match error {
                ParquetError::External(error) => *error.downcast().unwrap(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn footers() -> Arc<FileMetadataCache> {
        datafusion::execution::runtime_env::RuntimeEnv::default().cache_manager.get_file_metadata_cache()
    }

    #[tokio::test]
    async fn a_file_that_is_gone_is_told_from_a_damaged_one_and_both_are_named() {
        for gone in both(read(None).await) {
            assert!(matches!(&gone, LakeError::Gone { object } if object == "events/a.parquet"), "{gone:?}");
        }
        for cut in both(read(Some(b"123")).await) {
            assert!(matches!(&cut, LakeError::Corrupt { object, .. } if object == "events/a.parquet"), "{cut:?}");
        }
        let not_parquet = read(Some(b"1234567890")).await;
        assert!(matches!(&not_parquet[..], [LakeError::Corrupt { .. }]), "{not_parquet:?}");
    }

    fn both(errors: Vec<LakeError>) -> [LakeError; 2] {
        errors.try_into().expect("neither the footer nor the bytes can be read")
    }
}
