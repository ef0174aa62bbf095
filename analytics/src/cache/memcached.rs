//! A connection to a Memcached server, opened anew as needed.

use std::io::{self, ErrorKind};
use std::time::Duration;

use memcache_async::ascii::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::address::MemcachedAddress;

/// The limit of an item unless the server says otherwise: Memcached's default.
const ITEM_BYTES_DEFAULT: usize = 1 << 20;

/// An item holds its header and key beside its value.
const ITEM_OVERHEAD_BYTES: usize = 1_024;

/// A Memcached server.
pub struct Memcached {
    address: MemcachedAddress,
    login: Option<Login>,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
}

/// The name and password of a server with `--auth-file`.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    user: String,
    password: String,
}

/// What is not a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write USER:PASSWORD, as in the server's --auth-file")]
pub struct InvalidLogin;

impl std::str::FromStr for Login {
    type Err = InvalidLogin;

    fn from_str(text: &str) -> Result<Self, InvalidLogin> {
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !text.contains(['\r', '\n', ' ']) => {
                Ok(Self { user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(InvalidLogin),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}:…)", self.user)
    }
}

/// What is asked of the server.
#[derive(Clone, Copy)]
pub(super) enum Operation<'a> {
    Get(&'a str),
    Add(&'a str, &'a [u8]),
    Set(&'a str, &'a [u8]),
    Delete(&'a str),
    /// Nothing: connects.
    Connect,
}

struct Connection {
    protocol: Protocol<Compat<Box<dyn Duplex>>>,
    value_bytes_max: usize,
}

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl Memcached {
    pub(super) fn new(address: MemcachedAddress, login: Option<Login>, timeout: Duration) -> Self {
        Self { address, login, timeout, connection: Mutex::default() }
    }

    /// Where it listens.
    pub fn address(&self) -> &MemcachedAddress {
        &self.address
    }

    /// The largest value that the server keeps. Connects if needed.
    pub(super) async fn value_bytes_max(&self) -> io::Result<usize> {
        if let Some(connection) = &*self.connection.lock().await {
            return Ok(connection.value_bytes_max);
        }
        self.run(Operation::Connect).await?;
        Ok(self.connection.lock().await.as_ref().map_or(ITEM_BYTES_DEFAULT, |connection| connection.value_bytes_max))
    }

    /// Runs an operation on the open connection, or on a new one if there is none or the server closed it.
    /// After any other failure the connection is in an unknown state and is dropped.
    ///
    /// Returns the value of a get, and nothing of the others.
    pub(super) async fn run(&self, operation: Operation<'_>) -> io::Result<Vec<u8>> {
        let mut slot = self.connection.lock().await;
        if let Some(mut connection) = slot.take() {
            match timeout(self.timeout, operation.perform(&mut connection.protocol)).await {
                Ok(Ok(done)) => {
                    *slot = Some(connection);
                    return Ok(done);
                }
                Ok(Err(error)) if is_answer(&error) => {
                    *slot = Some(connection);
                    return Err(error);
                }
                // Idle connections are closed by servers that restart: try once on a new one.
                Ok(Err(_)) => {}
                Err(_) => return Err(ErrorKind::TimedOut.into()),
            }
        }
        let attempt = async {
            let mut connection = self.connect().await?;
            let outcome = operation.perform(&mut connection.protocol).await;
            let usable = outcome.as_ref().map_or_else(is_answer, |_| true);
            Ok::<_, io::Error>((outcome, usable.then_some(connection)))
        };
        let (outcome, connection) = timeout(self.timeout, attempt).await.map_err(|_| ErrorKind::TimedOut)??;
        *slot = connection;
        outcome
    }

    async fn connect(&self) -> io::Result<Connection> {
        let mut stream = BufReader::new(self.open().await?);
        if let Some(login) = &self.login {
            log_in(&mut stream, login).await?;
        }
        let item_bytes_max = match item_bytes_max(&mut stream).await {
            Ok(bytes) => bytes,
            // Proxies hang up on commands that they do not know.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                stream = BufReader::new(self.open().await?);
                if let Some(login) = &self.login {
                    log_in(&mut stream, login).await?;
                }
                None
            }
            Err(error) => return Err(error),
        };
        Ok(Connection {
            protocol: Protocol::new(stream.into_inner().compat()),
            value_bytes_max: item_bytes_max.unwrap_or(ITEM_BYTES_DEFAULT).saturating_sub(ITEM_OVERHEAD_BYTES),
        })
    }

    async fn open(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(match &self.address {
            MemcachedAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            MemcachedAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

impl Operation<'_> {
    async fn perform(self, connection: &mut Protocol<Compat<Box<dyn Duplex>>>) -> io::Result<Vec<u8>> {
        match self {
            Self::Get(key) => connection.get(key).await,
            Self::Add(key, value) => connection.add(key, value, 0).await.map(|()| vec![]),
            Self::Delete(key) => connection.delete(key).await.map(|()| vec![]),
            Self::Set(key, value) => {
                // The client sends it without asking for a reply: read it back to know.
                connection.set(key, value, 0).await?;
                match connection.get(key).await {
                    Ok(kept) if kept == value => Ok(vec![]),
                    // Somebody else has set it since, or the server kept what it had: the connection is sound either way.
                    Ok(_) => Err(io::Error::new(ErrorKind::AlreadyExists, "another value is kept under the key")),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(io::Error::new(ErrorKind::FileTooLarge, "the server did not keep the value"))
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Connect => Ok(vec![]),
        }
    }
}

/// Whether an error is the server's answer, after which the connection can be used on.
fn is_answer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}

/// Logs in as a server with `--auth-file` wants it: by a set of any key (Memcached's doc/protocol.txt, "Authentication").
async fn log_in(stream: &mut BufReader<Box<dyn Duplex>>, login: &Login) -> io::Result<()> {
    let value = format!("{} {}", login.user, login.password);
    let answer = ask(stream, &format!("set login 0 0 {}\r\n{value}\r\n", value.len())).await?;
    match answer.as_str() {
        "STORED" => Ok(()),
        answer => Err(io::Error::new(ErrorKind::PermissionDenied, format!("the login was refused: {answer}"))),
    }
}

/// The server's limit of an item; `None` if it does not say.
async fn item_bytes_max(stream: &mut BufReader<Box<dyn Duplex>>) -> io::Result<Option<usize>> {
    let mut found = None;
    let mut line = ask(stream, "stats settings\r\n").await?;
    loop {
        if let Some(bytes) = line.strip_prefix("STAT item_size_max ") {
            found = bytes.parse().ok();
        } else if line.contains("unauthenticated") {
            const WANTED: &str = "the server wants a login: set DEWPOND_MEMCACHED_LOGIN to USER:PASSWORD";
            return Err(io::Error::new(ErrorKind::PermissionDenied, WANTED));
        }
        if !line.starts_with("STAT ") {
            // END, or an error of a server without this command.
            return Ok(found);
        }
        line = read_line(stream).await?;
    }
}

async fn ask(stream: &mut BufReader<Box<dyn Duplex>>, command: &str) -> io::Result<String> {
    stream.get_mut().write_all(command.as_bytes()).await?;
    stream.get_mut().flush().await?;
    read_line(stream).await
}

async fn read_line(stream: &mut BufReader<Box<dyn Duplex>>) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await? {
        0 => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the server hung up; one with SASL (-S) does so, because it speaks the binary protocol only: \
             use --auth-file (-Y) instead",
        )),
        _ => Ok(line.trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_a_user_and_a_password_that_is_not_shown() {
        let login: Login = "dewpond:s3:cret".parse().unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("dewpond", "s3:cret"));
        assert_eq!(format!("{login:?}"), "Login(dewpond:…)");
        for text in ["", "dewpond", ":secret", "a b:c", "a:b\r\nflush_all"] {
            assert_eq!(text.parse::<Login>(), Err(InvalidLogin), "{text:?}");
        }
    }

    #[tokio::test]
    async fn the_limit_of_an_item_is_what_the_server_says() {
        check("STAT maxbytes 67108864\r\nSTAT item_size_max 8388608\r\nSTAT x y\r\nEND\r\n", Ok(Some(8 << 20))).await;
        check("END\r\n", Ok(None)).await;
        check("ERROR\r\n", Ok(None)).await;
        check("CLIENT_ERROR unauthenticated\r\n", Err(ErrorKind::PermissionDenied)).await;
        check("", Err(ErrorKind::UnexpectedEof)).await;
    }

    async fn check(answer: &str, limit: Result<Option<usize>, ErrorKind>) {
        let (ours, mut theirs) = tokio::io::duplex(4_096);
        theirs.write_all(answer.as_bytes()).await.unwrap();
        theirs.shutdown().await.unwrap();
        let mut stream = BufReader::new(Box::new(ours) as Box<dyn Duplex>);
        let found = item_bytes_max(&mut stream).await.map_err(|error| error.kind());
        assert_eq!(found, limit, "{answer:?}");
    }
}
