//! What the events of one visitor come to: runs, the sessions and days that they end as.

pub(super) mod builder;
pub(super) mod cuts;
pub(super) mod days;
pub(super) mod finish;
pub(super) mod page_view;
pub(super) mod run;
pub(super) mod window;
