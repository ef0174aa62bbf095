//! A Delta table of the lake: its newest version and earlier ones. `commit` makes the next.
//!
//! Entries of the log of `events` are never deleted. A stalled writer could create a deleted number again, and what it
//! then reports as committed would vanish. Readers start at the last checkpoint, one in every 100 versions, so old entries
//! cost nothing. `reports` gets a commit a minute for little worth, so its old entries go, and its writers look twice:
//! [`cleaned_log`].

pub(crate) mod as_of;
pub(crate) mod bounds;
pub(crate) mod change;
pub(crate) mod checksums;
pub(crate) mod cleaned_log;
mod commit;
pub(crate) mod committer;
pub(crate) mod file;
pub(crate) mod log_times;
pub(crate) mod writer;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use delta_kernel::engine::arrow_conversion::TryFromArrow;
use delta_kernel::engine::arrow_data::ArrowEngineData;
use delta_kernel::schema::StructType;
use delta_kernel::snapshot::{IncrementalReplay, SnapshotRef};
use delta_kernel::{KernelError, KernelResult, Snapshot as KernelSnapshot};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use parking_lot::Mutex;
use rand::Rng;
use rand::rngs::StdRng;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use crate::error::{LakeError, Result};
use crate::layout::{LaneId, log_object};
use crate::schema::tables::TableSpec;
use crate::store::runtime::LakeRuntime;
use crate::table::change::ERASURES;
use crate::table::committer::{COMMIT_ID, LoggedCommit, read_commit};
use crate::table::file::{TableFile, from_scan_rows};
use crate::table::log_times::VacuumState;

const ENGINE_INFO: &str = concat!("dewpond/", env!("CARGO_PKG_VERSION"));

/// A table of the lake.
pub struct Table {
    store: Arc<dyn ObjectStore>,
    runtime: LakeRuntime,
    url: Url,
    root: Path,
    spec: &'static TableSpec,
    rng: Arc<Mutex<StdRng>>,
    latest: Mutex<Option<Arc<TableSnapshot>>>,
    vacuum_state: VacuumState,
}

/// A version of a table, whole: its files do not change, whatever is committed later.
pub struct TableSnapshot {
    /// The version; `None` while the table does not exist yet.
    pub version: Option<u64>,
    /// The live files, by path.
    pub files: Vec<TableFile>,
    log: Option<SnapshotRef>,
    runtime: LakeRuntime,
    table: &'static str,
}

impl TableSnapshot {
    /// The last sequence number of each of `lanes` that is in the table; 0 if none is.
    pub async fn consumed(self: &Arc<Self>, lanes: Vec<LaneId>) -> Result<Vec<(LaneId, u64)>> {
        let this = self.clone();
        run_kernel(&self.runtime, format!("read the lanes of {}", self.table), move || {
            lanes
                .into_iter()
                .map(|lane| {
                    let seq = match &this.log {
                        Some(log) => log.get_app_id_version(&lane.to_string(), &*this.runtime.kernel)?,
                        None => None,
                    };
                    Ok((lane, seq.unwrap_or(0) as u64))
                })
                .collect()
        })
        .await
    }

    /// Which version of the list of erasures readers of this version honour; 0 if none was ever made.
    pub(crate) async fn erasures_version(self: &Arc<Self>) -> Result<u64> {
        let this = self.clone();
        run_kernel(&self.runtime, format!("read the erasures of {}", self.table), move || {
            let Some(log) = &this.log else { return Ok(0) };
            Ok(log.get_app_id_version(ERASURES, &*this.runtime.kernel)?.unwrap_or(0) as u64)
        })
        .await
    }

    /// Whether all of some files are in this version.
    pub fn has_all(&self, files: &[TableFile]) -> bool {
        // They lie by path.
        files.iter().all(|file| self.files.binary_search_by(|live| live.path.cmp(&file.path)).is_ok())
    }

    /// Rows of all files together.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files together.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }
}

/// One version of a table, as its log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionEntry {
    /// Its number.
    pub version: u64,
    /// What the commit calls itself: `WRITE` for a publish, `OPTIMIZE` for a merge.
    pub operation: Option<String>,
    /// When it was made, by its writer's clock.
    pub committed_at: Option<DateTime<Utc>>,
    /// Files that came.
    pub files_added: usize,
    /// Files that went.
    pub files_removed: usize,
    /// Rows of the files that came; `None` if the log does not say.
    pub rows_added: Option<u64>,
    /// Rows of the files that went; `None` if the log does not say.
    pub rows_removed: Option<u64>,
    /// Lanes whose events came.
    pub lanes: usize,
}

