//! The collector: HTTP in, raw files out.
//!
//! An event's way through this crate: a connection → a request, with its key and its body → [`protocol`], which
//! makes [`Event`](lake::Event)s of it → [`Batcher`], which answers when they are durable.
//!
//! A success status means that every accepted event is durable. The collector keeps no state of its own, never
//! reads the events of the lake, and knows no SQL. Memory is bounded at every step; what does not fit is
//! refused with a status that makes senders come back.

mod agent;
mod batch;
mod batcher;
mod body;
mod budget;
mod counters;
mod directory;
mod error;
mod event_time;
mod http;
mod inflate;
mod keys;
mod money;
mod page;
pub mod protocol;
mod server;
mod settings;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, Utc};
use lake::Lake;
use tokio::net::TcpListener;

pub use batch::Accepted;
pub use batcher::Batcher;
pub use error::{IngestError, Rejection};
pub use event_time::{Window, occurred_at_us};
pub use settings::Settings;

/// What tells the time of arrival.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// A collector at work.
pub struct Collector {
    batcher: Batcher,
    router: Router,
    connections_max: usize,
}

impl Collector {
    /// Starts a collector that writes to `lake`. It takes requests through [`serve`](Self::serve) or
    /// [`router`](Self::router).
    ///
    /// A store that cannot be reached is no error here: requests are refused until it can.
    pub async fn start(lake: Lake, settings: &Settings, clock: Clock) -> Self {
        counters::describe();
        let batcher = Batcher::start(&lake, settings, clock.clone());
        let directory = directory::Directory::start(lake, settings.directory_refresh).await;
        let door = http::Door::new(batcher.clone(), directory, clock, settings);
        Self { batcher, router: http::router(Arc::new(door)), connections_max: settings.connections_max.get() }
    }

    /// The routes, for tests and for servers of your own.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The batcher that the routes write to.
    pub fn batcher(&self) -> &Batcher {
        &self.batcher
    }

    /// Serves until `shutdown`; then stops accepting, lets requests in flight end for up to 20 seconds, and
    /// writes what is left. When it returns, every event that was taken is durable or was refused.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        // Order matters: stop taking events, then write down the ones we took.
        server::serve(listener, self.router, self.connections_max, shutdown).await;
        self.batcher.close().await;
    }
}
