//! One try to commit, on a store whose answer may be lost or wrong.
//!
//! A commit creates version *v + 1* if nobody has. A plain success is a success. "Already exists" may still mean that
//! we won, because the store retried our put internally, and an error may mean that we won and the answer was lost. So
//! after anything else version *v + 1* is read back and its commit id compared with ours:
//!
//! | Found | Meaning |
//! |---|---|
//! | our id | committed; the answer was lost or the store retried our put |
//! | another id | somebody else won |
//! | nothing | unknown: the caller tries the same version again with the same id |
//!
//! Committing again blindly, as a new version, would add the same rows twice.

use chrono::{DateTime, Utc};
use delta_kernel::committer::{CommitMetadata, CommitResponse, Committer, PublishMetadata};
use delta_kernel::{Engine, FileMeta, FilteredEngineData, KernelError, KernelResult, KernelResultIterator};
use serde::Deserialize;
use url::Url;

/// The key under which our commit id stands in `commitInfo.operationParameters`.
pub(crate) const COMMIT_ID: &str = "commitId";

/// Commits one piece of work, known by its id, by put-if-absent and read-back.
pub(crate) struct ReadBackCommitter {
    pub(crate) commit_id: String,
    /// Sabotage: an error is taken for what it says.
    pub(crate) blind: bool,
}

impl Committer for ReadBackCommitter {
    fn commit(
        &self,
        engine: &dyn Engine,
        actions: KernelResultIterator<'_, FilteredEngineData>,
        metadata: CommitMetadata,
    ) -> KernelResult<CommitResponse> {
        let location = metadata.published_commit_path()?;
        let error = match engine.json_handler().write_json_file(&location, Box::new(actions), false) {
            Ok(size) => {
                let file_meta = FileMeta::new(location, metadata.in_commit_timestamp(), size);
                return Ok(CommitResponse::Committed { file_meta });
            }
            Err(error) => error,
        };
        if self.blind {
            return Err(error);
        }
        match read_commit(engine, &location)? {
            Some(found) if found.commit_id.as_deref() == Some(&self.commit_id) => {
                tracing::info!(version = metadata.version(), "a commit had landed although its put failed");
                let file_meta = FileMeta::new(location, metadata.in_commit_timestamp(), found.size_bytes);
                Ok(CommitResponse::Committed { file_meta })
            }
            Some(_) => Ok(CommitResponse::Conflict { version: metadata.version() }),
            // Nothing landed, or not yet. The caller tries the same version again with the same id.
            None => match error {
                KernelError::FileAlreadyExists(path) => {
                    Err(KernelError::generic(format!("the store said that {path} exists, and then that it does not")))
                }
                error => Err(error),
            },
        }
    }

    fn is_catalog_committer(&self) -> bool {
        false
    }

    fn publish(&self, _engine: &dyn Engine, metadata: PublishMetadata) -> KernelResult<()> {
        if metadata.commits_to_publish().is_empty() {
            return Ok(());
        }
        Err(KernelError::generic("a lake's tables have no catalog to publish from"))
    }
}

/// A commit as the log has it, reduced to what the conflict check and `lake history` need.
#[derive(Debug, Default)]
pub(crate) struct LoggedCommit {
    pub(crate) commit_id: Option<String>,
    pub(crate) size_bytes: u64,
    /// Paths added, with whether their rows are new to the table.
    pub(crate) added: Vec<(String, bool)>,
    /// Paths removed, with whether their rows left the table.
    pub(crate) removed: Vec<(String, bool)>,
    /// Lanes consumed, each with the last sequence number.
    pub(crate) lanes: Vec<(String, u64)>,
    /// Rows of the files added and of those removed; `None` if the log does not say it of every file.
    pub(crate) rows_added: Option<u64>,
    pub(crate) rows_removed: Option<u64>,
    /// Whether the schema or the protocol changed.
    pub(crate) redefined: bool,
    /// What the commit calls itself: `WRITE`, `OPTIMIZE`, …
    pub(crate) operation: Option<String>,
    /// When it was made, by its writer's clock, in milliseconds since the epoch.
    pub(crate) timestamp_ms: Option<i64>,
}

