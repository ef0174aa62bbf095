//! Engines over the lakes of an installation: that of the main lake, and those of organisations' own, made when they are
//! first asked of. They share what they may take.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lake::{LakeError, Lakes, OwnLake, SiteDirectory};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::EngineError;
use crate::session::Engine;
use crate::shared_views::SharedViews;

/// For how long the sites are believed. A site never moves, so only credentials that got another name are waited for.
const FRESH_FOR: Duration = Duration::from_secs(60);

/// An engine for each lake. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct Engines {
    inner: Arc<Inner>,
}

struct Inner {
    lakes: Lakes,
    main: SharedViews,
    own: Mutex<HashMap<Arc<OwnLake>, SharedViews>>,
    sites: Mutex<Option<(Instant, Arc<SiteDirectory>)>>,
}

/// Why no lake can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Apart {
    /// The sites lie in two lakes. Ask of each.
    #[error("{one} and {other} lie in two lakes, and a question is answered from one: ask of each by itself")]
    TwoLakes {
        /// One of the sites.
        one: String,
        /// A site that lies elsewhere.
        other: String,
    },
    /// The lake cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<LakeError> for Apart {
    fn from(error: LakeError) -> Self {
        Self::Engine(error.into())
    }
}

/// Engines of an installation that takes no credentials from variables.
impl From<Engine> for Engines {
    fn from(main: Engine) -> Self {
        let lakes = Lakes::from(main.lake().clone());
        Self::new(main, lakes)
    }
}

impl Engines {
    /// - `main`: an engine over the main lake of `lakes`.
    pub fn new(main: Engine, lakes: Lakes) -> Self {
        let main = SharedViews::new(main);
        Self { inner: Arc::new(Inner { lakes, main, own: Mutex::default(), sites: Mutex::default() }) }
    }

    /// The lakes.
    pub fn lakes(&self) -> &Lakes {
        &self.inner.lakes
    }

    /// The engine of the main lake.
    pub fn main(&self) -> &Engine {
        self.inner.main.engine()
    }

    /// Views of a lake of an organisation's own, or of the main lake for `None`.
    ///
    /// Fails as [`Lakes::lake`] does.
    pub async fn views(&self, own: Option<&Arc<OwnLake>>) -> Result<SharedViews, EngineError> {
        let Some(own) = own else { return Ok(self.inner.main.clone()) };
        if let Some(views) = self.inner.own.lock().get(own) {
            return Ok(views.clone());
        }
        let engine = self.main().beside(self.lakes().lake(Some(own)).await?)?;
        Ok(self.inner.own.lock().entry(own.clone()).or_insert_with(|| SharedViews::new(engine)).clone())
    }

    /// The lake that these sites lie in; `None` is the main lake, in which a site that is not there would lie, too.
    pub async fn lake_of<S: AsRef<str>>(&self, sites: &[S]) -> Result<Option<Arc<OwnLake>>, Apart> {
        if sites.is_empty() {
            return Ok(None);
        }
        let directory = self.sites(sites).await?;
        let apart = |(one, other): (&str, &str)| Apart::TwoLakes { one: one.to_owned(), other: other.to_owned() };
        Ok(directory.one_lake_of(sites).map_err(apart)?.cloned())
    }

    /// Views of the lake that these sites lie in.
    pub async fn views_of<S: AsRef<str>>(&self, sites: &[S]) -> Result<SharedViews, Apart> {
        let own = self.lake_of(sites).await?;
        Ok(self.views(own.as_ref()).await?)
    }

    /// A directory that has these sites, if they are there.
    async fn sites<S: AsRef<str>>(&self, sites: &[S]) -> Result<Arc<SiteDirectory>, LakeError> {
        let has_all = |directory: &SiteDirectory| sites.iter().all(|site| directory.has_site(site.as_ref()));
        let known = self.inner.sites.lock().clone().filter(|(_, directory)| has_all(directory));
        if let Some((read_at, directory)) = &known
            && read_at.elapsed() < FRESH_FOR
        {
            return Ok(directory.clone());
        }
        let read_at = Instant::now();
        let directory = match (self.lakes().main().sites().await, known) {
            (Ok(directory), _) => directory,
            // They lie where they did.
            (Err(_), Some((_, directory))) => directory,
            (Err(error), None) => return Err(error),
        };
        *self.inner.sites.lock() = Some((read_at, directory.clone()));
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use lake::{Lake, SiteSettings};

    use super::*;
    use crate::settings::EngineSettings;

    #[tokio::test]
    async fn each_lake_has_an_engine_and_sites_of_two_are_told_apart() {
        let main = Lake::open("memory:///", []).unwrap();
        let engines = Engines::from(Engine::new(main.clone(), &EngineSettings::default()).unwrap());
        let add = async |site: &str, organisation| {
            main.add_site_of(site, organisation, SiteSettings::default(), DateTime::UNIX_EPOCH).await.unwrap()
        };
        add("shop", None).await;
        assert_eq!(engines.views_of(&["shop"]).await.unwrap().engine().lake().organisation(), None);
        engines.lakes().set("acme", "memory:///", None).await.unwrap();
        add("acme-shop", Some("acme")).await;
        add("acme-blog", Some("acme")).await;

        let own = engines.views_of(&["acme-shop", "acme-blog"]).await.unwrap();
        assert_eq!(own.engine().lake().organisation().map(|id| &**id), Some("acme"));
        assert_eq!(engines.views_of::<&str>(&[]).await.unwrap().engine().lake().organisation(), None);
        let refused = engines.views_of(&["acme-shop", "shop"]).await.err().unwrap();
        assert_eq!(
            refused.to_string(),
            "acme-shop and shop lie in two lakes, and a question is answered from one: ask of each by itself"
        );
        // A key's queries have the memory of all engines in common, and each reads its own lake.
        let share = engines.main().share_of("dpr_00000000");
        let session = own.view().await.unwrap().confined_session(&["acme-shop".into()], Some(&share)).unwrap();
        session.query("SELECT count(*) FROM events", &[]).await.unwrap();
    }
}
