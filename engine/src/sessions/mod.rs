//! Sessions, visitors and identities as tables of SQL, always of the same events as the table `events` beside them.
//!
//! Files lie in the order of site, visitor and time, so one pass without a sort gives the *runs* of every file: intervals
//! of a visitor's events in which no pause exceeds the gap ([`making::builder`], [`making::run`]). Runs of different files merge as a union
//! of intervals ([`making::finish`]): late, overlapping and midnight-crossing files give the same sessions as one file would.
//! [`scan`] reads all files side by side and merges them, a visitor at a time. What it reads follows from the columns that
//! a query asks for ([`wanted`]).
//!
//! The rules of a site (gap, cap, zone) and who an anonymous id belongs to are applied here, whenever a query runs.

mod filters;
mod identities;
mod making;
mod output;
#[cfg(test)]
mod reference;
mod rows;
mod rules;
mod scan;
mod source;
mod table;
mod wanted;

pub(crate) use output::Kind;
pub(crate) use source::{Findings, SessionSource};
pub(crate) use table::{SessionTable, SessionTableProvider, known_identity_rows};
