//! A connection to a Memcached server, opened anew as needed.
//!
//! Whoever gets a value while the connection is busy waits together with all others who do, and one request asks for what all
//! of them want. What the server said is given to whoever asks within the next [`FRESH_FOR`], so that it is asked no more often
//! than that, however many readers there are. A value that this process sets is what its readers get from then on.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use memcache_async::ascii::Protocol;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::address::MemcachedAddress;
use super::value::CachedJson;

/// The limit of an item unless the server says otherwise: Memcached's default.
const ITEM_BYTES_DEFAULT: usize = 1 << 20;

/// An item holds its header and key beside its value.
const ITEM_OVERHEAD_BYTES: usize = 1_024;

/// Keys in one request. Old servers take a line of 2 048 bytes, and a key has 250.
const KEYS_AT_ONCE_MAX: usize = 8;

/// How old a value may be that is given without asking the server again. A report is of a minute, so nobody can tell.
const FRESH_FOR: Duration = Duration::from_millis(10);

/// A Memcached server.
pub struct Memcached {
    address: MemcachedAddress,
    login: Option<Login>,
    timeout: Duration,
    connection: Mutex<Option<Connection>>,
    /// Who waits for a request that has not begun.
    waiting: parking_lot::Mutex<Vec<Waiting>>,
    /// What the server said last. Changes only while the connection is held, so that a value from before a set of ours
    /// cannot come after it.
    fresh: parking_lot::RwLock<HashMap<String, Fresh>>,
}

/// A value, and when the server was asked for it.
struct Fresh {
    asked_at: Instant,
    value: Arc<CachedJson>,
}

impl Fresh {
    fn holds(&self, now: Instant) -> bool {
        now.duration_since(self.asked_at) < FRESH_FOR
    }
}

/// Somebody who wants the value of a key.
struct Waiting {
    key: String,
    answer: oneshot::Sender<Answer>,
}

