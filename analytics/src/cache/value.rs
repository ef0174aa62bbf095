//! A value of the cache.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::cached::Head;

/// A report as JSON, and what was found out about it once for everybody who reads the same bytes.
#[derive(Debug, Default)]
pub struct CachedJson {
    bytes: Bytes,
    etag: OnceLock<Bytes>,
    head: OnceLock<Option<Head>>,
    hushed: OnceLock<Arc<CachedJson>>,
}

impl CachedJson {
    /// Takes over bytes that are kept, or are to be.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// The JSON.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What tells it from any other, as an entity tag of HTTP: 32 hexadecimal digits of its BLAKE3 hash in quotes.
    pub fn etag(&self) -> &Bytes {
        self.etag.get_or_init(|| format!("\"{}\"", &blake3::hash(&self.bytes).to_hex()[..32]).into())
    }

    /// The same as others may read it.
    ///
    /// - `hush`: makes it of these bytes; the first one asked with is the one that counts.
    pub fn hushed(&self, hush: impl FnOnce(&[u8]) -> Vec<u8>) -> &Arc<Self> {
        self.hushed.get_or_init(|| Arc::new(Self::new(hush(&self.bytes))))
    }

    /// What tells whether it can be served; `None` if it is no report.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.get_or_init(|| serde_json::from_slice(&self.bytes).ok()).as_ref()
    }
}
