//! The OpenAPI document of the native API.
//!
//! The types here describe bodies to readers and tools. Bodies are not parsed with them, but event by event, so that a
//! bad event spoils no other and its refusal names the field.

#![allow(dead_code, reason = "the types and functions exist for the document that is made of them")]

use axum::Json;
use axum::routing::get;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoParams, Modify, OpenApi, ToSchema};

use super::resource::Resource;

/// Serves the document.
pub(super) fn resource() -> Resource {
    Resource::default().endpoint("GET", "/openapi.json", get(|| async { Json(Document::openapi()) }))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Dewpond collector",
        description = "Events in, durable before they are acknowledged. Send each event with an `event_id` of your own, \
                       and send again whatever was not acknowledged: it counts once."
    ),
    paths(send_events, start_session, send_by_image),
    modifiers(&Keys)
)]
struct Document;

struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A site's write key")).build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Api-Key")));
        components.add_security_scheme("header", header);
        let query = SecurityScheme::ApiKey(ApiKey::Query(ApiKeyValue::new("key")));
        components.add_security_scheme("query", query);
    }
}

/// One event. Fields that are not listed go to `properties`.
#[derive(ToSchema)]
struct NativeEvent {
    /// Identifies the event within its site: what is sent again with the same id counts once. A UUIDv7 is best; any
    /// text will do. An event without one gets a new one, and counts again when it is sent again.
    #[schema(max_length = 100, example = "0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b")]
    event_id: Option<Id>,
    /// What happened: `page_view`, `page_ping`, `object_in_view`, `object_interaction`, or a name of your own.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S", example = "page_view")]
    name: String,
    /// When it happened: RFC 3339, or seconds or milliseconds since 1970. At most 72 hours before and 5 minutes after its arrival;
    /// defaults to the arrival.
    timestamp: Option<Time>,
    /// The person, where known.
    #[schema(max_length = 512)]
    user_id: Option<Id>,
    /// The browser or device.
    #[schema(max_length = 512)]
    anonymous_id: Option<Id>,
    /// The session, if you count your own.
    #[schema(max_length = 512)]
    session_id: Option<Id>,
    /// The page's address.
    #[schema(max_length = 4096)]
    url: Option<String>,
    /// The address of the previous page.
    #[schema(max_length = 4096)]
    referrer: Option<String>,
    /// The page's title.
    #[schema(max_length = 4096)]
    title: Option<String>,
    /// What was seen or clicked.
    #[schema(max_length = 512)]
    object: Option<String>,
    /// An amount of money, with at most 14 digits before the point.
    revenue: Option<Amount>,
    /// The currency of `revenue`, such as EUR.
    #[schema(max_length = 512)]
    currency: Option<String>,
    /// The browser's language.
    #[schema(max_length = 512)]
    language: Option<String>,
    /// Screen size, such as 1920x1080.
    #[schema(max_length = 512)]
    screen: Option<String>,
    /// Window size.
    #[schema(max_length = 512)]
    viewport: Option<String>,
    /// Anything else, at most 32 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    properties: Option<Map<String, Value>>,
}

/// A text, or a number that counts as its text.
#[derive(ToSchema)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(f64),
}

/// RFC 3339, or seconds or milliseconds since 1970.
#[derive(ToSchema)]
#[serde(untagged)]
enum Time {
    Text(String),
    Milliseconds(f64),
}

/// A number, or a text that contains one.
#[derive(ToSchema)]
#[serde(untagged)]
enum Amount {
    Number(f64),
    Text(String),
}

/// Several events, with the fields that they share.
#[derive(ToSchema)]
struct Envelope {
    events: Vec<NativeEvent>,
    /// When this request was sent, by the sender's clock. Corrects the times of the events; set it again at each retry.
    sent_at: Option<Time>,
    /// The write key, where neither a header nor the address can carry it.
    key: Option<String>,
    /// One of the site's domains, on sites that take events without a key.
    site: Option<String>,
}

/// One event, an array, or an envelope. One event per line (NDJSON) is accepted, too.
#[derive(ToSchema)]
#[serde(untagged)]
enum Body {
    Envelope(Envelope),
    Events(Vec<NativeEvent>),
    Event(Box<NativeEvent>),
}

