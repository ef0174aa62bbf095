//! A resource: a few endpoints that belong together, with the router that answers them.

use std::sync::Arc;

use axum::Router;
use axum::routing::MethodRouter;

use crate::door::Door;

/// Endpoints as they are listed for people, and the router that answers them.
#[derive(Default)]
pub(super) struct Resource {
    /// Method and path of each, such as `POST /v1/events`.
    pub(super) endpoints: Vec<String>,
    pub(super) router: Router<Arc<Door>>,
}

impl Resource {
    /// Adds an endpoint. Its path may end with a slash.
    pub(super) fn endpoint(mut self, method: &str, path: &str, route: MethodRouter<Arc<Door>>) -> Self {
        self.endpoints.push(format!("{method} {path}"));
        self.router = self.router.route(path, route.clone()).route(&format!("{path}/"), route);
        self
    }

    /// Adds the endpoints of another resource.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.endpoints.extend(other.endpoints);
        self.router = self.router.merge(other.router);
        self
    }
}
