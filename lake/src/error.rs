//! What can go wrong with a lake, by what the caller can do about it.

use std::error::Error as StdError;
use std::io;
use std::iter::successors;

use delta_kernel::KernelError;

/// Result of a lake operation.
pub type Result<T, E = LakeError> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync>;

/// Why a lake operation failed. One variant per thing the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The store did not answer, or failed this once. Try again later; nothing is half-done.
    #[error("the store could not {action}")]
    Unavailable {
        /// What was being done, on which object: "read events/_delta_log".
        action: String,
        /// What the store said.
        #[source]
        source: Source,
    },

    /// The request cannot be met as it is: a name that cannot be a site's, a URL that cannot be a lake's. Change it.
    #[error("{reason}")]
    Invalid {
        /// What is wrong with the request, and what to do.
        reason: String,
    },

    /// What was asked for does not exist, or does not exist any more: a site, a key, a version.
    #[error("{reason}")]
    NotFound {
        /// What is not there, and what is instead.
        reason: String,
    },

    /// The lake or its store cannot be used as it is: the log was lost, the store overwrites, the release is too old. A
    /// person has to look; trying again does not help.
    #[error("{reason}")]
    Unusable {
        /// What is wrong, and what to do.
        reason: String,
    },

    /// An object exists and is not what it should be. A person has to look at it.
    #[error("{object} is damaged")]
    Corrupt {
        /// The object's path in the store.
        object: String,
        /// How reading it failed.
        #[source]
        source: Source,
    },

    /// A file of a snapshot is gone since it was loaded. Take a new snapshot and plan again.
    #[error("{object} is no longer in the store")]
    Gone {
        /// The object's path in the store.
        object: String,
    },

    /// Somebody else committed a change that overlaps this one. Plan again from a new snapshot.
    #[error("version {version} of {table} changed what this commit was planned on")]
    Conflict {
        /// The table.
        table: String,
        /// The version that won.
        version: u64,
    },
}

impl LakeError {
    pub(crate) fn unavailable(action: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unavailable { action: action.into(), source: source.into() }
    }

    pub(crate) fn corrupt(object: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Corrupt { object: object.into(), source: source.into() }
    }

    /// Sorts a store's error: a missing object is [`LakeError::Gone`], anything else is
    /// [`LakeError::Unavailable`].
    pub(crate) fn store(action: impl Into<String>, error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Gone { object: path },
            error => Self::unavailable(action, error),
        }
    }

    /// Whether the store failed or refused, however deep in a library that was: no object is damaged for it.
    pub(crate) fn is_of_the_store(&self) -> bool {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            // The kernel does not name this one as a source.
            let of_kernel = match error.downcast_ref() {
                Some(KernelError::ObjectStore(error)) => Some(error),
                _ => None,
            };
            match of_kernel.or(error.downcast_ref()) {
                Some(object_store::Error::NotFound { .. }) => return false,
                Some(_) => return true,
                None => cause = error.source(),
            }
        }
        false
    }

    /// Sorts a Parquet reader's error by looking for the store's error inside it.
    pub(crate) fn parquet(object: &object_store::path::Path, error: parquet::errors::ParquetError) -> Self {
        if let parquet::errors::ParquetError::External(inner) = error {
            return match inner.downcast::<object_store::Error>() {
                Ok(inner) => Self::store(format!("read {object}"), *inner),
                // The writer's errors come through std::io.
                Err(inner) if inner.is::<std::io::Error>() => Self::unavailable(format!("write {object}"), inner),
                Err(inner) => Self::corrupt(object.to_string(), inner),
            };
        }
        Self::corrupt(object.to_string(), error)
    }
}

/// What an error says and what it was made of, on one line. A cause that the text has already is left out: errors of
/// stores repeat theirs.
pub fn whole_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in successors(next(error), |link| next(*link)).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The error that `link` wraps. `std::io` hides the one it was made of.
fn next<'a>(link: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match link.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => link.source(),
    }
}
