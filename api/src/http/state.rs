//! What the handlers share.

use std::sync::Arc;

use accounts::Service;
use analytics::{Analytics, Jobs};
use chrono::{DateTime, Utc};
use engine::{Apart, Engine, EngineError, Engines, QueryLimits, SharedViews, View};
use lake::{Lake, Site};
use tokio::time::timeout;

use super::caller::reader::Part;
use super::error::ApiError;
use super::sql::shared::{Sql, SqlSettings};
use crate::mail::sent::SentMails;
use crate::outward::Outward;

/// The reports and the lake that requests ask about.
pub struct Api {
    /// The reports of each lake.
    pub(crate) jobs: Jobs,
    pub(crate) limits: QueryLimits,
    pub(crate) sql: Sql,
    pub(crate) people: Arc<Service>,
    pub(crate) outward: Outward,
    pub(crate) sent_mails: SentMails,
    pub(crate) clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl Api {
    /// An API over the reports of `analytics` and the lake of `engine`, which is the main lake.
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
        let jobs = Jobs::new(analytics, Engines::from(engine));
        Self::reaching(jobs, limits, sql, Outward::default(), clock)
    }

    /// The same over all lakes of an installation, with what reaches beyond this server.
    pub fn reaching(
        jobs: Jobs,
        limits: QueryLimits,
        sql: SqlSettings,
        outward: Outward,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ) -> Arc<Self> {
        let people = Arc::new(Service::new(jobs.engines().lakes().main().clone()));
        let (sql, sent_mails) = (Sql::new(sql), SentMails::default());
        Arc::new(Self { jobs, limits, sql, people, outward, sent_mails, clock })
    }

    /// Fails if there is no such site; `None` is the whole lake.
    pub(crate) async fn check_site(&self, site: Option<&str>) -> Result<(), ApiError> {
        let Some(site) = site else { return Ok(()) };
        let sites = self.people.lake().sites().await;
        let sites = sites.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
        match sites.has_site(site) {
            true => Ok(()),
            false => Err(ApiError::NotFound(format!("there is no site {site}"))),
        }
    }

    /// The report job of the lake that a site lies in, or of the main lake for `None`.
    pub(crate) async fn job_of(&self, site: Option<&str>) -> Result<Arc<Analytics>, ApiError> {
        self.jobs.of_site(site).await.map_err(not_one_lake)
    }

    /// Views of the one lake that a part lies in.
    pub(crate) async fn views_of(&self, part: &Part) -> Result<SharedViews, ApiError> {
        self.jobs.engines().views_of(part.sites()).await.map_err(not_one_lake)
    }

    /// A view of the one lake that a part lies in, which begins after this call.
    pub(crate) async fn view_of(&self, part: &Part) -> Result<Arc<View>, ApiError> {
        let view = async {
            let view = self.views_of(part).await?.view().await;
            view.map_err(ApiError::unread("the events"))
        };
        timeout(self.limits.timeout, view).await.map_err(|_| ApiError::Busy)?
    }

    /// The lake that a site lies in.
    pub(crate) async fn lake_of(&self, site: &Site) -> Result<Lake, ApiError> {
        let lake = self.jobs.engines().lakes().lake(site.lake.as_ref()).await;
        lake.map_err(EngineError::from).map_err(ApiError::unread("the lake of the site"))
    }
}

fn not_one_lake(apart: Apart) -> ApiError {
    match apart {
        Apart::TwoLakes { .. } => ApiError::invalid(apart.to_string()),
        Apart::Engine(error) => ApiError::unread("the lake of the site")(error),
    }
}
