//! What answers the statements: the lake, or a server of one.

use std::sync::Arc;

use anyhow::bail;
use arrow::datatypes::SchemaRef;
use chrono::Utc;
use engine::{Engine, QueryLimits, Scope, SharedViews, params};

use super::answers::{Column, Refusal, Rows, Table};
use super::server::Server;
use super::types::sql_type;
use crate::commands::site;

/// What answers the statements.
pub(super) enum Source {
    Lake(Box<OfLake>),
    Server(Server),
}

/// A lake that this process reads itself.
pub(super) struct OfLake {
    views: SharedViews,
    scope: Scope,
    site: Option<String>,
    time_zone: String,
    limits: QueryLimits,
}

impl OfLake {
    /// - `site`: the one site that is asked of, if not all.
    pub(super) async fn new(engine: Engine, site: Option<String>, limits: QueryLimits) -> anyhow::Result<Self> {
        let time_zone = match &site {
            Some(site) => site::find(engine.lake(), site).await?.settings.time_zone.clone(),
            None => "UTC".to_owned(),
        };
        let scope = site.clone().map_or(Scope::Lake, Scope::Site);
        Ok(Self { views: SharedViews::new(engine), scope, site, time_zone, limits })
    }

    async fn rows(&self, sql: &str, found: impl Fn(usize)) -> Result<Rows, Refusal> {
        // Another view is made for each statement: it sees what was acknowledged before.
        let view = self.views.engine().view().await?;
        let session = Arc::new(view.session(&self.scope)?);
        let params = params::of_period(Utc::now(), self.site.as_deref(), &self.time_zone);
        let mut rows = session.stream_within(sql, &params, self.limits).await?;
        let mut batches = Vec::new();
        while let Some(batch) = rows.next().await? {
            found(batch.num_rows());
            batches.push(batch);
        }
        Ok((rows.schema(), batches))
    }
}

impl Source {
    /// What it is called.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Lake(lake) => lake.views.engine().lake().url().to_string(),
            Self::Server(server) => server.name(),
        }
    }

    /// The rows of an answer. Dropped before it has them, it ends the query.
    ///
    /// - `found`: is told of rows as they come.
    pub(super) async fn rows(&self, sql: &str, found: impl Fn(usize)) -> Result<Rows, Refusal> {
        match self {
            Self::Lake(lake) => lake.rows(sql, found).await,
            Self::Server(server) => server.rows(sql, found).await,
        }
    }

    /// The tables, with their columns.
    pub(super) async fn tables(&self) -> anyhow::Result<Vec<Table>> {
        let lake = match self {
            Self::Server(server) => return server.tables().await,
            Self::Lake(lake) => lake,
        };
        let view = lake.views.view().await.map_err(anyhow::Error::new)?;
        let schemas = view.session(&lake.scope)?.schemas().await?;
        let column = |field: &Arc<arrow::datatypes::Field>| Column {
            name: field.name().clone(),
            sql_type: sql_type(field.data_type()),
            is_nullable: field.is_nullable(),
        };
        let table = |(name, schema): (&str, SchemaRef)| Table {
            name: name.to_owned(),
            columns: schema.fields().iter().map(column).collect(),
        };
        Ok(schemas.into_iter().map(table).collect())
    }

    /// A table, with its columns. Fails if there is none of this name.
    pub(super) async fn table(&self, name: &str) -> anyhow::Result<Table> {
        match self.tables().await?.into_iter().find(|table| table.name == name) {
            Some(table) => Ok(table),
            None => bail!("there is no table {name}: \\d shows them"),
        }
    }

    /// The names of the functions.
    pub(super) async fn functions(&self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Lake(lake) => {
                let view = lake.views.view().await.map_err(anyhow::Error::new)?;
                Ok(view.session(&lake.scope)?.function_names())
            }
            Self::Server(server) => server.functions().await,
        }
    }
}