/// The hint `_last_checkpoint` of a log.
#[derive(Deserialize)]
pub(crate) struct LastCheckpoint {
    pub(crate) version: u64,
}

impl Table {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        runtime: LakeRuntime,
        url: Url,
        spec: &'static TableSpec,
        rng: Arc<Mutex<StdRng>>,
    ) -> Self {
        let root = Path::from_url_path(url.path()).expect("the lake's own path was parsed before");
        Self { store, runtime, url, root, spec, rng, latest: Mutex::default(), vacuum_state: VacuumState::default() }
    }

    /// What the table is.
    pub fn spec(&self) -> &'static TableSpec {
        self.spec
    }

    /// The newest version. Costs what was committed since the last call.
    ///
    /// Fails with [`LakeError::Unusable`] if there are files and no log.
    pub async fn load(&self) -> Result<Arc<TableSnapshot>> {
        let latest = self.latest.lock().clone();
        if latest.is_none() && !self.exists().await? {
            self.refuse_lost_log().await?;
            return Ok(Arc::new(TableSnapshot {
                version: None,
                files: vec![],
                log: None,
                runtime: self.runtime.clone(),
                table: self.spec.name,
            }));
        }
        let (runtime, url, root, spec) = (self.runtime.clone(), self.url.clone(), self.root.clone(), self.spec);
        let snapshot = run_kernel(&self.runtime, format!("read the log of {}", spec.name), move || {
            let known = latest.as_ref().and_then(|latest| latest.log.clone());
            let log = match known {
                Some(log) => KernelSnapshot::builder_from(log)
                    .with_incremental_crc_replay(IncrementalReplay::Unlimited)
                    .build(&*runtime.kernel)?,
                None => KernelSnapshot::builder_for(url)
                    .with_incremental_crc_replay(IncrementalReplay::Unlimited)
                    .build(&*runtime.kernel)?,
            };
            if let Some(latest) = latest
                && latest.version == Some(log.version())
            {
                return Ok(Ok(latest));
            }
            Ok(read_files(spec, &root, &runtime, log).map(Arc::new))
        })
        .await;
        let snapshot = match snapshot {
            Ok(read) => read?,
            Err(error) => return Err(self.find_lost_entry().await.unwrap_or(error)),
        };
        let mut latest = self.latest.lock();
        // Two loads may end in the other order than they began; what is known must not go back.
        if latest.as_ref().is_none_or(|latest| latest.version < snapshot.version) {
            *latest = Some(snapshot.clone());
        }
        Ok(snapshot)
    }

    /// A version as it was. Costs the log from the checkpoint before it on.
    ///
    /// Its files may have been deleted since. Fails with [`LakeError::NotFound`] if there is no such version.
    pub async fn load_at(&self, version: u64) -> Result<Arc<TableSnapshot>> {
        let name = self.spec.name;
        let Some(newest) = self.load().await?.version else {
            return Err(LakeError::NotFound { reason: format!("nothing has been committed to {name} yet") });
        };
        if version > newest {
            return Err(LakeError::NotFound {
                reason: format!("{name} has the versions 0 to {newest}, and none that is {version}"),
            });
        }
        self.read_log_at(version).await
    }

    /// A version as the log has it now, whatever was known of it before.
    pub(crate) async fn read_log_at(&self, version: u64) -> Result<Arc<TableSnapshot>> {
        let (runtime, url, root, spec) = (self.runtime.clone(), self.url.clone(), self.root.clone(), self.spec);
        run_kernel(&self.runtime, format!("read version {version} of {}", spec.name), move || {
            let log = KernelSnapshot::builder_for(url)
                .at_version(version)
                .with_incremental_crc_replay(IncrementalReplay::Unlimited)
                .build(&*runtime.kernel)?;
            Ok(read_files(spec, &root, &runtime, log).map(Arc::new))
        })
        .await?
    }

    /// Whether a file is in the newest version. If it is and [`LakeError::Gone`] from the store, it is lost.
    pub async fn has(&self, file: &TableFile) -> Result<bool> {
        Ok(self.load().await?.has_all(std::slice::from_ref(file)))
    }

    /// The newest versions, newest first, `limit` at the most.
    pub async fn history(&self, limit: usize) -> Result<Vec<VersionEntry>> {
        let Some(newest) = self.load().await?.version else { return Ok(vec![]) };
        let mut entries = Vec::new();
        for version in (0..=newest).rev().take(limit) {
            let found = match self.spec.log_is_cleaned {
                true => self.find_version(version).await?,
                false => Some(self.read_version(version).await?),
            };
            let Some(found) = found else { break };
            entries.push(VersionEntry {
                version,
                committed_at: found.committed_at(),
                operation: found.operation,
                files_added: found.added.len(),
                files_removed: found.removed.len(),
                rows_added: found.rows_added,
                rows_removed: found.rows_removed,
                lanes: found.lanes.iter().filter(|(app_id, _)| app_id != ERASURES).count(),
            });
        }
        Ok(entries)
    }

    async fn exists(&self) -> Result<bool> {
        match self.store.head(&self.first_entry()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(LakeError::store(format!("read the log of {}", self.spec.name), error)),
        }
    }

    /// Makes sure that there is a log: before the first file comes, and before each commit.
    pub(crate) async fn begin(&self) -> Result<()> {
        if self.exists().await? {
            return Ok(());
        }
        self.refuse_lost_log().await?;
        self.create().await
    }

    /// Files come only once there is a log. Without one they are rows that nobody would see any more.
    async fn refuse_lost_log(&self) -> Result<()> {
        let mut objects = self.store.list(Some(&self.root));
        let object = loop {
            match objects.try_next().await {
                Ok(Some(object)) if object.location.extension() == Some("parquet") => break object.location,
                Ok(Some(_)) => {}
                Ok(None) | Err(object_store::Error::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(LakeError::store(format!("list {}", self.spec.name), error)),
            }
        };
        // The log may have been begun since, and the file written.
        if self.exists().await? {
            return Ok(());
        }
        Err(LakeError::Unusable {
            reason: format!(
                "there are files of {}, such as {object}, and no {}: the log was lost, so nothing is read or written. Restore \
                 the directory _delta_log from a backup or from older versions of its objects",
                self.spec.name,
                self.first_entry(),
            ),
        })
    }

    /// Says so if the log's newest entry is gone and what was written after it is left, or if an entry since the last
    /// checkpoint is empty.
    async fn find_lost_entry(&self) -> Option<LakeError> {
        let first = self.last_checkpoint().await.ok().flatten().unwrap_or(0);
        let (mut newest_entry, mut newest_other, mut empty) = (None, None, None);
        let mut objects = self.list_log(first);
        while let Some(object) = objects.try_next().await.ok()? {
            match log_object(&object.location) {
                Some((version, "json")) if object.size == 0 => empty = empty.or(Some(version)),
                Some((version, "json")) => newest_entry = newest_entry.max(Some(version)),
                Some((version, _)) => newest_other = newest_other.max(Some(version)),
                None => {}
            }
        }
        let (lost, how) = match (empty, newest_other) {
            (Some(version), _) => (version, "is empty"),
            (None, Some(version)) if newest_entry < Some(version) => (version, "is not there, and was"),
            _ => return None,
        };
        Some(LakeError::Unusable {
            reason: format!(
                "the entry {} of the log of {} {how}: it was lost, so nothing is read or written. Restore it from a backup or \
                 from an older version of the object",
                self.log_dir().join(format!("{lost:020}.json")),
                self.spec.name,
            ),
        })
    }

    fn first_entry(&self) -> Path {
        self.log_dir().join("00000000000000000000.json")
    }

    /// Creates the table at the lowest protocol, which every Delta reader understands. The first
    /// writer wins; all write the same definition.
    async fn create(&self) -> Result<()> {
        let schema =
            StructType::try_from_arrow(self.spec.schema().as_ref()).expect("the types of our tables have Delta forms");
        let schema = serde_json::to_string(&schema).expect("a schema is plain data");
        let entry = [
            serde_json::json!({"commitInfo": {"timestamp": 0, "operation": "CREATE TABLE", "engineInfo": ENGINE_INFO,
                "operationParameters": {COMMIT_ID: self.new_uuid().to_string()}}}),
            serde_json::json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
            // Which entries may go only we know, so no other engine is to clean them up.
            serde_json::json!({"metaData": {
                "id": self.new_uuid().to_string(), "name": self.spec.name,
                "format": {"provider": "parquet", "options": {}}, "schemaString": schema,
                "partitionColumns": ["date"], "configuration": {"delta.enableExpiredLogCleanup": "false"}, "createdTime": 0}}),
        ]
        .map(|action| action.to_string())
        .join("\n");
        match self.store.put_opts(&self.first_entry(), entry.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => Ok(()),
            // Stores also say so when two come at once and neither lands.
            Err(error @ object_store::Error::AlreadyExists { .. }) if !self.exists().await? => {
                Err(LakeError::unavailable(format!("create {}", self.spec.name), error))
            }
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(LakeError::store(format!("create {}", self.spec.name), error)),
        }
    }

    /// What vacuum remembers of the log.
    pub(crate) fn vacuum_state(&self) -> &VacuumState {
        &self.vacuum_state
    }

    /// When a version was committed, by the store's clock; `None` if its entry is not there.
    pub(crate) async fn entry_time(&self, version: u64) -> Result<Option<DateTime<Utc>>> {
        let path = self.log_dir().join(format!("{version:020}.json"));
        match self.store.head(&path).await {
            Ok(entry) => Ok(Some(entry.last_modified)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(format!("look at {path}"), error)),
        }
    }

    /// The objects of the log that belong to a version from `first` on.
    pub(crate) fn list_log(&self, first: u64) -> BoxStream<'static, Result<ObjectMeta>> {
        let (dir, before) = (self.log_dir(), self.log_dir().join(format!("{first:020}")));
        let listed = self.store.list_with_offset(Some(&dir), &before);
        listed.map_err(move |error| LakeError::store(format!("list {dir}"), error)).boxed()
    }

    fn log_dir(&self) -> Path {
        self.root.clone().join("_delta_log")
    }

    /// What a version changed. Fails if its entry is not there.
    pub(crate) async fn read_version(&self, version: u64) -> Result<LoggedCommit> {
        self.find_version(version).await?.ok_or_else(|| {
            let why = match self.spec.log_is_cleaned {
                true => "its entry is not there any more",
                false => "its entry is not there, and must never be deleted",
            };
            LakeError::unavailable(format!("read version {version} of {}", self.spec.name), why)
        })
    }

    /// What a version changed; `None` if its entry is not there.
    pub(crate) async fn find_version(&self, version: u64) -> Result<Option<LoggedCommit>> {
        let kernel = self.runtime.kernel.clone();
        let location =
            self.url.join(&format!("_delta_log/{version:020}.json")).expect("a version's file name is a plain word");
        run_kernel(&self.runtime, format!("read version {version} of {}", self.spec.name), move || {
            read_commit(&*kernel, &location)
        })
        .await
    }

    /// How many of the newest entries stay in a log whose old ones are deleted.
    pub(crate) fn log_entries_kept(&self) -> u64 {
        self.runtime.log_entries_kept
    }

    /// The version of the checkpoint that readers are told to begin with; `None` if there is none.
    pub(crate) async fn last_checkpoint(&self) -> Result<Option<u64>> {
        let path = self.log_dir().join("_last_checkpoint");
        let read = async { self.store.get(&path).await?.bytes().await };
        match read.await {
            Ok(bytes) => {
                let hint: LastCheckpoint =
                    serde_json::from_slice(&bytes).map_err(|error| LakeError::corrupt(path, error))?;
                Ok(Some(hint.version))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(format!("read {path}"), error)),
        }
    }

    /// Writes the checksum of a version, and its checkpoint if that is wanted, unless they are there.
    pub(crate) async fn write_summaries(&self, snapshot: &TableSnapshot, with_checkpoint: bool) -> Result<()> {
        let (Some(log), kernel) = (snapshot.log.clone(), self.runtime.kernel.clone()) else { return Ok(()) };
        run_kernel(&self.runtime, format!("write the checksum of {}", self.spec.name), move || {
            log.write_checksum(&*kernel)?;
            if with_checkpoint {
                log.checkpoint(&*kernel, None)?;
            }
            Ok(())
        })
        .await
    }

    fn new_uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.lock().random()).into_uuid()
    }
}

