//! Recurring queries at the cost of what is new.
//!
//! A file of the lake never changes, so what a query's aggregate makes of it never changes either. A recurring query is taken
//! apart where it groups events: the rows that each file gives are made once and kept, and the answer is computed from these
//! rows as from any others. What stands above the aggregate runs as it is.
//!
//! | File | What it does |
//! |---|---|
//! | [`stand_in`] | stands for a table while a query is taken apart |
//! | [`shape`] | an aggregate in terms of its table's columns, or why it is none |
//! | [`bounds`] | bounds of time, and how a file lies to them |
//! | [`definition`] | rows of a part, of the whole, and the answer, as plans |
//! | [`fold`], [`apart`] | one aggregate of a plan, and the plan with places for the rows of all |
//! | [`making`] | runs these plans; [`hash`] names what they make |
//! | [`piece`], [`room`] | rows by site, in memory or on disk; how much memory all may take; [`text_codes`] makes it less |
//! | [`memory`] | pieces kept between runs, within a bound |
//! | [`rows_table`] | rows of pieces as a table |
//! | [`gathering`] | which pieces a snapshot needs, from memory, from kept states, or from the events |
//! | [`kept`] | whether the states in the lake are what their files give |
//! | [`known_identities`] | who is who, from folds |
//! | [`pass`] | one pass over a table that is made of runs of visitors, for any number of folds |
//! | [`last_pass`] | what the last pass made, and the next at the cost of what is new; [`subtraction`] takes away what was |
//! | [`by_user`] | which part of a plan treats every user by themselves |
//! | [`tally`], [`changed`], [`counted`] | what is counted of users, and counted anew for those of whom something is new |
//! | [`explanation`] | what would be used, in words |
//! | [`recurring`] | a query taken apart, and answered for a scope |
//!
//! No answer depends on what is kept: a missing state is made again, and pending events are read for each view.

mod apart;
mod bounds;
mod by_user;
mod changed;
mod counted;
mod definition;
mod explanation;
mod fold;
mod gathering;
mod hash;
mod kept;
mod known_identities;
pub(crate) mod last_pass;
mod making;
pub(crate) mod memory;
mod pass;
mod piece;
mod recurring;
mod room;
mod rows_table;
pub(crate) mod settings;
mod shape;
mod stand_in;
mod subtraction;
mod tally;
mod text_codes;

pub use explanation::{ExplainedFold, Explanation};
pub use gathering::FoldUse;
pub use kept::{Compared, KeptState};
pub use recurring::{How, RecurringQuery};
pub use settings::StateSettings;
