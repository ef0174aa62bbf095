//! Raw files that cannot be read. Their bytes are copied to `damaged/` and the error is logged, so that everything else
//! goes on.

use object_store::{ObjectStoreExt, PutMode, PutOptions};

use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::layout::{DAMAGED_DIR, RAW_DIR, RawFile};
use crate::parquet::reader::catch_damage;

/// A raw file that is no readable Parquet, or lacks what every event has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// The file.
    pub file: RawFile,
    /// How reading it failed.
    pub reason: String,
}

impl DamagedFile {
    /// Those of `files` that are not among `damaged`.
    pub fn leave_out(damaged: &[Self], files: &[RawFile]) -> Vec<RawFile> {
        files.iter().filter(|file| !damaged.iter().any(|damaged| damaged.file == **file)).cloned().collect()
    }

    /// Sorts an error: damage becomes a damaged file, and anything else is returned.
    pub(crate) fn of(file: &RawFile, error: LakeError) -> Result<Self> {
        match &error {
            LakeError::Corrupt { source, .. } => Ok(Self { file: file.clone(), reason: source.to_string() }),
            _ => Err(error),
        }
    }
}

impl Lake {
    /// Reads raw files whole and returns those that are damaged.
    pub async fn find_damaged(&self, files: &[RawFile]) -> Result<Vec<DamagedFile>> {
        let mut damaged = Vec::new();
        for file in files {
            if let Err(error) = catch_damage(&file.path, self.count_raw_rows(file)).await {
                damaged.push(DamagedFile::of(file, error)?);
            }
        }
        Ok(damaged)
    }

    /// Keeps a copy of a damaged raw file in `damaged/`, where nothing is ever deleted by us. Safe to repeat.
    pub async fn put_aside(&self, damaged: &DamagedFile) -> Result<()> {
        let file = &damaged.file;
        let raw = self.path(RAW_DIR);
        let within = file.path.prefix_match(&raw).into_iter().flatten();
        let copy = within.fold(self.path(DAMAGED_DIR), |path, part| path.join(part));
        let read = async { self.store().get(&file.path).await?.bytes().await };
        let bytes = read.await.map_err(|error| LakeError::store(format!("read {}", file.path), error))?;
        match self.store().put_opts(&copy, bytes.into(), PutOptions::from(PutMode::Create)).await {
            Ok(_) => {}
            // Stores also say so when two come at once and neither lands; the file may be deleted once this returns.
            Err(error @ object_store::Error::AlreadyExists { .. }) => match self.store().head(&copy).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => {
                    return Err(LakeError::unavailable(format!("write {copy}"), error));
                }
                Err(error) => return Err(LakeError::store(format!("look for {copy}"), error)),
            },
            Err(error) => return Err(LakeError::store(format!("write {copy}"), error)),
        }
        tracing::error!(
            file = %file.path,
            %copy,
            reason = damaged.reason,
            "a raw file is damaged and its events are missing; its bytes are kept in the copy"
        );
        Ok(())
    }
}
