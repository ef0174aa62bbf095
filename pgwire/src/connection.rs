//! The beginning of a connection: encryption, who is there, and whether he is who he says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lake::whole_text;
use rand::random;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::admission::keys::{Access, Challenge, Keys, TOKEN_USER};
use crate::admission::scram::{Exchange, MECHANISM, ScramError};
use crate::cancellation::Cancellations;
use crate::failure::{Failure, advice, report};
use crate::messages::{Greeting, Report, Request, sasl_initial};
use crate::session::Client;
use crate::settings::{self, Change};
use crate::wire::{Ended, Stream, Wire};

/// A guess is answered after so long.
const GUESS_TAKES: Duration = Duration::from_millis(500);

/// Greetings of one connection at most: for encryption of two kinds, each asked for twice, and a startup.
const GREETINGS_MAX: usize = 5;

/// A first byte that begins TLS at once.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client who is known, and how to talk to it.
pub(crate) struct Welcome {
    pub(crate) wire: Wire<Box<dyn Stream>>,
    pub(crate) client: Client,
}

/// What connections begin with.
pub(crate) struct Door {
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) cancellations: Arc<Cancellations>,
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Gone => Self::Gone,
            Ended::Malformed(malformed) => Self::Fatal(report("08P01", malformed.to_string())),
        }
    }
}

impl Door {
    /// Finds out who a client is. `None` if there is no session: it is told why, unless it only cancelled another's query.
    pub(crate) async fn welcome(&self, socket: TcpStream, peer: SocketAddr) -> Option<Welcome> {
        let (mut wire, greeting, is_encrypted) = self.greet(socket).await?;
        let settings = match greeting {
            Greeting::Startup { major: 3, minor, settings } => {
                let unknown: Vec<&str> =
                    settings.iter().map(|(name, _)| &**name).filter(|name| name.starts_with("_pq_.")).collect();
                if minor > 0 || !unknown.is_empty() {
                    wire.answers().older_protocol(&unknown);
                }
                settings
            }
            Greeting::Startup { major, minor, .. } => {
                let message = format!("protocol {major}.{minor} is not spoken here");
                refuse(&mut wire, &advice("0A000", message, "Use protocol 3.0.")).await;
                return None;
            }
            Greeting::Cancel { process, secret } => {
                self.cancellations.cancel(process, secret);
                return None;
            }
            Greeting::Tls | Greeting::Gss => return None,
        };
        if self.tls.is_some() && !is_encrypted && !peer.ip().is_loopback() {
            let report =
                advice("28000", "connections from other machines are encrypted here", "Set sslmode=verify-full.");
            refuse(&mut wire, &report).await;
            return None;
        }
        let settings: HashMap<String, String> = settings.into_iter().collect();
        match self.authenticate(&mut wire, settings).await {
            Ok(client) => Some(Welcome { wire, client }),
            Err(Failure::Gone) => None,
            Err(Failure::Fatal(report) | Failure::Told(report)) => {
                refuse(&mut wire, &report).await;
                None
            }
        }
    }

    /// Reads greetings until one that is not about encryption. Says whether there is encryption now.
    async fn greet(&self, socket: TcpStream) -> Option<(Wire<Box<dyn Stream>>, Greeting, bool)> {
        let boxed = |stream: TcpStream| -> Box<dyn Stream> { Box::new(stream) };
        let mut first = [0];
        if socket.peek(&mut first).await.ok()? == 1 && first[0] == TLS_HANDSHAKE {
            let stream = self.tls.as_ref()?.accept(socket).await.ok()?;
            // Without the name of the protocol it may be a browser that somebody sent here.
            (stream.get_ref().1.alpn_protocol() == Some(b"postgresql")).then_some(())?;
            let mut wire = Wire::new(Box::new(stream) as Box<dyn Stream>);
            let greeting = wire.greeting().await.ok()?;
            return Some((wire, greeting, true));
        }
        let mut wire = Wire::new(socket);
        for _ in 0..GREETINGS_MAX {
            match (wire.greeting().await.ok()?, &self.tls) {
                (Greeting::Tls, Some(tls)) => {
                    wire.send_byte(b'S').await.ok()?;
                    // What came before the encryption may be somebody else's.
                    let stream = tls.accept(wire.into_stream()?).await.ok()?;
                    let mut wire = Wire::new(Box::new(stream) as Box<dyn Stream>);
                    let greeting = wire.greeting().await.ok()?;
                    return Some((wire, greeting, true));
                }
                (Greeting::Tls | Greeting::Gss, _) => wire.send_byte(b'N').await.ok()?,
                (greeting, _) => return Some((wire.map(boxed), greeting, false)),
            }
        }
        None
    }

