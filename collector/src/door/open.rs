//! Opening a request: its body is received and decompressed, within the limits of memory.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use intake::IngestError;
use intake::protocol::Message;

use super::body::RawBody;
use super::inflate::Encoding;
use super::offload::INLINE_BYTES_MAX;
use super::{Door, header_text};

/// A request whose body was received and decompressed.
pub(super) struct OpenRequest {
    pub(super) message: Message,
    /// The body as it was sent. Holds the memory of both forms.
    pub(super) raw: Arc<RawBody>,
}

impl Door {
    /// Receives a body that should be small and decompresses it.
    pub(crate) async fn open_small(&self, parts: &Parts, body: Body) -> Result<Bytes, IngestError> {
        let raw = self.body_limits.receive(body).await?;
        encoding_of(&raw, parts).inflate(raw.bytes.clone(), INLINE_BYTES_MAX)
    }

    /// Receives a body and decompresses it.
    pub(super) async fn open(&self, parts: &Parts, body: Body) -> Result<OpenRequest, IngestError> {
        let mut raw = self.body_limits.receive(body).await?;
        let encoding = encoding_of(&raw, parts);
        let (bytes, bytes_max) = (raw.bytes.clone(), self.settings.inflated_bytes_max);
        if encoding == Encoding::Plain {
            let body = encoding.inflate(bytes, bytes_max)?;
            return Ok(OpenRequest { message: Message { uri: parts.uri.clone(), body }, raw: Arc::new(raw) });
        }
        // Most bodies are small when decompressed, which cannot be told beforehand: try inline first.
        let body = match encoding.inflate(bytes.clone(), INLINE_BYTES_MAX.min(bytes_max)) {
            Err(IngestError::TooLarge { .. }) if bytes_max > INLINE_BYTES_MAX => {
                let held = Arc::new(raw);
                let inflated = self.offload.run_aside(&held, move || encoding.inflate(bytes, bytes_max)).await?;
                raw = Arc::into_inner(held).ok_or(IngestError::Closing)?;
                inflated
            }
            inflated => inflated?,
        };
        raw.grow(body.len()).map_err(|used_bytes| IngestError::Full { used_bytes })?;
        Ok(OpenRequest { message: Message { uri: parts.uri.clone(), body }, raw: Arc::new(raw) })
    }
}

fn encoding_of(raw: &RawBody, parts: &Parts) -> Encoding {
    Encoding::detect(&raw.bytes, header_text(&parts.headers, header::CONTENT_ENCODING).as_deref())
}
