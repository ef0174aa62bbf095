//! The salts of a lake, kept fresh.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use lake::{Lake, Salt, salt_dates};
use parking_lot::RwLock;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::Clock;

/// The store has this long to answer.
const READING_TIMEOUT: Duration = Duration::from_secs(5);

/// The salts as they were last read. Read again at an interval, when others are needed.
pub(crate) struct Salts {
    cache: Arc<Cache>,
    _refreshing: AbortOnDropHandle<()>,
}

struct Cache {
    lake: Lake,
    clock: Clock,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    /// Salts of today, and of tomorrow shortly before it begins.
    salts: Vec<(NaiveDate, Salt)>,
    /// Whether the last salt that was needed could not be read.
    failed: bool,
}

impl Salts {
    /// Reads the salts now, and again at the interval `refresh`. An unreachable store is not an error.
    pub(crate) async fn start(lake: Lake, refresh: Duration, clock: Clock) -> Self {
        let cache = Arc::new(Cache { lake, clock, state: RwLock::default() });
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
        Self { cache, _refreshing: AbortOnDropHandle::new(refreshing) }
    }

    /// The salt of the date of `at`, unless the store has not given it yet.
    pub(crate) fn at(&self, at: DateTime<Utc>) -> Option<Salt> {
        let date = at.date_naive();
        self.cache.state.read().salts.iter().find(|(of, _)| *of == date).map(|(_, salt)| *salt)
    }
}

impl Cache {
    /// Reads the salts that are needed now and are not known yet.
    async fn refresh(&self) {
        for date in salt_dates((self.clock)()) {
            if self.state.read().salts.iter().any(|(known, _)| *known == date) {
                continue;
            }
            let why = match timeout(READING_TIMEOUT, self.lake.salt_of(date)).await {
                Ok(Ok(salt)) => {
                    let mut state = self.state.write();
                    // Older salts have no use any more, and knowing them is a risk.
                    state.salts.retain(|(known, _)| known.succ_opt() >= Some(date));
                    state.salts.push((date, salt));
                    state.failed = false;
                    continue;
                }
                Ok(Err(error)) => anyhow::Error::from(error),
                Err(elapsed) => anyhow::Error::from(elapsed),
            };
            // Once per outage, not once per try.
            if std::mem::replace(&mut self.state.write().failed, true) {
                continue;
            }
            tracing::warn!(
                %date,
                lake = %self.lake.url(),
                error = &*why as &dyn std::error::Error,
                "could not read the salt of a day; visitors without an id stay unidentified meanwhile"
            );
        }
    }
}