impl LoggedCommit {
    /// When it was made, by its writer's clock; `None` of the commit that created the table.
    pub(crate) fn committed_at(&self) -> Option<DateTime<Utc>> {
        self.timestamp_ms.filter(|&ms| ms > 0).and_then(DateTime::from_timestamp_millis)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    commit_info: Option<CommitInfo>,
    add: Option<FileAction>,
    remove: Option<FileAction>,
    txn: Option<Txn>,
    meta_data: Option<serde::de::IgnoredAny>,
    protocol: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitInfo {
    operation: Option<String>,
    timestamp: Option<i64>,
    operation_parameters: Option<std::collections::HashMap<String, Option<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileAction {
    path: String,
    data_change: bool,
    stats: Option<String>,
}

impl FileAction {
    fn rows(&self) -> Option<u64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: u64,
        }
        Some(serde_json::from_str::<Stats>(self.stats.as_ref()?).ok()?.num_records)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Txn {
    app_id: String,
    version: u64,
}

/// Reads a commit back; `None` if there is none at this location.
pub(crate) fn read_commit(engine: &dyn Engine, location: &Url) -> KernelResult<Option<LoggedCommit>> {
    let bytes = match engine.storage_handler().read_files(vec![(location.clone(), None)])?.next() {
        Some(Ok(bytes)) => bytes,
        Some(Err(KernelError::FileNotFound(_))) | None => return Ok(None),
        Some(Err(error)) => return Err(error),
    };
    parse_commit(&bytes)
        .map(Some)
        .map_err(|error| KernelError::generic(format!("{location} is not a Delta commit: {error}")))
}

fn parse_commit(bytes: &[u8]) -> Result<LoggedCommit, serde_json::Error> {
    let mut found = LoggedCommit {
        size_bytes: bytes.len() as u64,
        rows_added: Some(0),
        rows_removed: Some(0),
        ..LoggedCommit::default()
    };
    if bytes.trim_ascii().is_empty() {
        return Err(serde::de::Error::custom("it is empty"));
    }
    let sum = |rows: Option<u64>, file: &FileAction| Some(rows? + file.rows()?);
    for action in serde_json::Deserializer::from_slice(bytes).into_iter::<Action>() {
        let action = action?;
        if let Some(info) = action.commit_info {
            (found.operation, found.timestamp_ms) = (info.operation, info.timestamp);
            found.commit_id = info.operation_parameters.and_then(|mut all| all.remove(COMMIT_ID).flatten());
        }
        if let Some(add) = action.add {
            found.rows_added = sum(found.rows_added, &add);
            found.added.push((add.path, add.data_change));
        }
        if let Some(remove) = action.remove {
            found.rows_removed = sum(found.rows_removed, &remove);
            found.removed.push((remove.path, remove.data_change));
        }
        found.lanes.extend(action.txn.map(|txn| (txn.app_id, txn.version)));
        found.redefined |= action.meta_data.is_some() || action.protocol.is_some();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_reads_back_with_all_that_a_conflict_check_needs() {
        let found = parse_commit(
            br#"{"commitInfo":{"operation":"WRITE","operationParameters":{"commitId":"me"}}}
{"txn":{"appId":"lane","version":7}}
{"add":{"path":"date=2026-01-01/a.parquet","dataChange":true,"size":1,"stats":"{\"numRecords\":5}"}}
{"remove":{"path":"date=2026-01-01/b.parquet","dataChange":false}}
"#,
        )
        .unwrap();
        assert_eq!(found.commit_id.as_deref(), Some("me"));
        assert_eq!(found.lanes, [("lane".to_owned(), 7)]);
        assert_eq!(found.added, [("date=2026-01-01/a.parquet".to_owned(), true)]);
        assert_eq!(found.removed, [("date=2026-01-01/b.parquet".to_owned(), false)]);
        assert!(!found.redefined);
        // The log says how many rows came, and not how many the removed file had.
        assert_eq!((found.rows_added, found.rows_removed), (Some(5), None));
    }

    #[test]
    fn nothing_is_no_commit() {
        assert!(parse_commit(b"").is_err() && parse_commit(b"\n").is_err());
    }

    #[test]
    fn a_commit_of_another_engine_has_no_id_of_ours() {
        assert_eq!(parse_commit(br#"{"commitInfo":{"operation":"VACUUM"}}"#).unwrap().commit_id, None);
    }
}
