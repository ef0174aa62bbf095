//! Connections to workers, which coordinators have and workers among each other: kept open, encrypted where the worker is on
//! another machine, and given up when a worker does not answer.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion_distributed::grpc::{BoxCloneSyncChannel, create_worker_client};
use datafusion_distributed::{ChannelResolver, WorkerChannel};
use http::Request;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tower::{ServiceBuilder, service_fn};
use url::Url;

use crate::connection::{Connection, WINDOW_BYTES};
use crate::greeting::Greeting;
use crate::tls::Tls;

/// How long it may take until a worker has accepted.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long a worker may say nothing at all until it is asked whether it is there, and how long it may take to say so. A
/// process that hangs, or a machine that is gone, is lost after both.
const SILENT_FOR: Duration = Duration::from_secs(5);

/// How long a worker may take until it has taken a part, or begins to send one. (How long it then computes, the query's own
/// limit says.)
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A worker's place, as it is told to the others: the name by which the operator knows it, and an address of that name.
///
/// ```text
/// https://workers.example:9400/10.0.0.7
/// ```
pub(crate) fn place(name: &str, address: SocketAddr, is_encrypted: bool) -> Option<Url> {
    let scheme = if is_encrypted { "https" } else { "http" };
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    Url::parse(&format!("{scheme}://{name}:{}/{}", address.port(), address.ip())).ok()
}

/// The name and the address of a place.
fn name_and_address(place: &Url) -> Option<(String, SocketAddr)> {
    let address: IpAddr = place.path().trim_start_matches('/').parse().ok()?;
    // A scheme's own port is left out of a URL.
    let port = place.port_or_known_default()?;
    let name = place.host_str()?.trim_matches(['[', ']']).to_owned();
    Some((name, SocketAddr::new(address, port)))
}

/// The connections of a process. Clones share them.
#[derive(Clone)]
pub(crate) struct Channels {
    greeting: Arc<Greeting>,
    tls: Option<Tls>,
    open: Arc<Mutex<HashMap<Url, BoxCloneSyncChannel>>>,
    /// Where connections live: longer than the query that opens one.
    runtime: Handle,
}

impl Channels {
    /// Connections that live as long as the runtime that this is called on.
    pub(crate) fn new(greeting: Arc<Greeting>, tls: Option<Tls>) -> Self {
        Self { greeting, tls, open: Arc::default(), runtime: Handle::current() }
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    async fn channel(&self, place: &Url) -> Result<BoxCloneSyncChannel> {
        if let Some(open) = self.open.lock().get(place) {
            return Ok(open.clone());
        }
        let failed =
            |why: String| DataFusionError::Execution(format!("the worker at {place} cannot be reached: {why}"));
        let (name, address) = name_and_address(place).ok_or_else(|| failed("it is no place of a worker".into()))?;
        let tls = match (place.scheme(), &self.tls) {
            ("https", Some(tls)) => Some(tls.clone()),
            ("http", _) if address.ip().is_loopback() => None,
            _ => return Err(failed("between machines, workers take mutual TLS alone".into())),
        };
        let connecting = self.runtime.spawn(connect(name, address, tls));
        let channel = connecting.await.map_err(|error| failed(error.to_string()))?;
        let channel = channel.map_err(|error| failed(lake::whole_text(&error)))?;
        let greeting = self.greeting.clone();
        let greeted = ServiceBuilder::new().map_request(move |mut request: Request<tonic::body::Body>| {
            greeting.say(request.headers_mut());
            request
        });
        let channel = BoxCloneSyncChannel::new(greeted.service(channel));
        Ok(self.open.lock().entry(place.clone()).or_insert(channel).clone())
    }

    /// Forgets the connection to a worker that did not answer.
    pub(crate) fn forget(&self, place: &Url) {
        self.open.lock().remove(place);
    }
}

#[async_trait]
impl ChannelResolver for Channels {
    async fn get_worker_client_for_url(&self, place: &Url) -> Result<Box<dyn WorkerChannel>> {
        Ok(create_worker_client(self.channel(place).await?))
    }
}

async fn connect(name: String, address: SocketAddr, tls: Option<Tls>) -> Result<Channel, tonic::transport::Error> {
    // What is said to be http is encrypted below it.
    Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .http2_keep_alive_interval(SILENT_FOR)
        .keep_alive_timeout(SILENT_FOR)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .connect_with_connector(service_fn(move |_| open(name.clone(), address, tls.clone())))
        .await
}

async fn open(name: String, address: SocketAddr, tls: Option<Tls>) -> std::io::Result<TokioIo<Box<dyn Connection>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(TokioIo::new(Box::new(stream))) };
    let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
    Ok(TokioIo::new(Box::new(tls.connector.connect(name, stream).await?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_the_name_that_is_proved_and_the_address_that_is_called() {
        check("workers.example", "10.0.0.7:9400", true, "https://workers.example:9400/10.0.0.7");
        check("workers.example", "[fd00::7]:443", true, "https://workers.example/fd00::7");
        check("localhost", "127.0.0.1:9400", false, "http://localhost:9400/127.0.0.1");
        check("::1", "[::1]:9400", false, "http://[::1]:9400/::1");
    }

    #[track_caller]
    fn check(name: &str, address: &str, is_encrypted: bool, expected: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let place = place(name, address, is_encrypted).unwrap();
        assert_eq!(place.as_str(), expected);
        assert_eq!(name_and_address(&place), Some((name.to_owned(), address)));
    }
}
