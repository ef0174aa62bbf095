//! Real connections: those that are slow, those that idle, and how serving ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use collector::Settings;
use lake::Lake;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{EVENT, World};

/// A collector that listens.
struct Served {
    address: SocketAddr,
    lake: Lake,
    write_key: String,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn serve(settings: Settings) -> Served {
    let World { lake, collector, write_key, .. } = World::with(settings).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, stopped) = oneshot::channel();
    let serving = tokio::spawn(async move { collector.serve(listener, async { drop(stopped.await) }).await });
    Served { address, lake, write_key, shutdown, serving }
}

impl Served {
    /// Opens a connection and sends the headers of a request with a body of `body_bytes`.
    async fn begin(&self, body_bytes: usize) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let key = &self.write_key;
        let head =
            format!("POST /v1/events HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: {body_bytes}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    }
}

/// Reads until the connection ends or an answer to an event is complete.
async fn answer(connection: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut chunk = [0; 4_096];
    while !answer.ends_with(b"}") {
        let read = connection.read(&mut chunk).await.unwrap();
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_half_sent_request_is_answered_in_time() {
    let served = serve(Settings { request_timeout: Duration::from_millis(100), ..Settings::default() }).await;
    let mut connection = served.begin(100).await;
    connection.write_all(b"{\"name\":").await.unwrap();
    let started = Instant::now();
    let answer = answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("did not arrive within 100ms"), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(connection.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
}

#[tokio::test]
async fn idle_connections_do_not_delay_shutdown() {
    let served = serve(Settings::default()).await;
    let mut idle = Vec::new();
    for n in 0..300 {
        let mut connection = served.begin(EVENT.len()).await;
        connection.write_all(EVENT.as_bytes()).await.unwrap();
        if n % 10 == 0 {
            assert!(answer(&mut connection).await.starts_with("HTTP/1.1 202 "));
        }
        idle.push(connection);
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    let started = Instant::now();
    served.shutdown.send(()).unwrap();
    served.serving.await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_request_in_flight_at_shutdown_is_acknowledged_and_new_ones_are_turned_away() {
    let served = serve(Settings::default()).await;
    let mut connection = served.begin(EVENT.len()).await;
    connection.write_all(&EVENT.as_bytes()[..10]).await.unwrap();
    // Let the server see the first half.
    tokio::time::sleep(Duration::from_millis(50)).await;
    served.shutdown.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(served.address).await.is_err());
    connection.write_all(&EVENT.as_bytes()[10..]).await.unwrap();
    let answer = answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    served.serving.await.unwrap();
    assert_eq!(served.lake.snapshot().await.unwrap().pending.len(), 1);
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let served = serve(Settings { connections_max: 1.try_into().unwrap(), ..Settings::default() }).await;
    let first = TcpStream::connect(served.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut second = served.begin(EVENT.len()).await;
    second.write_all(EVENT.as_bytes()).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), answer(&mut second)).await;
    assert!(early.is_err());
    drop(first);
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 202 "));
}

#[tokio::test]
async fn the_reason_reaches_a_sender_that_is_still_sending() {
    let served = serve(Settings { body_bytes_max: 1_000, ..Settings::default() }).await;
    let mut connection = served.begin(3_000_000).await;
    connection.write_all(&vec![b' '; 3_000_000]).await.unwrap();
    let answer = answer(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
