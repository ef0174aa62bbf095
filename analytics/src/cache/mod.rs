//! The cache of the latest reports, in Memcached or in this process. It may lose anything at any time and is never wrong:
//! what it has was written whole, and history has it too.

mod address;
mod memcached;
mod value;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

pub use address::{InvalidAddress, MemcachedAddress};
use memcached::Operation;
pub use memcached::{InvalidLogin, Login, Memcached};
pub use value::CachedJson;

/// Memcached's limit of a key.
const KEY_BYTES_MAX: usize = 250;

/// Where the latest reports are kept for readers.
pub enum Cache {
    /// A Memcached server, reconnected to as needed.
    Memcached(Box<Memcached>),
    /// This process's memory, with the same interface: for one process, and for trying things out.
    InProcess(RwLock<HashMap<String, Arc<CachedJson>>>),
}

/// What the cache says of a key.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The value.
    Value(Arc<CachedJson>),
    /// The cache answers and does not have it.
    Absent,
    /// The cache does not answer.
    Unreachable,
}

impl Cache {
    /// A cache in this process.
    pub fn in_process() -> Self {
        Self::InProcess(RwLock::default())
    }

    /// A cache in the Memcached server at `address`. Does not connect yet.
    ///
    /// - `login`: for a server with `--auth-file`.
    /// - `timeout`: for each operation, connecting included.
    pub fn memcached(address: MemcachedAddress, login: Option<Login>, timeout: Duration) -> Self {
        Self::Memcached(Box::new(Memcached::new(address, login, timeout)))
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Lookup {
        // Nothing can be kept under it, and one such key would spoil a request for others.
        if key.len() > KEY_BYTES_MAX || key.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Lookup::Absent;
        }
        match self {
            Self::InProcess(values) => values.read().get(key).cloned().map_or(Lookup::Absent, Lookup::Value),
            Self::Memcached(server) => match server.get(key).await {
                Ok(value) => value.map_or(Lookup::Absent, Lookup::Value),
                Err(error) => {
                    tracing::warn!(memcached = %server.address(), %error, "the cache does not answer");
                    Lookup::Unreachable
                }
            },
        }
    }

    /// The most bytes of a value, which the server is asked for. Fails if it does not answer.
    pub async fn value_bytes_max(&self) -> io::Result<usize> {
        match self {
            Self::InProcess(_) => Ok(usize::MAX),
            Self::Memcached(server) => server.value_bytes_max().await,
        }
    }

    /// Keeps a value if the cache has none under the key. A reader that puts back what it found in history must
    /// not replace what a run has set in between.
    pub async fn add(&self, key: &str, value: &[u8]) -> io::Result<()> {
        match self {
            Self::InProcess(values) => {
                values.write().entry(key.to_owned()).or_insert_with(|| Arc::new(CachedJson::new(value.to_vec())));
                Ok(())
            }
            Self::Memcached(server) => match server.run(Operation::Add(key, value)).await {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                done => done.map(drop),
            },
        }
    }

    /// Keeps a value. One larger than [`value_bytes_max`](Self::value_bytes_max) is refused with
    /// [`ErrorKind::FileTooLarge`], and an older value of the key is removed rather than left to be read. If another value is
    /// found under the key right after, it fails with [`ErrorKind::AlreadyExists`].
    pub async fn set(&self, key: &str, value: &[u8]) -> io::Result<()> {
        match self {
            Self::InProcess(values) => {
                values.write().insert(key.to_owned(), Arc::new(CachedJson::new(value.to_vec())));
                Ok(())
            }
            Self::Memcached(server) => {
                if key.len() > KEY_BYTES_MAX {
                    return Err(io::Error::new(ErrorKind::FileTooLarge, "the key is too long for an item"));
                }
                if value.len() > server.value_bytes_max().await? {
                    self.remove(key).await?;
                    let problem = format!("{} bytes are too large for an item", value.len());
                    return Err(io::Error::new(ErrorKind::FileTooLarge, problem));
                }
                server.run(Operation::Set(key, value)).await.map(drop)
            }
        }
    }

    /// Forgets a key.
    pub async fn remove(&self, key: &str) -> io::Result<()> {
        match self {
            Self::InProcess(values) => {
                values.write().remove(key);
                Ok(())
            }
            Self::Memcached(server) => server.run(Operation::Delete(key)).await.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable_and_not_an_absence() {
        let cache = Cache::memcached("127.0.0.1:1".parse().unwrap(), None, Duration::from_millis(200));
        assert!(matches!(cache.get("k").await, Lookup::Unreachable));
        assert!(cache.value_bytes_max().await.is_err());
        assert!(cache.set("k", b"v").await.is_err());
    }
}
