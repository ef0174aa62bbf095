//! The routes of the reading server, one router for each resource.

pub(crate) mod error;
mod etag;
mod own_sql;
mod params;
mod query_string;
pub(crate) mod reader;
pub(crate) mod reports;
pub(crate) mod sql;
pub(crate) mod state;
mod stats;
mod token;
mod visits;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::{Value, json};

use crate::mcp;
use error::ApiError;
use query_string::QueryString;
use reader::Access;
pub use sql::shared::SqlSettings;
pub use state::Api;

/// All routes.
///
/// - `token`: if given, every request must carry `Authorization: Bearer TOKEN`, or a read key on the routes that take SQL.
pub fn router(api: Arc<Api>, token: Option<String>) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .merge(reports::router())
        .merge(visits::router())
        .fallback(not_found)
        .with_state(api.clone());
    let access = Arc::new(Access::new(token.as_deref(), api.views.engine().clone()));
    let routes = match token {
        Some(token) => routes.layer(middleware::from_fn_with_state(Arc::<str>::from(token), token::require)),
        None => routes,
    };
    let with_keys = sql::router()
        .merge(stats::router())
        .route_service("/mcp", mcp::http_service(api.clone()))
        .layer(middleware::from_fn_with_state(access, reader::identify))
        .with_state(api.clone());
    routes.merge(with_keys).merge(stats::open_router().with_state(api))
}

async fn index(query: QueryString) -> Result<Json<Value>, ApiError> {
    let [] = query.read([]).map_err(ApiError::invalid)?;
    Ok(Json(json!({
        "service": "dewpond analytics",
        "endpoints": {
            "GET /metrics": "the latest report of the whole lake",
            "GET /metrics?site=ID": "the latest report of a site",
            "GET /metrics/history?metric=NAME&site=ID&from=TIME&until=TIME": "a metric over time",
            "GET /visits?aggregation=minute|hour|day|month&dateFrom=TIME&dateTo=TIME&site=ID": "page views by page and time",
            "GET /v1/stats/…": "numbers, series, tables, funnels and more, with a read key or the server's token",
            "POST /v1/sql": "a query, with a read key or the server's token",
            "POST /mcp": "tools of the Model Context Protocol",
        }
    })))
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is only /metrics, /metrics/history, /visits, /v1/stats/…, POST /v1/sql and /mcp".into())
}
