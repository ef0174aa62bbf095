//! Bytes to and from another process, encrypted or not.

use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes that either side may be ahead of the other.
pub(crate) const WINDOW_BYTES: u32 = 8 << 20;

/// A connection, whatever it is made of.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}
