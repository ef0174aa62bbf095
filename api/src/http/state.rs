//! What the handlers share.

use std::sync::Arc;

use analytics::Analytics;
use chrono::{DateTime, Utc};
use engine::{Engine, SharedViews};

/// The reports and the lake that requests ask about.
pub struct Api {
    pub(super) analytics: Arc<Analytics>,
    pub(super) views: SharedViews,
    pub(super) clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Api {
    /// An API over the reports of `analytics` and the lake of `engine`.
    ///
    /// - `clock`: the end of a period that a request leaves open.
    pub fn new(
        analytics: Arc<Analytics>,
        engine: Engine,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self { analytics, views: SharedViews::new(engine), clock })
    }
}
