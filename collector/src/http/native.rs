//! The native API: events, sessions and the pixel.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use intake::IngestError;
use intake::protocol::native::Native;
use intake::protocol::pixel::Pixel;
use serde::Deserialize;
use serde_json::{Value, json};
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

/// Whose session it will be.
#[derive(Deserialize)]
struct SessionRequest {
    user_id: Option<Value>,
    anonymous_id: Option<Value>,
}

async fn new_session_id(door: &Door, request: Request) -> Result<Uuid, IngestError> {
    let (parts, body) = request.into_parts();
    let body = door.open_small(&parts, body).await?;
    let request: SessionRequest = serde_json::from_slice(&body)
        .map_err(|error| IngestError::invalid(format!("the body is not a session request: {error}")))?;
    if !is_id(&request.user_id) && !is_id(&request.anonymous_id) {
        return Err(IngestError::invalid("send `user_id` or `anonymous_id`, a string that is not empty"));
    }
    Ok(door.new_session_id())
}

fn is_id(value: &Option<Value>) -> bool {
    match value {
        Some(Value::String(id)) => !id.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    }
}
