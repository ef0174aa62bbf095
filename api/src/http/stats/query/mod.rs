//! The SQL of an answer, and its rows.

pub(super) mod asker;
pub(super) mod imported;
pub(super) mod numbers;
pub(super) mod rows;
pub(super) mod statement;
