//! The routes of the reading server, one router for each resource.

mod accounts;
mod body;
pub(crate) mod caller;
mod dashboard;
pub(crate) mod error;
mod etag;
pub(crate) mod figures;
mod lake_health;
mod own_sql;
mod params;
mod plain;
mod query_string;
pub(crate) mod reports;
pub(crate) mod sql;
pub(crate) mod state;
pub(crate) mod stats;
mod visits;

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde_json::json;

use crate::mcp;
use caller::access::{self, Access};
use error::ApiError;
use query_string::QueryString;
pub use sql::shared::SqlSettings;
pub use state::Api;

/// All routes.
///
/// - `token`: if given, every request must carry `Authorization: Bearer TOKEN`, or something else by which it is known who
///   sends it: a read key, a person's sign-in.
pub fn router(api: Arc<Api>, token: Option<String>) -> Router {
    let (engine, people, clock) = (api.jobs.engines().main().clone(), api.people.clone(), api.clock.clone());
    let access = Arc::new(Access::new(token.as_deref(), engine, people, clock));
    let reports = Router::new()
        .merge(reports::router())
        .merge(visits::router())
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(access.clone(), access::identify_for_reports));
    let known = sql::router()
        .merge(stats::router())
        .merge(accounts::router())
        .merge(lake_health::router())
        .route_service("/mcp", mcp::http_service(api.clone()))
        .layer(middleware::from_fn_with_state(access.clone(), access::identify));
    let open = stats::open_router()
        .merge(accounts::open_router(access.clone()))
        .merge(plain::router(access))
        .merge(dashboard::router());
    reports.merge(known).merge(open.route("/", get(index))).with_state(api)
}

/// What there is: for a person the dashboard, for a program a list.
async fn index(query: QueryString, headers: HeaderMap) -> Result<Response, ApiError> {
    let [] = query.read([]).map_err(ApiError::invalid)?;
    if dashboard::is_wanted(&headers) {
        return Ok(Redirect::to("/dashboard/").into_response());
    }
    let endpoints = Json(json!({
        "service": "dewpond analytics",
        "endpoints": {
            "GET /metrics": "the latest report of the whole lake",
            "GET /metrics?site=ID": "the latest report of a site",
            "GET /metrics/history?metric=NAME&site=ID&from=TIME&until=TIME": "a metric over time",
            "GET /visits?aggregation=minute|hour|day|month&dateFrom=TIME&dateTo=TIME&site=ID": "page views by page and time",
            "GET /v1/stats/…": "numbers, series, tables, funnels and more, with a read key or the server's token",
            "GET /v1/me": "who sends the request, and what he may read",
            "/v1/auth/…, /v1/organisations/…, /v1/sites/…": "people and their sites, see /v1/openapi.json",
            "GET /v1/lake": "how the lake is, with the server's token",
            "GET /dashboard/": "the dashboard, in a browser",
            "POST /v1/sql": "a query, with a read key or the server's token",
            "POST /mcp": "tools of the Model Context Protocol",
        }
    }));
    Ok(endpoints.into_response())
}

async fn not_found() -> ApiError {
    ApiError::NotFound("there is only /metrics, /metrics/history, /visits, /v1/stats/…, /v1/lake, POST /v1/sql, /mcp, /dashboard/, and what /v1/openapi.json names".into())
}
