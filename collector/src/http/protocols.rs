//! The APIs that others define, under the paths that their SDKs send to.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use intake::protocol::ga4::{self, Ga4};
use intake::protocol::native::Native;
use intake::protocol::plausible::Plausible;
use intake::protocol::posthog::PostHog;
use intake::protocol::segment::{Segment, SegmentPixel};
use intake::protocol::snowplow::{self, Snowplow, SnowplowPixel};
use intake::protocol::umami::{Umami, UmamiBatch};
use intake::protocol::visits::Visits;

use super::resource::Resource;
use super::{answer, ingest};
use crate::door::Door;

/// The paths of Segment's API. The library for browsers uses those of one letter.
const SEGMENT: [&str; 15] = [
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
    // Of RudderStack's library, as a page is left.
    "/beacon/v1/batch",
];

/// The paths of calls in the address of an image: RudderStack's, then Segment's.
const SEGMENT_PIXEL: [&str; 8] = [
    "/pixel/v1/track",
    "/pixel/v1/page",
    "/v1/pixel/track",
    "/v1/pixel/page",
    "/v1/pixel/screen",
    "/v1/pixel/identify",
    "/v1/pixel/group",
    "/v1/pixel/alias",
];

pub(super) fn visits() -> Resource {
    Resource::default().endpoint("POST", "/visits", ingest::from_body(&Visits))
}

pub(super) fn plausible() -> Resource {
    Resource::default().endpoint("POST", "/api/event", ingest::from_body(&Plausible))
}

pub(super) fn umami() -> Resource {
    Resource::default().endpoint("POST", "/api/send", ingest::from_body(&Umami)).endpoint(
        "POST",
        "/api/batch",
        ingest::from_body(&UmamiBatch),
    )
}

pub(super) fn ga4() -> Resource {
    Resource::default().endpoint("POST", "/mp/collect", ingest::from_body(&Ga4)).endpoint(
        "POST",
        "/debug/mp/collect",
        post(validate),
    )
}

pub(super) fn snowplow() -> Resource {
    Resource::default().endpoint("POST", snowplow::PATH, ingest::from_body(&Snowplow)).endpoint(
        "GET",
        "/i",
        ingest::from_image(&SnowplowPixel),
    )
}

pub(super) fn posthog() -> Resource {
    let paths = ["/batch", "/capture", "/e", "/i/v0/e"];
    paths
        .iter()
        .fold(Resource::default(), |resource, path| resource.endpoint("POST", path, ingest::from_body(&PostHog)))
}

pub(super) fn segment() -> Resource {
    let calls = SEGMENT
        .iter()
        .fold(Resource::default(), |resource, path| resource.endpoint("POST", path, ingest::from_body(&Segment)));
    SEGMENT_PIXEL.iter().fold(calls, |resource, path| resource.endpoint("GET", path, ingest::from_image(&SegmentPixel)))
}

/// Says what is wrong with a request, and stores nothing of it.
async fn validate(State(door): State<Arc<Door>>, request: Request) -> Response {
    match door.inspect(&Ga4, request).await {
        Ok((message, context)) => Json(ga4::validate(&message, &context)).into_response(),
        Err(error) => answer::refusal(&Native, &error),
    }
}
