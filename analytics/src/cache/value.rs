//! A value of the cache.

use std::sync::OnceLock;

use bytes::Bytes;

use crate::cached::Head;

/// A report as JSON, and what was found out about it once for everybody who reads the same bytes.
#[derive(Debug, Default)]
pub struct CachedJson {
    bytes: Bytes,
    digest: OnceLock<String>,
    head: OnceLock<Option<Head>>,
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

    /// What tells it from any other: 32 hexadecimal digits of its BLAKE3 hash.
    pub fn digest(&self) -> &str {
        self.digest.get_or_init(|| blake3::hash(&self.bytes).to_hex()[..32].to_owned())
    }

    /// What tells whether it can be served; `None` if it is no report.
    pub(crate) fn head(&self) -> Option<&Head> {
        self.head.get_or_init(|| serde_json::from_slice(&self.bytes).ok()).as_ref()
    }
}
