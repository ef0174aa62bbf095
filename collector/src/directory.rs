//! Which write key and which domain belong to which site: the registry's sites and salts, kept fresh.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use lake::{Lake, Salt, Site, SiteDirectory, salt_dates};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::Clock;
use crate::door;
use intake::{IngestError, cut};

/// An unknown key asks the store at most this often, so that a flood of them cannot hammer it.
const EXTRA_REFRESH_PAUSE: Duration = Duration::from_secs(1);

/// Longer than any domain that a site may have.
const DOMAIN_BYTES_MAX: usize = 256;

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
    clock: Clock,
    state: RwLock<State>,
    /// Held while the sites are read, so that an older reading cannot replace a newer one.
    reading: Mutex<()>,
}

struct State {
    sites: Arc<SiteDirectory>,
    /// Whether the last reading worked. If not, an unknown key may be one we have not heard of.
    fresh: bool,
    /// Salts of today, and of tomorrow shortly before it begins.
    salts: Vec<(NaiveDate, Salt)>,
    /// Whether the last salt that was needed could be read.
    salted: bool,
}

impl Directory {
    /// Reads the sites, and again every `refresh`. A store that cannot be reached is no error: the sites
    /// last known stay, and until some are known no key can be verified.
    pub(crate) async fn start(lake: Lake, refresh: Duration, clock: Clock) -> Self {
        let state = State { sites: Arc::default(), fresh: true, salts: vec![], salted: true };
        let known = Arc::new(Known { lake, clock, state: RwLock::new(state), reading: Mutex::default() });
        known.refresh().await;
        known.refresh_salts().await;
        let refreshing = tokio::spawn({
            let known = known.clone();
            async move {
                loop {
                    sleep(refresh).await;
                    known.refresh().await;
                    known.refresh_salts().await;
                }
            }
        });
        Self { known, extra_refresh_at: Mutex::default(), _refreshing: AbortOnDropHandle::new(refreshing) }
    }

    /// The site that a write key writes to. A key that was just issued works at once.
    ///
    /// Fails with [`IngestError::Unauthorized`] if there is no such key, with
    /// [`IngestError::KeysUnavailable`] if the store cannot say.
    pub(crate) async fn site_of_key(&self, write_key: &str) -> Result<Arc<Site>, IngestError> {
        let unknown = || IngestError::Unauthorized {
            reason: format!("the write key is unknown or revoked; send a valid one as {}", door::WAYS),
        };
        // What is no key at all need not be looked for.
        if !lake::is_write_key(write_key) {
            return Err(unknown());
        }
        self.find(|sites| sites.site_of_key(write_key)).await?.ok_or_else(unknown)
    }

    /// The site that takes events of a domain without a key.
    ///
    /// Fails with [`IngestError::Invalid`] if none does, with [`IngestError::KeysUnavailable`] if the store cannot say.
    pub(crate) async fn site_of_domain(&self, domain: &str) -> Result<Arc<Site>, IngestError> {
        let domain = cut(domain, DOMAIN_BYTES_MAX);
        self.find(|sites| sites.site_of_domain(domain)).await?.ok_or_else(|| {
            IngestError::invalid(format!(
                "no site takes events of {domain:?} without a write key; `dewpond site set NAME --domain {domain}` allows it"
            ))
        })
    }

    /// The site of a domain, as far as we know it already.
    pub(crate) fn known_site(&self, domain: &str) -> Option<Arc<Site>> {
        self.known.state.read().sites.site_of_domain(domain)
    }

    /// The site of a write key, as far as we know it already.
    pub(crate) fn known_site_of_key(&self, write_key: &str) -> Option<Arc<Site>> {
        self.known.state.read().sites.site_of_key(write_key)
    }

    /// Whether some site names an origin.
    pub(crate) fn has_origin(&self, origin: &str) -> bool {
        let sites = self.known.state.read().sites.clone();
        sites.sites().iter().any(|site| site.settings.origins.iter().any(|known| known == origin))
    }

    /// The salt of the date of `at`, unless the store has not given it yet.
    pub(crate) fn salt_at(&self, at: DateTime<Utc>) -> Option<Salt> {
        let date = at.date_naive();
        self.known.state.read().salts.iter().find(|(of, _)| *of == date).map(|(_, salt)| *salt)
    }

    /// Finds a site, by a new reading if it is not known. None only if we are sure: to be refused for good makes most
    /// senders throw their events away.
    async fn find(&self, find: impl Fn(&SiteDirectory) -> Option<Arc<Site>>) -> Result<Option<Arc<Site>>, IngestError> {
        let known = || find(&self.known.state.read().sites.clone());
        if let Some(site) = known() {
            return Ok(Some(site));
        }
        let came_at = Instant::now();
        {
            // Under the lock, so that many requests with unknown keys make one reading a second. What was read since
            // we came is an answer for us, and what was read before is not: the key may have been issued meanwhile.
            let mut extra_refresh_at = self.extra_refresh_at.lock().await;
            if extra_refresh_at.is_none_or(|at| at < came_at) {
                if let Some(at) = *extra_refresh_at {
                    sleep_until(at + EXTRA_REFRESH_PAUSE).await;
                }
                *extra_refresh_at = Some(Instant::now());
                self.known.refresh().await;
            }
        }
        match known() {
            None if !self.known.state.read().fresh => Err(IngestError::KeysUnavailable),
            found => Ok(found),
        }
    }
}

impl Known {
    async fn refresh(&self) {
        let _reading = self.reading.lock().await;
        let why = match timeout(REFRESH_TIMEOUT, self.lake.sites()).await {
            Ok(Ok(sites)) => {
                let mut state = self.state.write();
                (state.sites, state.fresh) = (Arc::new(sites), true);
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

    /// Reads the salts that are needed now and are not known yet.
    async fn refresh_salts(&self) {
        for date in salt_dates((self.clock)()) {
            if self.state.read().salts.iter().any(|(known, _)| *known == date) {
                continue;
            }
            let why = match timeout(REFRESH_TIMEOUT, self.lake.salt_of(date)).await {
                Ok(Ok(salt)) => {
                    let mut state = self.state.write();
                    // The older ones are for nothing any more, and knowing them is a risk.
                    state.salts.retain(|(known, _)| known.succ_opt() >= Some(date));
                    state.salts.push((date, salt));
                    state.salted = true;
                    continue;
                }
                Ok(Err(error)) => anyhow::Error::from(error),
                Err(elapsed) => anyhow::Error::from(elapsed),
            };
            // Once per outage, not once per try.
            if !std::mem::replace(&mut self.state.write().salted, false) {
                continue;
            }
            tracing::warn!(
                %date,
                error = &*why as &dyn std::error::Error,
                "could not read the salt of a day; visitors without an id stay unidentified meanwhile"
            );
        }
    }
}
