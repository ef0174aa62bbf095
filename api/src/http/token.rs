//! The server's token: every request carries it, or none needs one.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;

/// Lets a request with `Authorization: Bearer TOKEN` through.
pub(super) async fn require(State(token): State<Arc<str>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION);
    let sent = sent.and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")).unwrap_or_default();
    // Hashes have one length, so the time of the comparison says nothing about the token.
    if blake3::hash(sent) == blake3::hash(token.as_bytes()) {
        return next.run(request).await;
    }
    ([(header::WWW_AUTHENTICATE, "Bearer")], ApiError::WithoutToken).into_response()
}
