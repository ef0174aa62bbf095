//! Who is signed in, and what shows it.

use chrono::{DateTime, Utc};
use lake::{Accounts, User};

/// New tokens: the only moment at which they can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// What requests carry.
    pub access: String,
    /// Until when.
    pub access_until: DateTime<Utc>,
    /// What renews it, if anything does.
    pub refresh: Option<String>,
    /// Until when.
    pub refresh_until: DateTime<Utc>,
}

/// Who signed in.
#[derive(Clone, Debug, PartialEq)]
pub struct Signed {
    /// The person.
    pub user: User,
    /// What shows it from now on.
    pub tokens: Tokens,
}

/// Who a token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedIn {
    /// The id of a person, or of a share.
    pub subject: String,
    /// The sign-in.
    pub family: String,
    pub(crate) epoch: u64,
    pub(crate) access_until: DateTime<Utc>,
}

impl SignedIn {
    /// The person, if it is one whose sign-ins have not all ended since.
    pub fn user<'a>(&self, accounts: &'a Accounts) -> Option<&'a User> {
        accounts.user(&self.subject).filter(|user| user.sign_in_epoch == self.epoch)
    }
}
