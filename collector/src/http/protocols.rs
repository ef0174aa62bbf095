//! The APIs that others define, under the paths that their SDKs send to.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use intake::protocol::amplitude::Amplitude;
use intake::protocol::ga4::{self, Ga4};
use intake::protocol::jitsu::Jitsu;
use intake::protocol::mixpanel::MIXPANEL;
use intake::protocol::native::Native;
use intake::protocol::otlp::{OTLP_JSON, OTLP_PROTOBUF, PROTOBUF_TYPE};
use intake::protocol::plausible::Plausible;
use intake::protocol::posthog::PostHog;
use intake::protocol::segment::{Segment, SegmentPixel};
use intake::protocol::snowplow::{self, Snowplow, SnowplowPixel};
use intake::protocol::umami::{Umami, UmamiBatch};
use intake::protocol::visits::Visits;

use super::resource::Resource;
use super::{answer, ingest};
use crate::door::{Door, text_of};

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

/// The paths of Mixpanel's API.
pub(super) const MIXPANEL_PATHS: [&str; 4] = ["/track", "/import", "/engage", "/groups"];

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

/// `/batch` is PostHog's address, too: its protocol tells them apart.
pub(super) fn amplitude() -> Resource {
    Resource::default().endpoint("POST", "/2/httpapi", ingest::from_body(&Amplitude))
}

pub(super) fn mixpanel() -> Resource {
    MIXPANEL_PATHS.iter().fold(Resource::default(), |resource, path| {
        resource.endpoint("POST", path, ingest::from_body(&MIXPANEL)).endpoint(
            "GET",
            path,
            ingest::from_image(&MIXPANEL),
        )
    })
}

pub(super) fn jitsu() -> Resource {
    ["/api/s/{call}", "/api/s/s2s/{call}"]
        .iter()
        .fold(Resource::default(), |resource, path| resource.endpoint("POST", path, ingest::from_body(&Jitsu)))
}

pub(super) fn otlp() -> Resource {
    Resource::default().endpoint("POST", "/v1/logs", post(take_logs))
}

/// Takes the logs of OpenTelemetry in the encoding that their type names. It is answered in the same.
async fn take_logs(State(door): State<Arc<Door>>, request: Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).map(text_of).unwrap_or_default();
    let is_protobuf = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(PROTOBUF_TYPE));
    ingest::ingest(&door, if is_protobuf { &OTLP_PROTOBUF } else { &OTLP_JSON }, request).await
}

/// Says what is wrong with a request, and stores nothing of it.
async fn validate(State(door): State<Arc<Door>>, request: Request) -> Response {
    match door.inspect(&Ga4, request).await {
        Ok((message, context)) => Json(ga4::validate(&message, &context)).into_response(),
        Err(error) => answer::refusal(&Native, &error),
    }
}
