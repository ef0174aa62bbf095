//! A connection: messages in, messages out, and whether anybody is still there.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::messages::{Answers, Greeting, Malformed, Request, take_greeting, take_request};

/// Bytes that are read ahead while a query runs, to notice that the client went away.
const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 10;

/// A buffer that is larger than this is given back once it is empty.
const KEPT_BYTES_MAX: usize = 16 << 10;

/// Anything that bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Why nothing more comes from a client.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It went away.
    Gone,
    /// It sent what is no message.
    Malformed(Malformed),
}

impl From<io::Error> for Ended {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Malformed> for Ended {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// One connection.
pub(crate) struct Wire<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    /// Whether the client has shown who it is.
    known: bool,
}

impl<S: Stream> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), known: false }
    }

    /// The stream, if nothing was read of it that was not asked for yet.
    pub(crate) fn into_stream(self) -> Option<S> {
        self.input.is_empty().then_some(self.stream)
    }

    /// The same connection with another type of stream.
    pub(crate) fn map<T>(self, change: impl FnOnce(S) -> T) -> Wire<T> {
        Wire { stream: change(self.stream), input: self.input, output: self.output, known: self.known }
    }

    /// From now on the client may send long messages.
    pub(crate) fn set_known(&mut self) {
        self.known = true;
    }

    /// The client's first message.
    pub(crate) async fn greeting(&mut self) -> Result<Greeting, Ended> {
        loop {
            if let Some(greeting) = take_greeting(&mut self.input)? {
                return Ok(greeting);
            }
            self.read().await?;
        }
    }

    /// The client's next message. May be dropped and asked for again.
    pub(crate) async fn request(&mut self) -> Result<Request, Ended> {
        loop {
            if let Some(request) = take_request(&mut self.input, self.known)? {
                return Ok(request);
            }
            self.read().await?;
        }
    }

    /// Returns once the client has gone, and not before. What it sends meanwhile waits for [`request`](Self::request).
    pub(crate) async fn gone(&mut self) {
        loop {
            if self.input.len() >= AHEAD_BYTES_MAX {
                return std::future::pending().await;
            }
            if self.read().await.is_err() {
                return;
            }
        }
    }

    async fn read(&mut self) -> Result<(), Ended> {
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES_MAX {
            self.input = BytesMut::new();
        }
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Ended::Gone),
            _ => Ok(()),
        }
    }

    /// Messages to the client, which [`flush`](Self::flush) sends.
    pub(crate) fn answers(&mut self) -> Answers<'_> {
        Answers(&mut self.output)
    }

    /// Bytes that are not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Sends what is not sent yet. May be dropped and asked for again.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => self.output.advance(sent),
            }
        }
        if self.output.capacity() > KEPT_BYTES_MAX {
            self.output = BytesMut::new();
        }
        self.stream.flush().await
    }

    /// Sends one byte that is no message.
    pub(crate) async fn send_byte(&mut self, byte: u8) -> io::Result<()> {
        self.stream.write_all(&[byte]).await?;
        self.stream.flush().await
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        let _ = self.stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_client_that_goes_away_is_noticed_while_it_is_not_asked() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut wire = Wire::new(ours);
        theirs.write_all(b"S\0\0\0\x04").await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(50), wire.gone()).await;
        assert!(waiting.is_err(), "it is there");
        drop(theirs);
        wire.gone().await;
        assert!(matches!(wire.request().await, Ok(Request::Sync)), "what it sent is not lost");
    }

    #[tokio::test]
    async fn no_more_is_read_ahead_than_a_little() {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let mut wire = Wire::new(ours);
        theirs.write_all(&vec![0; 1 << 20]).await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(50), wire.gone()).await;
        assert!(wire.input.len() < 2 * AHEAD_BYTES_MAX, "{}", wire.input.len());
    }
}
