//! What the handlers share.

use std::sync::Arc;

use accounts::Service;
use analytics::Analytics;
use chrono::{DateTime, Utc};
use engine::{Engine, EngineError, QueryLimits, SharedViews};

use super::error::ApiError;
use super::sql::shared::{Sql, SqlSettings};
use crate::mail::sent::SentMails;
use crate::outward::Outward;

/// The reports and the lake that requests ask about.
pub struct Api {
    pub(crate) analytics: Arc<Analytics>,
    pub(crate) views: SharedViews,
    pub(crate) limits: QueryLimits,
    pub(crate) sql: Sql,
    pub(crate) people: Arc<Service>,
    pub(crate) outward: Outward,
    pub(crate) sent_mails: SentMails,
    pub(crate) clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Api {
    /// An API over the reports of `analytics` and the lake of `engine`.
    ///
    /// - `limits`: what one request's query may take.
    /// - `sql`: what queries that somebody else wrote may take.
    /// - `clock`: the end of a period that a request leaves open.
    pub fn new(
        analytics: Arc<Analytics>,
        engine: Engine,
        limits: QueryLimits,
        sql: SqlSettings,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Arc<Self> {
        Self::reaching(analytics, engine, limits, sql, Outward::default(), clock)
    }

    /// The same, with what reaches beyond this server.
    pub fn reaching(
        analytics: Arc<Analytics>,
        engine: Engine,
        limits: QueryLimits,
        sql: SqlSettings,
        outward: Outward,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Arc<Self> {
        let people = Arc::new(Service::new(engine.lake().clone()));
        let (views, sql, sent_mails) = (SharedViews::new(engine), Sql::new(sql), SentMails::default());
        Arc::new(Self { analytics, views, limits, sql, people, outward, sent_mails, clock })
    }

    /// Fails if there is no such site; `None` is the whole lake.
    pub(crate) async fn check_site(&self, site: Option<&str>) -> Result<(), ApiError> {
        let Some(site) = site else { return Ok(()) };
        let sites = self.views.engine().lake().sites().await;
        let sites = sites.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
        match sites.has_site(site) {
            true => Ok(()),
            false => Err(ApiError::NotFound(format!("there is no site {site}"))),
        }
    }
}
