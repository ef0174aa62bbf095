//! Checksums of table files: 128 bits of BLAKE3 over all bytes, in hexadecimal digits, as `b3sum -l 16` prints them.
//!
//! The log keeps them, in the commit that adds a file; `lake check` compares.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use object_store::ObjectStoreExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::Result as ParquetResult;
use tokio::io::AsyncWriteExt;

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::table::file::TableFile;

/// The key under which a commit's checksums stand in `commitInfo.operationParameters`: a JSON object by log path.
pub(crate) const CHECKSUMS: &str = "checksums";

/// Bytes of a request: a store has only so long for each.
const READ_BYTES: u64 = 8 << 20;

/// An object that is being written, and the checksum of it so far.
pub(crate) struct ChecksummedObject {
    object: BufWriter,
    hasher: blake3::Hasher,
}

impl ChecksummedObject {
    pub(crate) fn new(object: BufWriter) -> Self {
        Self { object, hasher: blake3::Hasher::new() }
    }

    pub(crate) fn checksum(&self) -> String {
        in_digits(&self.hasher)
    }
}

impl AsyncFileWriter for ChecksummedObject {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, ParquetResult<()>> {
        self.hasher.update(&bytes);
        async { Ok(self.object.put(bytes).await.map_err(std::io::Error::from)?) }.boxed()
    }

    fn complete(&mut self) -> BoxFuture<'_, ParquetResult<()>> {
        async { Ok(self.object.shutdown().await?) }.boxed()
    }
}

/// The checksums of files that a commit adds, as it keeps them.
pub(crate) fn to_parameter(files: &[TableFile]) -> Option<String> {
    let checksums: BTreeMap<&str, &str> =
        files.iter().filter_map(|file| Some((file.log_path.as_str(), file.checksum.as_deref()?))).collect();
    (!checksums.is_empty()).then(|| serde_json::to_string(&checksums).expect("a map of strings is plain data"))
}

/// The checksums that a commit keeps, by log path. Those of releases before there were any are none.
pub(crate) fn from_parameter(parameter: Option<&str>) -> Result<BTreeMap<String, String>, serde_json::Error> {
    parameter.map_or(Ok(BTreeMap::new()), serde_json::from_str)
}

fn in_digits(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}

impl Lake {
    /// The checksum of an object's bytes.
    ///
    /// Fails with [`LakeError::Gone`] if it is not there.
    pub(crate) async fn read_checksum(&self, path: &Path, size_bytes: u64) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        let mut start = 0;
        while start < size_bytes {
            let end = size_bytes.min(start + READ_BYTES);
            let bytes = self.store().get_range(path, start..end).await;
            hasher.update(&bytes.map_err(|error| LakeError::store(format!("read {path}"), error))?);
            start = end;
        }
        Ok(in_digits(&hasher))
    }
}
