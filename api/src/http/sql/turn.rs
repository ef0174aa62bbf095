//! How many queries run at a time: those of one key, and all.

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::http::caller::reader::Reader;
use crate::http::error::ApiError;
use crate::http::state::Api;

/// One of the queries that run at a time, until it is dropped.
pub(crate) struct Turn {
    _of_key: Option<engine::Turn>,
    _of_all: OwnedSemaphorePermit,
}

impl Api {
    /// One of the queries that run at a time, if there is one at once.
    pub(crate) fn turn_at_once(&self, reader: &Reader) -> Option<Turn> {
        let of_key = match reader.share() {
            None => None,
            Some(share) => Some(share.turn_at_once()?),
        };
        Some(Turn { _of_key: of_key, _of_all: self.sql.turn_at_once()? })
    }

    /// One of the queries that run at a time, once there is one. Whoever waits for a turn of his key takes none of all, so
    /// that those who come later with another key are before him.
    pub(crate) async fn turn(&self, reader: &Reader) -> Result<Turn, ApiError> {
        let within = self.limits.timeout;
        let of_key = match reader.share() {
            None => None,
            Some(share) => Some(share.turn(0, within).await.map_err(|_| ApiError::Busy)?),
        };
        let of_all = timeout(within, self.sql.turn()).await.map_err(|_| ApiError::Busy)?;
        Ok(Turn { _of_key: of_key, _of_all: of_all })
    }
}
