//! What queries over the network share: their settings, their turns, and answers that are kept.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::kept::KeptAnswers;

/// What queries over the network may take, beside the limits of each query.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct SqlSettings {
    /// How many queries of `POST /v1/sql` and `/mcp` run at the same time; others wait for their turn.
    #[arg(long = "sql-queries-max", env = "DEWPOND_SQL_QUERIES_MAX", default_value = "16", value_name = "N")]
    pub queries_max: NonZeroUsize,

    /// How many queries of one read key run at the same time, by HTTP and by the PostgreSQL protocol together; others wait.
    #[arg(long = "key-queries-max", env = "DEWPOND_KEY_QUERIES_MAX", default_value = "8", value_name = "N")]
    pub key_queries_max: NonZeroUsize,

    /// How many bytes an answer may have as it is sent.
    #[arg(long = "sql-bytes-max", env = "DEWPOND_SQL_BYTES_MAX", default_value_t = 16 << 30, value_name = "BYTES")]
    pub bytes_max: u64,

    /// Memory for answers that are kept for whoever asks the same again while no event has come; 0 keeps none.
    #[arg(long = "sql-kept-bytes", env = "DEWPOND_SQL_KEPT_BYTES", default_value_t = 64 << 20, value_name = "BYTES")]
    pub kept_bytes: u64,
}

impl Default for SqlSettings {
    fn default() -> Self {
        let [queries_max, key_queries_max] = [16, 8].map(|max| NonZeroUsize::new(max).expect("it is not zero"));
        Self { queries_max, key_queries_max, bytes_max: 16 << 30, kept_bytes: 64 << 20 }
    }
}

/// What queries share.
pub(crate) struct Sql {
    pub(super) settings: SqlSettings,
    pub(crate) kept: KeptAnswers,
    turns: Arc<Semaphore>,
}

impl Sql {
    pub(crate) fn new(settings: SqlSettings) -> Self {
        let turns = Arc::new(Semaphore::new(settings.queries_max.get()));
        Self { settings, kept: KeptAnswers::new(settings.kept_bytes), turns }
    }

    /// One of the queries that run at a time, if there is one at once.
    pub(crate) fn turn_at_once(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().try_acquire_owned().ok()
    }

    /// One of the queries that run at a time, once there is one.
    pub(crate) async fn turn(&self) -> OwnedSemaphorePermit {
        self.turns.clone().acquire_owned().await.expect("the turns are never closed")
    }
}
