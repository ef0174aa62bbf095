//! The kernel's engine, made strict about empty log entries and exact about names.
//!
//! The kernel skips an entry of zero bytes with a warning. Such an entry was lost, and skipping it would be a version
//! that changed nothing, so a listing fails on it instead.
//!
//! The kernel's listings write the store's path into a URL without escaping its percent signs, so the log in a directory
//! that is called `100%25` would be read in one called `100%`. Listings here name every object below the URL that was asked for.

use std::sync::Arc;

use bytes::Bytes;
use delta_kernel::{
    Engine, EvaluationHandler, FileMeta, FileSlice, JsonHandler, KernelError, KernelResult, KernelResultIteratorStatic,
    ParquetHandler, StorageHandler,
};
use object_store::path::Path;
use url::Url;

/// An engine whose listings fail at an empty entry of a log, and whose names can be read back.
pub(crate) struct StrictEngine {
    inner: Arc<dyn Engine>,
    storage: Arc<StrictStorage>,
}

struct StrictStorage(Arc<dyn StorageHandler>);

impl StrictEngine {
    pub(crate) fn new(inner: Arc<dyn Engine>) -> Self {
        let storage = Arc::new(StrictStorage(inner.storage_handler()));
        Self { inner, storage }
    }
}

impl Engine for StrictEngine {
    fn evaluation_handler(&self) -> Arc<dyn EvaluationHandler> {
        self.inner.evaluation_handler()
    }

    fn storage_handler(&self) -> Arc<dyn StorageHandler> {
        self.storage.clone()
    }

    fn json_handler(&self) -> Arc<dyn JsonHandler> {
        self.inner.json_handler()
    }

    fn parquet_handler(&self) -> Arc<dyn ParquetHandler> {
        self.inner.parquet_handler()
    }
}

impl StorageHandler for StrictStorage {
    fn list_from(&self, path: &Url) -> KernelResult<KernelResultIteratorStatic<FileMeta>> {
        let below = Below::of(path);
        let refuse_empty = move |file: KernelResult<FileMeta>| match file.map(|file| below.named(file)) {
            Ok(file) if file.size == 0 && file.location.path().ends_with(".json") => {
                Err(KernelError::generic(format!("{} is empty: it was lost, restore it", file.location)))
            }
            file => file,
        };
        Ok(Box::new(self.0.list_from(path)?.map(refuse_empty)))
    }

    fn read_files(&self, files: Vec<FileSlice>) -> KernelResult<KernelResultIteratorStatic<Bytes>> {
        self.0.read_files(files)
    }

    fn copy_atomic(&self, src: &Url, dest: &Url) -> KernelResult<()> {
        self.0.copy_atomic(src, dest)
    }

    fn put(&self, path: &Url, data: Bytes, overwrite: bool) -> KernelResult<()> {
        self.0.put(path, data, overwrite)
    }

    fn head(&self, path: &Url) -> KernelResult<FileMeta> {
        self.0.head(path)
    }

    fn delete(&self, path: &Url) -> KernelResult<()> {
        self.0.delete(path)
    }
}

/// A directory that is listed, as a URL has it and as the kernel's listings write it.
struct Below {
    dir: Url,
    as_listed: String,
}

impl Below {
    /// The directory of a URL, up to its last slash.
    fn of(path: &Url) -> Self {
        let dir = path.join(".").unwrap_or_else(|_| path.clone());
        let mut listed = dir.clone();
        if let Ok(decoded) = Path::from_url_path(dir.path()) {
            listed.set_path(&format!("/{decoded}/"));
        }
        Self { dir, as_listed: listed.path().to_owned() }
    }

    fn named(&self, mut file: FileMeta) -> FileMeta {
        if let Some(name) = file.location.path().strip_prefix(&self.as_listed)
            && self.as_listed != self.dir.path()
        {
            let path = format!("{}{name}", self.dir.path());
            file.location.set_path(&path);
        }
        file
    }
}