    async fn authenticate(
        &self,
        wire: &mut Wire<Box<dyn Stream>>,
        settings: HashMap<String, String>,
    ) -> Result<Client, Failure> {
        let user = settings.get("user").cloned().unwrap_or_default();
        if user.is_empty() {
            return Err(report("28000", "a user name is missing: give the first characters of a read key").into());
        }
        if settings.get("replication").is_some_and(|value| !matches!(&**value, "false" | "off" | "no" | "0")) {
            return Err(report("0A000", "there is no replication here").into());
        }
        let challenge = self.keys.challenge(&user).await.map_err(|error| {
            tracing::warn!(error = whole_text(&error), "a client could not log in");
            report("58030", "the read keys cannot be read at the moment: try again")
        })?;
        let access = match challenge {
            Challenge::None(access) => access,
            Challenge::Nobody => {
                let hint = format!(
                    "The user {TOKEN_USER} reads the whole lake on this machine; the first twelve characters of a read key, \
                     with the key as password, read its sites."
                );
                return Err(advice("28000", format!("there is no user {user:?}"), hint).into());
            }
            Challenge::Key { verifier, access } => {
                let wrong = || report("28P01", format!("the key is not that of user {user:?}"));
                wire.answers().sasl_mechanisms(&[MECHANISM]);
                wire.flush().await?;
                let Request::Password(answer) = wire.request().await? else { return Err(unexpected()) };
                let (mechanism, first) = sasl_initial(answer).map_err(|_| unexpected())?;
                if mechanism != MECHANISM {
                    return Err(report("28000", format!("{mechanism} is not offered")).into());
                }
                let nonce = STANDARD.encode(random::<[u8; 18]>());
                let (exchange, answer) = Exchange::begin(&first, verifier, &nonce).map_err(invalid)?;
                wire.answers().sasl_continue(&answer);
                wire.flush().await?;
                let Request::Password(last) = wire.request().await? else { return Err(unexpected()) };
                match (exchange.finish(&last), access) {
                    (Ok(proof), Some(access)) => {
                        wire.answers().sasl_final(&proof);
                        access
                    }
                    (Ok(_) | Err(ScramError::Denied), _) => {
                        metrics::counter!("pgwire_logins_denied_total").increment(1);
                        sleep(GUESS_TAKES).await;
                        return Err(wrong().into());
                    }
                    (Err(error), _) => return Err(invalid(error)),
                }
            }
        };
        wire.set_known();
        Ok(Client { user, access, timeout: timeout_of(&settings) })
    }
}

fn unexpected() -> Failure {
    report("08P01", "the answer to the question about the key is none").into()
}

fn invalid(error: ScramError) -> Failure {
    report("08P01", error.to_string()).into()
}

/// The limit of statements that a client asks for when it comes. Other settings it hears of as they are.
fn timeout_of(settings: &HashMap<String, String>) -> Option<Duration> {
    let options = settings.get("options").map(String::as_str).unwrap_or_default();
    let option =
        options.split_whitespace().find_map(|word| word.trim_start_matches("-c").strip_prefix("statement_timeout="));
    let value = settings.get("statement_timeout").map(String::as_str).or(option)?;
    match settings::change("statement_timeout", value) {
        Ok(Change::Timeout(timeout)) => timeout,
        _ => None,
    }
}

async fn refuse(wire: &mut Wire<Box<dyn Stream>>, report: &Report) {
    wire.answers().error("FATAL", report);
    let _ = wire.flush().await;
    wire.close().await;
}

/// Whether whoever gets in reads everything; for the log.
pub(crate) fn is_whole(access: &Access) -> bool {
    matches!(access, Access::Lake)
}
