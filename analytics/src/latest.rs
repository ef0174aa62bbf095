//! The latest reports: where the job leaves them, and how readers find them while the cache is away.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::Lake;
use parking_lot::RwLock;
use tokio::time::timeout;

use crate::cache::{Cache, CachedJson, Lookup};
use crate::cached::{metric_key, metric_to_json, report_key, report_to_json, to_json};
use crate::history::{HistoryError, latest_report};
use crate::report::Report;

/// How long a run may take to cache its reports.
const CACHING_WITHIN: Duration = Duration::from_secs(10);

/// Where a report was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// In the cache.
    Hit,
    /// In history or this process's memory; the cache answers and did not have it whole.
    Miss,
    /// In history or this process's memory; the cache does not answer, so a newer one may exist.
    Stale,
}

/// The latest report of the lake and of each site, as JSON.
pub(crate) struct LatestReports {
    lake: Lake,
    cache: Cache,
    /// The reports that this process made last, whole, by cache key.
    made_here: RwLock<HashMap<String, MadeHere>>,
}

#[derive(Clone)]
struct MadeHere {
    generated_at: DateTime<Utc>,
    body: Arc<CachedJson>,
}

impl LatestReports {
    pub(crate) fn new(lake: Lake, cache: Cache) -> Self {
        Self { lake, cache, made_here: RwLock::default() }
    }

    /// Says once whether the cache can be used: a wrong address or login should not be found out from stale reports.
    pub(crate) async fn probe(&self) {
        if let (Cache::Memcached(server), Err(error)) = (&self.cache, self.cache.value_bytes_max().await) {
            tracing::warn!(memcached = %server.address(), %error, "the cache does not answer; reports are served from history");
        }
    }

    /// Makes these reports the latest ones of their sites. A cache that fails is a warning: readers find the reports in
    /// memory or in history.
    pub(crate) async fn set(&self, reports: &[Report]) {
        for report in reports {
            let made_here =
                MadeHere { generated_at: report.generated_at, body: Arc::new(CachedJson::new(to_json(report))) };
            self.made_here.write().insert(report_key(report.site.as_deref()), made_here);
        }
        // A server that answers slowly must not keep the next run from its time.
        let outcome = timeout(CACHING_WITHIN, self.cache_reports(reports)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(io::Error::new(ErrorKind::TimedOut, "the cache is too slow")));
        if let Err(error) = outcome {
            metrics::counter!("dewpond_analytics_cache_failures_total").increment(1);
            tracing::warn!(%error, "could not cache all reports; the others are served from memory and history");
        }
    }

    /// Fails at the first value for which the cache does not answer: the others would only wait for as long. What is too
    /// large for it, or was set by somebody else at the same time, is a warning.
    async fn cache_reports(&self, reports: &[Report]) -> io::Result<()> {
        let bytes_max = self.cache.value_bytes_max().await?;
        for report in reports {
            self.cache_value(&report_key(report.site.as_deref()), report_to_json(report, bytes_max)).await?;
        }
        for report in reports {
            for (name, metric) in &report.metrics {
                let key = metric_key(report.site.as_deref(), name);
                self.cache_value(&key, metric_to_json(report, name, metric, bytes_max)).await?;
            }
        }
        Ok(())
    }

    /// - `value`: `None` if it is too large whatever is cut.
    async fn cache_value(&self, key: &str, value: Option<Vec<u8>>) -> io::Result<()> {
        let outcome = match value {
            Some(value) => self.cache.set(key, &value).await,
            None => self.cache.remove(key).await.and(Err(ErrorKind::FileTooLarge.into())),
        };
        match outcome {
            Err(error) if matches!(error.kind(), ErrorKind::FileTooLarge | ErrorKind::AlreadyExists) => {
                metrics::counter!("dewpond_analytics_cache_failures_total").increment(1);
                tracing::warn!(key, %error, "could not cache a value; it is served from history");
                Ok(())
            }
            done => done,
        }
    }

    /// The latest report of a site, or of the whole lake for `None`. From the cache; else from this process's memory; else
    /// from history. Runs no SQL.
    pub(crate) async fn get(&self, site: Option<&str>) -> Result<Option<(Arc<CachedJson>, Served)>, HistoryError> {
        let key = report_key(site);
        let (served, cached) = match self.cache.get(&key).await {
            Lookup::Value(body) => match body.head() {
                Some(head) if !head.truncated && !self.has_newer(&key, head.generated_at) => {
                    return Ok(Some((body, Served::Hit)));
                }
                Some(head) => (Served::Miss, Some(head.generated_at)),
                None => {
                    tracing::warn!(key, "the cache holds no report under this key; reading history instead");
                    (Served::Miss, None)
                }
            },
            Lookup::Absent => (Served::Miss, None),
            Lookup::Unreachable => (Served::Stale, None),
        };
        // Another process may have made a newer one.
        let is_newest = |made: &MadeHere| cached.is_none_or(|generated_at| made.generated_at >= generated_at);
        let made_here = self.made_here.read().get(&key).cloned().filter(is_newest);
        if let Some(made) = made_here {
            if served == Served::Miss && cached.is_none() {
                self.put_back(&key, made.body.bytes()).await;
            }
            return Ok(Some((made.body, served)));
        }
        let Some(report) = latest_report(&self.lake, site).await? else { return Ok(None) };
        let body = CachedJson::new(to_json(&report));
        if served == Served::Miss && cached.is_none() {
            self.put_back(&key, body.bytes()).await;
        }
        Ok(Some((Arc::new(body), served)))
    }

    /// Whether this process has made a newer report, which the cache did not take.
    fn has_newer(&self, key: &str, generated_at: DateTime<Utc>) -> bool {
        self.made_here.read().get(key).is_some_and(|made| made.generated_at > generated_at)
    }

    /// Leaves it to the next run if it does not fit.
    async fn put_back(&self, key: &str, body: &[u8]) {
        let outcome = match self.cache.value_bytes_max().await {
            Ok(bytes_max) if body.len() > bytes_max => return,
            Ok(_) => self.cache.add(key, body).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            tracing::debug!(key, %error, "could not put a report back into the cache");
        }
    }
}
