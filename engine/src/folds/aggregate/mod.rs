//! One aggregate over a table: found in a plan, and as plans of its own that give the rows of a part, the rows of the whole, and
//! the answer.
//!
//! | File | What it does |
//! |---|---|
//! | [`stand_in`] | stands for a table while a query is taken apart |
//! | [`shape`] | an aggregate in terms of its table's columns, or why it is none |
//! | [`bounds`] | bounds of time, and how a file lies to them |
//! | [`definition`] | rows of a part, of the whole, and the answer, as plans |
//! | [`making`] | runs these plans |
//! | [`pass`] | one pass over a table that is made of runs of visitors, for any number of folds |
//! | [`subtraction`] | takes rows away from others |

pub(super) mod bounds;
pub(super) mod definition;
pub(super) mod making;
pub(super) mod pass;
pub(super) mod shape;
pub(super) mod stand_in;
pub(super) mod subtraction;
