//! Answers as responses, and the one place where an outcome becomes a status code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use intake::IngestError;
use intake::protocol::{Answer, Protocol};

/// A transparent dot.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The response that carries a protocol's answer.
pub(super) fn response(answer: Answer) -> Response {
    match answer {
        Answer::Json(status, body) => (status, Json(body)).into_response(),
        Answer::Text(status, body) => (status, body).into_response(),
        Answer::Protobuf(status, body) => {
            (status, [(header::CONTENT_TYPE, "application/x-protobuf")], body).into_response()
        }
        Answer::Gif => {
            let headers = [(header::CONTENT_TYPE, "image/gif"), (header::CACHE_CONTROL, "no-store")];
            (headers, GIF).into_response()
        }
        Answer::Nothing(status) => status.into_response(),
    }
}

/// The response to a request that is refused, with a body in the words of its protocol.
pub(super) fn refusal(protocol: &dyn Protocol, error: &IngestError) -> Response {
    let mut response = self::response(protocol.refusal(status_of(error), error));
    let header = match error {
        IngestError::Unauthorized { .. } => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        // The rest of the body may still arrive, so this connection cannot be reused.
        IngestError::Slow { .. } => Some((header::CONNECTION, HeaderValue::from_static("close"))),
        IngestError::TooOften { retry_after_s, .. } => Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_s))),
        IngestError::Full { .. } | IngestError::NotDurable | IngestError::KeysUnavailable | IngestError::Closing => {
            Some((header::RETRY_AFTER, HeaderValue::from_static("1")))
        }
        IngestError::Invalid { .. } | IngestError::Forbidden { .. } | IngestError::TooLarge { .. } => None,
    };
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value);
    }
    response
}

/// The status of a refusal. Nothing else decides it.
fn status_of(error: &IngestError) -> StatusCode {
    match error {
        IngestError::Invalid { .. } => StatusCode::BAD_REQUEST,
        IngestError::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
        IngestError::Forbidden { .. } => StatusCode::FORBIDDEN,
        IngestError::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        IngestError::Slow { .. } => StatusCode::REQUEST_TIMEOUT,
        IngestError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        IngestError::Full { .. } | IngestError::NotDurable | IngestError::KeysUnavailable | IngestError::Closing => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
