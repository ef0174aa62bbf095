//! Why something was not done, by what whoever asked can do about it.

use lake::LakeError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// What was sent cannot be. Change it.
    #[error("{reason}")]
    Invalid {
        /// What is wrong, in words for whoever sent it.
        reason: String,
    },

    /// The address, the password or the token is wrong. The words are the same whichever it is.
    #[error("{reason}")]
    NotSignedIn {
        /// What to do.
        reason: &'static str,
    },

    /// Whoever asks is known and may not. Somebody with another role may.
    #[error("{reason}")]
    MayNot {
        /// Who may.
        reason: String,
    },

    /// There is no such thing, or none that whoever asks may know of.
    #[error("{reason}")]
    NotFound {
        /// What is not there.
        reason: String,
    },

    /// Somebody was faster, or something stands against it. Look at it again.
    #[error("{reason}")]
    Conflict {
        /// What stands against it.
        reason: String,
    },

    /// Too many tries failed. Wait.
    #[error("too many tries: wait for {retry_after_s} seconds")]
    TooMany {
        /// For how long.
        retry_after_s: u64,
    },

    /// As many passwords are being checked as may. Try again.
    #[error("as many people sign in as may at a time: try again")]
    Busy,

    /// The lake was not read or written.
    #[error(transparent)]
    Lake(LakeError),
}

impl From<LakeError> for AccountsError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Invalid { reason } => Self::Invalid { reason },
            LakeError::NotFound { reason } => Self::NotFound { reason },
            error => Self::Lake(error),
        }
    }
}

pub(crate) fn invalid(reason: impl Into<String>) -> AccountsError {
    AccountsError::Invalid { reason: reason.into() }
}

pub(crate) fn not_found(reason: impl Into<String>) -> AccountsError {
    AccountsError::NotFound { reason: reason.into() }
}

pub(crate) fn conflict(reason: impl Into<String>) -> AccountsError {
    AccountsError::Conflict { reason: reason.into() }
}
