//! An open lake: its store, its root, and where its objects lie.
//!
//! A lake names three data types of rooms above it, the list of erasures, the ids of recent files and the documents that are
//! known, because its clones share them in memory.

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt, join_all};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, parse_url_opts};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use url::Url;
use uuid::Uuid;

use crate::copies::recent_ids::RecentIds;
use crate::erasure::list::Erasures;
use crate::error::{LakeError, Result};
use crate::layout::{LaneId, RAW_DIR, REGISTRY_DIR};
use crate::registry::known::KnownDocuments;
use crate::schema::tables::{EVENTS, TABLES, TableSpec};
use crate::store::beside::{self, carries_credentials};
use crate::store::remote::Remote;
use crate::store::runtime::{LakeRuntime, Panicked};
use crate::store::synced_local::SyncedLocal;
use crate::store::watched::Watched;
use crate::table::Table;

/// Requests under way at the same time.
const CONCURRENT: usize = 16;

/// Creates of one object that a probe has under way at once. A store that lets several of them win does so now and then.
const RACING_PROBES: usize = 8;

/// An open lake. Cheap to clone; clones share the store and what is known of the tables.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    /// Where the store's paths begin: `s3://bucket/`, `file:///`.
    store_url: Url,
    /// The lake's root as a path in the store.
    root: Path,
    /// The lake's root as a URL, with a slash at its end.
    url: Url,
    place: Place,
    runtime: LakeRuntime,
    rng: Arc<Mutex<StdRng>>,
    tables: Mutex<Vec<Arc<Table>>>,
    erasures: Mutex<Option<(u64, Arc<Erasures>)>>,
    recent_ids: RecentIds,
    documents: KnownDocuments,
    /// Whose lake it is, if it is an organisation's own.
    own: Option<Own>,
}

/// A lake that is an organisation's own, beside the main one.
struct Own {
    /// The id of the organisation.
    organisation: Arc<str>,
    /// The lake that has the documents that roles share.
    main: Lake,
}

/// What is known of where the store is. Nothing of one that a test brings.
#[derive(Default)]
struct Place {
    /// The lake's root on the local disk, if it lies there.
    local_dir: Option<PathBuf>,
    /// The store's settings, if it is in a cloud.
    remote: Option<Remote>,
}

impl fmt::Debug for Lake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lake({})", self.inner.url)
    }
}

impl Lake {
    /// Opens the lake at a URL or a local path. Changes nothing: a local directory comes with the first write.
    ///
    /// - `location`: a local path, or `file://`, `s3://bucket/prefix`, `gs://bucket/prefix`,
    ///   `az://container/prefix`, `memory:///` (a lake of its own for each call).
    /// - `environment`: variables that may configure the store. Those beginning with `AWS_`, `AZURE_` or
    ///   `GOOGLE_` are used, with the names that the `object_store` crate documents.
    ///
    /// Fails with [`LakeError::Invalid`] if there can be no lake at this place.
    pub fn open(location: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let url = parse_location(location)?;
        let (scheme, _) = ObjectStoreScheme::parse(&url).map_err(|error| invalid(location, error))?;
        let (mut local_dir, mut remote) = (None, None);
        let store: Arc<dyn ObjectStore> = match scheme {
            ObjectStoreScheme::Local => {
                let dir = url.to_file_path().map_err(|()| invalid(location, "it is not a path of this machine"))?;
                // Without the slash at its end, which would hide a file.
                let dir: PathBuf = dir.components().collect();
                if dir.exists() && !dir.is_dir() {
                    return Err(invalid(location, "it is a file and not a directory"));
                }
                local_dir = Some(dir);
                Arc::new(SyncedLocal::new())
            }
            ObjectStoreScheme::Http => {
                return Err(invalid(location, "use a path, or file://, s3://, gs:// or az://"));
            }
            _ => {
                let options: Vec<(String, String)> = beside::variables(environment).collect();
                remote = Remote::read(&scheme, &url, &options).map_err(|problem| invalid(location, problem))?;
                let (store, _) = parse_url_opts(&url, options).map_err(|error| invalid(location, error))?;
                match remote {
                    Some(_) => Arc::new(Watched::new(Arc::from(store))),
                    None => Arc::from(store),
                }
            }
        };
        let runtime = LakeRuntime::of_process(store.clone());
        Self::assemble(store, &url, StdRng::from_os_rng(), runtime, Place { local_dir, remote })
    }

