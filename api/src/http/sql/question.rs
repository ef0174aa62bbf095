//! A query on its way to the engine: over the newest view of the lake, with the parameters that every query may name.

use std::sync::Arc;

use engine::{EngineError, LimitedRows, Param, QueryLimits, SqlSession, params};
use lake::Fingerprint;

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

    /// What was asked, for another view.
    pub(super) fn into_asked(self) -> Asked {
        self.asked
    }

    /// Begins the query.
    pub(crate) async fn put(self) -> Result<LimitedRows, ApiError> {
        let rows = self.session.stream_within(&self.asked.sql, &self.params, self.limits).await;
        rows.map_err(ApiError::Query)
    }
}

impl Api {
    /// The zone of a site's days.
    async fn time_zone_of(&self, site: &str) -> Result<String, ApiError> {
        let sites = self.people.lake().sites().await;
        let sites = sites.map_err(EngineError::from).map_err(ApiError::unread("the sites"))?;
        Ok(sites.site(site).map_or_else(|| "UTC".to_owned(), |site| site.settings.time_zone.clone()))
    }
}
