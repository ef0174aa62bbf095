//! The latest reports: where the job leaves them, and how readers find them while the cache is away.

use std::collections::HashMap;
use std::sync::Arc;

use lake::Lake;
use parking_lot::RwLock;

use crate::cache::{Cache, Lookup};
use crate::history::{HistoryError, latest_report};
use crate::report::Report;

/// Where a report was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// In the cache.
    Hit,
    /// In history; the cache answers and did not have it.
    Miss,
    /// In history or this process's memory; the cache does not answer, so a newer one may exist.
    Stale,
}

/// The latest report of the lake and of each site, as JSON.
pub(crate) struct LatestReports {
    lake: Lake,
    cache: Cache,
    /// The reports that this process made last, by cache key.
    made_here: RwLock<HashMap<String, Arc<Vec<u8>>>>,
}

impl LatestReports {
    pub(crate) fn new(lake: Lake, cache: Cache) -> Self {
        Self { lake, cache, made_here: RwLock::default() }
    }

    /// Makes a report the latest one of its site. A cache that fails is a warning: readers find the report in memory or in
    /// history.
    pub(crate) async fn set(&self, report: &Report) {
        let key = cache_key(report.site.as_deref());
        let body = Arc::new(to_json(report));
        self.made_here.write().insert(key.clone(), body.clone());
        if let Err(error) = self.cache.set(&key, &body).await {
            metrics::counter!("dewpond_analytics_cache_failures_total").increment(1);
            tracing::warn!(key, %error, "could not cache a report; it is served from history");
        }
    }

    /// The latest report of a site, or of the whole lake for `None`. From the cache; else from this process's memory; else
    /// from history. Runs no SQL.
    pub(crate) async fn get(&self, site: Option<&str>) -> Result<Option<(Vec<u8>, Served)>, HistoryError> {
        let key = cache_key(site);
        let served = match self.cache.get(&key).await {
            Lookup::Value(body) => return Ok(Some((body, Served::Hit))),
            Lookup::Absent => Served::Miss,
            Lookup::Unreachable => Served::Stale,
        };
        let made_here = self.made_here.read().get(&key).cloned();
        let body = match made_here {
            Some(body) => body.to_vec(),
            None => match latest_report(&self.lake, site).await? {
                Some(report) => to_json(&report),
                None => return Ok(None),
            },
        };
        if served == Served::Miss
            && let Err(error) = self.cache.add(&key, &body).await
        {
            tracing::debug!(key, %error, "could not put a report back into the cache");
        }
        Ok(Some((body, served)))
    }
}

/// The key under which any client of the cache finds a report.
fn cache_key(site: Option<&str>) -> String {
    match site {
        None => "dewpond:report".to_owned(),
        Some(site) => format!("dewpond:report:{site}"),
    }
}

fn to_json(report: &Report) -> Vec<u8> {
    serde_json::to_vec(report).expect("a report is plain data")
}
