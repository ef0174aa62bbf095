//! Serves connections, with limits on their number, on the time to send headers and on the time to end at shutdown.
//!
//! Not `axum::serve`, which lets a connection take any time to send its headers.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Routes;
use crate::door::Peer;

/// How long a connection may take to send the headers of a request, or stay idle between two requests. This is longer
/// than load balancers keep idle connections (usually 60 s), so that they close first: otherwise a request could arrive
/// while the connection is being closed here.
const HEADERS_WITHIN: Duration = Duration::from_secs(75);

/// How long requests in flight may take to finish at shutdown.
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// The most that a request line and its headers may take, and that is read ahead of a body.
const BUFFER_BYTES: usize = 64 * 1024;

/// The pause after a failure to accept. It usually means that file descriptors ran out: wait for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves `routes` until `shutdown`, then stops accepting, lets requests in flight end, and returns.
///
/// Idle connections are closed at once; those that are still busy after 20 seconds are cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Routes,
    connections_max: usize,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let connections = TaskTracker::new();
    let slots = Arc::new(Semaphore::new(connections_max));
    let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
    loop {
        let (stream, peer, slot) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        connections.spawn(connection(stream, peer, routes.clone(), drain.clone(), cut.clone(), slot));
    }
    // Before draining, so that a load balancer notices and sends nothing more here.
    drop(listener);
    connections.close();
    drain.cancel();
    if timeout(DRAIN_WITHIN, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "cut off connections that were still busy at shutdown");
        cut.cancel();
        connections.wait().await;
    }
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Peer, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("nobody closes this semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, Peer(peer.ip()), slot);
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    routes: Routes,
    drain: CancellationToken,
    cut: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let routes = routes.clone();
        async move { Ok::<_, Infallible>(routes.answer(request.map(Body::new)).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        // Clients may break off their connections at any time: that is not an error of the collector.
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
    }
}