/// The accepted events are durable.
#[derive(Serialize, ToSchema)]
struct Acknowledgement {
    /// Accepted events, including duplicates.
    accepted: u64,
    /// Events that the same file already has.
    duplicates: u64,
    /// Events that were refused. Sending them again will not help.
    rejected: Vec<RejectedEvent>,
}

/// An event that was refused.
#[derive(Serialize, ToSchema)]
struct RejectedEvent {
    /// Its place in the request, from 0.
    index: u64,
    /// What is wrong with it.
    reason: String,
}

/// Why the request was refused.
#[derive(Serialize, ToSchema)]
struct Refusal {
    message: String,
    /// The events one by one, if they could be told apart.
    rejected: Option<Vec<RejectedEvent>>,
}

/// Send events
#[utoipa::path(
    post,
    path = "/v1/events",
    operation_id = "sendEvents",
    request_body(content = Body, content_type = "application/json"),
    responses(
        (status = 202, description = "Every accepted event is durable", body = Acknowledgement),
        (status = 400, description = "The request has no valid event; sending it again will not help", body = Refusal),
        (status = 401, description = "The write key is missing, unknown or revoked", body = Refusal),
        (status = 403, description = "The site does not take events from this origin", body = Refusal),
        (status = 408, description = "The body did not arrive in time", body = Refusal),
        (status = 413, description = "Too much at once; send it in pieces", body = Refusal),
        (status = 429, description = "Too often; come back after `Retry-After` seconds", body = Refusal),
        (status = 503, description = "Not durable; send it again, with the same ids", body = Refusal),
    ),
    security(("bearer" = []), ("header" = []), ("query" = []))
)]
fn send_events() {}

/// Whose session it is. One of the two is required.
#[derive(ToSchema)]
struct SessionRequest {
    user_id: Option<Id>,
    anonymous_id: Option<Id>,
}

/// A new session.
#[derive(Serialize, ToSchema)]
struct Session {
    session_id: String,
}

/// Start a session
///
/// Stores nothing: send the id with your events.
#[utoipa::path(
    post,
    path = "/v1/session",
    operation_id = "startSession",
    request_body = SessionRequest,
    responses(
        (status = 201, description = "A new session id", body = Session),
        (status = 400, description = "Neither `user_id` nor `anonymous_id` was given", body = Refusal),
        (status = 408, description = "The body did not arrive in time", body = Refusal),
        (status = 413, description = "Too much at once", body = Refusal),
        (status = 503, description = "Busy; send it again", body = Refusal),
    )
)]
fn start_session() {}

/// An event in an address: its fields are parameters, and those that are not listed go to `properties`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct ImageParams {
    /// What happened; `page_view` if not given.
    #[param(max_length = 200)]
    name: Option<String>,
    /// Identifies the event; without one, the same request within a second counts once.
    #[param(max_length = 100)]
    event_id: Option<String>,
    /// The person.
    #[param(max_length = 512)]
    user_id: Option<String>,
    /// The browser or device.
    #[param(max_length = 512)]
    anonymous_id: Option<String>,
    /// The page.
    #[param(max_length = 4096)]
    url: Option<String>,
    /// One of the site's domains, on sites that take events without a key.
    site: Option<String>,
}

/// Send an event as an image
///
/// For pages and emails without scripts.
#[utoipa::path(
    get,
    path = "/v1/pixel.gif",
    operation_id = "sendByImage",
    params(ImageParams),
    responses(
        (status = 200, description = "The event is durable; a transparent dot", content_type = "image/gif"),
        (status = 400, description = "The event is invalid", body = Refusal),
        (status = 401, description = "The write key is missing, unknown or revoked", body = Refusal),
        (status = 403, description = "The site does not take events from this origin", body = Refusal),
        (status = 413, description = "Too much at once", body = Refusal),
        (status = 429, description = "Too often; come back after `Retry-After` seconds", body = Refusal),
        (status = 503, description = "Not durable; send it again", body = Refusal),
    ),
    security(("query" = []), ("bearer" = []), ("header" = []))
)]
fn send_by_image() {}
