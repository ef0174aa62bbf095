//! The analytics job: SQL files in, reports out. It keeps every report in history and the latest ones in a cache.
//!
//! One run: `queries/*.sql` → one [`Report`] for the whole lake and one for each site → the table `reports`
//! (history) → the cache → readers, through [`Analytics::latest`], which never runs SQL.

mod cache;
mod cached;
mod history;
mod job;
mod latest;
mod queries;
mod report;

pub use cache::{Cache, InvalidAddress, InvalidLogin, Login, Lookup, Memcached, MemcachedAddress};
pub use history::{HistoryError, latest_report};
pub use job::{Analytics, AnalyticsSettings};
pub use latest::Served;
pub use queries::{QueryFile, read_queries, read_sql};
pub use report::{MadeHow, Metric, Report};
