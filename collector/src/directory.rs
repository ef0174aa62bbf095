//! The directory: the registry's sites, kept fresh. Finds the site of a write key or a domain.

use std::sync::Arc;
use std::time::Duration;

use lake::{Lake, Site, SiteDirectory};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use intake::IngestError;

/// The pause between readings for unknown keys, so that a flood of them cannot hammer the store.
const EXTRA_REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// The store has this long to answer. Requests with unknown keys wait for it.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// The sites as they were last read. Read again at an interval, and for unknown keys.
pub(crate) struct Directory {
    cache: Arc<Cache>,
    /// When the sites were last read for an unknown key.
    extra_refresh_at: Mutex<Option<Instant>>,
    _refreshing: AbortOnDropHandle<()>,
}

struct Cache {
    lake: Lake,
    state: RwLock<State>,
    /// Held while the sites are read, so that an older reading cannot replace a newer one.
    reading: Mutex<()>,
}

struct State {
    sites: Arc<SiteDirectory>,
    /// Whether the last reading succeeded. If not, an unknown key may be a new one.
    fresh: bool,
}

impl Directory {
    /// Reads the sites now, and again at the interval `refresh`. An unreachable store is not an error: the sites of the
    /// last reading stay in use. Until the first reading succeeds, no key can be verified.
    pub(crate) async fn start(lake: Lake, refresh: Duration) -> Self {
        let state = State { sites: Arc::default(), fresh: true };
        let cache = Arc::new(Cache { lake, state: RwLock::new(state), reading: Mutex::default() });
        cache.refresh().await;
        let refreshing = tokio::spawn({
            let cache = cache.clone();
            async move {
                loop {
                    sleep(refresh).await;
                    cache.refresh().await;
                }
            }
        });
        Self { cache, extra_refresh_at: Mutex::default(), _refreshing: AbortOnDropHandle::new(refreshing) }
    }

    /// The site that a write key writes to; `None` if the key is unknown or revoked. A key that was just issued works
    /// at once.
    ///
    /// Fails with [`IngestError::KeysUnavailable`] if the store cannot say.
    pub(crate) async fn site_of_key(&self, write_key: &str) -> Result<Option<Arc<Site>>, IngestError> {
        // A text that cannot be a key is not worth a reading.
        if !lake::is_write_key(write_key) {
            return Ok(None);
        }
        self.find_site(|sites| sites.site_of_key(write_key)).await
    }

    /// The site that takes events of a domain without a key, if one does.
    ///
    /// Fails with [`IngestError::KeysUnavailable`] if the store cannot say.
    pub(crate) async fn site_of_domain(&self, domain: &str) -> Result<Option<Arc<Site>>, IngestError> {
        self.find_site(|sites| sites.site_of_domain(domain)).await
    }

    /// The site of a domain, if the last reading has it.
    pub(crate) fn known_site_of_domain(&self, domain: &str) -> Option<Arc<Site>> {
        self.cache.state.read().sites.site_of_domain(domain)
    }

    /// The site of a write key, if the last reading has it.
    pub(crate) fn known_site_of_key(&self, write_key: &str) -> Option<Arc<Site>> {
        self.cache.state.read().sites.site_of_key(write_key)
    }

    /// Whether some site names an origin. Nobody owns `null`: it is the origin of frames that any page may have.
    pub(crate) fn has_origin(&self, origin: &str) -> bool {
        let sites = self.cache.state.read().sites.clone();
        origin != "null" && sites.names_origin(origin)
    }

    /// Finds a site, by a new reading if it is not known. Returns `None` only if the store was read, because a refusal
    /// for good makes most senders throw their events away.
    async fn find_site(
        &self,
        find: impl Fn(&SiteDirectory) -> Option<Arc<Site>>,
    ) -> Result<Option<Arc<Site>>, IngestError> {
        let known = || find(&self.cache.state.read().sites.clone());
        if let Some(site) = known() {
            return Ok(Some(site));
        }
        let came_at = Instant::now();
        {
            // Under the lock, so that many requests with unknown keys cause one reading a second. A reading that began
            // after this request came answers it. An earlier one does not: the key may have been issued meanwhile.
            let mut extra_refresh_at = self.extra_refresh_at.lock().await;
            if extra_refresh_at.is_none_or(|at| at < came_at) {
                if let Some(at) = *extra_refresh_at {
                    sleep_until(at + EXTRA_REFRESH_PAUSE).await;
                }
                *extra_refresh_at = Some(Instant::now());
                self.cache.refresh().await;
            }
        }
        match known() {
            None if !self.cache.state.read().fresh => Err(IngestError::KeysUnavailable),
            found => Ok(found),
        }
    }
}

impl Cache {
    async fn refresh(&self) {
        let _reading = self.reading.lock().await;
        let why = match timeout(REFRESH_TIMEOUT, self.lake.sites()).await {
            Ok(Ok(sites)) => {
                let mut state = self.state.write();
                (state.sites, state.fresh) = (sites, true);
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
