//! The cache of the latest reports, in Memcached or in this process. It may lose anything at any time and is never wrong:
//! what it has was written whole, and history has it too.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use memcache_async::ascii::Protocol;
use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Memcached's default limit is 1 MiB for an item with its key and header.
const ITEM_BYTES_MAX: usize = (1 << 20) - 1_024;

/// What a decompressed report may take: guards against a value that somebody else wrote.
const REPORT_BYTES_MAX: u64 = 256 << 20;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Where the latest reports are kept for readers.
pub enum Cache {
    /// A Memcached server, reconnected to as needed.
    Memcached(Memcached),
    /// This process's memory, with the same interface: for one process, and for trying things out.
    InProcess(RwLock<HashMap<String, Vec<u8>>>),
}

/// What the cache says of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The value.
    Value(Vec<u8>),
    /// The cache answers and does not have it.
    Absent,
    /// The cache does not answer.
    Unreachable,
}

/// A connection to a Memcached server.
pub struct Memcached {
    address: String,
    timeout: Duration,
    connection: Mutex<Option<Protocol<Compat<TcpStream>>>>,
}

impl Cache {
    /// A cache in this process.
    pub fn in_process() -> Self {
        Self::InProcess(RwLock::default())
    }

    /// A cache in the Memcached server at `address` (`host:port`). Does not connect yet.
    ///
    /// - `timeout`: for each operation, connecting included.
    pub fn memcached(address: String, timeout: Duration) -> Self {
        Self::Memcached(Memcached { address, timeout, connection: Mutex::default() })
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Lookup {
        match self {
            Self::InProcess(values) => values.read().get(key).cloned().map_or(Lookup::Absent, Lookup::Value),
            Self::Memcached(server) => match server.get(key).await {
                Ok(value) => unpack(value).map_or(Lookup::Absent, Lookup::Value),
                Err(error) if error.kind() == ErrorKind::NotFound => Lookup::Absent,
                Err(error) => {
                    tracing::warn!(memcached = server.address, %error, "the cache does not answer");
                    Lookup::Unreachable
                }
            },
        }
    }

    /// Keeps a value if the cache has none under the key. A reader that puts back what it found in history must
    /// not replace what a run has set in between.
    pub async fn add(&self, key: &str, value: &[u8]) -> io::Result<()> {
        match self {
            Self::InProcess(values) => {
                values.write().entry(key.to_owned()).or_insert_with(|| value.to_vec());
                Ok(())
            }
            Self::Memcached(server) => {
                let packed = pack(value)?;
                if packed.len() + key.len() > ITEM_BYTES_MAX {
                    return Ok(());
                }
                match server.run(Operation::Add(key, &packed)).await {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                    done => done.map(drop),
                }
            }
        }
    }

    /// Keeps a value. A value too large for an item is compressed with gzip, which clients know by its first
    /// two bytes; one that is too large even so is refused with [`ErrorKind::FileTooLarge`], and an older value
    /// of the key is removed rather than left to be read.
    pub async fn set(&self, key: &str, value: &[u8]) -> io::Result<()> {
        match self {
            Self::InProcess(values) => {
                values.write().insert(key.to_owned(), value.to_vec());
                Ok(())
            }
            Self::Memcached(server) => {
                let packed = pack(value)?;
                if packed.len() + key.len() > ITEM_BYTES_MAX {
                    server.delete(key).await?;
                    return Err(io::Error::new(
                        ErrorKind::FileTooLarge,
                        format!("{} bytes, {} compressed, are too large for an item", value.len(), packed.len()),
                    ));
                }
                server.set(key, &packed).await
            }
        }
    }
}

/// What is asked of the server.
#[derive(Clone, Copy)]
enum Operation<'a> {
    Get(&'a str),
    Add(&'a str, &'a [u8]),
    Set(&'a str, &'a [u8]),
    Delete(&'a str),
}

impl Operation<'_> {
    /// Returns the value of a get, and nothing of the others.
    async fn perform(self, connection: &mut Protocol<Compat<TcpStream>>) -> io::Result<Vec<u8>> {
        match self {
            Self::Get(key) => connection.get(key).await,
            Self::Add(key, value) => connection.add(key, value, 0).await.map(|()| vec![]),
            Self::Delete(key) => connection.delete(key).await.map(|()| vec![]),
            Self::Set(key, value) => {
                // The client sends it without asking for a reply: read it back to know.
                connection.set(key, value, 0).await?;
                match connection.get(key).await {
                    Ok(kept) if kept == value => Ok(vec![]),
                    Ok(_) => Err(io::Error::other("another value is kept under the key")),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        Err(io::Error::new(ErrorKind::FileTooLarge, "the server did not keep the value"))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }
}

impl Memcached {
    async fn get(&self, key: &str) -> io::Result<Vec<u8>> {
        self.run(Operation::Get(key)).await
    }

    async fn set(&self, key: &str, value: &[u8]) -> io::Result<()> {
        self.run(Operation::Set(key, value)).await.map(drop)
    }

    async fn delete(&self, key: &str) -> io::Result<()> {
        self.run(Operation::Delete(key)).await.map(drop)
    }

    /// Runs an operation on the open connection, or on a new one if there is none or the server closed it.
    /// After any other failure the connection is in an unknown state and is dropped.
    async fn run(&self, operation: Operation<'_>) -> io::Result<Vec<u8>> {
        let mut slot = self.connection.lock().await;
        if let Some(mut connection) = slot.take() {
            match timeout(self.timeout, operation.perform(&mut connection)).await {
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
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            let mut connection = Protocol::new(stream.compat());
            let outcome = operation.perform(&mut connection).await;
            let usable = outcome.as_ref().map_or_else(is_answer, |_| true);
            Ok::<_, io::Error>((outcome, usable.then_some(connection)))
        };
        let (outcome, connection) = timeout(self.timeout, attempt).await.map_err(|_| ErrorKind::TimedOut)??;
        *slot = connection;
        outcome
    }
}

/// Whether an error is the server's answer, after which the connection can be used on.
fn is_answer(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
}

/// As it is if it fits, so that any client can read it; else compressed.
fn pack(value: &[u8]) -> io::Result<Vec<u8>> {
    if value.len() <= ITEM_BYTES_MAX - 250 {
        return Ok(value.to_vec());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(value)?;
    encoder.finish()
}

/// The value as it was set; `None` if it is not one of ours.
fn unpack(value: Vec<u8>) -> Option<Vec<u8>> {
    if !value.starts_with(&GZIP_MAGIC) {
        return Some(value);
    }
    let mut whole = Vec::new();
    let read = GzDecoder::new(value.as_slice()).take(REPORT_BYTES_MAX).read_to_end(&mut whole);
    match read {
        Ok(_) => Some(whole),
        Err(error) => {
            tracing::warn!(%error, "a cached value is damaged; reading history instead");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_fits_is_kept_as_it_is() {
        assert_eq!(pack(b"{}").unwrap(), b"{}");
    }

    #[test]
    fn a_large_value_is_compressed_and_comes_back() {
        let value = b"0123456789".repeat(200_000);
        let packed = pack(&value).unwrap();
        assert!(packed.len() < ITEM_BYTES_MAX && packed.starts_with(&GZIP_MAGIC));
        assert_eq!(unpack(packed).unwrap(), value);
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_server_keeps_is_a_value_or_none(
            value in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            places in proptest::collection::vec((0..200_usize, proptest::prelude::any::<u8>()), 0..4),
        ) {
            unpack(value.clone());
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&value).unwrap();
            let mut packed = encoder.finish().unwrap();
            proptest::prop_assert_eq!(unpack(packed.clone()), Some(value.clone()));
            for (place, byte) in places {
                if let Some(changed) = packed.get_mut(place) {
                    *changed = byte;
                }
            }
            // gzip has a checksum: what is read at all is what was packed, unless it is no gzip any more.
            if packed.starts_with(&GZIP_MAGIC) {
                proptest::prop_assert!(unpack(packed).is_none_or(|found| found == value));
            }
        }
    }

    #[test]
    fn a_damaged_value_is_no_value() {
        assert_eq!(unpack(vec![0x1f, 0x8b, 0, 0]), None);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable_and_not_an_absence() {
        let cache = Cache::memcached("127.0.0.1:1".into(), Duration::from_millis(200));
        assert_eq!(cache.get("k").await, Lookup::Unreachable);
        assert!(cache.set("k", b"v").await.is_err());
    }
}
