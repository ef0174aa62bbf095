//! The worker's side: takes parts of plans from coordinators and other workers, and runs them with its own credentials,
//! within its own limits, on the lake's published files alone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use datafusion::error::Result;
use datafusion_distributed::{
    DistributedExt, Worker as Service, WorkerPlanRewriteEvent, WorkerPlanRewriteEventResponse, WorkerQueryContext,
};
use engine::Engine;
use futures::stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Status};

use crate::channels::Channels;
use crate::connection::{Connection, WINDOW_BYTES};
use crate::greeting::{Build, Greeting};
use crate::tls::{ClusterTls, Tls, TlsError};
use crate::wire::Wire;

/// How often a worker whose lake has no table looks whether it has one now.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long encryption may take to begin.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long a coordinator may say nothing at all until it is asked whether it is there, and how long it may take to say so.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Connections that are being accepted.
const ACCEPTED_AHEAD: usize = 64;

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Other machines can reach it without showing who they are. Give the files, or another address.
    #[error(
        "--listen {0} can be reached from other machines, and whoever reaches a worker can read the lake: give \
         --cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The program's own file cannot be read.
    #[error("the file of this program could not be read, so that coordinators could not be told which build it is")]
    Program(#[source] io::Error),
    /// The socket failed.
    #[error("the worker stopped serving")]
    Serving(#[source] tonic::transport::Error),
}

/// A worker over one engine.
pub struct Worker {
    engine: Engine,
    greeting: Arc<Greeting>,
    tls: Option<Tls>,
}

impl Worker {
    /// A worker for this address.
    ///
    /// - `engine`: its memory, temporary disk and store are what plans may use.
    ///
    /// Fails with [`WorkerError::Open`] if others can reach the address and there is no TLS.
    pub fn new(engine: Engine, listen: SocketAddr, tls: &ClusterTls) -> Result<Self, WorkerError> {
        let tls = tls.read()?;
        if tls.is_none() && !listen.ip().is_loopback() {
            return Err(WorkerError::Open(listen));
        }
        let build = Build::of_this_program().map_err(WorkerError::Program)?;
        let greeting = Arc::new(Greeting::new(build, engine.lake().clone()));
        Ok(Self { engine, greeting, tls })
    }

    /// Serves until `shutdown`; what runs then, ends first.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), WorkerError> {
        // Whoever asks first must not be told that there is no lake.
        if !knows_lake(&self.greeting).await {
            let (greeting, shutdown) = (self.greeting.clone(), shutdown.clone());
            tokio::spawn(async move {
                while !knows_lake(&greeting).await {
                    tokio::select! {
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                        () = shutdown.cancelled() => return,
                    }
                }
            });
        }
        let (greeting, tls) = (self.greeting.clone(), self.tls.clone());
        let checked = InterceptedService::new(self.service().into_worker_server(), move |request: Request<()>| {
            let said = |name: &str| request.metadata().get(name)?.to_str().ok();
            greeting.check(said)?;
            Ok::<_, Status>(request)
        });
        Server::builder()
            .http2_keepalive_interval(Some(SILENT_FOR))
            .http2_keepalive_timeout(Some(SILENT_FOR))
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .add_service(checked)
            .serve_with_incoming_shutdown(accepted(listener, tls, shutdown.clone()), shutdown.cancelled_owned())
            .await
            .map_err(WorkerError::Serving)
    }

    fn service(&self) -> Service {
        let channels = Channels::new(self.greeting.clone(), self.tls.clone());
        let (engine, wire) = (self.engine.clone(), Arc::new(Wire::new(&self.engine)));
        let session = move |mut given: WorkerQueryContext| {
            let (engine, wire, channels) = (engine.clone(), wire.clone(), channels.clone());
            async move {
                let config = given.builder.config().take().unwrap_or_default();
                let own = engine.clone();
                let config = config
                    .with_distributed_channel_resolver(channels)
                    .with_distributed_worker_plan_rewrite_handler(move |sent: WorkerPlanRewriteEvent<'_>| {
                        wire.check(&sent.plan)?;
                        metrics::counter!("dewpond_cluster_tasks_total").increment(1);
                        Ok(WorkerPlanRewriteEventResponse::new(own.with_own_readers(sent.plan)?))
                    });
                Ok(engine.worker_state(config))
            }
        };
        Service::from_session_builder(session)
            .with_runtime_env(self.engine.runtime_env())
            .with_version(self.greeting.build().name().to_owned())
    }
}

/// Finds out which lake it is, which a lake without a table does not say yet.
async fn knows_lake(greeting: &Greeting) -> bool {
    greeting.know_lake().await.unwrap_or_else(|error| {
        tracing::warn!("the worker cannot read its lake: {}", lake::whole_text(&error));
        false
    })
}

/// The connections of a listener, each encrypted before anything else is done with it. One that never gets so far keeps no
/// other waiting.
fn accepted(
    listener: TcpListener,
    tls: Option<Tls>,
    shutdown: CancellationToken,
) -> impl futures::Stream<Item = io::Result<Accepted>> {
    let (sender, receiver) = mpsc::channel(ACCEPTED_AHEAD);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            let stream = match stream {
                Ok((stream, _)) => stream,
                // Too many files are open, or the other side is gone again.
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (tls, sender) = (tls.clone(), sender.clone());
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE_WITHIN, open(stream, tls)).await {
                    Ok(Ok(accepted)) => drop(sender.send(Ok(accepted)).await),
                    Ok(Err(error)) => tracing::warn!("somebody did not show who he is: {error}"),
                    Err(_) => tracing::debug!("somebody connected and said nothing"),
                }
            });
        }
    });
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

async fn open(stream: TcpStream, tls: Option<Tls>) -> io::Result<Accepted> {
    stream.set_nodelay(true)?;
    Ok(Accepted(match tls {
        Some(tls) => Box::new(tls.acceptor.accept(stream).await?),
        None => Box::new(stream),
    }))
}

/// A connection of somebody who has shown who he is.
struct Accepted(Box<dyn Connection>);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
