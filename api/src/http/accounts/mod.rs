//! `/v1/auth`, `/v1/me`, `/v1/organisations` and `/v1/sites`: people, what they are members of, and what is kept of their
//! sites.

mod auth;
mod email_reports;
mod me;
mod oidc;
pub(super) mod openapi;
mod organisations;
mod pipes;
mod saved;
mod shares;
mod shown;
mod sites;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};

use super::body::BODY_BYTES_MAX;
use super::caller::access::Access;
use super::state::Api;

/// The routes of those who are known.
pub(super) fn router() -> Router<Arc<Api>> {
    me::router()
        .merge(organisations::router())
        .merge(sites::router())
        .merge(saved::router())
        .merge(email_reports::router())
        .merge(oidc::router())
        .merge(pipes::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::map_response(keep_nowhere))
}

/// The routes by which one becomes known.
pub(super) fn open_router(access: Arc<Access>) -> Router<Arc<Api>> {
    auth::router(access.clone())
        .merge(oidc::open_router(access))
        .merge(shares::router())
        .route("/v1/openapi.json", get(|| async { Json(openapi::document()) }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::map_response(keep_nowhere))
}

/// What is about a person is kept in no cache.
async fn keep_nowhere(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
