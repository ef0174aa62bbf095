//! The workers that a coordinator may use: where the operator says they are, of those the ones that answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use datafusion_distributed::{ChannelResolver, GetWorkerInfoRequest};
use futures::future::join_all;
use lake::whole_text;
use parking_lot::Mutex;
use tokio::time::timeout;
use url::Url;

use crate::channels::{Channels, place};
use crate::greeting::Greeting;
use crate::tls::{ClusterTls, TlsError};

/// How often names are looked up again and workers asked whether they are there.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long a worker may take to say that it is there.
const SAID_WITHIN: Duration = Duration::from_secs(3);

/// Which workers take part in the queries of a process.
#[derive(clap::Args, Clone, Debug)]
pub struct WorkersFlags {
    /// Workers that do parts of large queries: HOST:PORT, several separated by commas. A name stands for all of its
    /// addresses, and is looked up again every few seconds.
    #[arg(long, env = "DEWPOND_WORKERS", value_delimiter = ',', value_name = "HOST:PORT,…")]
    workers: Vec<String>,

    /// Bytes of files that a worker reads for its part of a query, if there are enough workers; what reads no more in all
    /// runs in this process.
    #[arg(long = "workers-task-bytes", env = "DEWPOND_WORKERS_TASK_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    task_bytes: u64,

    #[command(flatten)]
    tls: ClusterTls,
}

impl WorkersFlags {
    /// Whether there are to be workers.
    pub(crate) fn names_any(&self) -> bool {
        self.written().next().is_some()
    }

    /// The places as they are written. A variable that is set to nothing names none.
    fn written(&self) -> impl Iterator<Item = &str> {
        self.workers.iter().map(|written| written.trim()).filter(|written| !written.is_empty())
    }
}

/// Why no workers can be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkersError {
    /// A worker's place is not written as one. Change it.
    #[error("--workers takes HOST:PORT, several separated by commas, and not {0:?}")]
    Place(String),
    /// The TLS files cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The program's own file cannot be read.
    #[error("the file of this program could not be read, so that workers could not be told which build it is")]
    Program(#[source] std::io::Error),
}

/// The workers of a process. Clones share what is known of them.
#[derive(Clone)]
pub(crate) struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    /// Names and ports, as the operator gives them.
    named: Vec<(String, u16)>,
    greeting: Arc<Greeting>,
    channels: Channels,
    task_bytes: u64,
    /// Each worker that was found, and why it cannot be used, if so.
    found: Mutex<HashMap<Url, Option<String>>>,
}

