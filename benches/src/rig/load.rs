//! The load generator: keep-alive HTTP/1.1 over plain sockets, one request in flight per connection.
//!
//! It runs on one thread, because it shares the machine with the server. A connection sends its next request
//! once it has the answer to the last one, so the load and the response times grow with the number of connections.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use chrono::Utc;
use futures::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::rig::request::Request;

/// Answers are a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 4 * 1_024;

/// Connections opened at once, and the pause after them. A listener's queue holds 128 here, and a connection that
/// finds it full retries only after a second.
const BURST: u32 = 32;
const BURST_PAUSE: Duration = Duration::from_millis(2);

/// The load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) write_key: String,
    pub(crate) connections: u32,
    /// Events per request.
    pub(crate) batch: usize,
    /// Time to send before measuring.
    pub(crate) warm_up: Duration,
    /// Time to send while measuring.
    pub(crate) seconds: Duration,
}

/// The answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Requests acknowledged while measuring.
    pub(crate) requests: u64,
    /// Requests acknowledged at any time, including the warm-up and the end.
    pub(crate) acknowledged: u64,
    /// Requests answered with anything else.
    pub(crate) refused: u64,
    /// Times of acknowledgements while measuring, in µs, ascending.
    times_us: Vec<u32>,
}

impl Answers {
    /// The time, in ms, within which this share of the acknowledgements came.
    pub(crate) fn time_ms(&self, share: f64) -> f64 {
        let last = self.times_us.len().saturating_sub(1);
        let at = (self.times_us.len() as f64 * share) as usize;
        self.times_us.get(at.min(last)).map_or(0.0, |us| f64::from(*us) / 1e3)
    }

    /// Of several connections.
    pub(crate) fn of_all(each: impl IntoIterator<Item = Self>) -> Self {
        let mut answers = each.into_iter().fold(Self::default(), Self::merge);
        answers.times_us.sort_unstable();
        answers
    }

    /// Counts an acknowledgement.
    pub(crate) fn add(&mut self, started: Instant, ended: Instant, measured: &Range<Instant>) {
        self.acknowledged += 1;
        if measured.contains(&ended) {
            self.requests += 1;
            self.times_us.push((ended - started).as_micros().try_into().unwrap_or(u32::MAX));
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.times_us.extend(other.times_us);
        self
    }
}

/// Sends a load from a thread of its own, and waits for the answers to all its requests.
pub(crate) async fn send(load: Load) -> anyhow::Result<Answers> {
    let sending = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(send_all(&load))
    });
    sending.await?
}

async fn send_all(load: &Load) -> anyhow::Result<Answers> {
    let mut streams = Vec::new();
    for number in 1..=load.connections {
        let stream = TcpStream::connect(load.address).await.context("could not connect; `ulimit -n` may be too low")?;
        stream.set_nodelay(true)?;
        streams.push(stream);
        if number % BURST == 0 {
            sleep(BURST_PAUSE).await;
        }
    }
    let from = Instant::now() + load.warm_up;
    let until = from + load.seconds;
    let senders = streams.into_iter().zip(0..).map(|(stream, connection)| {
        let request = Request::new(connection, load.batch, &load.write_key, Utc::now());
        tokio::spawn(send_on(stream, request, from..until))
    });
    let sent: anyhow::Result<Vec<Answers>> = try_join_all(senders).await?.into_iter().collect();
    Ok(Answers::of_all(sent?))
}

async fn send_on(mut stream: TcpStream, mut request: Request, measured: Range<Instant>) -> anyhow::Result<Answers> {
    let mut answers = Answers::default();
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let started = Instant::now();
        if started >= measured.end {
            return Ok(answers);
        }
        stream.write_all(request.renewed()).await.context("the server hung up")?;
        if read_status(&mut stream, &mut buffer).await? != 202 {
            answers.refused += 1;
            continue;
        }
        answers.add(started, Instant::now(), &measured);
    }
}

/// Reads one answer and returns its status.
pub(crate) async fn read_status(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<u16> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.context("the server hung up")?;
        if read == 0 {
            bail!("the server closed a connection, or its answer is longer than {} bytes", buffer.len());
        }
        filled += read;
        if let Some((status, length)) = parse_head(&buffer[..filled])
            && filled >= length
        {
            return Ok(status);
        }
    }
}

/// The status of an answer and its length with its body, once its head is complete.
fn parse_head(answer: &[u8]) -> Option<(u16, usize)> {
    let head_bytes = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&answer[..head_bytes]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body_bytes: usize = match status {
        304 => 0,
        _ => head.lines().find_map(|line| line.strip_prefix("content-length: "))?.trim().parse().ok()?,
    };
    Some((status, head_bytes + body_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_body() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(parse_head(answer), Some((202, answer.len())));
        assert_eq!(parse_head(&answer[..30]), None);
        let unchanged = b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n";
        assert_eq!(parse_head(unchanged), Some((304, unchanged.len())));
    }

    #[test]
    fn a_share_of_the_answers_keeps_within_a_time() {
        let answers = Answers { times_us: (1..=100).map(|ms| ms * 1_000).collect(), ..Answers::default() };
        assert_eq!((answers.time_ms(0.5), answers.time_ms(0.99), answers.time_ms(1.0)), (51.0, 100.0, 100.0));
        assert_eq!(Answers::default().time_ms(0.5), 0.0);
    }
}
