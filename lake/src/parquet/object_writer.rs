//! An object that is being written, with its checksum: 128 bits of BLAKE3 in hexadecimal, as `b3sum -l 16` prints them.

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use object_store::buffered::BufWriter;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::Result as ParquetResult;
use tokio::io::AsyncWriteExt;

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

pub(crate) fn in_digits(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}