/// The value, or none, or why the server did not answer; for everybody who wants the same key.
type Answer = Result<Option<Arc<CachedJson>>, (ErrorKind, String)>;

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
    Get(&'a [String]),
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
        Self {
            address,
            login,
            timeout,
            connection: Mutex::default(),
            waiting: parking_lot::Mutex::default(),
            fresh: parking_lot::RwLock::default(),
        }
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

    /// The value of a key, if the server has one: as it was after this call, or at most [`FRESH_FOR`] before it.
    pub(super) async fn get(&self, key: &str) -> io::Result<Option<Arc<CachedJson>>> {
        let now = Instant::now();
        let fresh = self.fresh.read().get(key).filter(|fresh| fresh.holds(now)).map(|fresh| fresh.value.clone());
        if fresh.is_some() {
            return Ok(fresh);
        }
        loop {
            let (answer, mut answered) = oneshot::channel();
            self.waiting.lock().push(Waiting { key: key.to_owned(), answer });
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = &mut answered => break answer,
                    mut slot = self.connection.lock() => self.answer_waiting(&mut slot).await,
                }
            };
            // If there is none, whoever asked for all of us has gone away meanwhile.
            if let Ok(answer) = answer {
                return answer.map_err(|(kind, message)| io::Error::new(kind, message));
            }
        }
    }

    /// Answers those who wait by now, the first ones if they want too many keys for one request.
    async fn answer_waiting(&self, slot: &mut Option<Connection>) {
        // Whoever is about to ask can do so.
        tokio::task::yield_now().await;
        let waiting = take_some(&mut self.waiting.lock());
        let keys: HashSet<&String> = waiting.iter().map(|waiting| &waiting.key).collect();
        let keys: Vec<String> = keys.into_iter().cloned().collect();
        let asked_at = Instant::now();
        let answer = match self.run_on(slot, Operation::Get(&keys)).await {
            Ok(values) => {
                let values = values.into_iter().map(|(key, value)| (key, Arc::new(CachedJson::new(value))));
                Ok(values.collect::<HashMap<_, _>>())
            }
            Err(error) => Err((error.kind(), error.to_string())),
        };
        {
            let mut fresh = self.fresh.write();
            let now = Instant::now();
            fresh.retain(|_, fresh| fresh.holds(now));
            let values = answer.iter().flatten().map(|(key, value)| (key.clone(), value.clone()));
            fresh.extend(values.map(|(key, value)| (key, Fresh { asked_at, value })));
        }
        for Waiting { key, answer: to } in waiting {
            // Whoever does not listen any more has gone away.
            let _ = to.send(answer.as_ref().map(|values| values.get(&key).cloned()).map_err(Clone::clone));
        }
    }

    /// Runs an operation as soon as the connection is free.
    ///
    /// Returns the values of a get, and nothing of the others.
    pub(super) async fn run(&self, operation: Operation<'_>) -> io::Result<HashMap<String, Vec<u8>>> {
        let mut slot = self.connection.lock().await;
        if let Operation::Add(key, _) | Operation::Set(key, _) | Operation::Delete(key) = operation {
            self.fresh.write().remove(key);
        }
        self.run_on(&mut slot, operation).await
    }

    /// Runs an operation on the open connection, or on a new one if there is none or the server closed it.
    /// After any other failure the connection is in an unknown state and is dropped.
    async fn run_on(
        &self,
        slot: &mut Option<Connection>,
        operation: Operation<'_>,
    ) -> io::Result<HashMap<String, Vec<u8>>> {
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
    async fn perform(self, connection: &mut Protocol<Compat<Box<dyn Duplex>>>) -> io::Result<HashMap<String, Vec<u8>>> {
        let nothing = HashMap::new();
        match self {
            Self::Get(keys) => connection.get_multi(keys).await,
            Self::Add(key, value) => connection.add(key, value, 0).await.map(|()| nothing),
            Self::Delete(key) => connection.delete(key).await.map(|()| nothing),
            Self::Set(key, value) => {
                // The client sends it without asking for a reply: read it back to know.
                connection.set(key, value, 0).await?;
                match connection.get(key).await {
                    Ok(kept) if kept == value => Ok(nothing),
                    // Somebody else has set it since, or the server kept what it had: the connection is sound either way.
                    Ok(_) => Err(io::Error::new(ErrorKind::AlreadyExists, "another value is kept under the key")),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(io::Error::new(ErrorKind::FileTooLarge, "the server did not keep the value"))
                    }
                    Err(error) => Err(error),
                }
            }
            Self::Connect => Ok(nothing),
        }
    }
}

