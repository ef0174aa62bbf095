//! The job of each lake: that of the main one, and those of organisations' own, made when they are first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use engine::{Apart, EngineError, Engines};
use futures::future::join_all;
use lake::OwnLake;
use parking_lot::Mutex;

use crate::job::Analytics;

/// The jobs of all lakes. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    engines: Engines,
    main: Arc<Analytics>,
    own: Mutex<HashMap<Arc<OwnLake>, Arc<Analytics>>>,
}

impl Jobs {
    /// - `main`: the job of the main lake. The others have its settings.
    pub fn new(main: Arc<Analytics>, engines: Engines) -> Self {
        Self { inner: Arc::new(Inner { engines, main, own: Mutex::default() }) }
    }

    /// The engines of the lakes.
    pub fn engines(&self) -> &Engines {
        &self.inner.engines
    }

    /// The job of the main lake.
    pub fn main(&self) -> &Arc<Analytics> {
        &self.inner.main
    }

    /// The job of a lake of an organisation's own, or of the main lake for `None`.
    ///
    /// Fails as [`Engines::views`] does.
    pub async fn job(&self, own: Option<&Arc<OwnLake>>) -> Result<Arc<Analytics>, EngineError> {
        let Some(own) = own else { return Ok(self.main().clone()) };
        if let Some(job) = self.inner.own.lock().get(own) {
            return Ok(job.clone());
        }
        let engine = self.engines().views(Some(own)).await?.engine().clone();
        Ok(self.inner.own.lock().entry(own.clone()).or_insert_with(|| self.main().beside(engine)).clone())
    }

    /// The job that makes the report of a site, or that of the whole main lake for `None`.
    pub async fn of_site(&self, site: Option<&str>) -> Result<Arc<Analytics>, Apart> {
        let own = self.engines().lake_of(site.as_slice()).await?;
        Ok(self.job(own.as_ref()).await?)
    }

    /// Waits until no alert is being posted.
    pub async fn finish_posts(&self) {
        let own: Vec<Arc<Analytics>> = self.inner.own.lock().values().cloned().collect();
        join_all(own.iter().chain([self.main()]).map(|job| job.finish_posts())).await;
    }
}
