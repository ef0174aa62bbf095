//! An in-memory store that fails or hangs when it is told to.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What the store does wrong at the moment. All clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Puts fail.
    pub refuse_puts: Arc<AtomicBool>,
    /// Puts wait until they no longer have to.
    pub hold_puts: Arc<AtomicBool>,
    /// Puts that began to wait.
    pub held_puts: Arc<AtomicUsize>,
    /// Listings fail.
    pub refuse_lists: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
pub struct FaultyStore {
    inner: InMemory,
    faults: Faults,
}

impl FaultyStore {
    pub fn new(faults: Faults) -> Self {
        Self { inner: InMemory::new(), faults }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

fn outage() -> Error {
    Error::Generic { store: "FaultyStore", source: "the store is down".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.faults.hold_puts.load(Ordering::SeqCst) {
            self.faults.held_puts.fetch_add(1, Ordering::SeqCst);
        }
        while self.faults.hold_puts.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if self.faults.refuse_puts.load(Ordering::SeqCst) {
            return Err(outage());
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.faults.refuse_lists.load(Ordering::SeqCst) {
            return stream::once(async { Err(outage()) }).boxed();
        }
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
