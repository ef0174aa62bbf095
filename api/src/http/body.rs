//! The JSON body of a request. A field that an endpoint does not have is refused: whoever writes `"Role"` must not get the
//! role of somebody who wrote none.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// A request that changes something is a page of text.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;

/// A body that was read. One that is empty is `{}`.
pub(super) struct Sent<T>(pub(super) T);

/// What is sent to an endpoint that needs nothing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|error: BytesRejection| match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge { bytes_max: BODY_BYTES_MAX },
                _ => ApiError::invalid(error.body_text()),
            })?;
        let bytes = if bytes.is_empty() { Bytes::from_static(b"{}") } else { bytes };
        let read = serde_json::from_slice(&bytes);
        read.map(Self).map_err(|error| ApiError::invalid(format!("the body is not what is needed here: {error}")))
    }
}
