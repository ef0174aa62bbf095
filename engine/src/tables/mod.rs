//! What tables of a session are made of.
//!
//! | File | What it is |
//! |---|---|
//! | [`files`], [`file_scans`], [`reader`] | a table over a list of files, and how these are read |
//! | [`comparisons`] | what conditions say of columns |
//! | [`pending`] | pending events as rows of `events` |
//! | [`logged`] | `reports` and `imported_days` |
//! | [`quarantine`], [`audit`] | the table of this name, and `audit_log` |
//! | [`confined`] | a table for somebody who may know of some sites alone |

pub(crate) mod audit;
pub(crate) mod comparisons;
pub(crate) mod confined;
pub(crate) mod file_scans;
pub(crate) mod files;
pub(crate) mod logged;
pub(crate) mod pending;
pub(crate) mod quarantine;
pub(crate) mod reader;
