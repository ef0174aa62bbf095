//! Recurring queries at the cost of what is new.
//!
//! A file of the lake never changes, so what a query's aggregate makes of it never changes either. A recurring query is taken
//! apart where it groups events: the rows that each file gives are made once and kept, and the answer is computed from these
//! rows as from any others. What stands above the aggregate runs as it is.
//!
//! | File | What it does |
//! |---|---|
//! | [`aggregate`] | one aggregate: found in a plan, as plans of its own, and run |
//! | [`rows`] | the rows that it gives: by site, in memory or on disk, kept between runs |
//! | [`fold`], [`apart`] | one aggregate of a query, and the plan with places for the rows of all |
//! | [`gathering`] | which pieces a snapshot needs, from memory, from kept states, or from the events |
//! | [`kept`] | whether the states in the lake are what their files give |
//! | [`known_identities`] | who is who, from folds |
//! | [`last_pass`] | what the last pass over a table by visitor made, and the next at the cost of what is new |
//! | [`by_user`] | which part of a plan treats every user by themselves |
//! | [`tally`] | what is counted of users, and counted anew for those of whom something is new |
//! | [`explanation`] | what would be used, in words |
//! | [`recurring`] | a query taken apart, and answered for a scope |
//!
//! No answer depends on what is kept: a missing state is made again, and pending events are read for each view.

mod aggregate;
mod apart;
mod by_user;
mod explanation;
mod fold;
mod fold_use;
mod gathering;
mod hash;
mod kept;
mod known_identities;
mod last_pass;
mod recurring;
pub(crate) mod rows;
pub(crate) mod settings;
mod tally;

pub use explanation::{ExplainedFold, Explanation};
pub use fold_use::FoldUse;
pub use kept::{Compared, KeptState};
pub use recurring::{How, RecurringQuery};
pub use settings::StateSettings;
