//! Pages that need no scripts: the numbers of a site, and the end of mails.

mod numbers;
pub(in crate::http) mod page;
mod unsubscribe;

use std::sync::Arc;

use axum::Router;

use super::caller::access::Access;
use super::state::Api;

/// The routes, which need no key: who asks is found out within.
pub(in crate::http) fn router(access: Arc<Access>) -> Router<Arc<Api>> {
    numbers::router(access).merge(unsubscribe::router())
}
