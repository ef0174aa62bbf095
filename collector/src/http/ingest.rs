//! The handlers that take events, one for each way a protocol sends them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use intake::protocol::{Answer, Protocol};

use super::answer;
use crate::door::{Acknowledgement, Door};

/// Takes the events in the bodies of a protocol.
pub(super) fn from_body(protocol: &'static dyn Protocol) -> MethodRouter<Arc<Door>> {
    post(move |State(door): State<Arc<Door>>, request: Request| async move { ingest(&door, protocol, request).await })
}

/// Takes the event in the address of an image. A HEAD request is not an event.
pub(super) fn from_image(protocol: &'static dyn Protocol) -> MethodRouter<Arc<Door>> {
    get(move |State(door): State<Arc<Door>>, request: Request| async move { ingest(&door, protocol, request).await })
        .head(|| async { answer::response(Answer::Gif) })
}

pub(super) async fn ingest(door: &Door, mut protocol: &'static dyn Protocol, request: Request) -> Response {
    match door.take(&mut protocol, request).await {
        Ok(Acknowledgement { receipt, cookie }) => {
            let mut response = answer::response(protocol.accepted(&receipt));
            if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => answer::refusal(protocol, &error),
    }
}
