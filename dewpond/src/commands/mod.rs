//! The commands, which do one thing and end.

pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod lake;
pub(crate) mod mcp;
pub(crate) mod organisation;
pub(crate) mod queries;
pub(crate) mod query;
pub(crate) mod rebuild;
pub(crate) mod report;
pub(crate) mod site;
pub(crate) mod sql;
pub(crate) mod user;
