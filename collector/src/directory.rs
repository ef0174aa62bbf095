//! Which write key belongs to which site: the registry's sites, kept fresh.

use std::sync::Arc;
use std::time::Duration;

use lake::{Lake, SiteDirectory};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::error::IngestError;
use crate::keys;

/// An unknown key asks the store at most this often, so that a flood of them cannot hammer it.
const EXTRA_REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// The store has this long to answer. Requests with unknown keys wait for it.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// The sites as they were last read, read again now and then.
pub(crate) struct Directory {
    known: Arc<Known>,
    /// When an unknown key last made us look.
    extra_refresh_at: Mutex<Option<Instant>>,
    _refreshing: AbortOnDropHandle<()>,
}

struct Known {
    lake: Lake,
    state: RwLock<State>,
}

struct State {
    sites: Arc<SiteDirectory>,
    /// Whether the last reading worked. If not, an unknown key may be one we have not heard of.
    fresh: bool,
}

impl Directory {
    /// Reads the sites, and again every `refresh`. A store that cannot be reached is no error: the sites
    /// last known stay, and until some are known no key can be verified.
    pub(crate) async fn start(lake: Lake, refresh: Duration) -> Self {
        let known = Arc::new(Known { lake, state: RwLock::new(State { sites: Arc::default(), fresh: true }) });
        known.refresh().await;
        let refreshing = tokio::spawn({
            let known = known.clone();
            async move {
                loop {
                    sleep(refresh).await;
                    known.refresh().await;
                }
            }
        });
        Self { known, extra_refresh_at: Mutex::default(), _refreshing: AbortOnDropHandle::new(refreshing) }
    }

    /// The site that a write key writes to. A key that was just issued works at once.
    ///
    /// Fails with [`IngestError::Unauthorized`] if there is no such key, with
    /// [`IngestError::KeysUnavailable`] if the store cannot say.
    pub(crate) async fn site_of_key(&self, write_key: &str) -> Result<Arc<str>, IngestError> {
        if let Some(site_id) = self.known.site_of_key(write_key) {
            return Ok(site_id);
        }
        {
            // Under the lock, so that many requests with a new key make one reading.
            let mut extra_refresh_at = self.extra_refresh_at.lock().await;
            if let Some(site_id) = self.known.site_of_key(write_key) {
                return Ok(site_id);
            }
            if extra_refresh_at.is_none_or(|at| at.elapsed() >= EXTRA_REFRESH_PAUSE) {
                // Before, in case this request is dropped meanwhile; and after, so that those who waited for a
                // slow store do not each wait for it again.
                *extra_refresh_at = Some(Instant::now());
                self.known.refresh().await;
                *extra_refresh_at = Some(Instant::now());
            }
        }
        match self.known.site_of_key(write_key) {
            Some(site_id) => Ok(site_id),
            // A 401 makes most senders throw their events away: say it only if we are sure.
            None if !self.known.state.read().fresh => Err(IngestError::KeysUnavailable),
            None => Err(IngestError::Unauthorized {
                reason: format!("the write key is unknown or revoked; send a valid one as {}", keys::WAYS),
            }),
        }
    }
}

impl Known {
    fn site_of_key(&self, write_key: &str) -> Option<Arc<str>> {
        let sites = self.state.read().sites.clone();
        sites.site_of_key(write_key)
    }

    async fn refresh(&self) {
        let why = match timeout(REFRESH_TIMEOUT, self.lake.sites()).await {
            Ok(Ok(sites)) => {
                *self.state.write() = State { sites: Arc::new(sites), fresh: true };
                return;
            }
            Ok(Err(error)) => anyhow::Error::from(error),
            Err(elapsed) => anyhow::Error::from(elapsed),
        };
        // Once per outage, not once per try.
        if std::mem::replace(&mut self.state.write().fresh, false) {
            tracing::warn!(
                error = &*why as &dyn std::error::Error,
                "could not read the sites; known write keys stay valid"
            );
        }
    }
}
