//! Rows that folds give.
//!
//! | File | What it does |
//! |---|---|
//! | [`piece`], [`room`] | rows by site, in memory or [`on_disk`]; how much memory all may take; [`encoding`] makes it less |
//! | [`memory`] | pieces kept between runs, within a bound; [`counted`] is what is kept of a tally |
//! | [`last_passes`] | what passes over tables by visitor made of the latest views; [`pass_rows`] is what one fold has of them |
//! | [`rows_table`] | rows of pieces as a table |
//! | [`changed`] | of whom rows differ between pieces; [`identity_rows`] tells of whom it is another user |

pub(super) mod changed;
pub(super) mod counted;
pub(super) mod encoding;
pub(crate) mod identity_rows;
pub(crate) mod last_passes;
pub(crate) mod memory;
pub(super) mod on_disk;
pub(super) mod pass_rows;
pub(super) mod piece;
pub(super) mod room;
pub(super) mod rows_table;
