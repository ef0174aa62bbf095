//! Runs the SQL that ships with this crate. Requests give it parameters, never text.

use std::sync::Arc;

use engine::{EngineError, Param, QueryLimits, SqlSession, to_json_rows};
use serde_json::Value;

/// The answer's rows.
pub(super) async fn rows<const N: usize>(
    session: &Arc<SqlSession>,
    sql: &str,
    params: [(&str, Param); N],
    limits: QueryLimits,
) -> Result<Vec<Vec<Value>>, EngineError> {
    rows_of(session, sql, &params.map(|(name, value)| (name.to_owned(), value)), limits).await
}

/// The same, with as many parameters as there are.
pub(super) async fn rows_of(
    session: &Arc<SqlSession>,
    sql: &str,
    params: &[(String, Param)],
    limits: QueryLimits,
) -> Result<Vec<Vec<Value>>, EngineError> {
    let answer = session.query_within(sql, params, limits).await.map_err(ours)?;
    to_json_rows(&answer).map_err(|error| EngineError::Defect { message: error.to_string() })
}

/// Nobody else wrote the query, so if it is wrong, that is a defect.
pub(super) fn ours(error: EngineError) -> EngineError {
    match error {
        EngineError::Query { .. } | EngineError::ReadOnly { .. } => EngineError::Defect { message: error.to_string() },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use engine::{Engine, EngineSettings};
    use lake::Lake;

    use super::*;

    #[tokio::test]
    async fn a_wrong_query_of_ours_is_nobody_elses_fault() {
        let engine = Engine::new(Lake::open("memory:///", []).unwrap(), &EngineSettings::default()).unwrap();
        let session = Arc::new(engine.history().await.unwrap());
        let limits = QueryLimits::default();
        let wrong = rows(&session, "SELECT no_such_column FROM reports", [], limits).await.unwrap_err();
        assert!(matches!(wrong, EngineError::Defect { .. }), "{wrong:?}");
        assert!(rows(&session, "SELECT 1", [], limits).await.is_ok());
    }
}