/// The first who wait, with so many keys as one request asks for, and all others who want the same ones.
fn take_some(waiting: &mut Vec<Waiting>) -> Vec<Waiting> {
    let mut keys = HashSet::new();
    for next in waiting.iter() {
        if keys.len() < KEYS_AT_ONCE_MAX {
            keys.insert(next.key.clone());
        }
    }
    waiting.extract_if(.., |one| keys.contains(&one.key)).collect()
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

    /// A server that knows the keys `a` to `z`, and what it was asked for.
    async fn server() -> (Memcached, Arc<parking_lot::Mutex<Vec<String>>>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let asked = Arc::new(parking_lot::Mutex::new(vec![]));
        let heard = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (heard, mut stream) = (heard.clone(), BufReader::new(stream));
                tokio::spawn(async move {
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.unwrap() > 0 {
                        let command = std::mem::take(&mut line);
                        let answer = match command.trim().strip_prefix("get ") {
                            // The client wants no reply.
                            None if command.starts_with("delete ") => String::new(),
                            None => "END\r\n".to_owned(),
                            Some(keys) => {
                                heard.lock().push(keys.to_owned());
                                // So slow that others come meanwhile.
                                tokio::time::sleep(Duration::from_millis(20)).await;
                                let known = keys.split(' ').filter(|key| key.len() == 1);
                                let values = known.map(|key| format!("VALUE {key} 0 2\r\n{key}!\r\n"));
                                values.chain(["END\r\n".to_owned()]).collect()
                            }
                        };
                        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        (Memcached::new(address, None, Duration::from_secs(10)), asked)
    }

    fn bytes(answer: &io::Result<Option<Arc<CachedJson>>>) -> Option<&[u8]> {
        answer.as_ref().unwrap().as_ref().map(|value| &value.bytes()[..])
    }

    #[tokio::test]
    async fn one_request_asks_for_what_all_want_who_came_before_it() {
        let (memcached, asked) = server().await;
        let keys = ["a", "b", "none"].repeat(40);
        let answers = futures::future::join_all(keys.iter().map(|key| memcached.get(key))).await;
        for (key, answer) in keys.iter().zip(&answers) {
            assert_eq!(bytes(answer), (*key != "none").then(|| format!("{key}!")).as_deref().map(str::as_bytes));
        }
        assert_eq!(asked.lock().len(), 1, "{asked:?}");
        // Those who want the same get the same bytes, which are looked at once.
        let (one, other) = (answers[0].as_ref().unwrap().as_ref(), answers[3].as_ref().unwrap().as_ref());
        assert!(Arc::ptr_eq(one.unwrap(), other.unwrap()));
    }

    #[tokio::test]
    async fn whoever_comes_while_a_request_is_under_way_is_answered_by_the_next() {
        let (memcached, asked) = server().await;
        let first = memcached.get("a");
        tokio::pin!(first);
        while asked.lock().is_empty() {
            assert!(futures::poll!(&mut first).is_pending());
            tokio::task::yield_now().await;
        }
        let (first, second) = tokio::join!(first, memcached.get("a"));
        assert_eq!((bytes(&first), bytes(&second)), (Some(&b"a!"[..]), Some(&b"a!"[..])));
        assert_eq!(*asked.lock(), ["a", "a"]);
    }

    #[tokio::test]
    async fn what_the_server_said_is_given_for_a_moment_and_not_after_a_change_of_ours() {
        let (memcached, asked) = server().await;
        // As if asked in an hour, so that it is not too old however slow the test is.
        let value = Arc::new(CachedJson::new("a!"));
        let say = || {
            let fresh = Fresh { asked_at: Instant::now() + Duration::from_secs(3_600), value: value.clone() };
            memcached.fresh.write().insert("a".to_owned(), fresh);
        };
        say();
        assert_eq!(bytes(&memcached.get("a").await), Some(&b"a!"[..]));
        assert_eq!(bytes(&memcached.get("b").await), Some(&b"b!"[..]));
        assert_eq!(*asked.lock(), ["b"], "only what is not known is asked for");
        memcached.run(Operation::Delete("a")).await.unwrap();
        assert_eq!(bytes(&memcached.get("a").await), Some(&b"a!"[..]));
        assert_eq!(*asked.lock(), ["b", "a"], "a change of ours is seen at once");

        let now = Instant::now();
        let fresh = Fresh { asked_at: now, value };
        assert!(fresh.holds(now + FRESH_FOR / 2) && !fresh.holds(now + FRESH_FOR));
    }

    #[tokio::test]
    async fn more_keys_than_a_request_takes_are_asked_for_in_turn() {
        let (memcached, asked) = server().await;
        let keys: Vec<String> = ('a'..='z').map(String::from).collect();
        let answers = futures::future::join_all(keys.iter().map(|key| memcached.get(key))).await;
        for (key, answer) in keys.iter().zip(&answers) {
            assert_eq!(bytes(answer), Some(format!("{key}!").as_bytes()));
        }
        let longest = asked.lock().iter().map(|keys| keys.split(' ').count()).max();
        assert_eq!((longest, asked.lock().len()), (Some(KEYS_AT_ONCE_MAX), 4));
    }

    #[tokio::test]
    async fn nobody_is_left_without_an_answer_by_one_who_goes_away() {
        let (memcached, asked) = server().await;
        let mut going = Box::pin(memcached.get("a"));
        let mut staying = Box::pin(memcached.get("b"));
        while asked.lock().is_empty() {
            assert!(futures::poll!(&mut going).is_pending() && futures::poll!(&mut staying).is_pending());
            tokio::task::yield_now().await;
        }
        drop(going);
        assert_eq!(bytes(&staying.await), Some(&b"b!"[..]));
    }
}
