//! The archive: where expired events go before they are removed.
//!
//! A file of the archive has the expired rows of one file of the table and its name, so a removal that is tried again
//! overwrites its own. If a merge came in between, rows are there twice, with the same ids: whoever imports them gets each
//! once.

use std::sync::Arc;

use anyhow::Context;
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use lake::{Lake, TableFile, event_schema, open_store, read_batches};
use object_store::ObjectStore;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::async_writer::AsyncArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::retention::Expiry;
use crate::work::WorkError;

/// A directory in a store.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Archive {
    /// Opens an archive at a path or a URL. Changes nothing.
    ///
    /// - `environment`: variables that may configure the store, as [`Lake::open`] takes them.
    ///
    /// Fails if there can be none.
    pub fn open(location: &str, environment: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let opened = open_store(location, environment);
        let (store, root) = opened.context("cannot use what --archive names")?;
        Ok(Self { store, root })
    }

    /// Writes the expired rows of a file. They are durable when this returns.
    pub(crate) async fn keep(&self, lake: &Lake, expiry: &Expiry, file: &TableFile) -> Result<(), WorkError> {
        let schema = event_schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let mut batches = read_batches(lake.store(), &file.path, file.size_bytes, &columns).await?;
        let path = file.log_path.split('/').fold(self.root.clone(), |path, part| path.join(part));
        let mut writer = None;
        let failed = |error: parquet::errors::ParquetError| WorkError::Archive { reason: error.to_string() };
        while let Some(batch) = batches.try_next().await? {
            let rows = filter_record_batch(&batch, &expiry.matching_rows(file, &batch))?;
            if rows.num_rows() == 0 {
                continue;
            }
            let writer = match &mut writer {
                Some(writer) => writer,
                none => {
                    let properties =
                        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
                    let object = BufWriter::new(self.store.clone(), path.clone());
                    none.insert(AsyncArrowWriter::try_new(object, rows.schema(), Some(properties)).map_err(failed)?)
                }
            };
            writer.write(&rows).await.map_err(failed)?;
        }
        if let Some(mut writer) = writer {
            writer.finish().await.map_err(failed)?;
        }
        Ok(())
    }
}
