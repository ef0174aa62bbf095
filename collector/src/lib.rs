//! The collector: takes events over HTTP and writes them to the lake as raw files.
//!
//! The way of an event: `http` accepts a connection and routes the request; `door` admits the sender, opens the body
//! and has [`intake::protocol`] parse it; the [`Batcher`] of the site's lake puts the events into a file and answers once it
//! is durable.
//!
//! A success status means that every accepted event is durable. The collector keeps no state of its own, never
//! reads events from the lake, and knows no SQL. Memory is bounded at every step: what does not fit is refused with
//! a status that makes senders try again.

mod batch;
mod budget;
mod counters;
mod directory;
mod door;
mod homes;
mod http;
mod quarantine;
mod salts;
mod settings;

use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use intake::Ids;
use lake::Lakes;
use tokio::net::TcpListener;

pub use batch::{Accepted, Batcher};
pub use http::Routes;
pub use settings::Settings;

use directory::Directory;
use door::{Door, GeographyFile};
use homes::Homes;

/// Tells the time of arrival.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A running collector.
pub struct Collector {
    homes: Arc<Homes>,
    routes: Routes,
    connections_max: usize,
}

impl Collector {
    /// Starts a collector that writes to the main lake and to those of organisations' own. Requests come in through [`serve`](Self::serve) or
    /// [`routes`](Self::routes).
    ///
    /// An unreachable store is not an error here: requests are refused until it answers.
    ///
    /// Fails if a file named in the settings cannot be read.
    pub async fn start(lakes: impl Into<Lakes>, settings: &Settings, clock: Clock) -> anyhow::Result<Self> {
        let lakes = lakes.into();
        counters::describe();
        let geography = match &settings.geoip {
            Some(path) => Some(GeographyFile::watch(path.clone(), settings.directory_refresh)?),
            None => None,
        };
        let ids = Ids::new(lakes.main().new_rng());
        let directory = Directory::start(lakes.main().clone(), settings.directory_refresh).await;
        let homes = Arc::new(Homes::start(lakes, settings, clock.clone()).await);
        let door = Door::new(directory, homes.clone(), geography, clock, ids, settings);
        let connections_max = settings.connections_max.get();
        Ok(Self { homes, routes: Routes::new(Arc::new(door)), connections_max })
    }

    /// The routes, for tests and for other servers.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The batcher of the main lake.
    pub fn batcher(&self) -> &Batcher {
        &self.homes.main().batcher
    }

    /// Serves until `shutdown`; then stops accepting, gives requests in flight up to 20 seconds to finish, and
    /// writes what is left. When it returns, every event that was received is durable or was refused.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        tokio::task::spawn_blocking(intake::agent::make_tables);
        // Order matters: stop taking events, then write those that were taken.
        http::serve(listener, self.routes, self.connections_max, shutdown).await;
        self.homes.close().await;
    }
}
