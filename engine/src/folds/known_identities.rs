//! Who is who, at the cost of what is new: the tables over sessions ask it at each run, and few events change it.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::recurring::RecurringQuery;
use super::rows::identity_rows::IdentityRows;
use crate::error::{EngineError, Result};
use crate::scope::Scope;
use crate::session::View;
use crate::sessions::known_identity_rows;

/// Events that tell who an anonymous id belongs to: of those that say the same, the last one.
const IDENTITIES: &str = "SELECT site_id, anonymous_id, user_id, max(occurred_at) AS occurred_at, false AS is_bot
    FROM events
    WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL AND NOT is_bot
    GROUP BY site_id, anonymous_id, user_id";

/// Under which visitor ids somebody was anonymous, and under which known.
const PRESENCE: &str = "SELECT visitor_id, CASE WHEN is_anonymous THEN NULL ELSE arrow_cast('', 'Utf8View') END AS user_id, false AS is_bot
    FROM (
        SELECT site_id, visitor_id, user_id IS NULL AS is_anonymous
        FROM events
        WHERE visitor_id IS NOT NULL AND NOT is_bot
        GROUP BY site_id, visitor_id, user_id IS NULL
    )";

impl View {
    /// The queries that tell who is who, which keep states as those of metrics do.
    pub async fn identity_queries(self: &Arc<Self>) -> Result<[RecurringQuery; 2]> {
        Ok([self.recurring(IDENTITIES, &[]).await?, self.recurring(PRESENCE, &[]).await?])
    }

    /// Makes sure that the tables over sessions know who is who.
    pub(super) fn know_identities(self: &Arc<Self>) -> BoxFuture<'_, Result<()>> {
        async {
            let sessions = self.sessions();
            if sessions.knows_identities() {
                return Ok(());
            }
            let (identities, _) = self.recurring(IDENTITIES, &[]).await?.answer(&Scope::Lake).await?;
            if identities.batches.iter().all(|batch| batch.num_rows() == 0) {
                sessions.learn_identities(&[], &[]);
                return Ok(());
            }
            let (presence, _) = self.recurring(PRESENCE, &[]).await?.answer(&Scope::Lake).await?;
            sessions.learn_identities(&identities.batches, &presence.batches);
            Ok(())
        }
        .boxed()
    }

    /// The rows of `identities`, made once for each view. As long as they are the same, they are those of the view before.
    pub(super) async fn identity_rows(self: &Arc<Self>) -> Result<Arc<IdentityRows>> {
        self.know_identities().await?;
        let make = async || {
            let unknown = || EngineError::Defect { message: "it is not known who is who".into() };
            let rows = known_identity_rows(self.sessions()).ok_or_else(unknown)??;
            Ok::<_, EngineError>(self.engine().last_identities().of(rows)?)
        };
        self.pieces().identities.get_or_try_init(make).await.cloned()
    }
}
