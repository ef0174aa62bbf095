//! The commands: each does one thing and ends.

pub(crate) mod erase;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod lake;
pub(crate) mod query;
pub(crate) mod report;
pub(crate) mod site;
