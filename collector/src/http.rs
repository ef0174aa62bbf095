//! The collector's door: HTTP in, acknowledgements out.

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use uuid::Uuid;

use crate::Clock;
use crate::batcher::Batcher;
use crate::body::{self, Limits};
use crate::budget::Budget;
use crate::counters;
use crate::directory::Directory;
use crate::error::{IngestError, Rejection};
use crate::event_time::Window;
use crate::inflate::Encoding;
use crate::keys;
use crate::protocol::{Context, Parsed, native};
use crate::settings::Settings;

/// What there is to call.
const ENDPOINTS: [&str; 2] = ["POST /v1/events", "POST /v1/session"];

/// Bodies above this are read on threads that may be held; smaller ones take less time than getting there.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// A compressed body counts as if it were this many times as large.
const INFLATION: usize = 64;

/// How long browsers may remember that they are allowed to send.
const CORS_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// What a request needs.
pub(crate) struct Door {
    batcher: Batcher,
    directory: Directory,
    clock: Clock,
    limits: Limits,
    inflated_bytes_max: usize,
    batch_events_max: usize,
    /// Large bodies that are read at the same time: bounds both the threads and the memory they take.
    large_bodies: Semaphore,
}

impl Door {
    pub(crate) fn new(batcher: Batcher, directory: Directory, clock: Clock, settings: &Settings) -> Self {
        Self {
            batcher,
            directory,
            clock,
            limits: Limits {
                bytes_max: settings.body_bytes_max,
                timeout: settings.request_timeout,
                memory: Budget::new(settings.receive_bytes, counters::RECEIVE_BYTES),
            },
            inflated_bytes_max: settings.inflated_bytes_max,
            batch_events_max: settings.batch_events_max,
            large_bodies: Semaphore::new(available_parallelism().map_or(1, usize::from)),
        }
    }
}

/// All routes of the collector.
pub(crate) fn router(door: Arc<Door>) -> Router {
    // Trackers call from any page. No cookie and no session is involved, so any page may.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(CORS_MAX_AGE);
    Router::new()
        .route("/", get(index))
        .route("/v1/events", post(take_events))
        .route("/v1/events/", post(take_events))
        .route("/v1/session", post(start_session))
        .route("/v1/session/", post(start_session))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(cors)
        .with_state(door)
}

async fn index() -> impl IntoResponse {
    Json(json!({ "name": "dewpond collector", "endpoints": ENDPOINTS }))
}

async fn no_such_path(uri: Uri) -> impl IntoResponse {
    let message = format!("there is nothing at {}; the endpoints are {}", uri.path(), ENDPOINTS.join(", "));
    (StatusCode::NOT_FOUND, Json(json!({ "message": message, "endpoints": ENDPOINTS })))
}

async fn no_such_method(method: Method, uri: Uri) -> impl IntoResponse {
    let message = format!("{method} is not for {}; the endpoints are {}", uri.path(), ENDPOINTS.join(", "));
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "message": message, "endpoints": ENDPOINTS })))
}

/// The answer to events that are durable.
#[derive(Serialize)]
struct Acknowledgement {
    /// Good events, duplicates among them.
    accepted: usize,
    duplicates: usize,
    rejected: Vec<Rejection>,
}

async fn take_events(State(door): State<Arc<Door>>, request: Request) -> Result<Response, IngestError> {
    // Once for the whole request, and before the body, which may be slow to come.
    let received_at = (door.clock)();
    let (parts, body) = request.into_parts();
    let Parsed { events, rejected } = door
        .read_events(&parts, body, received_at)
        .await
        .inspect_err(|error| counters::rejected(count_as(error), 1))?;
    counters::rejected("invalid", rejected.len());
    if events.is_empty() && !rejected.is_empty() {
        let reason = format!("no event was taken; the first one: {}", rejected[0].reason);
        return Err(IngestError::Invalid { reason, rejected });
    }
    let accepted = events.len();
    let duplicates = door.batcher.append(events).await?.duplicates;
    Ok((StatusCode::ACCEPTED, Json(Acknowledgement { accepted, duplicates, rejected })).into_response())
}