    /// A lake at `url` in a store that is already open; for tests that bring a store of their own.
    ///
    /// - `url`: its path is where the lake's root lies in the store.
    /// - `rng`: names new files and spreads retries.
    pub fn with_store(store: Arc<dyn ObjectStore>, url: &Url, rng: StdRng) -> Result<Self> {
        let runtime = LakeRuntime::of_process(store.clone());
        Self::with_runtime(store, url, rng, runtime)
    }

    /// A lake as [`with_store`](Self::with_store) makes it, on a runtime that the caller brings, too.
    pub fn with_runtime(store: Arc<dyn ObjectStore>, url: &Url, rng: StdRng, runtime: LakeRuntime) -> Result<Self> {
        Self::assemble(store, url, rng, runtime, Place::default())
    }

    fn assemble(
        store: Arc<dyn ObjectStore>,
        url: &Url,
        rng: StdRng,
        runtime: LakeRuntime,
        place: Place,
    ) -> Result<Self> {
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let root = Path::from_url_path(url.path()).map_err(|error| invalid(url.as_str(), error))?;
        let store_url = Url::parse(&url[..url::Position::BeforePath]).map_err(|error| invalid(url.as_str(), error))?;
        let inner = Inner {
            store,
            store_url,
            root,
            url,
            place,
            runtime,
            rng: Arc::new(Mutex::new(rng)),
            tables: Mutex::default(),
            erasures: Mutex::default(),
            recent_ids: RecentIds::default(),
            documents: KnownDocuments::default(),
            own: None,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The same lake as an organisation's own: the documents that roles share lie in the main lake, and all else here.
    pub(crate) fn of_organisation(mut self, organisation: Arc<str>, main: Lake) -> Self {
        let inner = Arc::get_mut(&mut self.inner).expect("a lake that was just opened has no clones");
        inner.own = Some(Own { organisation, main });
        self
    }

    /// The lake that has the documents that roles share: this one, unless it is an organisation's own.
    pub fn registry(&self) -> &Lake {
        self.inner.own.as_ref().map_or(self, |own| &own.main)
    }

    /// The id of the organisation whose own lake this is; `None` for the main lake.
    pub fn organisation(&self) -> Option<&Arc<str>> {
        self.inner.own.as_ref().map(|own| &own.organisation)
    }

    /// Makes sure that the store can do what the lake's promises rest on: of several creates of the same object, at once or
    /// one after the other, only one may succeed.
    ///
    /// Leaves the probe object behind if it may not be deleted; vacuum removes it later.
    pub async fn probe(&self) -> Result<()> {
        let path = self.path(&format!("{RAW_DIR}/probe-{}", self.new_uuid()));
        // The contents differ: a store may take an equal object for the same one.
        let create = async |content: String| {
            self.inner.store.put_opts(&path, content.into(), PutOptions::from(PutMode::Create)).await
        };
        let at_once = join_all((0..RACING_PROBES).map(|n| create(format!("dewpond {n}")))).await;
        let later = create("dewpond".to_owned()).await;
        // Least privilege: a collector need not be able to delete.
        let _ = self.inner.store.delete(&path).await;
        let created = at_once.iter().chain([&later]).filter(|outcome| outcome.is_ok()).count();
        if created > 1 {
            return Err(LakeError::Unusable {
                reason: format!(
                    "the store of {} overwrites an object that a conditional put must leave alone; \
                     acknowledged events could be lost. Use a store with If-None-Match: *, such as AWS S3, \
                     Google Cloud Storage, Azure Blob Storage or RustFS",
                    self.inner.url
                ),
            });
        }
        let failed = |error: &object_store::Error| {
            !matches!(error, object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
        };
        let mut errors = at_once.into_iter().chain([later]).filter_map(std::result::Result::err);
        // Where nothing was created, not even "exists already" is an answer.
        match errors.find(|error| created == 0 || failed(error)) {
            Some(error) => Err(self.explain(format!("write to {}", self.inner.url), error)),
            None => Ok(()),
        }
    }

    /// Whether anybody has written to the lake: whether the registry, the raw tier or the table of events has an object.
    /// Lists at most one object of each.
    pub async fn exists(&self) -> Result<bool> {
        for dir in [REGISTRY_DIR, RAW_DIR, EVENTS.name] {
            if self.has_objects_in(dir).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the store answers: lists at most one object.
    pub async fn reachable(&self) -> Result<()> {
        self.has_objects_in(RAW_DIR).await.map(drop)
    }

    async fn has_objects_in(&self, dir: &str) -> Result<bool> {
        match self.inner.store.list(Some(&self.path(dir))).next().await {
            Some(Ok(_)) => Ok(true),
            None => Ok(false),
            // A local directory may be missing; a bucket is made beforehand.
            Some(Err(object_store::Error::NotFound { .. })) if self.inner.place.remote.is_none() => Ok(false),
            Some(Err(error)) => Err(self.explain(format!("list {}", self.inner.url), error)),
        }
    }

    /// An error of one of the first requests: says what to set.
    fn explain(&self, action: String, error: object_store::Error) -> LakeError {
        match &self.inner.place.remote {
            Some(remote) => remote.explain(action, error),
            None => LakeError::unavailable(action, error),
        }
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.inner.store.clone()
    }

    /// Where the store's own paths begin, without any path: `s3://bucket`, `file://`.
    pub fn store_url(&self) -> &Url {
        &self.inner.store_url
    }

    /// The lake's root, with a slash at its end. Carries no credentials.
    pub fn url(&self) -> &Url {
        &self.inner.url
    }

    /// The lake's root on the local disk, if it lies there.
    pub(crate) fn local_dir(&self) -> Option<&FsPath> {
        self.inner.place.local_dir.as_deref()
    }

    /// The table of `spec`. The same one for every clone of this lake, so that what one reader has
    /// learnt of the log serves the next.
    pub fn table(&self, spec: &'static TableSpec) -> Arc<Table> {
        let mut tables = self.inner.tables.lock();
        if let Some(table) = tables.iter().find(|table| table.spec().name == spec.name) {
            return table.clone();
        }
        let url = self.inner.url.join(&format!("{}/", spec.name)).expect("a table's name is a plain word");
        let (store, runtime, rng) = (self.inner.store.clone(), self.inner.runtime.clone(), self.inner.rng.clone());
        let table = Arc::new(Table::new(store, runtime, url, spec, rng));
        tables.push(table.clone());
        table
    }

    /// The ids of files that searches for copies have read.
    pub(crate) fn recent_ids(&self) -> &RecentIds {
        &self.inner.recent_ids
    }

    /// Documents as they were last read.
    pub(crate) fn known_documents(&self) -> &KnownDocuments {
        &self.inner.documents
    }

    /// The list of erasures that was read last, with its version.
    pub(crate) fn known_erasures(&self) -> &Mutex<Option<(u64, Arc<Erasures>)>> {
        &self.inner.erasures
    }

    /// What the lake runs on.
    pub(crate) fn runtime(&self) -> &LakeRuntime {
        &self.inner.runtime
    }

    /// Does work that takes a while, such as encoding a batch, off the async threads.
    pub async fn run_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::result::Result<T, Panicked> {
        self.inner.runtime.run(work).await
    }

    /// A lane that was never there before: a UUIDv7, so that lanes sort by their start.
    pub fn new_lane_id(&self, now: DateTime<Utc>) -> LaneId {
        let random: [u8; 10] = self.inner.rng.lock().random();
        let ms = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        LaneId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// A random number generator seeded from the lake's own.
    pub fn new_rng(&self) -> StdRng {
        StdRng::from_rng(&mut *self.inner.rng.lock())
    }

    /// A new name that nobody else has.
    pub(crate) fn new_uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.inner.rng.lock().random()).into_uuid()
    }

    /// Every object in a directory of the lake; none if it does not exist.
    pub(crate) async fn list(&self, dir: &str) -> Result<Vec<ObjectMeta>> {
        collect(dir, self.store().list(Some(&self.path(dir)))).await
    }

    /// The objects in a directory of the lake whose names come after `after`; none if it does not exist.
    pub(crate) async fn list_after(&self, dir: &str, after: &str) -> Result<Vec<ObjectMeta>> {
        let path = self.path(dir);
        collect(dir, self.store().list_with_offset(Some(&path), &path.clone().join(after))).await
    }

    /// Deletes objects. Returns how many were there and their bytes. An object that may not be deleted does not keep the
    /// others from it; the first error is returned at the end.
    pub(crate) async fn delete(&self, objects: Vec<(Path, u64)>) -> Result<(usize, u64)> {
        let (mut count, mut total_bytes, mut failed) = (0, 0, None);
        let store = self.store();
        let mut deletions: Vec<BoxFuture<'_, _>> = Vec::new();
        for (path, bytes) in objects {
            let store = store.clone();
            deletions.push(async move { (store.delete(&path).await, path, bytes) }.boxed());
        }
        let mut deletions = stream::iter(deletions).buffer_unordered(CONCURRENT);
        while let Some((deleted, path, bytes)) = deletions.next().await {
            match deleted {
                Ok(()) => {
                    count += 1;
                    total_bytes += bytes;
                }
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error @ object_store::Error::PermissionDenied { .. }) => {
                    failed = failed.or(Some(LakeError::store(format!("delete {path}"), error)));
                }
                Err(error) => return Err(LakeError::store(format!("delete {path}"), error)),
            }
        }
        failed.map_or(Ok((count, total_bytes)), Err)
    }

    /// Whether a path in the store is where a table of the lake has its files, which never change once they are there. What
    /// is pending is not: raw files have copies, and events of erased people.
    pub fn is_of_table(&self, path: &Path) -> bool {
        let Some(mut parts) = path.prefix_match(&self.inner.root) else { return false };
        let table = parts.next();
        let is_table = |name: &str| TABLES.iter().any(|spec| spec.name == name);
        table.is_some_and(|part| is_table(part.as_ref())) && parts.next().is_some()
    }

    /// What tells this lake from every other, wherever it is mounted and by whichever name its store is reached: made of the
    /// first entry of the log of `events`, which stays. `None` before that.
    pub async fn identity(&self) -> Result<Option<String>> {
        let first = self.path(&format!("{}/_delta_log/{:020}.json", EVENTS.name, 0));
        let bytes = match self.inner.store.get(&first).await {
            Ok(found) => found.bytes().await,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| self.explain(format!("read {first}"), error))?;
        Ok(Some(blake3::hash(&bytes).to_hex().to_string()))
    }

    /// The place of an object of the lake in the store.
    pub(crate) fn path(&self, relative: &str) -> Path {
        relative.split('/').fold(self.inner.root.clone(), |path, part| path.join(part))
    }
}

async fn collect(dir: &str, objects: BoxStream<'_, object_store::Result<ObjectMeta>>) -> Result<Vec<ObjectMeta>> {
    match objects.try_collect().await {
        Ok(objects) => Ok(objects),
        Err(object_store::Error::NotFound { .. }) => Ok(vec![]),
        Err(error) => Err(LakeError::store(format!("list {dir}"), error)),
    }
}

fn parse_location(location: &str) -> Result<Url> {
    if location.contains("://") {
        let url = Url::parse(location).map_err(|error| invalid(location, error))?;
        if carries_credentials(&url) {
            return Err(LakeError::Invalid {
                reason: "a lake's URL must not carry credentials, since it is logged; set the store's own \
                         variables, such as AWS_ACCESS_KEY_ID"
                    .into(),
            });
        }
        if url.query().is_some() || url.fragment().is_some() {
            // Without this, the lake would lie in what comes before them.
            return Err(invalid(
                location,
                "in a URL, write ? as %3F, # as %23 and % as %25; a plain path needs none of them",
            ));
        }
        return Ok(url);
    }
    let path = std::path::absolute(FsPath::new(location)).map_err(|error| invalid(location, error))?;
    Url::from_directory_path(path).map_err(|()| invalid(location, "it is not a path of this machine"))
}

fn invalid(location: &str, why: impl fmt::Display) -> LakeError {
    LakeError::Invalid { reason: format!("cannot use {location:?} as a lake: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_path_is_a_lake_on_the_local_disk() {
        check("some where/lake", "/some%20where/lake/");
    }

    #[test]
    fn a_bucket_and_a_prefix_are_a_lake() {
        check("s3://bucket/a/b", "s3://bucket/a/b/");
        check("s3://bucket", "s3://bucket/");
    }

    #[test]
    fn credentials_in_the_url_are_refused() {
        let error = Lake::open("s3://key:secret@bucket/lake", []).unwrap_err().to_string();
        assert!(error.contains("must not carry credentials") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_url_with_a_query_or_a_fragment_is_no_place() {
        for location in ["s3://bucket/lake?x", "s3://bucket/lake#1", "file:///srv/lake#1"] {
            let error = Lake::open(location, []).unwrap_err().to_string();
            assert!(error.contains("write ? as %3F"), "{error}");
        }
        check("s3://bucket/lake%231", "s3://bucket/lake%231/");
    }

    #[test]
    fn other_schemes_are_refused_with_the_ones_that_work() {
        let error = Lake::open("https://example.com/lake", []).unwrap_err().to_string();
        assert!(error.contains("s3://"), "{error}");
        let error = Lake::open("ftp://example.com/lake", []).unwrap_err().to_string();
        assert!(error.contains("ftp://example.com/lake"), "{error}");
    }

    #[test]
    fn files_of_tables_are_told_from_what_else_lies_in_the_store() {
        let lake = Lake::open("s3://bucket/some/lake", []).unwrap();
        for path in ["some/lake/events/date=2026-03-01/a.parquet", "some/lake/reports/a.parquet"] {
            assert!(lake.is_of_table(&Path::from(path)), "{path}");
        }
        for path in [
            "some/lake/raw/date=2026-03-01/hour=09/a.parquet",
            "some/lake/registry/a.parquet",
            "some/lake/quarantine/a.parquet",
            "some/lake/events",
            "some/events/a.parquet",
            "events/a.parquet",
            "some/lake2/events/a.parquet",
        ] {
            assert!(!lake.is_of_table(&Path::from(path)), "{path}");
        }
    }

    #[tokio::test]
    async fn the_probe_accepts_a_store_that_honours_create() {
        Lake::open("memory:///", []).unwrap().probe().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path().to_str().unwrap(), []).unwrap();
        lake.probe().await.unwrap();
        lake.reachable().await.unwrap();
    }

    #[tokio::test]
    async fn the_probe_refuses_a_store_that_overwrites() {
        let store = Arc::new(Overwriting(object_store::memory::InMemory::new()));
        let url = Url::parse("memory:///lake").unwrap();
        let lake = Lake::with_store(store, &url, StdRng::seed_from_u64(1)).unwrap();
        let error = lake.probe().await.unwrap_err();
        assert!(matches!(error, LakeError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("If-None-Match"), "{error}");
    }

    /// A store that takes a conditional put for a plain one.
    #[derive(Debug)]
    struct Overwriting(object_store::memory::InMemory);

    impl fmt::Display for Overwriting {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Overwriting")
        }
    }

    #[async_trait::async_trait]
    impl ObjectStore for Overwriting {
        async fn put_opts(
            &self,
            location: &Path,
            payload: object_store::PutPayload,
            _: PutOptions,
        ) -> object_store::Result<object_store::PutResult> {
            self.0.put_opts(location, payload, PutOptions::default()).await
        }

        async fn put_multipart_opts(
            &self,
            location: &Path,
            options: object_store::PutMultipartOptions,
        ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
            self.0.put_multipart_opts(location, options).await
        }

        async fn get_opts(
            &self,
            location: &Path,
            options: object_store::GetOptions,
        ) -> object_store::Result<object_store::GetResult> {
            self.0.get_opts(location, options).await
        }

        fn delete_stream(
            &self,
            locations: futures::stream::BoxStream<'static, object_store::Result<Path>>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<Path>> {
            self.0.delete_stream(locations)
        }

        fn list(
            &self,
            prefix: Option<&Path>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            self.0.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<object_store::ListResult> {
            self.0.list_with_delimiter(prefix).await
        }

        async fn copy_opts(
            &self,
            from: &Path,
            to: &Path,
            options: object_store::CopyOptions,
        ) -> object_store::Result<()> {
            self.0.copy_opts(from, to, options).await
        }
    }

    #[track_caller]
    fn check(location: &str, expected_end: &str) {
        let url = parse_location(location).unwrap();
        let lake =
            Lake::with_store(Arc::new(object_store::memory::InMemory::new()), &url, StdRng::seed_from_u64(1)).unwrap();
        assert!(lake.url().as_str().ends_with(expected_end), "{}", lake.url());
    }
}
