//! An answer for each endpoint: what it asks of the lake, and what it makes of the rows.

pub(super) mod aggregate;
pub(super) mod breakdown;
pub(super) mod funnel;
pub(super) mod goals;
pub(super) mod heatmap;
pub(super) mod live;
pub(super) mod paths;
pub(super) mod retention;
pub(super) mod robots;
pub(super) mod sessions;
pub(super) mod timeseries;
pub(super) mod visitors;
