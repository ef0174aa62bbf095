//! A local disk that keeps what it confirmed, even through a power loss.
//!
//! `LocalFileSystem` of `object_store` 0.13 renames a file into place without fsync, so after a power loss the name may
//! be there without the bytes. Here a put writes a staging file, syncs it, links it to its name, syncs the directory,
//! and only then returns: a reader never sees a name whose bytes could still vanish. A delete syncs the directory as
//! well, because erased data must not come back.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use parking_lot::Mutex;

/// The most deletes that share a sync.
const DELETES_PER_SYNC: usize = 256;

/// `LocalFileSystem`, with puts and deletes that are on the disk when they return.
#[derive(Debug, Clone)]
pub(crate) struct SyncedLocal {
    inner: Arc<LocalFileSystem>,
    /// Directories whose names are on the disk, with those above; a partition is one more an hour.
    durable_dirs: Arc<Mutex<HashSet<PathBuf>>>,
}

impl std::fmt::Display for SyncedLocal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Synced{}", self.inner)
    }
}

impl SyncedLocal {
    pub(crate) fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()), durable_dirs: Arc::default() }
    }

    async fn sync(&self, location: &Path) -> Result<()> {
        let path = self.inner.path_to_filesystem(location)?;
        blocking(location, move || {
            File::open(&path)?.sync_all()?;
            sync_dir(parent(&path)?)
        })
        .await
    }

    /// Makes it durable that objects are gone. Those in one directory share a sync.
    async fn sync_deleted(&self, mut deleted: Vec<Result<Path>>) -> Vec<Result<Path>> {
        let mut synced: HashSet<PathBuf> = HashSet::new();
        for outcome in &mut deleted {
            let Ok(location) = outcome else { continue };
            let sync = async {
                let path = self.inner.path_to_filesystem(location)?;
                let dir = parent(&path).map_err(|error| named(location, error))?.to_owned();
                if !synced.contains(&dir) {
                    let to_sync = dir.clone();
                    blocking(location, move || sync_dir(&to_sync)).await?;
                    synced.insert(dir);
                }
                Ok(())
            };
            if let Err(error) = sync.await {
                *outcome = Err(error);
            }
        }
        deleted
    }

    /// Creates the directory of `location` and makes its name durable, and those above it.
    async fn prepare_dir(&self, location: &Path) -> Result<PathBuf> {
        let path = self.inner.path_to_filesystem(location)?;
        let (file, durable_dirs) = (path.clone(), self.durable_dirs.clone());
        blocking(location, move || make_dir(parent(&file)?, &durable_dirs)).await?;
        Ok(path)
    }
}

