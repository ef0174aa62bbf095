//! Receives request bodies, bounded in size, time and memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody};
use bytes::{Bytes, BytesMut};
use futures::{FutureExt, StreamExt};
use tokio::time::timeout;

use crate::budget::{Budget, Reservation};
use intake::IngestError;

/// How long to go on reading a body that is refused. A sender that is cut off while writing sees a broken
/// connection instead of the reason.
const DISCARD_FOR: Duration = Duration::from_secs(1);

/// A body as it was sent, with the memory reserved for it.
pub(super) struct RawBody {
    pub(super) bytes: Bytes,
    memory: Reservation,
}

impl RawBody {
    /// Reserves memory for the decompressed body, too. If there is none, fails with the bytes that are in use.
    pub(super) fn grow(&mut self, more_bytes: usize) -> Result<(), usize> {
        match self.memory.grow(more_bytes) {
            true => Ok(()),
            false => Err(self.memory.used_bytes()),
        }
    }
}

/// Limits of one body in size and time, and of all bodies together in memory.
#[derive(Clone)]
pub(super) struct BodyLimits {
    pub(super) bytes_max: usize,
    pub(super) timeout: Duration,
    /// Shared by all bodies that are being received.
    pub(super) memory: Arc<Budget>,
}

impl BodyLimits {
    /// Receives a body.
    ///
    /// Fails with [`IngestError::TooLarge`], [`IngestError::Slow`], [`IngestError::Full`], or
    /// [`IngestError::Invalid`] if the sender hung up.
    pub(super) async fn receive(&self, body: Body) -> Result<RawBody, IngestError> {
        let announced_bytes = body.size_hint().lower();
        let mut chunks = body.into_data_stream();
        let received = match timeout(self.timeout, self.read(announced_bytes, &mut chunks)).await {
            Ok(received) => received,
            Err(_elapsed) => {
                return Err(IngestError::Slow { waited: humantime::format_duration(self.timeout).to_string() });
            }
        };
        if received.is_err() {
            discard_rest(chunks).boxed().await;
        }
        received
    }

    async fn read(&self, announced_bytes: u64, chunks: &mut BodyDataStream) -> Result<RawBody, IngestError> {
        let too_large =
            || IngestError::too_large(format!("the body is larger than {} bytes; send it in pieces", self.bytes_max));
        if announced_bytes > self.bytes_max as u64 {
            return Err(too_large());
        }
        let mut memory = self.memory.reservation();
        let mut bytes = Bytes::new();
        let mut grown = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk
                .map_err(|error| IngestError::invalid(format!("the body ended before it was complete: {error}")))?;
            if bytes.len() + grown.len() + chunk.len() > self.bytes_max {
                return Err(too_large());
            }
            if !memory.grow(chunk.len()) {
                return Err(IngestError::Full { used_bytes: self.memory.used_bytes() });
            }
            // Most bodies are one chunk and need no copy.
            if bytes.is_empty() && grown.is_empty() {
                bytes = chunk;
            } else {
                grown.extend_from_slice(&std::mem::take(&mut bytes));
                grown.extend_from_slice(&chunk);
            }
        }
        let bytes = if grown.is_empty() { bytes } else { grown.freeze() };
        Ok(RawBody { bytes, memory })
    }
}

/// Reads a body for a moment and throws it away.
pub(super) async fn discard(body: Body) {
    discard_rest(body.into_data_stream()).await;
}

async fn discard_rest(mut chunks: BodyDataStream) {
    let _ = timeout(DISCARD_FOR, async { while let Some(Ok(_)) = chunks.next().await {} }).await;
}