impl Door {
    /// Everything up to the events: who sends them, and what they say.
    async fn read_events(
        self: &Arc<Self>,
        parts: &Parts,
        body: Body,
        received_at: DateTime<Utc>,
    ) -> Result<Parsed, IngestError> {
        let mut site_id = None;
        if let Some(key) = keys::of_request(parts) {
            match self.directory.site_of_key(&key).await {
                Ok(found) => site_id = Some(found),
                Err(error) => {
                    body::discard(body).await;
                    return Err(error);
                }
            }
        }
        let received = self.limits.receive(body).await?;
        let content_encoding = text_of(&parts.headers, header::CONTENT_ENCODING);
        let encoding = Encoding::detect(&received.bytes, content_encoding);
        let weight = received.bytes.len() * if encoding == Encoding::Plain { 1 } else { INFLATION };
        // Held until the events are read, so that a queue of large bodies stays within the memory.
        let _turn = if weight > INLINE_BYTES_MAX { Some(self.turn().await) } else { None };

        let (bytes_max, events_max) = (self.inflated_bytes_max, self.batch_events_max);
        let bytes = received.bytes.clone();
        let bytes = heavy(weight, move || encoding.inflate(bytes, bytes_max)).await?;
        let site_id = match site_id {
            Some(site_id) => site_id,
            None => {
                let bytes = bytes.clone();
                let key = heavy(weight, move || native::find_key(&bytes, events_max)).await?;
                let key = key.ok_or_else(|| IngestError::Unauthorized {
                    reason: format!("there is no write key; send it as {}", keys::WAYS),
                })?;
                self.directory.site_of_key(&key).await?
            }
        };
        let context = Context {
            site_id,
            received_at_us: received_at.timestamp_micros(),
            user_agent: text_of(&parts.headers, header::USER_AGENT).map(str::to_owned),
            window: Window::Live,
        };
        heavy(weight, move || native::parse(&bytes, &context, events_max)).await
    }

    async fn turn(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.large_bodies.acquire().await.expect("nobody closes this semaphore")
    }
}

/// Runs work whose time depends on the body: here if it is short, else on a thread that may be held.
async fn heavy<T: Send + 'static>(
    weight: usize,
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    if weight <= INLINE_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_cancelled) => Err(IngestError::Closing),
        },
    }
}

/// Whose session it is to be.
#[derive(Deserialize)]
struct SessionRequest {
    user_id: Option<serde_json::Value>,
    anonymous_id: Option<serde_json::Value>,
}

/// Names a session. Keeps nothing: the name is new, and events carry it from now on.
async fn start_session(State(door): State<Arc<Door>>, request: Request) -> Result<Response, IngestError> {
    let (parts, body) = request.into_parts();
    let received = door.limits.receive(body).await?;
    let encoding = Encoding::detect(&received.bytes, text_of(&parts.headers, header::CONTENT_ENCODING));
    let body = encoding.inflate(received.bytes.clone(), INLINE_BYTES_MAX)?;
    let wanted: SessionRequest = serde_json::from_slice(&body)
        .map_err(|error| IngestError::invalid(format!("the body is not a session request: {error}")))?;
    if !names_somebody(&wanted.user_id) && !names_somebody(&wanted.anonymous_id) {
        return Err(IngestError::invalid("send `user_id` or `anonymous_id`, a string that is not empty"));
    }
    let session_id = Uuid::now_v7();
    Ok((StatusCode::CREATED, Json(json!({ "session_id": session_id }))).into_response())
}

fn names_somebody(id: &Option<serde_json::Value>) -> bool {
    match id {
        Some(serde_json::Value::String(id)) => !id.is_empty(),
        Some(serde_json::Value::Number(_)) => true,
        _ => false,
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// The label of an error in the count of rejected events.
fn count_as(error: &IngestError) -> &'static str {
    match error {
        IngestError::Invalid { .. } => "invalid",
        IngestError::Unauthorized { .. } => "unauthorized",
        IngestError::Slow { .. } => "timeout",
        IngestError::TooLarge { .. } => "too_large",
        IngestError::Full { .. } | IngestError::NotDurable | IngestError::KeysUnavailable | IngestError::Closing => {
            "unavailable"
        }
    }
}

/// The one place where an error becomes a status code.
impl IntoResponse for IngestError {
    fn into_response(self) -> Response {
        let message = self.to_string();
        let (status, header) = match &self {
            Self::Invalid { .. } => (StatusCode::BAD_REQUEST, None),
            Self::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, Some((header::WWW_AUTHENTICATE, "Bearer"))),
            // The rest of the body is still on its way: this connection is of no more use.
            Self::Slow { .. } => (StatusCode::REQUEST_TIMEOUT, Some((header::CONNECTION, "close"))),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::Full { .. } | Self::NotDurable | Self::KeysUnavailable | Self::Closing => {
                (StatusCode::SERVICE_UNAVAILABLE, Some((header::RETRY_AFTER, "1")))
            }
        };
        let body = match self {
            Self::Invalid { rejected, .. } => json!({ "message": message, "rejected": rejected }),
            _ => json!({ "message": message }),
        };
        let mut response = (status, Json(body)).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}
