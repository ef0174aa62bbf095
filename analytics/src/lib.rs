//! The analytics job: SQL files in, reports out. It keeps every report in history and the latest ones in a cache.
//!
//! One run: `queries/*.sql` → one [`Report`] for the whole main lake and one for each site → the table `reports`
//! (history) → the cache → readers, through [`Analytics::latest`], which never runs SQL.

mod alerts;
mod cache;
mod cached;
mod header;
mod history;
mod job;
mod jobs;
mod keeping;
mod last_answers;
mod latest;
mod queries;
mod rebuild;
mod report;

pub use alerts::Alert;
pub use alerts::webhook::{WebhookSecret, WebhookUrl};
pub use cache::{Cache, CachedJson, InvalidAddress, InvalidLogin, Login, Lookup, Memcached, MemcachedAddress};
pub use header::{Header, HeaderError, Incremental, MetricScope, typing_distance};
pub use history::{HistoryError, latest_report};
pub use job::{Analytics, AnalyticsSettings, METRIC_ROWS_MAX, Past};
pub use jobs::Jobs;
pub use keeping::{Keeping, KeptStates, WrongState, keeping};
pub use latest::Served;
pub use queries::{QueryFile, read_queries, read_sql};
pub use rebuild::{PastDays, PastRuns};
pub use report::{AlertState, Details, MadeHow, Metric, Report};
