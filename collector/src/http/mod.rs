//! The collector's routes.

pub(crate) mod answer;
mod cors;
mod openapi;
mod server;
mod static_files;

use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use intake::protocol::ga4::{self, Ga4};
use intake::protocol::native::Native;
use intake::protocol::pixel::Pixel;
use intake::protocol::plausible::Plausible;
use intake::protocol::posthog::{self, PostHog};
use intake::protocol::segment::Segment;
use intake::protocol::snowplow::{self, Snowplow, SnowplowPixel};
use intake::protocol::umami::{Umami, UmamiBatch};
use intake::protocol::visits::Visits;
use intake::protocol::{Answer, Protocol};
use intake::{IngestError, cut};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::Service;
use uuid::Uuid;

use cors::Page;
pub(crate) use server::serve;

use crate::door::Door;

/// What there is to call, and what answers.
fn endpoints() -> Vec<(&'static str, &'static str, MethodRouter<Arc<Door>>)> {
    let mut endpoints = vec![
        ("POST", "/v1/events", taking(&Native)),
        ("POST", "/v1/session", post(start_session)),
        ("GET", "/v1/pixel.gif", image(&Pixel)),
        ("GET", "/openapi.json", get(|| async { openapi::document() })),
        ("POST", "/visits", taking(&Visits)),
        ("POST", "/api/event", taking(&Plausible)),
        ("POST", "/api/send", taking(&Umami)),
        ("POST", "/api/batch", taking(&UmamiBatch)),
        ("POST", "/flags", post(|| async { Json(posthog::no_flags()) })),
        ("POST", "/decide", post(|| async { Json(posthog::no_flags()) })),
        ("POST", "/mp/collect", taking(&Ga4)),
        ("POST", "/debug/mp/collect", post(validate)),
        ("POST", snowplow::PATH, taking(&Snowplow)),
        ("GET", "/i", image(&SnowplowPixel)),
    ];
    for path in ["/batch", "/capture", "/e", "/i/v0/e"] {
        endpoints.push(("POST", path, taking(&PostHog)));
    }
    // One letter each for the library of browsers.
    for path in [
        "/v1/batch",
        "/v1/import",
        "/v1/track",
        "/v1/page",
        "/v1/screen",
        "/v1/identify",
        "/v1/group",
        "/v1/alias",
        "/v1/t",
        "/v1/p",
        "/v1/s",
        "/v1/i",
        "/v1/g",
        "/v1/a",
    ] {
        endpoints.push(("POST", path, taking(&Segment)));
    }
    endpoints
}

/// All that the collector answers.
#[derive(Clone)]
pub struct Routes {
    router: Router,
    door: Arc<Door>,
}

impl Routes {
    pub(crate) fn new(door: Arc<Door>) -> Self {
        Self { router: router(door.clone()), door }
    }

    /// Answers a request, whatever it is.
    pub async fn answer(&self, request: Request) -> Response {
        let page = Page::of(&request, &self.door.directory);
        let mut response = if request.method() == Method::OPTIONS {
            cors::preflight(page, request.headers())
        } else {
            let mut response = self.router.clone().call(request).await.unwrap_or_else(|never| match never {});
            if let Some(page) = page {
                page.let_read(response.headers_mut());
            }
            response
        };
        cors::vary(response.headers_mut(), header::ORIGIN);
        response
    }
}

/// Each path may end with a slash.
fn router(door: Arc<Door>) -> Router {
    let mut router = static_files::routes(door.settings()).route("/", get(index));
    for (_, path, route) in endpoints() {
        router = router.route(path, route.clone()).route(&format!("{path}/"), route);
    }
    router.fallback(no_such_path).method_not_allowed_fallback(no_such_method).with_state(door)
}

/// Takes the events of one protocol.
fn taking(protocol: &'static dyn Protocol) -> MethodRouter<Arc<Door>> {
    post(move |State(door): State<Arc<Door>>, request: Request| async move { door.take(protocol, request).await })
}

/// An image whose address is an event. To ask for its headers alone is no event.
fn image(protocol: &'static dyn Protocol) -> MethodRouter<Arc<Door>> {
    get(move |State(door): State<Arc<Door>>, request: Request| async move { door.take(protocol, request).await })
        .head(|| async { answer::response(Answer::Gif) })
}

/// The endpoints, for people who look for them. Once: whoever asks for what is not there may ask often.
static LISTED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let endpoints = endpoints();
    let mut listed: Vec<String> = endpoints.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    listed.insert(3, "GET /tracker.js".into());
    listed
});

async fn index() -> impl IntoResponse {
    Json(json!({ "name": "dewpond collector", "endpoints": *LISTED }))
}

async fn no_such_path(uri: Uri) -> impl IntoResponse {
    let message = format!("there is nothing at {}; see `endpoints`", cut(uri.path(), PATH_BYTES_MAX));
    (StatusCode::NOT_FOUND, Json(json!({ "message": message, "endpoints": *LISTED })))
}

async fn no_such_method(method: Method, uri: Uri) -> impl IntoResponse {
    let message = format!("{method} is not for {}; see `endpoints`", cut(uri.path(), PATH_BYTES_MAX));
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "message": message, "endpoints": *LISTED })))
}

/// Longer paths are quoted in part.
const PATH_BYTES_MAX: usize = 200;

async fn validate(State(door): State<Arc<Door>>, request: Request) -> Response {
    match door.inspect(&Ga4, request).await {
        Ok((message, context)) => Json(ga4::validate(&message, &context)).into_response(),
        Err(error) => answer::refusal(&Native, &error),
    }
}

/// Whose session it is to be.
#[derive(Deserialize)]
struct SessionRequest {
    user_id: Option<Value>,
    anonymous_id: Option<Value>,
}

/// Names a session. Keeps nothing: the name is new, and events carry it from now on.
async fn start_session(State(door): State<Arc<Door>>, request: Request) -> Response {
    match session_id(&door, request).await {
        Ok(session_id) => (StatusCode::CREATED, Json(json!({ "session_id": session_id }))).into_response(),
        Err(error) => answer::refusal(&Native, &error),
    }
}

async fn session_id(door: &Door, request: Request) -> Result<Uuid, IngestError> {
    let (parts, body) = request.into_parts();
    let body = door.open_small(&parts, body).await?;
    let wanted: SessionRequest = serde_json::from_slice(&body)
        .map_err(|error| IngestError::invalid(format!("the body is not a session request: {error}")))?;
    if !names_somebody(&wanted.user_id) && !names_somebody(&wanted.anonymous_id) {
        return Err(IngestError::invalid("send `user_id` or `anonymous_id`, a string that is not empty"));
    }
    Ok(door.new_session_id())
}

fn names_somebody(id: &Option<Value>) -> bool {
    match id {
        Some(Value::String(id)) => !id.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    }
}
