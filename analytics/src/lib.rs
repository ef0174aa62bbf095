//! The analytics job and its endpoint: SQL files in, a report out, kept for ever and cached for readers.
//!
//! One run: `queries/*.sql` → one [`Report`] for the whole lake and one for each site → the table `reports`
//! (history) → the cache → `GET /metrics`. The endpoint of the cached report never runs SQL.

mod cache;
mod history;
mod http;
mod job;
mod queries;
mod report;
mod visits;

pub use cache::{Cache, Found};
pub use history::{HistoryError, latest_report};
pub use http::{Served, router};
pub use job::{Analytics, AnalyticsSettings};
pub use queries::{QueryFile, read_queries};
pub use report::{Metric, Report};
