//! The collector: HTTP in, raw files out.
//!
//! An event's way through this crate: a connection → a request, with its key and its body → [`intake::protocol`], which
//! makes [`Event`](lake::Event)s of it → [`Batcher`], which answers when they are durable.
//!
//! A success status means that every accepted event is durable. The collector keeps no state of its own, never
//! reads the events of the lake, and knows no SQL. Memory is bounded at every step; what does not fit is
//! refused with a status that makes senders come back.

mod batch;
mod budget;
mod counters;
mod directory;
mod door;
mod http;
mod quarantine;
mod settings;

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use intake::Ids;
use lake::Lake;
use tokio::net::TcpListener;

pub use batch::{Accepted, Batcher};
pub use http::Routes;
pub use settings::Settings;

use directory::Directory;
use door::{Door, GeographyFile};
use quarantine::Quarantine;

/// What tells the time of arrival.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A collector at work.
pub struct Collector {
    batcher: Batcher,
    quarantine: Arc<Quarantine>,
    routes: Routes,
    connections_max: usize,
}

impl Collector {
    /// Starts a collector that writes to `lake`. It takes requests through [`serve`](Self::serve) or
    /// [`routes`](Self::routes).
    ///
    /// A store that cannot be reached is no error here: requests are refused until it can.
    ///
    /// Fails if a file that the settings name cannot be read.
    pub async fn start(lake: Lake, settings: &Settings, clock: Clock) -> anyhow::Result<Self> {
        counters::describe();
        let geography = match &settings.geoip {
            Some(path) => Some(GeographyFile::watch(path.clone(), settings.directory_refresh)?),
            None => None,
        };
        let batcher = Batcher::start(&lake, settings, clock.clone());
        let quarantine = Quarantine::start(lake.clone(), clock.clone(), settings);
        let ids = Ids::new(lake.new_rng());
        let directory = Directory::start(lake, settings.directory_refresh, clock.clone()).await;
        let door = Door::new(directory, batcher.clone(), quarantine.clone(), geography, clock, ids, settings);
        let connections_max = settings.connections_max.get();
        Ok(Self { batcher, quarantine, routes: Routes::new(Arc::new(door)), connections_max })
    }

    /// What it answers, for tests and for servers of your own.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The batcher that the routes write to.
    pub fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// Serves until `shutdown`; then stops accepting, lets requests in flight end for up to 20 seconds, and
    /// writes what is left. When it returns, every event that was taken is durable or was refused.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        // Order matters: stop taking events, then write down the ones we took.
        http::serve(listener, self.routes, self.connections_max, shutdown).await;
        tokio::join!(self.batcher.close(), self.quarantine.close());
    }
}
