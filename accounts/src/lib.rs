//! Who somebody is, and what he may see and change.
//!
//! People and organisations are documents of the lake's registry, sign-ins are objects that expire, and what people do
//! goes to the audit log; how these lie there is for `lake` to know. This crate knows no HTTP: it takes what somebody
//! brings (an address and a password, a token) and says who that is, or why not. The clock is passed in.

mod actor;
mod attempts;
mod emails;
mod error;
mod identities;
mod organisations;
mod passkeys;
mod passwords;
mod people;
mod service;
mod sign_ins;
mod signed;
mod tokens;
mod webauthn;

pub use self::actor::{Actor, may};
pub use self::emails::email as email_form;
pub use self::error::AccountsError;
pub use self::identities::{Admission, Identity};
pub use self::organisations::{Invited, Issued, Offer};
pub use self::passkeys::Asked;
pub use self::people::NewPerson;
pub use self::service::{Client, Service};
pub use self::signed::{Signed, SignedIn, Tokens};
pub use self::tokens::{is_access_token, is_share_token, share_hash};
