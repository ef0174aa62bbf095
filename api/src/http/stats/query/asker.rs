//! Puts the queries of one request to one view of the lake, all within the time that a query may take.

use std::sync::Arc;

use engine::{EngineError, LimitedRows, QueryLimits, SqlSession};
use serde_json::Value;
use tokio::time::Instant;

use super::statement::Statement;
use crate::http::error::ApiError;
use crate::http::own_sql;

/// Whom the queries of a request are put to.
pub(in crate::http::stats) struct Asker {
    session: Arc<SqlSession>,
    limits: QueryLimits,
    begun_at: Instant,
}

impl Asker {
    pub(in crate::http::stats) fn new(session: SqlSession, limits: QueryLimits) -> Self {
        Self { session: Arc::new(session), limits, begun_at: Instant::now() }
    }

    /// What is left of the limits.
    fn left(&self) -> QueryLimits {
        QueryLimits { timeout: self.limits.timeout.saturating_sub(self.begun_at.elapsed()), ..self.limits }
    }

    /// The answer's rows.
    pub(in crate::http::stats) async fn rows(&self, statement: &Statement) -> Result<Vec<Vec<Value>>, ApiError> {
        let rows = own_sql::rows_of(&self.session, &statement.sql, &statement.values, self.left()).await;
        rows.map_err(ApiError::unread::<EngineError>("the events"))
    }

    /// The answer as it is found.
    pub(in crate::http::stats) async fn stream(&self, statement: &Statement) -> Result<LimitedRows, ApiError> {
        let rows = self.session.stream_within(&statement.sql, &statement.values, self.left()).await;
        rows.map_err(own_sql::ours).map_err(ApiError::unread::<EngineError>("the events"))
    }
}
