//! Queries of clients over the lake: what they would answer, and their rows within the limits.

use std::sync::Arc;

use chrono::Utc;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::scalar::ScalarValue;
use engine::{
    Apart, Busy, EngineError, Engines, LimitedRows, Param, QueryLimits, Scope, Share, SqlSession, Turn, View, params,
};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::admission::keys::Access;
use crate::catalog::{Catalog, LakeTable, SCHEMA, translate};
use crate::failure::{self, advice};
use crate::format::types::ValueType;
use crate::messages::Report;
use crate::settings::SETTINGS;

/// Answers queries of clients.
pub(crate) struct Reader {
    engines: Engines,
    limits: QueryLimits,
    known: OnceCell<Known>,
}

/// What is the same for all clients and at all times.
struct Known {
    catalog: Catalog,
    schemas: Vec<(&'static str, SchemaRef)>,
    /// Plans what a client asks, without reading the lake.
    blank: Arc<SqlSession>,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) access: Access,
    /// What he may take of what all share, if not all.
    pub(crate) share: Option<Arc<Share>>,
}

/// A query that was planned.
pub(crate) struct Query {
    /// As the engine reads it.
    sql: String,
    /// Characters of the client's text before it, if it is as the client wrote it.
    before: Option<usize>,
    pub(crate) parameters: Vec<ValueType>,
    pub(crate) schema: SchemaRef,
    reads_lake: bool,
}

/// Whether a table says the same at all times. Whatever is not known to is taken for one of the lake.
fn is_of_catalog(table: &str) -> bool {
    table.split_once('.').is_some_and(|(schema, _)| matches!(schema, "pg_catalog" | SCHEMA))
}

impl Query {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.sql.len() + 64 * self.schema.fields().len() + 512
    }

    fn report(&self, error: &EngineError) -> Report {
        failure::of_engine(error, self.before.map(|before| (&*self.sql, before)))
    }
}

impl Reader {
    pub(crate) fn new(engines: Engines, limits: QueryLimits) -> Self {
        Self { engines, limits, known: OnceCell::new() }
    }

    pub(crate) fn limits(&self) -> QueryLimits {
        self.limits
    }

    async fn known(&self) -> Result<&Known, EngineError> {
        self.known
            .get_or_try_init(|| async {
                let schemas = self.engines.main().view().await?.session(&Scope::Lake)?.schemas().await?;
                let blank = self.engines.main().blank_session(&schemas, None)?;
                let table =
                    |(name, schema): &(&str, SchemaRef)| LakeTable { name: (*name).into(), schema: schema.clone() };
                let tables: Vec<LakeTable> = schemas.iter().map(table).collect();
                let catalog = Catalog::new(&tables, SETTINGS);
                catalog.join(&blank)?;
                Ok(Known { catalog, schemas, blank: Arc::new(blank) })
            })
            .await
    }

    /// Plans a query.
    ///
    /// - `before`: characters of the client's text before it.
    /// - `given`: types that the client gives to its first parameters.
    pub(crate) async fn prepare(&self, sql: &str, before: usize, given: &[Option<ValueType>]) -> Result<Query, Report> {
        let known = self.known().await.map_err(|error| failure::of_engine(&error, None))?;
        let translated = translate(sql);
        let before = translated.is_none().then_some(before);
        let sql = translated.unwrap_or_else(|| sql.to_owned());
        let types: Vec<Option<DataType>> = given.iter().map(|of| of.map(ValueType::to_arrow)).collect();
        let (blank, asked) = (known.blank.clone(), sql.clone());
        let others = params::of_period(Utc::now(), None, "UTC");
        let planning = async move { blank.describe(&asked, &types, &others).await };
        let described = self.limits.run(planning).await;
        let described = described.map_err(|error| failure::of_engine(&error, before.map(|before| (&*sql, before))))?;
        let parameters = described.parameters.iter().enumerate().map(|(place, inferred)| {
            let given = given.get(place).copied().flatten();
            given.unwrap_or_else(|| ValueType::of_arrow(inferred))
        });
        Ok(Query {
            parameters: parameters.collect(),
            schema: described.schema,
            reads_lake: !described.tables.iter().all(|table| is_of_catalog(table)),
            sql,
            before,
        })
    }

    /// What the holder of a key may take of what all share.
    pub(crate) fn share_of(&self, user: &str, access: &Access) -> Option<Arc<Share>> {
        match access {
            Access::Lake => None,
            Access::Sites(_) => Some(self.engines.main().share_of(user)),
        }
    }

    /// A view of the one lake that a client may read; of the main one, if it may read everything.
    async fn view(&self, query: &Query, access: &Access) -> Result<Arc<View>, Report> {
        let sites: &[Arc<str>] = match access {
            Access::Lake => &[],
            Access::Sites(sites) => sites,
        };
        let views = self.engines.views_of(sites).await.map_err(|apart| match apart {
            Apart::TwoLakes { .. } => advice("0A000", apart.to_string(), "Use a key for the sites of each lake."),
            Apart::Engine(error) => query.report(&error),
        })?;
        views.view().await.map_err(|error| query.report(&error))
    }

    /// Begins a query, in the turn of whoever asks. It sees every event that was acknowledged before its turn came.
    ///
    /// - `held`: turns that he gives back only after this one.
    pub(crate) async fn run(
        &self,
        query: &Query,
        values: &[ScalarValue],
        asker: &Asker,
        held: usize,
        limits: QueryLimits,
    ) -> Result<(LimitedRows, Option<Turn>), Report> {
        let (access, share) = (&asker.access, asker.share.as_deref());
        let turn = match &asker.share {
            None => None,
            Some(share) => Some(share.turn(held, limits.timeout).await.map_err(busy)?),
        };
        let known = self.known().await.map_err(|error| query.report(&error))?;
        let session = match query.reads_lake {
            false if share.is_none() => known.blank.clone(),
            false => {
                let session = self.engines.main().blank_session(&known.schemas, share);
                let session = session.map_err(|error| query.report(&error))?;
                known.catalog.join(&session).map_err(|error| query.report(&error))?;
                Arc::new(session)
            }
            true => {
                let view = timeout(limits.timeout, self.view(query, access)).await;
                let over = || EngineError::Timeout { after: limits.timeout, flag: limits.flags.timeout };
                let view = view.map_err(|_| query.report(&over()))??;
                let session = match access {
                    Access::Lake => view.session(&Scope::Lake),
                    Access::Sites(sites) => view.confined_session(sites, share),
                };
                let session = session.map_err(|error| query.report(&error))?;
                known.catalog.join(&session).map_err(|error| query.report(&error))?;
                Arc::new(session)
            }
        };
        let site = match access {
            Access::Sites(sites) if sites.len() == 1 => Some(&*sites[0]),
            _ => None,
        };
        let mut params = params::of_period(Utc::now(), site, "UTC");
        let numbered = values.iter().enumerate();
        params.extend(numbered.map(|(place, value)| ((place + 1).to_string(), Param::Typed(value.clone()))));
        let rows = session.stream_within(&query.sql, &params, limits).await;
        Ok((rows.map_err(|error| query.report(&error))?, turn))
    }
}

fn busy(busy: Busy) -> Report {
    let hint = "Read the others to their end, close their cursors, or raise --key-queries-max.";
    advice("53300", busy.to_string(), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_not_of_a_catalog_is_of_the_lake() {
        for table in ["events", "public.events", "datafusion.public.events", "generate_series()", "pg_class"] {
            assert!(!is_of_catalog(table), "{table}");
        }
        assert!(is_of_catalog("pg_catalog.pg_class") && is_of_catalog("pg_information_schema.columns"));
    }
}
