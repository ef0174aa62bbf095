//! The collector's routes, and the one place where an outcome becomes a status code.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};
use uuid::Uuid;

use crate::door::Door;
use crate::error::IngestError;
use crate::protocol::ga4::{self, Ga4};
use crate::protocol::native::Native;
use crate::protocol::pixel::Pixel;
use crate::protocol::plausible::Plausible;
use crate::protocol::posthog::{self, PostHog};
use crate::protocol::segment::Segment;
use crate::protocol::snowplow::{Snowplow, SnowplowPixel};
use crate::protocol::umami::{Umami, UmamiBatch};
use crate::protocol::visits::Visits;
use crate::protocol::{Answer, Protocol};
use crate::{openapi, pages};

/// What there is to call.
const ENDPOINTS: [(&str, &str); 27] = [
    ("POST", "/v1/events"),
    ("POST", "/v1/session"),
    ("GET", "/v1/pixel.gif"),
    ("GET", "/tracker.js"),
    ("GET", "/openapi.json"),
    ("POST", "/visits"),
    ("POST", "/v1/batch"),
    ("POST", "/v1/import"),
    ("POST", "/v1/track"),
    ("POST", "/v1/page"),
    ("POST", "/v1/screen"),
    ("POST", "/v1/identify"),
    ("POST", "/v1/group"),
    ("POST", "/v1/alias"),
    ("POST", "/api/event"),
    ("POST", "/api/send"),
    ("POST", "/api/batch"),
    ("POST", "/batch"),
    ("POST", "/capture"),
    ("POST", "/e"),
    ("POST", "/i/v0/e"),
    ("POST", "/flags"),
    ("POST", "/decide"),
    ("POST", "/mp/collect"),
    ("POST", "/debug/mp/collect"),
    ("POST", "/com.snowplowanalytics.snowplow/tp2"),
    ("GET", "/i"),
];

/// How long browsers may remember that they are allowed to send.
const CORS_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// All routes of the collector.
pub(crate) fn router(door: Arc<Door>) -> Router {
    let mut router = pages::routes(door.settings());
    for (method, path) in ENDPOINTS {
        let Some(route) = route(path) else { continue };
        debug_assert!(matches!(method, "GET" | "POST"));
        router = router.route(path, route.clone()).route(&format!("{path}/"), route);
    }
    router
        .route("/", get(index))
        .route("/openapi.json", get(|| async { openapi::document() }))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(cors(door.clone()))
        .with_state(door)
}

/// What answers at a path.
fn route(path: &str) -> Option<MethodRouter<Arc<Door>>> {
    Some(match path {
        "/v1/events" => post(taking(&Native)),
        "/v1/session" => post(start_session),
        "/v1/pixel.gif" => get(taking(&Pixel)),
        "/visits" => post(taking(&Visits)),
        "/v1/batch" | "/v1/import" | "/v1/track" | "/v1/page" | "/v1/screen" | "/v1/identify" | "/v1/group"
        | "/v1/alias" => post(taking(&Segment)),
        "/api/event" => post(taking(&Plausible)),
        "/api/send" => post(taking(&Umami)),
        "/api/batch" => post(taking(&UmamiBatch)),
        "/batch" | "/capture" | "/e" | "/i/v0/e" => post(taking(&PostHog)),
        "/flags" | "/decide" => post(|| async { Json(posthog::no_flags()) }),
        "/mp/collect" => post(taking(&Ga4)),
        "/debug/mp/collect" => post(validate),
        "/com.snowplowanalytics.snowplow/tp2" => post(taking(&Snowplow)),
        "/i" => get(taking(&SnowplowPixel)),
        _ => return None,
    })
}

/// A handler that takes events of one protocol.
fn taking(
    protocol: &'static dyn Protocol,
) -> impl Fn(State<Arc<Door>>, Request) -> futures::future::BoxFuture<'static, Response> + Clone + Send + Sync + 'static
{
    move |State(door), request| Box::pin(async move { door.take(protocol, request).await })
}

