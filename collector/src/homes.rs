//! Where events go: each lake has lanes, a quarantine and salts of its own, so that one that is away holds up nobody but its
//! own sites. All of them together stay within the collector's memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use intake::IngestError;
use lake::{Lake, Lakes, OwnLake, Site};
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, timeout};

use crate::Clock;
use crate::batch::Batcher;
use crate::budget::Budget;
use crate::counters;
use crate::quarantine::{Quarantine, WAITING_BYTES_MAX};
use crate::salts::Salts;
use crate::settings::Settings;

/// A lake that is opened for the first time has this long to say whose it is.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause between tries to open a lake, so that a flood of requests cannot hammer its store.
const OPENING_PAUSE: Duration = Duration::from_secs(1);

/// Where the events of a lake's sites go.
pub(crate) struct Home {
    pub(crate) batcher: Batcher,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) salts: Salts,
}

/// The homes of all sites: the main lake, and those of organisations' own, opened when their first request comes.
pub(crate) struct Homes {
    lakes: Lakes,
    main: Arc<Home>,
    /// `None` once closing.
    own: RwLock<Option<HashMap<Arc<OwnLake>, Arc<Home>>>>,
    opening: Mutex<HashMap<Arc<OwnLake>, Arc<Opening>>>,
    parts: Parts,
}

/// Held while a lake is opened, so that all who wait for it share what comes of it: when it failed last, if it did.
type Opening = tokio::sync::Mutex<Option<Instant>>;

/// What homes are made of, and the memory that they share.
struct Parts {
    clock: Clock,
    settings: Settings,
    waiting: Arc<Budget>,
    refused: Arc<Budget>,
}

impl Parts {
    async fn home(&self, lake: &Lake) -> Home {
        let Self { clock, settings, waiting, refused } = self;
        Home {
            batcher: Batcher::start_within(lake, settings, clock.clone(), waiting.part()),
            quarantine: Quarantine::start(lake.clone(), clock.clone(), settings, refused.part()),
            salts: Salts::start(lake.clone(), settings.directory_refresh, clock.clone()).await,
        }
    }
}

impl Homes {
    pub(crate) async fn start(lakes: Lakes, settings: &Settings, clock: Clock) -> Self {
        let parts = Parts {
            clock,
            settings: settings.clone(),
            waiting: Budget::new(settings.buffer_bytes, counters::BUFFER_BYTES),
            refused: Budget::new(WAITING_BYTES_MAX, counters::QUARANTINE_BYTES),
        };
        let main = Arc::new(parts.home(lakes.main()).await);
        Self { lakes, main, own: RwLock::new(Some(HashMap::new())), opening: Mutex::default(), parts }
    }

    /// That of the main lake.
    pub(crate) fn main(&self) -> &Home {
        &self.main
    }

    /// Where the events of a site go, if that is open.
    ///
    /// Fails with [`IngestError::Closing`] once the collector closes.
    pub(crate) fn known(&self, site: &Site) -> Result<Option<Arc<Home>>, IngestError> {
        let Some(own) = &site.lake else { return Ok(Some(self.main.clone())) };
        self.own.read().as_ref().map(|homes| homes.get(own).cloned()).ok_or(IngestError::Closing)
    }

    /// Where the events of a site go. Opens it if nobody has yet.
    ///
    /// Fails with [`IngestError::NotDurable`] if its lake cannot be used: its events go nowhere else.
    pub(crate) async fn of(&self, site: &Site) -> Result<Arc<Home>, IngestError> {
        let opening = match (self.known(site)?, &site.lake) {
            (Some(home), _) => return Ok(home),
            (None, None) => return Ok(self.main.clone()),
            (None, Some(own)) => self.opening.lock().entry(own.clone()).or_default().clone(),
        };
        let mut failed_at = opening.lock().await;
        if let Some(home) = self.known(site)? {
            return Ok(home);
        }
        if failed_at.is_some_and(|at| at.elapsed() < OPENING_PAUSE) {
            return Err(IngestError::NotDurable);
        }
        let why = match timeout(OPENING_TIMEOUT, self.lakes.lake(site.lake.as_ref())).await {
            Ok(Ok(lake)) => {
                let home = Arc::new(self.parts.home(&lake).await);
                *failed_at = None;
                let mut own = self.own.write();
                let homes = own.as_mut().ok_or(IngestError::Closing)?;
                homes.extend(site.lake.clone().map(|lake| (lake, home.clone())));
                return Ok(home);
            }
            Ok(Err(error)) => anyhow::Error::from(error),
            Err(elapsed) => anyhow::Error::from(elapsed),
        };
        // Once per outage, not once per try.
        if failed_at.replace(Instant::now()).is_none() {
            tracing::error!(
                site = %site.site_id,
                error = &*why as &dyn std::error::Error,
                "could not open the lake of an organisation's own; events of its sites are refused meanwhile"
            );
        }
        Err(IngestError::NotDurable)
    }

    /// Takes no more events, and returns when all that were taken are durable or refused.
    pub(crate) async fn close(&self) {
        let own: Vec<Arc<Home>> = self.own.write().take().into_iter().flatten().map(|(_, home)| home).collect();
        let all = own.iter().chain([&self.main]);
        join_all(all.map(async |home| tokio::join!(home.batcher.close(), home.quarantine.close()))).await;
    }
}
