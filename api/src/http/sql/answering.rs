//! A query under way: its answer whole, if it is short, or as a stream that goes no faster than its reader.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use engine::{AnswerError, LimitedRows};
use futures::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};

use super::encoder::Encoder;
use super::format::Format;
use super::turn::Turn;
use crate::http::error::ApiError;

/// An answer of up to so many bytes is sent whole: with a status that fits whatever happens, and so that it can be kept.
const WHOLE_BYTES_MAX: usize = 1 << 20;

/// Pieces of a stream that may wait for its reader.
const PIECES_AHEAD: usize = 2;

/// How long the last words of a cut answer wait for a reader who is behind.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(10);

/// How long a connection has to send them before it ends.
const LAST_WORDS_FLUSH: Duration = Duration::from_secs(1);

/// A query and what has been written of its answer.
pub(super) struct Answering {
    rows: LimitedRows,
    encoder: Encoder,
    /// Bytes that were taken from the encoder.
    bytes: u64,
    bytes_max: u64,
    /// One of the queries that may run at a time.
    _turn: Turn,
}

/// How an answer begins.
pub(super) enum Beginning {
    /// With all of it.
    Whole(Bytes),
    /// With a part, of which there is more.
    Part(Bytes),
}

/// A piece of a stream.
enum Piece {
    Bytes(Bytes),
    End,
}

impl Answering {
    /// - `bytes_max`: what the answer may have, as it is sent.
    pub(super) fn start(rows: LimitedRows, format: Format, bytes_max: u64, turn: Turn) -> Result<Self, ApiError> {
        let encoder = Encoder::start(format, rows.schema()).map_err(of_format)?;
        Ok(Self { rows, encoder, bytes: 0, bytes_max, _turn: turn })
    }

    /// Waits for the beginning of the answer.
    pub(super) async fn begin(&mut self) -> Result<Beginning, ApiError> {
        loop {
            if !self.step().await? {
                return Ok(Beginning::Whole(self.take()));
            }
            if self.encoder.len() > WHOLE_BYTES_MAX {
                return Ok(Beginning::Part(self.take()));
            }
        }
    }

    /// All of the answer, of which there is more than its beginning. If it is dropped, the query ends.
    pub(super) fn stream(self, beginning: Bytes) -> Body {
        let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
        tokio::spawn(self.pump(sender));
        let beginning = stream::once(async { Ok(beginning) });
        Body::from_stream(beginning.chain(until_the_end(pieces)))
    }

    /// Writes some more rows, or the end. Returns whether there is more.
    async fn step(&mut self) -> Result<bool, ApiError> {
        let batch = self.rows.next().await.map_err(ApiError::Query)?;
        let more = batch.is_some();
        match batch {
            Some(batch) => self.encoder.write(batch).map_err(of_format)?,
            None => self.encoder.finish().map_err(of_format)?,
        }
        match self.bytes + self.encoder.len() as u64 > self.bytes_max {
            true => Err(ApiError::invalid(format!(
                "the answer has more than {} bytes: count or group its rows, add a LIMIT, or raise --sql-bytes-max",
                self.bytes_max
            ))),
            false => Ok(more),
        }
    }

    fn take(&mut self) -> Bytes {
        let taken = self.encoder.take();
        self.bytes += taken.len() as u64;
        taken
    }

    /// Sends the answer to its reader, for as long as he reads and the query may take. A reader who reads nothing keeps no
    /// query beyond its time.
    async fn pump(mut self, reader: mpsc::Sender<Piece>) {
        loop {
            let step = tokio::select! {
                biased;
                () = reader.closed() => return count("left"),
                step = self.step() => step,
            };
            let more = match step {
                Ok(more) => more,
                Err(error) => return self.cut(&error, &reader).await,
            };
            let deadline = self.rows.deadline();
            let piece = Piece::Bytes(self.take());
            let pieces = if more { vec![piece] } else { vec![piece, Piece::End] };
            for piece in pieces {
                match timeout_at(deadline, reader.send(piece)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return count("left"),
                    Err(_) => {
                        let error = ApiError::Query(self.rows.too_late());
                        return self.cut(&error, &reader).await;
                    }
                }
            }
            if !more {
                return count("whole");
            }
        }
    }

    /// Ends the query, and the answer so that its reader can tell.
    async fn cut(mut self, error: &ApiError, reader: &mpsc::Sender<Piece>) {
        count("cut");
        self.encoder.cut(&error.words());
        let last_words = Piece::Bytes(self.encoder.take());
        // Nobody waits for him but these words.
        drop(self);
        // If he reads nothing, the end of the connection tells him.
        let _ = timeout(LAST_WORDS_WAIT, reader.send(last_words)).await;
    }
}

/// The pieces up to the end. If there is none, the last is an error, and the connection ends without the body's end.
fn until_the_end(pieces: mpsc::Receiver<Piece>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        match pieces.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(pieces))),
            Some(Piece::End) => None,
            None => {
                // With an error, the connection drops what it has not sent yet, which would be the last words.
                sleep(LAST_WORDS_FLUSH).await;
                Some((Err(io::Error::other("the answer was cut")), None))
            }
        }
    })
}

fn of_format(error: AnswerError) -> ApiError {
    ApiError::invalid(error.to_string())
}

/// Counts a query by how it ended.
pub(super) fn count(outcome: &'static str) {
    metrics::counter!("dewpond_sql_queries_total", "outcome" => outcome).increment(1);
}