#[async_trait]
impl ObjectStore for SyncedLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => {
                return Err(object_store::Error::NotImplemented {
                    operation: "put with PutMode::Update".into(),
                    implementer: self.to_string(),
                });
            }
        };
        let path = self.prepare_dir(location).await?;
        blocking(location, move || put(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.prepare_dir(location).await?;
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(SyncedUpload { upload, store: self.clone(), location: location.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let deleted = self.inner.delete_stream(locations).ready_chunks(DELETES_PER_SYNC);
        let synced = deleted.then(move |deleted| {
            let store = store.clone();
            async move { store.sync_deleted(deleted).await }
        });
        synced.flat_map(stream::iter).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.prepare_dir(to).await?;
        self.inner.copy_opts(from, to, options).await?;
        self.sync(to).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.prepare_dir(to).await?;
        self.inner.rename_opts(from, to, options).await?;
        self.sync(to).await
    }
}

/// A multipart upload that is on the disk when it is complete. Large table files come this way; nobody
/// looks for them before a commit names them, so that syncing after the rename is early enough.
#[derive(Debug)]
struct SyncedUpload {
    upload: Box<dyn MultipartUpload>,
    store: SyncedLocal,
    location: Path,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        self.store.sync(&self.location).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

fn put(path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
    // Listings leave out names that end in `#` and digits, so that nobody sees a staging file.
    static STAGED: AtomicU64 = AtomicU64::new(0);
    let staging = loop {
        let suffix = format!("#{}{:09}", std::process::id(), STAGED.fetch_add(1, Ordering::Relaxed) % 1_000_000_000);
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match OpenOptions::new().write(true).create_new(true).open(&name) {
            Ok(file) => break (file, PathBuf::from(name)),
            // Left behind by an earlier process of the same number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
    };
    let (mut file, staging) = staging;
    let placed = (|| {
        for chunk in payload {
            file.write_all(chunk)?;
        }
        file.sync_all()?;
        if create { fs::hard_link(&staging, path) } else { fs::rename(&staging, path) }
    })();
    if create || placed.is_err() {
        // Best effort: vacuum deletes what stays.
        let _ = fs::remove_file(&staging);
    }
    match placed {
        // Whoever hears this takes the object for safe. It may be another put's, such as an earlier try that was
        // given up while its sync took long, and that has not come so far yet.
        Err(error) if create && error.kind() == ErrorKind::AlreadyExists => {
            File::open(path)?.sync_all()?;
            sync_dir(parent(path)?)?;
            Err(error)
        }
        placed => {
            placed?;
            sync_dir(parent(path)?)
        }
    }
}

/// Creates a directory if it is missing, and syncs the one above in either case: whoever created it may not have
/// come to that yet, or may have died before.
fn make_dir(dir: &FsPath, durable: &Mutex<HashSet<PathBuf>>) -> io::Result<()> {
    let is_there = dir.is_dir();
    if is_there && durable.lock().contains(dir) {
        return Ok(());
    }
    let Some(above) = dir.parent() else { return Ok(()) };
    make_dir(above, durable)?;
    if !is_there {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    match sync_dir(above) {
        // Above a lake there are directories that its processes may not read; others made what is in them.
        Err(error) if is_there && error.kind() == ErrorKind::PermissionDenied => {}
        synced => synced?,
    }
    durable.lock().insert(dir.to_owned());
    Ok(())
}

fn parent(path: &FsPath) -> io::Result<&FsPath> {
    path.parent().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "an object needs a directory"))
}

fn sync_dir(dir: &FsPath) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Runs file system calls off the async threads, and names the object in their errors.
async fn blocking<T: Send + 'static>(
    location: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(named(location, error)),
        Err(join) => Err(object_store::Error::JoinError { source: join }),
    }
}

fn named(location: &Path, error: io::Error) -> object_store::Error {
    let path = location.to_string();
    match error.kind() {
        ErrorKind::AlreadyExists => object_store::Error::AlreadyExists { path, source: error.into() },
        ErrorKind::NotFound => object_store::Error::NotFound { path, source: error.into() },
        ErrorKind::PermissionDenied => object_store::Error::PermissionDenied { path, source: error.into() },
        _ => object_store::Error::Generic { store: "local disk", source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt;

    use super::*;

    fn location(dir: &tempfile::TempDir, name: &str) -> Path {
        Path::from_absolute_path(dir.path()).unwrap().join(name)
    }

    #[tokio::test]
    async fn a_second_create_fails_and_leaves_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let store = SyncedLocal::new();
        let at = location(&dir, "a");
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&at, "first".into(), create()).await.unwrap();
        let error = store.put_opts(&at, "second".into(), create()).await.unwrap_err();
        assert!(matches!(error, object_store::Error::AlreadyExists { .. }), "{error}");
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "first");
    }

    #[tokio::test]
    async fn a_put_leaves_no_staging_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = SyncedLocal::new();
        let at = location(&dir, "deep").join("er").join("b");
        store.put(&at, "x".into()).await.unwrap();
        store.put(&at, "y".into()).await.unwrap();
        assert_eq!(fs::read_dir(dir.path().join("deep/er")).unwrap().count(), 1);
        assert_eq!(store.get(&at).await.unwrap().bytes().await.unwrap(), "y");
    }
}