fn read_files(spec: &'static TableSpec, root: &Path, runtime: &LakeRuntime, log: SnapshotRef) -> Result<TableSnapshot> {
    let unreadable = |error: KernelError| LakeError::unavailable(format!("read the log of {}", spec.name), error);
    let mut files = Vec::new();
    let scan = log.clone().scan_builder().build().map_err(unreadable)?;
    for rows in scan.scan_metadata(&*runtime.kernel).map_err(unreadable)? {
        let (rows, selected) = rows.map_err(unreadable)?.scan_files.into_parts();
        let rows = ArrowEngineData::try_from_engine_data(rows).map_err(unreadable)?;
        files.extend(from_scan_rows(spec, root, rows.record_batch(), &selected)?);
    }
    // The kernel keeps files in a hash map, whose order is another in each process.
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(TableSnapshot {
        version: Some(log.version()),
        files,
        log: Some(log),
        runtime: runtime.clone(),
        table: spec.name,
    })
}

/// Runs the kernel, which blocks, off the async threads.
async fn run_kernel<T: Send + 'static>(
    runtime: &LakeRuntime,
    action: String,
    work: impl FnOnce() -> KernelResult<T> + Send + 'static,
) -> Result<T> {
    match runtime.run(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(LakeError::unavailable(action, error)),
        Err(panicked) => Err(LakeError::unavailable(action, panicked)),
    }
}
