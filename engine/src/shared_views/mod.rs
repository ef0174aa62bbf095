//! Views for many requests at a time. A view costs a listing, a look at the log, and a search for copies, and all who ask
//! while one is being made need only one more.

mod group;

use std::sync::Arc;

use self::group::Group;
use crate::error::EngineError;
use crate::session::{Engine, SqlSession, View};

/// Makes views of one lake, one after the other. Requests that come while a view is being made share the next one. It
/// begins after all of them came, so each sees every event that was acknowledged before it asked.
#[derive(Clone)]
pub struct SharedViews {
    engine: Engine,
    views: Arc<Group<View>>,
    histories: Arc<Group<SqlSession>>,
}

impl SharedViews {
    /// Views of the engine's lake.
    pub fn new(engine: Engine) -> Self {
        Self { engine, views: Arc::default(), histories: Arc::default() }
    }

    /// The engine that makes them.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The lake as [`Engine::view`] sees it. Fails for all who share the view, and the next one is tried anew.
    pub async fn view(&self) -> Result<Arc<View>, Arc<EngineError>> {
        let engine = self.engine.clone();
        self.views.join(move || async move { engine.view().await }).await
    }

    /// The reports and no events, as [`Engine::history`] sees them.
    pub async fn history(&self) -> Result<Arc<SqlSession>, Arc<EngineError>> {
        let engine = self.engine.clone();
        self.histories.join(move || async move { engine.history().await }).await
    }
}
