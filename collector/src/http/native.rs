//! The native API: events, sessions and the pixel.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use intake::IngestError;
use intake::protocol::native::{self, Native};
use intake::protocol::pixel::Pixel;
use serde_json::json;
use uuid::Uuid;

use super::resource::Resource;
use super::{answer, ingest};
use crate::door::Door;

pub(super) fn resource() -> Resource {
    Resource::default()
        .endpoint("POST", "/v1/events", ingest::from_body(&Native))
        .endpoint("POST", "/v1/session", post(start_session))
        .endpoint("GET", "/v1/pixel.gif", ingest::from_image(&Pixel))
}

/// Names a session. Stores nothing: the id is new, and events carry it from now on.
async fn start_session(State(door): State<Arc<Door>>, request: Request) -> Response {
    match new_session_id(&door, request).await {
        Ok(session_id) => (StatusCode::CREATED, Json(json!({ "session_id": session_id }))).into_response(),
        Err(error) => answer::refusal(&Native, &error),
    }
}

async fn new_session_id(door: &Door, request: Request) -> Result<Uuid, IngestError> {
    let (parts, body) = request.into_parts();
    let body = door.open_small(&parts, body).await?;
    native::check_session(&body)?;
    Ok(door.new_session_id())
}