/// Any page may send. Cookies travel only from the origins of sites that set one.
fn cors(door: Arc<Door>) -> CorsLayer {
    let with_cookie = AllowCredentials::predicate(move |origin: &HeaderValue, _| {
        origin.to_str().is_ok_and(|origin| door.directory.has_cookie_origin(origin))
    });
    CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_credentials(with_cookie)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(CORS_MAX_AGE)
}

fn endpoints() -> Vec<String> {
    ENDPOINTS.iter().map(|(method, path)| format!("{method} {path}")).collect()
}

async fn index() -> impl IntoResponse {
    Json(json!({ "name": "dewpond collector", "endpoints": endpoints() }))
}

async fn no_such_path(uri: Uri) -> impl IntoResponse {
    let message = format!("there is nothing at {}; see `endpoints`", uri.path());
    (StatusCode::NOT_FOUND, Json(json!({ "message": message, "endpoints": endpoints() })))
}

async fn no_such_method(method: Method, uri: Uri) -> impl IntoResponse {
    let message = format!("{method} is not for {}; see `endpoints`", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, Json(json!({ "message": message, "endpoints": endpoints() })))
}

async fn validate(State(door): State<Arc<Door>>, request: Request) -> Response {
    match door.inspect(&Ga4, request).await {
        Ok((message, context)) => Json(ga4::validate(&message, &context)).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Whose session it is to be.
#[derive(Deserialize)]
struct SessionRequest {
    user_id: Option<Value>,
    anonymous_id: Option<Value>,
}

/// Names a session. Keeps nothing: the name is new, and events carry it from now on.
async fn start_session(State(door): State<Arc<Door>>, request: Request) -> Result<Response, IngestError> {
    let (parts, body) = request.into_parts();
    let body = door.open_small(&parts, body).await?;
    let wanted: SessionRequest = serde_json::from_slice(&body)
        .map_err(|error| IngestError::invalid(format!("the body is not a session request: {error}")))?;
    if !names_somebody(&wanted.user_id) && !names_somebody(&wanted.anonymous_id) {
        return Err(IngestError::invalid("send `user_id` or `anonymous_id`, a string that is not empty"));
    }
    let session_id = Uuid::now_v7();
    Ok((StatusCode::CREATED, Json(json!({ "session_id": session_id }))).into_response())
}

fn names_somebody(id: &Option<Value>) -> bool {
    match id {
        Some(Value::String(id)) => !id.is_empty(),
        Some(Value::Number(_)) => true,
        _ => false,
    }
}

/// A transparent dot.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Json(status, body) => (status, Json(body)).into_response(),
            Self::Text(status, body) => (status, body).into_response(),
            Self::Gif => {
                let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")];
                (headers, GIF).into_response()
            }
            Self::Nothing(status) => status.into_response(),
        }
    }
}

impl IngestError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } => StatusCode::BAD_REQUEST,
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Full { .. } | Self::NotDurable | Self::KeysUnavailable | Self::Closing => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// The refusal in the words of a protocol.
    pub(crate) fn into_response_of(self, protocol: &dyn Protocol) -> Response {
        let body = protocol.refused(self.status(), &self);
        self.respond(body)
    }

    fn respond(self, body: Value) -> Response {
        let mut response = (self.status(), Json(body)).into_response();
        let header = match &self {
            Self::Unauthorized { .. } => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            // The rest of the body is still on its way: this connection is of no more use.
            Self::Slow { .. } => Some((header::CONNECTION, HeaderValue::from_static("close"))),
            Self::TooOften { retry_after_s, .. } => Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_s))),
            Self::Full { .. } | Self::NotDurable | Self::KeysUnavailable | Self::Closing => {
                Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
            }
            _ => None,
        };
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl IntoResponse for IngestError {
    fn into_response(self) -> Response {
        self.into_response_of(&Native)
    }
}