impl Workers {
    /// The workers that flags name. Looks at them once, and then every few seconds for as long as there is a clone.
    pub(crate) async fn find(flags: &WorkersFlags, greeting: Arc<Greeting>) -> Result<Self, WorkersError> {
        let named = flags.written().map(name_and_port).collect::<Result<Vec<_>, _>>()?;
        let channels = Channels::new(greeting.clone(), flags.tls.read()?);
        let inner = Inner { named, greeting, channels, task_bytes: flags.task_bytes, found: Mutex::default() };
        let workers = Self { inner: Arc::new(inner) };
        workers.look().await;
        let known = Arc::downgrade(&workers.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let Some(inner) = known.upgrade() else { return };
                Self { inner }.look().await;
            }
        });
        Ok(workers)
    }

    pub(crate) fn channels(&self) -> &Channels {
        &self.inner.channels
    }

    pub(crate) fn task_bytes(&self) -> u64 {
        self.inner.task_bytes
    }

    /// The workers that answered when they were last looked at, in an order that does not change.
    pub(crate) fn usable(&self) -> Vec<Url> {
        let found = self.inner.found.lock();
        let mut usable: Vec<Url> = found.iter().filter(|(_, why)| why.is_none()).map(|(url, _)| url.clone()).collect();
        usable.sort();
        usable
    }

    /// Looks names up and asks every worker whether it is there, the same build, and over the same lake.
    pub(crate) async fn look(&self) {
        match self.inner.greeting.know_lake().await {
            Ok(true) => {}
            // There is nothing that they could read.
            Ok(false) => return,
            Err(error) => return tracing::warn!("workers are not used: {}", whole_text(&error)),
        }
        let asked = join_all(self.places().await.into_iter().map(|place| async move {
            let why = self.ask(&place).await.err();
            (place, why)
        }));
        let now: HashMap<Url, Option<String>> = asked.await.into_iter().collect();
        let before = std::mem::replace(&mut *self.inner.found.lock(), now.clone());
        metrics::gauge!("dewpond_cluster_workers_usable").set(now.values().filter(|why| why.is_none()).count() as f64);
        for (place, why) in &now {
            match (before.get(place), why) {
                (Some(known), why) if known == why => {}
                (None | Some(Some(_)), None) => tracing::info!(worker = %place, "a worker is there"),
                (_, Some(why)) => tracing::warn!(worker = %place, "a worker is not used: {why}"),
                (Some(None), None) => {}
            }
        }
        for gone in before.keys().filter(|place| !now.contains_key(*place)) {
            self.inner.channels.forget(gone);
            tracing::info!(worker = %gone, "a worker has left its name");
        }
    }

    /// Every address of every name, once.
    async fn places(&self) -> Vec<Url> {
        let is_encrypted = self.inner.channels.is_encrypted();
        let mut places: Vec<(SocketAddr, Url)> = Vec::new();
        for (name, port) in &self.inner.named {
            match tokio::net::lookup_host((name.as_str(), *port)).await {
                Ok(addresses) => {
                    let named = addresses.filter_map(|address| Some((address, place(name, address, is_encrypted)?)));
                    places.extend(named);
                }
                Err(error) => tracing::warn!(name, "the name of workers could not be looked up: {error}"),
            }
        }
        places.sort();
        places.dedup_by_key(|(address, _)| *address);
        places.into_iter().map(|(_, place)| place).collect()
    }

    async fn ask(&self, place: &Url) -> Result<(), String> {
        let asking = async {
            let mut worker = self.inner.channels.get_worker_client_for_url(place).await?;
            worker.get_worker_info(GetWorkerInfoRequest {}).await
        };
        let said = match timeout(SAID_WITHIN, asking).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => {
                self.inner.channels.forget(place);
                return Err(error.strip_backtrace());
            }
            Err(_) => {
                self.inner.channels.forget(place);
                return Err(format!("it did not answer within {} s", SAID_WITHIN.as_secs()));
            }
        };
        match said.version == self.inner.greeting.build().name() {
            true => Ok(()),
            false => Err(format!("it is dewpond {}, and this is {}", said.version, self.inner.greeting.build().name())),
        }
    }
}

/// Reads `HOST:PORT`, of which an IPv6 address stands in brackets.
fn name_and_port(written: &str) -> Result<(String, u16), WorkersError> {
    let wrong = || WorkersError::Place(written.to_owned());
    let (name, port) = written.trim().rsplit_once(':').ok_or_else(wrong)?;
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_name = bare.is_some() || !name.contains([':', '/']);
    match (bare.unwrap_or(name), port.parse()) {
        (name, Ok(port)) if is_name && !name.is_empty() && port != 0 => Ok((name.to_owned(), port)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_a_name_or_an_address_with_a_port() {
        check("workers.example:9400", Some(("workers.example", 9400)));
        check(" 10.0.0.7:9400", Some(("10.0.0.7", 9400)));
        check("[::1]:9400", Some(("::1", 9400)));
        for wrong in ["", "workers.example", "workers.example:", ":9400", "::1:9400", "http://a:9400", "a:0", "a:99999"]
        {
            check(wrong, None);
        }
    }

    #[track_caller]
    fn check(written: &str, expected: Option<(&str, u16)>) {
        let read = name_and_port(written).ok();
        assert_eq!(read.as_ref().map(|(name, port)| (name.as_str(), *port)), expected, "{written:?}");
    }
}
