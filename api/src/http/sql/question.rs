//! A query on its way to the engine: over the newest view of the lake, with the parameters that every query may name, and in
//! its turn.

use std::sync::Arc;

use engine::{EngineError, LimitedRows, Param, QueryLimits, SqlSession, params};
use lake::Fingerprint;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::asked::Asked;
use crate::http::caller::reader::{Part, Reader};
use crate::http::error::ApiError;
use crate::http::state::Api;

/// A query that can be put to the engine.
pub(crate) struct Question {
    pub(super) asked: Asked,
    pub(super) part: Part,
    pub(super) params: Vec<(String, Param)>,
    pub(super) events: Fingerprint,
    /// Whether it names a time that is another one at each call.
    pub(super) names_now: bool,
    limits: QueryLimits,
    session: Arc<SqlSession>,
}

/// One of the queries that run at a time, until it is dropped.
pub(crate) struct Turn {
    _of_key: Option<engine::Turn>,
    _of_all: OwnedSemaphorePermit,
}

impl Question {
    /// Takes a view that begins after the query came.
    pub(crate) async fn prepare(api: &Api, reader: &Reader, asked: Asked) -> Result<Self, ApiError> {
        reader.check_may_ask_sql()?;
        let part = reader.part(asked.site.as_deref())?;
        if let Part::Lake(site) = &part {
            api.check_site(site.as_deref()).await?;
        }
        let view = api.view_of(&part).await?;
        let session = part.session(&view, reader).map_err(ApiError::unread("the events"))?;

        let zone_counts = ["from", "today", "time_zone"].iter().any(|name| asked.names(name));
        let time_zone = match part.site().filter(|_| zone_counts) {
            Some(site) => api.time_zone_of(site).await?,
            None => "UTC".to_owned(),
        };
        let mut values = params::of_period((api.clock)(), part.site().map(|site| &**site), &time_zone);
        values.retain(|(name, _)| asked.params.iter().all(|(given, _)| given != name));
        let names_now = values.iter().any(|(name, _)| matches!(name.as_str(), "now" | "until") && asked.names(name));
        values.extend(asked.params.iter().cloned());
        Ok(Self {
            part,
            params: values,
            events: view.snapshot().fingerprint(),
            names_now,
            limits: api.limits,
            session: Arc::new(session),
            asked,
        })
    }

    /// The same, asked now: for whoever waited since. Files that a view names do not stay for ever.
    pub(crate) async fn anew(self, api: &Api, reader: &Reader) -> Result<Self, ApiError> {
        Self::prepare(api, reader, self.asked).await
    }

    /// Begins the query.
    pub(crate) async fn put(self) -> Result<LimitedRows, ApiError> {
        let rows = self.session.stream_within(&self.asked.sql, &self.params, self.limits).await;
        rows.map_err(ApiError::Query)
    }
}

impl Api {
    /// One of the queries that run at a time, if there is one at once.
    pub(crate) fn turn_at_once(&self, reader: &Reader) -> Option<Turn> {
        let of_key = match reader.share() {
            None => None,
            Some(share) => Some(share.turn_at_once()?),
        };
        Some(Turn { _of_key: of_key, _of_all: self.sql.turn_at_once()? })
    }

    /// One of the queries that run at a time, once there is one. Whoever waits for a turn of his key takes none of all, so
    /// that those who come later with another key are before him.
    pub(crate) async fn turn(&self, reader: &Reader) -> Result<Turn, ApiError> {
        let within = self.limits.timeout;
        let of_key = match reader.share() {
            None => None,
            Some(share) => Some(share.turn(0, within).await.map_err(|_| ApiError::Busy)?),
        };
        let of_all = timeout(within, self.sql.turn()).await.map_err(|_| ApiError::Busy)?;
        Ok(Turn { _of_key: of_key, _of_all: of_all })
    }

    /// The zone of a site's days.
    async fn time_zone_of(&self, site: &str) -> Result<String, ApiError> {
        let sites = self.people.lake().sites().await;
        let sites = sites.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
        Ok(sites.site(site).map_or_else(|| "UTC".to_owned(), |site| site.settings.time_zone.clone()))
    }
}
