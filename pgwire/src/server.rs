//! Listens for clients, and keeps them few enough.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engines, QueryLimits};
use lake::LakeError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::admission::keys::{Keys, TOKEN_USER};
use crate::admission::seats::{Full, Seats};
use crate::admission::tls::{TlsError, acceptor};
use crate::cancellation::Cancellations;
use crate::connection::{Door, Welcome, is_whole};
use crate::failure::advice;
use crate::messages::Transaction;
use crate::reader::Reader;
use crate::session::{Services, Session};
use crate::settings;

/// Clients of whom it is not known yet who they are.
const STRANGERS_MAX: usize = 64;

/// How long a client may take to say who it is.
const WELCOME_MAY_TAKE: Duration = Duration::from_secs(10);

/// How long sessions may take to end when the server does.
const FAREWELLS_MAY_TAKE: Duration = Duration::from_secs(20);

/// Where clients of the PostgreSQL protocol are served, and how.
#[derive(clap::Args, Clone, Debug)]
pub struct PgSettings {
    /// Address that answers SQL by the PostgreSQL protocol; port 0 picks a free port. Not served if not given.
    #[arg(long, env = "DEWPOND_PG_LISTEN", value_name = "ADDR")]
    pub pg_listen: Option<SocketAddr>,

    /// Certificate for TLS, with its chain, as a PEM file; then clients of other machines have to use it.
    #[arg(long, env = "DEWPOND_PG_TLS_CERT", value_name = "FILE")]
    pub pg_tls_cert: Option<PathBuf>,

    /// Key of the certificate, as a PEM file.
    #[arg(long, env = "DEWPOND_PG_TLS_KEY", value_name = "FILE")]
    pub pg_tls_key: Option<PathBuf>,

    /// Clients that may be connected at a time.
    #[arg(long, env = "DEWPOND_PG_CLIENTS_MAX", default_value_t = 200, value_name = "N")]
    pub pg_clients_max: usize,
}

/// Why clients cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// Others could read without a key. Issue one, set the token, or listen on loopback.
    #[error(
        "--pg-listen {0} can be reached from other machines, and nobody has a key: issue one with `dewpond key add`, set \
         --token, or listen on 127.0.0.1"
    )]
    NoKeys(SocketAddr),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The read keys cannot be read.
    #[error("the read keys cannot be read")]
    Keys(#[source] LakeError),
}

/// Serves clients of the PostgreSQL protocol.
pub struct PgServer {
    door: Arc<Door>,
    reader: Arc<Reader>,
    seats: Arc<Seats>,
    strangers: Arc<Semaphore>,
}

impl PgServer {
    /// A server for clients that come to `listen`.
    ///
    /// - `token`: opens the whole lake to the user `dewpond`. Without one, on loopback he needs none.
    /// - `own_user`: whoever runs the server, whom clients on this machine say they are unless they are told another name.
    ///   Without a token, on loopback he reads the whole lake, too.
    pub async fn new(
        engines: impl Into<Engines>,
        settings: &PgSettings,
        listen: SocketAddr,
        limits: QueryLimits,
        token: Option<&str>,
        own_user: Option<&str>,
    ) -> Result<Self, PgError> {
        let tls = acceptor(settings.pg_tls_cert.as_deref(), settings.pg_tls_key.as_deref())?;
        let token = token.filter(|token| !token.is_empty());
        let is_local = listen.ip().is_loopback();
        let trusted: Vec<String> = match is_local && token.is_none() {
            true => [TOKEN_USER].into_iter().chain(own_user).map(str::to_owned).collect(),
            false => vec![],
        };
        let engines = engines.into();
        let keys = Arc::new(Keys::new(engines.lakes().main().clone(), token, trusted));
        if !is_local {
            if !keys.are_there().await.map_err(PgError::Keys)? {
                return Err(PgError::NoKeys(listen));
            }
            if tls.is_none() {
                tracing::warn!(%listen, "answers leave this machine unencrypted: give --pg-tls-cert and --pg-tls-key");
            }
        }
        Ok(Self {
            door: Arc::new(Door { tls, keys, cancellations: Arc::default() }),
            reader: Arc::new(Reader::new(engines, limits)),
            seats: Seats::new(settings.pg_clients_max),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        })
    }

    /// Serves clients until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let services =
            Services { reader: self.reader.clone(), keys: self.door.keys.clone(), shutdown: shutdown.clone() };
        let mut sessions = JoinSet::new();
        loop {
            // Strangers wait outside until others have said who they are.
            let accepted = async {
                let place = self.strangers.clone().acquire_owned().await;
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accepted => accepted,
                _ = sessions.join_next(), if !sessions.is_empty() => continue,
            };
            let (Ok((socket, peer)), Ok(place)) = (accepted, place) else {
                // No file can be opened any more, most likely.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (door, seats, services) = (self.door.clone(), self.seats.clone(), services.clone());
            sessions.spawn(serve_client(door, seats, services, socket, peer, place));
        }
        drop(listener);
        let ended = async { while sessions.join_next().await.is_some() {} };
        if timeout(FAREWELLS_MAY_TAKE, ended).await.is_err() {
            tracing::warn!("sessions of the PostgreSQL protocol were cut off");
        }
    }
}

async fn serve_client(
    door: Arc<Door>,
    seats: Arc<Seats>,
    services: Services,
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
) {
    let _ = socket.set_nodelay(true);
    let welcome = tokio::select! {
        () = services.shutdown.cancelled() => return,
        welcome = timeout(WELCOME_MAY_TAKE, door.welcome(socket, peer)) => welcome,
    };
    drop(place);
    let Ok(Some(Welcome { mut wire, client })) = welcome else { return };
    let _seat = match seats.take(&client.user, !is_whole(&client.access)) {
        Ok(seat) => seat,
        Err(full) => {
            let message = match full {
                Full::All => "there are too many clients",
                Full::Own => "this key has as many connections as are left for others",
            };
            wire.answers().error("FATAL", &advice("53300", message, "Close a connection, or raise --pg-clients-max."));
            let _ = timeout(Duration::from_secs(1), wire.flush()).await;
            return;
        }
    };
    let cancel = Cancellations::join(&door.cancellations);
    tracing::debug!(%peer, user = client.user, whole_lake = is_whole(&client.access), "a client came");
    let mut answers = wire.answers();
    answers.authentication_ok();
    for name in settings::TOLD {
        answers.setting(name, settings::value(name).unwrap_or_default());
    }
    answers.cancel_key(cancel.process, cancel.secret);
    answers.ready(Transaction::None);
    let Ok(Ok(())) = timeout(WELCOME_MAY_TAKE, wire.flush()).await else { return };
    metrics::gauge!("pgwire_clients").increment(1.0);
    // A session that fails on a defect must not stay among the clients.
    let _left = Left;
    Session::new(wire, services, client, cancel).serve().await;
}

/// Dropped when a client has left.
struct Left;

impl Drop for Left {
    fn drop(&mut self) {
        metrics::gauge!("pgwire_clients").decrement(1.0);
    }
}
